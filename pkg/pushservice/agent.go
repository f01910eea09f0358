package pushservice

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"slices"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// agent is a user agent of a channel with connections. It has an ID, owns
// subscriptions under names that it has chosen, and has at most one connection. It
// is stored as long as it has a subscription.
type agent struct {
	id   string
	subs map[string]*subscription // not expired, by Channel
	on   *attachment
	// forgotten is true when the store has removed it.
	forgotten bool
}

func newAgent(id string) *agent { return &agent{id: id, subs: make(map[string]*subscription)} }

// attachment is a connection of a user agent on any channel.
type attachment struct {
	agent *agent
	// notify is called, with the store's lock held, when next may have messages, or
	// the store has ended the attachment.
	notify func()
	// cause is set when the store ends the attachment; see store.causeOf.
	cause error
	// now holds messages with a TTL of zero, which are stored nowhere else.
	now []delivery
	// sent holds the messages that next has returned and that are not acknowledged;
	// the value is whether a message belongs to a batch. Only the caller of next
	// and acknowledge may read it.
	sent map[string]bool
	// batch makes next return messages as a batch. With store.forgetsBatches,
	// acknowledged messages of a batch stay in acked until the whole batch is
	// acknowledged.
	batch bool
	acked map[string]bool
}

// delivery is a message and its subscription's name at the user agent.
type delivery struct {
	AcceptedMessage
	channel string
}

var (
	errReplaced = errors.New("the user agent is connected elsewhere")
	errReset    = errors.New("the user agent no longer has a subscription")
	errCut      = errors.New("the connection was closed on request")
)

// maxNow is the maximum number of messages with a TTL of zero that wait for a slow
// connection; more are dropped, as a TTL of zero allows.
const maxNow = 100

// maxPerAgent is the maximum number of subscriptions of a user agent.
const maxPerAgent = 256

// newAgentID returns 16 bytes in hexadecimal, as autopush does.
func newAgentID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// attach connects the user agent with the given ID or, if the ID is unknown, a new
// user agent, which is stored with its first subscription. An older connection of
// the user agent is closed.
func (st *store) attach(id string, notify func()) *attachment {
	st.mu.Lock()
	defer st.mu.Unlock()
	a := st.agents[id]
	if a == nil {
		a = newAgent(newAgentID())
	}
	return st.connect(a, notify)
}

// connect attaches a connection to a user agent, and ends its previous one.
func (st *store) connect(a *agent, notify func()) *attachment {
	if a.on != nil {
		a.on.end(errReplaced)
	}
	a.on = &attachment{
		agent:  a,
		notify: notify,
		sent:   make(map[string]bool),
		acked:  make(map[string]bool),
	}
	notify()
	return a.on
}

// causeOf returns the cause if the store has ended an attachment, or nil.
func (st *store) causeOf(at *attachment) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return at.cause
}

// detach ends a connection. A user agent without subscriptions is forgotten.
func (st *store) detach(at *attachment) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if at.agent.on != at {
		return
	}
	at.agent.on = nil
	if len(at.agent.subs) == 0 {
		delete(st.agents, at.agent.id)
	}
}

// forget drops a user agent.
func (st *store) forget(a *agent, cause error) {
	a.forgotten = true
	delete(st.agents, a.id)
	if a.on != nil {
		a.on.end(cause)
		a.on = nil
	}
}

// disconnect closes the connections of all user agents that have a subscription.
func (st *store) disconnect() {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, a := range st.agents {
		if a.on != nil {
			a.on.end(errCut)
			a.on = nil
		}
	}
}

// end ends the attachment for a reason, once. The store's lock is held.
func (at *attachment) end(cause error) {
	if at.cause == nil {
		at.cause = cause
		at.notify()
	}
}

// offer is called for each new message, with the store's lock held.
func (at *attachment) offer(sub *subscription, m AcceptedMessage) {
	if m.TTL == 0 && len(at.now) < maxNow {
		at.now = append(at.now, delivery{m, sub.Channel})
	}
	at.notify()
}

// register creates a subscription for the user agent, or returns its subscription
// with this name and key. A subscription with this name and another key is ended.
func (st *store) register(at *attachment, channel string, key vapid.PublicKey) (Subscription, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if at.cause != nil {
		return Subscription{}, at.cause
	}
	return st.registerFor(at.agent, Subscription{Key: key, Channel: channel})
}

// registerFor adds a subscription of a user agent, or returns the one with its
// Channel and Key.
func (st *store) registerFor(a *agent, s Subscription) (Subscription, error) {
	if sub := a.subs[s.Channel]; sub != nil {
		if sub.Key == s.Key {
			return sub.Subscription, nil
		}
		st.expire(sub)
	}
	if n := len(a.subs); n >= maxPerAgent {
		return Subscription{}, full("Too many subscriptions", "the user agent has %d, the maximum", n)
	}
	if err := st.endUnused(); err != nil {
		return Subscription{}, err
	}
	return st.add(&subscription{Subscription: s, agent: a})
}

// endUnused ends the oldest subscription that has never received a message and
// whose user agent is not connected, if more than half of the maximum number of
// subscriptions are unused: anyone can register subscriptions and leave.
func (st *store) endUnused() error {
	most := max(1, st.maxSubscriptions/2)
	if len(st.live) < most {
		return nil
	}
	unused := 0
	var oldest *subscription
	for _, sub := range st.live {
		if sub.agent == nil || sub.seq > 0 {
			continue
		}
		if unused++; oldest == nil && sub.agent.on == nil {
			oldest = sub
		}
	}
	if unused < most {
		return nil
	}
	if oldest == nil {
		return full("Too many subscriptions", "%d have never received a message, the maximum", unused)
	}
	a := oldest.agent
	st.expire(oldest)
	if len(a.subs) == 0 {
		st.forget(a, errReset)
	}
	return nil
}

// unregister ends a subscription of the user agent and reports whether it existed.
// The error reports that this could not be stored.
func (st *store) unregister(at *attachment, channel string) (known bool, err error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	sub := at.agent.subs[channel]
	if sub == nil {
		return false, nil
	}
	st.expire(sub)
	return true, st.settle()
}

// next returns all messages with a TTL of zero, and up to n other messages that are
// waiting for the user agent and were not sent on this connection: messages with a
// topic first, and then by age. It reports whether there are more.
func (st *store) next(at *attachment, n int) (list []delivery, more bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	list, at.now = at.now, nil
	var waiting []*message
	for _, sub := range at.agent.subs {
		st.prune(sub)
		for _, m := range sub.messages {
			if _, ok := at.sent[m.ID]; !ok && !at.acked[m.ID] {
				waiting = append(waiting, m)
			}
		}
	}
	slices.SortFunc(waiting, func(a, b *message) int {
		if (a.Topic == "") != (b.Topic == "") {
			return cmp.Compare(len(b.Topic), len(a.Topic))
		}
		return cmp.Compare(a.order, b.order)
	})
	for i, m := range waiting {
		if i >= n {
			more = true
			break
		}
		at.sent[m.ID] = at.batch
		list = append(list, delivery{m.AcceptedMessage, m.owner.Channel})
	}
	return list, more
}

// settled waits until acknowledgments are stored. The error reports that they could
// not be stored.
func (st *store) settled() error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.settle()
}

// acknowledge removes a message that was sent on this connection. It returns the
// number of messages left to acknowledge, and reports whether this was one of them.
// See settled.
func (st *store) acknowledge(at *attachment, channel, id string) (left int, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	inBatch, ok := at.sent[id]
	delete(at.sent, id)
	if m := st.waiting[id]; m != nil && m.owner.agent == at.agent && m.owner.Channel == channel {
		if st.forgetsBatches && inBatch && m.Topic == "" {
			at.acked[id] = true
		} else {
			st.drop(m.owner, acknowledgedMessage, func(other *message) bool { return other == m })
		}
	}
	if !slices.Contains(slices.Collect(maps.Values(at.sent)), true) {
		for id := range at.acked {
			if m := st.waiting[id]; m != nil {
				st.drop(m.owner, acknowledgedMessage, func(other *message) bool { return other == m })
			}
		}
		clear(at.acked)
	}
	return len(at.sent), ok
}
