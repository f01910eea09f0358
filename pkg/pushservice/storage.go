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
	// Commit stores the changes in the given order: all of them or, if it returns
	// an error, none. Stored changes must survive even if the process is killed.
	Commit([]Change) error
	// Close closes the storage.
	Close() error
}

// Snapshot is the whole content of a [Storage].
type Snapshot struct {
	// Subscriptions holds the active subscriptions, oldest first, followed by the
	// expired ones, in the order of their expiry.
	Subscriptions []StoredSubscription
	// Receipts are the receipt subscriptions (RFC 8030, section 5.1).
	Receipts []StoredReceipts
	// Messages holds the waiting messages, oldest first.
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
	// Expired reports whether it has expired.
	Expired bool
}

// StoredMessage is a message that has not been acknowledged.
type StoredMessage struct {
	AcceptedMessage
	// Subscription is the ID of its subscription.
	Subscription string
	// Expires is the time of its expiry.
	Expires time.Time
	// Receipts is the path of its receipt subscription, or empty.
	Receipts string
}

// StoredReceipts is a receipt subscription.
type StoredReceipts struct {
	// Path is the path of its resource.
	Path string
	// Used is the time of its creation or of its last receipt.
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
	// Status is 204 if the message was acknowledged, and 410 if it expired first.
	Status int `json:"status"`
}

// Change is a change that a [Storage] stores: one of the types whose names begin
// with Add, End, or Remove.
type Change interface{ change() }

// AddSubscription stores a new subscription.
type AddSubscription struct{ StoredSubscription }

// EndSubscription stores that a subscription has expired, and removes its messages.
type EndSubscription struct {
	// ID is the ID of the subscription.
	ID string
	// Time is the time of its expiry.
	Time time.Time
	// Forget, if not empty, is the ID of an expired subscription to remove, which
	// can be this one.
	Forget string
}

// AddMessage stores a new message and the Seq of its subscription, and removes
// messages of its subscription with the same topic. A message with a TTL of zero is
// not kept.
type AddMessage struct{ StoredMessage }

// RemoveMessages removes messages.
type RemoveMessages struct {
	// IDs are the IDs of the messages.
	IDs []string
}

// AddReceipts stores a new receipt subscription.
type AddReceipts struct {
	// Path is the path of its resource.
	Path string
	// Time is the time of its creation.
	Time time.Time
}

// AddReceipt stores a receipt.
type AddReceipt struct {
	// Path is the path of the receipt subscription.
	Path string
	// Time is the time of the receipt, and the last use of its receipt
	// subscription.
	Time time.Time
	Receipt
	// Forget removes earlier receipts with a Seq of at most this value.
	Forget uint64
}

// RemoveReceipts removes a receipt subscription.
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

// Open returns a service that keeps subscriptions with their user agents, messages,
// and receipts in a storage, and continues with the stored ones. Subscriptions of
// the routes of web-push-testing, faults, and the list of requests are not kept.
// Stored endpoints remain valid only if the service's origin stays the same.
//
// A change is stored before the response that reports its success, so it survives
// even if the process is killed. Changes that cannot be stored, for example on a
// full disk, are refused with 503 and autopush's error number 201.
//
// [Service.Close] must be called; it closes the storage. If [Storage.Load] fails,
// Open closes the storage and returns the error.
func Open(storage Storage, o Options) (*Service, error) {
	s := New(o)
	stored, err := storage.Load()
	if err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	s.store.load(stored)
	s.store.journal = newJournal(s.store, storage, s.logger)
	s.store.forgetReceipts(stored.Receipts, max(DefaultMaxTTL, time.Duration(s.maxTTL)*time.Second))
	go s.store.journal.run()
	s.store.list() // drops messages that have expired since
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

// forgetReceipts removes receipt subscriptions that are probably not in use: they
// have had no receipt for the time unused, and no waiting message belongs to them.
func (st *store) forgetReceipts(stored []StoredReceipts, unused time.Duration) {
	st.mu.Lock()
	defer st.mu.Unlock()
	wanted := make(map[*receipts]bool)
	for _, m := range st.waiting {
		wanted[m.receipt] = true
	}
	for _, v := range stored {
		if time.Since(v.Used) > unused && !wanted[st.receipts[v.Path]] {
			delete(st.receipts, v.Path)
			st.note(RemoveReceipts{v.Path})
		}
	}
}

// stored returns the subscription in the form for a storage.
func (sub *subscription) stored() StoredSubscription {
	v := StoredSubscription{Subscription: sub.Subscription, Seq: sub.seq}
	if sub.agent != nil {
		v.Agent = sub.agent.id
	}
	return v
}
