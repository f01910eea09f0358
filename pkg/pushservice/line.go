package pushservice

import (
	"sync"
	"sync/atomic"
	"time"
)

// line does the work of one connection of a user agent: one piece at a time, each
// in a goroutine that exists as long as its work. A connection on which nothing
// happens has no goroutine but its reader, which only waits, and whose stack
// therefore stays small.
type line struct {
	// wake does what is to be done when the store has called poke.
	wake func() error
	// hangUp ends the connection, which ends its reader. It is called once, by any
	// goroutine, maybe while some work goes on.
	hangUp func(cause error)

	mu    sync.Mutex // held while work is done
	poked atomic.Bool
	cause atomic.Pointer[error]
	once  *time.Timer // of after, or nil
	ping  *time.Timer // of every, or nil
}

// work does f unless the connection has ended. If f fails, it ends.
func (l *line) work(f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ended(); err != nil {
		return err
	}
	err := f()
	if err != nil {
		l.end(err)
	}
	return err
}

// do is work in another goroutine, for which the reader waits.
func (l *line) do(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- l.work(f) }()
	return <-done
}

// poke has wake done soon. It does not wait for anything, so the store calls it
// with its lock held.
func (l *line) poke() {
	if l.poked.Swap(true) {
		return
	}
	go func() {
		_ = l.work(func() error {
			l.poked.Store(false)
			return l.wake()
		})
	}()
}

// after has f done once, when some time has passed.
func (l *line) after(d time.Duration, f func() error) {
	l.once = time.AfterFunc(d, func() { _ = l.work(f) })
}

// every has f done again and again. It is done without the lock, so it may wait.
func (l *line) every(d time.Duration, f func() error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ping = time.AfterFunc(d, func() {
		if l.ended() != nil {
			return
		}
		if err := f(); err != nil {
			l.end(err)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.ended() == nil {
			l.ping.Reset(d)
		}
	})
}

// end ends the connection with a cause, unless it has ended before.
func (l *line) end(cause error) {
	if l.cause.CompareAndSwap(nil, &cause) {
		l.hangUp(cause)
	}
}

// ended returns why the connection has ended, or nil.
func (l *line) ended() error {
	if cause := l.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// close waits until no work is done, for a connection that has ended.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range []*time.Timer{l.once, l.ping} {
		if t != nil {
			t.Stop()
		}
	}
}
