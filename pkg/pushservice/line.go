package pushservice

import (
	"sync"
	"sync/atomic"
	"time"
)

// line runs the tasks of one connection of a user agent: one at a time, each in a
// goroutine of its own. An idle connection therefore has only the goroutine of its
// reader, whose stack stays small because it only waits.
type line struct {
	// wake is run after the store has called poke.
	wake func() error
	// hangUp closes the connection, which stops its reader. It is called once, from
	// any goroutine, possibly while a task is running.
	hangUp func(cause error)

	mu    sync.Mutex // held while a task is running
	poked atomic.Bool
	cause atomic.Pointer[error]
	once  *time.Timer // set by after
	ping  *time.Timer // set by every
}

// work runs f unless the connection is closed. If f fails, work closes it.
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

// do is work in another goroutine; it waits for the result.
func (l *line) do(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- l.work(f) }()
	return <-done
}

// poke makes wake run soon. It never blocks, because the store calls it with its
// lock held.
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

// after runs f once, after d.
func (l *line) after(d time.Duration, f func() error) {
	l.once = time.AfterFunc(d, func() { _ = l.work(f) })
}

// every runs f repeatedly, without the lock, so f may block.
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

// end closes the connection for a reason, unless it is already closed.
func (l *line) end(cause error) {
	if l.cause.CompareAndSwap(nil, &cause) {
		l.hangUp(cause)
	}
}

// ended returns the cause if the connection is closed, or nil.
func (l *line) ended() error {
	if cause := l.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// close waits until no task is running, after the connection was closed.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range []*time.Timer{l.once, l.ping} {
		if t != nil {
			t.Stop()
		}
	}
}
