package useragent

import (
	"context"
	"sync"
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

// lasting is the part that the channels over a lasting connection share, a WebSocket or
// MCS: a goroutine reads, reconnects when the connection is lost, and queues what
// arrives for receive.
type lasting struct {
	items chan *item    // queued for receive
	done  chan struct{} // closed at the end, with err set
	err   error
	ctx   context.Context // ends with the channel
	end   context.CancelCauseFunc

	mu    sync.Mutex // for the fields below, and those of the channel
	final error      // ends the channel, once that is decided
	last  error      // the reason why the connection was lost
}

func newLasting() lasting {
	ctx, end := context.WithCancelCause(context.Background())
	return lasting{items: make(chan *item, maxQueue), done: make(chan struct{}), ctx: ctx, end: end}
}

func (l *lasting) state() (final, last error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.final, l.last
}

// receive returns the next message or error that was queued, and the error of the
// channel after all of them.
func (l *lasting) receive(ctx context.Context) (wireMessage, error) {
	if ctx.Err() != nil {
		return wireMessage{}, context.Cause(ctx)
	}
	if final, _ := l.state(); final == ErrClosed {
		return wireMessage{}, ErrClosed
	}
	select {
	case i := <-l.items:
		return i.message, i.err
	default:
	}
	select {
	case i := <-l.items:
		return i.message, i.err
	case <-l.done:
		// Messages that came before the end are returned first.
		select {
		case i := <-l.items:
			return i.message, i.err
		default:
		}
		return wireMessage{}, l.err
	case <-ctx.Done():
		_, last := l.state()
		return wireMessage{}, ended(ctx, last)
	}
}

// queue queues an item that came over a connection, and reports whether it did: it
// waits for room, with blocked set, until the connection or giveUp ends.
func (l *lasting) queue(connection context.Context, i *item, blocked *atomic.Bool, giveUp <-chan struct{}) bool {
	select {
	case l.items <- i:
		return true
	default:
	}
	blocked.Store(true)
	defer blocked.Store(false)
	select {
	case l.items <- i:
		return true
	case <-giveUp:
	case <-connection.Done():
	}
	return false
}

// finish ends the channel with an error for receive, unless it has ended already. leave
// is called with mu held if it has not; the function that it returns, or nil, then
// closes the connection.
func (l *lasting) finish(final error, leave func() (closeConnection func() error)) (err error) {
	var closeConnection func() error
	l.mu.Lock()
	over := l.final != nil
	if !over || final == ErrClosed {
		l.final = final
	}
	if !over {
		closeConnection = leave()
	}
	l.mu.Unlock()
	if closeConnection != nil {
		err = closeConnection()
	}
	l.end(final)
	<-l.done
	return err
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
