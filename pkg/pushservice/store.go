package pushservice

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Subscription is a subscription as the service knows it. Its path is a capability:
// anyone who has it can send.
type Subscription struct {
	// ID identifies it to its user agent: anyone who has the ID can receive.
	ID string
	// Path is the path of the endpoint: "/wpush/v1/" (or "/wpush/v2/" for a
	// restricted subscription) and a token. The endpoint is the service's origin
	// followed by Path.
	Path string
	// Key is the application server key that messages must be signed with, or
	// zero for an unrestricted subscription.
	Key vapid.PublicKey
	// Created is the time of its creation.
	Created time.Time
	// Messages is the number of messages that have not been acknowledged. It may
	// include messages that have just expired.
	Messages int
	// Waiting is the number of user agents that are currently waiting for a
	// message: long polls, and a connection by WebSocket or MCS.
	Waiting int
	// Channel is the name that its user agent has given it (by WebSocket or through
	// Chromium's channel), or empty for other subscriptions.
	Channel string
}

// AcceptedMessage is a message that the service accepted.
type AcceptedMessage struct {
	// ID is the last segment of its resource, /m/{id}.
	ID string
	// Seq is 1 for the first message of a subscription and grows with each.
	Seq uint64
	// Time is the time of its acceptance.
	Time time.Time
	// TTL is the granted TTL, in whole seconds.
	TTL time.Duration
	// Urgency is "very-low", "low", "normal" or "high".
	Urgency string
	// Topic is empty or 1 to 32 characters of base64url.
	Topic string
	// Encoding is "aes128gcm" or "aesgcm", or empty if there is no body.
	Encoding string
	// Encryption and CryptoKey are the headers with these names as they were sent,
	// for aesgcm only.
	Encryption, CryptoKey string
	// Body is the encrypted payload, or nil.
	Body []byte
}

// store holds all user agents, subscriptions, and messages. Every channel sends and
// receives through it, under one lock: a message is therefore either stored before
// a user agent begins to wait, or handed to it.
//
// A channel with connections attaches each to a user agent (see attach). The
// connection is then woken, gets waiting messages with next, and acknowledges them
// with acknowledge. The long poll of REST has no user agents, and receives by the
// ID of a subscription instead.
type store struct {
	maxSubscriptions, maxMessages int

	mu       sync.Mutex
	agents   map[string]*agent
	byID     map[string]*subscription
	byPath   map[string]*subscription
	live     []*subscription // oldest first
	expired  []*subscription // oldest first
	waiting  map[string]*message
	accepted uint64 // messages since the beginning
	receipts map[string]*receipts
	kept     int // texts of web-push-testing

	// journal stores changes for the next start, or is nil. subscriptions and
	// messages count the ones that it is storing before they exist here.
	journal       *journal
	subscriptions int
	messages      int

	// path returns the path of a new endpoint. forgetsBatches is as in
	// personality.
	path           func(restricted bool) string
	forgetsBatches bool
}

type subscription struct {
	Subscription
	agent    *agent // nil in the REST channel
	seq      uint64
	expired  bool
	messages []*message // oldest first
	waiters  []*waiter
	receiver Receiver // for web-push-testing, or nil
	texts    []string
}

type message struct {
	AcceptedMessage
	owner   *subscription
	expires time.Time
	order   uint64 // among the messages of all subscriptions
	receipt *receipts
}

// waiter is a waiting user agent. Its result is set before done is closed.
type waiter struct {
	after uint64
	got   []AcceptedMessage
	err   error
	done  chan struct{}
}

func newStore(maxSubscriptions, maxMessages int) *store {
	return &store{
		maxSubscriptions: maxSubscriptions,
		maxMessages:      maxMessages,
		agents:           make(map[string]*agent),
		byID:             make(map[string]*subscription),
		byPath:           make(map[string]*subscription),
		waiting:          make(map[string]*message),
		receipts:         make(map[string]*receipts),
		path:             strict().path,
	}
}

// random returns n unguessable bytes as base64url.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return b64.Encode(b)
}

const (
	tokenSize = 32 // bytes in an endpoint
	idSize    = 16 // bytes in the id of a subscription or message
)

func (st *store) subscribe(key vapid.PublicKey) (Subscription, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.add(&subscription{Subscription: Subscription{Key: key}})
}

// insert is subscribe with some fields of the subscription.
func (st *store) insert(sub *subscription) (Subscription, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.add(sub)
}

// add adds a subscription, and gives it an ID and a path if it has none.
func (st *store) add(sub *subscription) (Subscription, error) {
	if n := len(st.live) + st.subscriptions; n >= st.maxSubscriptions {
		return Subscription{}, full("Too many subscriptions", "there are %d, the maximum", n)
	}
	if sub.ID == "" {
		sub.ID, sub.Path = random(idSize), st.path(!sub.Key.IsZero())
	}
	sub.Created = now()
	if sub.receiver != nil { // not stored
		st.put(sub)
		return sub.Subscription, nil
	}
	st.subscriptions++
	err := st.first(AddSubscription{sub.stored()}, func() error {
		if sub.agent != nil && sub.agent.forgotten {
			st.note(EndSubscription{sub.ID, time.Now(), sub.ID})
			return errReset
		}
		st.put(sub)
		return nil
	})
	st.subscriptions--
	if err != nil {
		return Subscription{}, err
	}
	return sub.Subscription, nil
}

func (st *store) put(sub *subscription) {
	st.byID[sub.ID], st.byPath[sub.Path] = sub, sub
	st.live = append(st.live, sub)
	if a := sub.agent; a != nil {
		// Two connections can register it while the journal writes.
		if old := a.subs[sub.Channel]; old != nil {
			st.expire(old)
		}
		a.subs[sub.Channel] = sub
		st.agents[a.id] = a
	}
}

// now returns the current time with the precision of responses.
func now() time.Time { return time.Now().Truncate(time.Millisecond) }

func (st *store) unsubscribe(id string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := st.find(id)
	if err != nil {
		return err
	}
	st.expire(sub)
	if a := sub.agent; a != nil && len(a.subs) == 0 {
		// The user agent did not end its last subscription itself: at its next hello
		// it notices because it gets a new ID.
		st.forget(a, errReset)
	}
	if sub.receiver != nil {
		return nil
	}
	return st.settle()
}

// expire ends a subscription.
func (st *store) expire(sub *subscription) {
	sub.expired = true
	if sub.agent != nil {
		delete(sub.agent.subs, sub.Channel)
	}
	st.drop(sub, expiredMessage, func(*message) bool { return true })
	for _, w := range sub.waiters {
		w.err = gone()
		close(w.done)
	}
	sub.waiters = nil
	st.live = slices.DeleteFunc(st.live, func(s *subscription) bool { return s == sub })
	forgotten := ""
	if st.expired = append(st.expired, sub); len(st.expired) > st.maxSubscriptions {
		oldest := st.expired[0]
		st.expired = slices.Delete(st.expired, 0, 1)
		delete(st.byID, oldest.ID)
		delete(st.byPath, oldest.Path)
		st.kept -= len(oldest.texts)
		forgotten = oldest.ID
	}
	st.note(EndSubscription{sub.ID, time.Now(), forgotten})
}

// find returns a subscription that has not expired.
func (st *store) find(id string) (*subscription, error) {
	sub := st.byID[id]
	if sub == nil {
		return nil, notFound("No such subscription", "the id is unknown")
	}
	if sub.expired {
		return nil, gone()
	}
	return sub, nil
}

// lookup returns the constant fields of the subscription with the given path, and
// reports whether it exists, expired or not.
func (st *store) lookup(path string) (s Subscription, expired, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub := st.byPath[path]
	if sub == nil {
		return Subscription{}, false, false
	}
	return sub.Subscription, sub.expired, true
}

func (st *store) list() []Subscription {
	st.mu.Lock()
	defer st.mu.Unlock()
	list := make([]Subscription, 0, len(st.live))
	for _, sub := range st.live {
		st.prune(sub)
		s := sub.Subscription
		s.Messages, s.Waiting = len(sub.messages), len(sub.waiters)
		if sub.agent != nil && sub.agent.on != nil {
			s.Waiting++
		}
		list = append(list, s)
	}
	return list
}

// prune drops the expired messages of sub. There is no timer, because it is called
// before messages are returned.
func (st *store) prune(sub *subscription) {
	t := time.Now()
	st.drop(sub, expiredMessage, func(m *message) bool { return !t.Before(m.expires) })
}

// The outcomes of a message, as in its receipt. A replaced message has no receipt
// (RFC 8030, section 5.4).
const (
	acknowledgedMessage = http.StatusNoContent
	expiredMessage      = http.StatusGone
	replacedMessage     = 0
)

func (st *store) drop(sub *subscription, outcome int, which func(*message) bool) {
	var ids []string
	sub.messages = slices.DeleteFunc(sub.messages, func(m *message) bool {
		if !which(m) {
			return false
		}
		delete(st.waiting, m.ID)
		if st.journal != nil {
			ids = append(ids, m.ID)
		}
		if outcome != replacedMessage {
			m.receipt.add("/m/"+m.ID, outcome)
		}
		return true
	})
	// A replaced message was removed together with storing its replacement.
	if len(ids) > 0 && outcome != replacedMessage {
		st.note(RemoveMessages{ids})
	}
}

// accept gives m its ID, Seq, and Time, and hands it to the user agents that are
// waiting for it. It is kept unless its TTL is zero: then it is dropped, even if no
// user agent was waiting (RFC 8030, section 5.2).
func (st *store) accept(id string, m AcceptedMessage, rs *receipts) (AcceptedMessage, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := st.find(id)
	if err != nil {
		return m, err
	}
	st.prune(sub)
	sameTopic := func(old *message) bool { return m.Topic != "" && old.Topic == m.Topic }
	if m.TTL > 0 && len(st.waiting)+st.messages >= st.maxMessages && !slices.ContainsFunc(sub.messages, sameTopic) {
		for _, other := range st.live {
			st.prune(other)
		}
		if n := len(st.waiting) + st.messages; n >= st.maxMessages {
			return m, full("Too many messages", "%d are waiting to be received, the maximum", n)
		}
	}
	sub.seq++
	m.ID, m.Seq, m.Time = random(idSize), sub.seq, now()
	expires := time.Now().Add(m.TTL)
	st.messages++
	change := AddMessage{StoredMessage{AcceptedMessage: m, Subscription: id, Expires: expires}}
	if rs != nil {
		change.Receipts = rs.path
	}
	err = st.first(change, func() error {
		if sub.expired {
			return gone()
		}
		// RFC 8030, section 5.4: the new message has its own resource, and the old
		// message and its resource are removed.
		st.drop(sub, replacedMessage, sameTopic)
		st.publish(sub, m, expires, rs)
		return nil
	})
	st.messages--
	return m, err
}

// publish hands the message to the user agents that are waiting for it, and keeps
// it.
func (st *store) publish(sub *subscription, m AcceptedMessage, expires time.Time, rs *receipts) {
	handed := false
	sub.waiters = slices.DeleteFunc(sub.waiters, func(w *waiter) bool {
		if m.Seq <= w.after {
			return false
		}
		handed = true
		w.got = []AcceptedMessage{m}
		close(w.done)
		return true
	})
	if m.TTL == 0 {
		outcome := expiredMessage
		if handed || sub.agent != nil && sub.agent.on != nil {
			outcome = acknowledgedMessage
		}
		rs.add("/m/"+m.ID, outcome)
	} else {
		st.keep(&message{AcceptedMessage: m, owner: sub, expires: expires, receipt: rs})
	}
	if sub.agent != nil && sub.agent.on != nil {
		sub.agent.on.offer(sub, m)
	}
}

func (st *store) keep(m *message) {
	st.accepted++
	m.order = st.accepted
	m.owner.messages = append(m.owner.messages, m)
	st.waiting[m.ID] = m
}

func (st *store) ack(id string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if m := st.waiting[id]; m != nil {
		st.prune(m.owner)
	}
	m := st.waiting[id]
	if m == nil {
		return notFound("No such message", "it was acknowledged, canceled, or replaced, has expired, or never existed")
	}
	st.drop(m.owner, acknowledgedMessage, func(other *message) bool { return other == m })
	return st.settle()
}

func (st *store) receive(ctx context.Context, id string, after uint64, wait time.Duration) ([]AcceptedMessage, error) {
	got, w, err := st.pending(id, after, wait > 0)
	if w == nil {
		return got, err
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-w.done:
		return w.got, w.err
	case <-timer.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	// A message may have arrived at this moment. If its TTL is zero, no other call
	// can return it.
	if st.leave(id, w); w.got != nil || w.err != nil {
		return w.got, w.err
	}
	return nil, err
}

// pending returns the messages after the given Seq, or, if there are none and enter
// is true, a waiter for the next one.
func (st *store) pending(id string, after uint64, enter bool) ([]AcceptedMessage, *waiter, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub, err := st.find(id)
	if err != nil {
		return nil, nil, err
	}
	st.prune(sub)
	var got []AcceptedMessage
	for _, m := range sub.messages {
		if m.Seq > after {
			got = append(got, m.AcceptedMessage)
		}
	}
	if got != nil || !enter {
		return got, nil, nil
	}
	w := &waiter{after: after, done: make(chan struct{})}
	sub.waiters = append(sub.waiters, w)
	return nil, w, nil
}

// leave removes w from the waiters.
func (st *store) leave(id string, w *waiter) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if sub := st.byID[id]; sub != nil {
		sub.waiters = slices.DeleteFunc(sub.waiters, func(other *waiter) bool { return other == w })
	}
}

// MarshalJSON writes the message as the REST channel does, with ttl in seconds
// and body in base64url without padding.
func (m AcceptedMessage) MarshalJSON() ([]byte, error) {
	headers := make(map[string]string)
	for name, value := range map[string]string{"content-encoding": m.Encoding, "encryption": m.Encryption, "crypto-key": m.CryptoKey} {
		if value != "" {
			headers[name] = value
		}
	}
	return text.JSON(struct {
		ID      string            `json:"id"`
		Seq     uint64            `json:"seq"`
		Time    time.Time         `json:"time"`
		TTL     int64             `json:"ttl"`
		Urgency string            `json:"urgency"`
		Topic   string            `json:"topic"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}{m.ID, m.Seq, m.Time.UTC(), int64(m.TTL / time.Second), m.Urgency, m.Topic, headers, b64.Encode(m.Body)})
}
