package pushservice

import (
	"errors"
	"time"
)

// Storage keeps the subscriptions, messages, and receipts of a [Service] across
// restarts; package pushservice/sqlite implements it. A service calls its
// methods one at a time, Load first.
type Storage interface {
	// Load returns everything that is stored.
	Load() (*Snapshot, error)
	// Commit stores the changes in the given order: all of them, or, if it
	// returns an error, none. What it has stored must survive the end of the
	// process, however that happens.
	Commit([]Change) error
	// Close ends the use of the storage.
	Close() error
}

// Snapshot is everything that a [Storage] keeps.
type Snapshot struct {
	// Subscriptions are first those that have not expired, in the order in which
	// they were made, and then the others, in the order in which they ended.
	Subscriptions []StoredSubscription
	// Receipts are the receipt subscriptions (RFC 8030, section 5.1).
	Receipts []StoredReceipts
	// Messages are in the order in which they were accepted.
	Messages []StoredMessage
}

// StoredSubscription is a subscription in a [Storage]. Its Messages and Waiting
// are not stored.
type StoredSubscription struct {
	Subscription
	// Agent is the ID of the user agent that registered it through a channel
	// with a connection, or empty.
	Agent string
	// Seq is the Seq of its last message.
	Seq uint64
	// Expired is whether it has ended.
	Expired bool
}

// StoredMessage is a message that waits to be acknowledged.
type StoredMessage struct {
	AcceptedMessage
	// Subscription is the ID of its subscription.
	Subscription string
	// Expires is when its TTL ends.
	Expires time.Time
	// Receipts is the path of its receipt subscription, or empty.
	Receipts string
}

// StoredReceipts is a receipt subscription.
type StoredReceipts struct {
	// Path is the path of its resource.
	Path string
	// Used is when it was made or got its last receipt.
	Used time.Time
	// List holds its receipts, oldest first.
	List []Receipt
}

// Receipt is the outcome of a message whose sender asked for a receipt (RFC
// 8030, section 6.3).
type Receipt struct {
	// Seq is 1 for the first receipt of a receipt subscription and grows with
	// each.
	Seq uint64 `json:"seq"`
	// Message is the path of the message's resource.
	Message string `json:"message"`
	// Status is 204 if the message was acknowledged, and 410 if its TTL ended
	// before that.
	Status int `json:"status"`
}

// Change is a change that a [Storage] stores: one of the types whose names begin
// with Add, End, or Remove.
type Change interface{ change() }

// AddSubscription stores a new subscription.
type AddSubscription struct{ StoredSubscription }

// EndSubscription stores that a subscription has ended, and its messages with
// it.
type EndSubscription struct {
	// ID is the ID of the subscription.
	ID string
	// Time is when it ended.
	Time time.Time
	// Forget is the ID of a subscription that ended earlier, or of this one, and
	// need not be kept any longer, or empty.
	Forget string
}

// AddMessage stores a new message in place of those of its subscription with the
// same topic, and the Seq of its subscription. A message whose TTL is zero is
// not kept.
type AddMessage struct{ StoredMessage }

// RemoveMessages stores that messages do not wait any longer.
type RemoveMessages struct {
	// IDs are the IDs of the messages.
	IDs []string
}

// AddReceipts stores a new receipt subscription.
type AddReceipts struct {
	// Path is the path of its resource.
	Path string
	// Time is when it was made.
	Time time.Time
}

// AddReceipt stores a receipt.
type AddReceipt struct {
	// Path is the path of the receipt subscription.
	Path string
	// Time is when the receipt was made, which is when its receipt subscription
	// was last used.
	Time time.Time
	Receipt
	// Forget is the Seq up to which earlier receipts need not be kept.
	Forget uint64
}

// RemoveReceipts stores that a receipt subscription is not there any longer.
type RemoveReceipts struct {
	// Path is the path of its resource.
	Path string
}

func (AddSubscription) change() {}
func (EndSubscription) change() {}
func (AddMessage) change()      {}
func (RemoveMessages) change()  {}
func (AddReceipts) change()     {}
func (AddReceipt) change()      {}
func (RemoveReceipts) change()  {}

// Open returns a service that keeps its subscriptions, the user agents that have
// them, messages, and receipts in a storage, and continues with what is there.
// Subscriptions of the routes of web-push-testing, faults, and the list of
// requests are not kept. Endpoints begin with the origin, which must be the same
// again for them to be of use.
//
// What was answered with success is there again even if the process is killed at
// any moment after that. What cannot be stored, for example on a full disk, is
// refused with 503 and autopush's error number 201.
//
// [Service.Close] must be called; it closes the storage. So does Open if it
// returns an error, which is that of [Storage.Load].
func Open(storage Storage, o Options) (*Service, error) {
	s := New(o)
	stored, err := storage.Load()
	if err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	s.store.load(stored)
	s.store.journal = newJournal(s.store, storage, s.logger)
	s.store.forgetReceipts(stored.Receipts)
	go s.store.journal.run()
	s.store.list() // drops messages whose TTL has ended in the meantime
	return s, nil
}

// load fills an empty store.
func (st *store) load(stored *Snapshot) {
	for _, v := range stored.Subscriptions {
		sub := &subscription{Subscription: v.Subscription, seq: v.Seq, expired: v.Expired}
		if sub.expired {
			st.byID[sub.ID], st.byPath[sub.Path] = sub, sub
			st.expired = append(st.expired, sub)
			continue
		}
		if v.Agent != "" {
			if sub.agent = st.agents[v.Agent]; sub.agent == nil {
				sub.agent = newAgent(v.Agent)
			}
		}
		st.put(sub)
	}
	for _, v := range stored.Receipts {
		rs := newReceipts(st)
		rs.path, rs.list = v.Path, v.List
		if n := len(v.List); n > 0 {
			rs.seq = v.List[n-1].Seq
		}
		st.receipts[rs.path] = rs
	}
	for _, v := range stored.Messages {
		m := &message{AcceptedMessage: v.AcceptedMessage, owner: st.byID[v.Subscription], expires: v.Expires, receipt: st.receipts[v.Receipts]}
		if m.owner != nil && !m.owner.expired {
			st.keep(m)
		}
	}
}

// forgetReceipts removes receipt subscriptions that nobody seems to want: they
// had no receipt for longer than any message is kept, and no message waits that
// has one.
func (st *store) forgetReceipts(stored []StoredReceipts) {
	st.mu.Lock()
	defer st.mu.Unlock()
	wanted := make(map[*receipts]bool)
	for _, m := range st.waiting {
		wanted[m.receipt] = true
	}
	for _, v := range stored {
		if time.Since(v.Used) > DefaultMaxTTL && !wanted[st.receipts[v.Path]] {
			delete(st.receipts, v.Path)
			st.note(RemoveReceipts{v.Path})
		}
	}
}

// stored is what a storage keeps of a subscription.
func (sub *subscription) stored() StoredSubscription {
	v := StoredSubscription{Subscription: sub.Subscription, Seq: sub.seq}
	if sub.agent != nil {
		v.Agent = sub.agent.id
	}
	return v
}
