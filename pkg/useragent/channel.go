package useragent

import (
	"context"
	"sync/atomic"
	"time"
)

// channel is a connection of a device to its push service. Its errors do not show
// IDs and endpoints.
type channel interface {
	// identity returns the identifiers of the device; each protocol uses at most
	// one of them.
	identity() (uaid string, a android)
	// subscribe registers another subscription, which the caller adds to the roster.
	subscribe(ctx context.Context, s *Subscription) error
	// receive waits for the next message, even if the connection is lost.
	receive(ctx context.Context) (wireMessage, error)
	// remember notes that a message is about to be acknowledged with that code,
	// and reports whether the state has changed: the push service could repeat it.
	remember(id string, code int) (changed bool)
	// progress returns the messages that it remembers.
	progress() progress
	// ack acknowledges a message to a subscription, which is nil if unknown, with
	// a code of autopush's.
	ack(ctx context.Context, to *Subscription, id string, code int) error
	// unsubscribe ends a subscription and removes it from the roster.
	unsubscribe(ctx context.Context, s *Subscription) error
	close() error
}

// progress lists the messages that a channel remembers, by their IDs, oldest
// first.
type progress struct {
	acknowledged []string // at most maxKept
	unconfirmed  []string // Chromium only, at most maxUnconfirmed
}

// wireMessage is a message as it arrives.
type wireMessage struct {
	ID      string
	Seq     uint64
	Time    time.Time
	TTL     int64
	Urgency string
	Topic   string
	Headers map[string]string
	Body    string

	to     *Subscription // nil if unknown
	damage error         // the reason why a body that was sent is missing
}

// item is a message, or an error that Receive returns in its place.
type item struct {
	message wireMessage
	err     error
}

// maxQueue is the number of messages that wait for Receive before nothing more is
// read from the connection.
const maxQueue = 128

// nextItem returns the next message or error that a connection queued, over a
// WebSocket or MCS. state returns the reason why the connection ended permanently
// and its last problem, and end the error after done.
func nextItem(ctx context.Context, items <-chan *item, done <-chan struct{}, state func() (final, last error), end func() error) (wireMessage, error) {
	if ctx.Err() != nil {
		return wireMessage{}, context.Cause(ctx)
	}
	if final, _ := state(); final == ErrClosed {
		return wireMessage{}, ErrClosed
	}
	select {
	case i := <-items:
		return i.message, i.err
	default:
	}
	select {
	case i := <-items:
		return i.message, i.err
	case <-done:
		// Messages that came before the end are returned first.
		select {
		case i := <-items:
			return i.message, i.err
		default:
		}
		return wireMessage{}, end()
	case <-ctx.Done():
		_, last := state()
		return wireMessage{}, ended(ctx, last)
	}
}

// start replaces a timer with one that calls f after d.
func start(t *atomic.Pointer[time.Timer], d time.Duration, f func()) {
	if old := t.Swap(time.AfterFunc(d, f)); old != nil {
		old.Stop()
	}
}

func stop(t *atomic.Pointer[time.Timer]) {
	if old := t.Swap(nil); old != nil {
		old.Stop()
	}
}
