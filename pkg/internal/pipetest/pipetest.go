// Package pipetest has connections in memory for tests within testing/synctest.
//
// A write to a [net.Pipe] blocks until the other end reads, and a second writer
// waits for a mutex, which is not a durable wait: a bubble with such a goroutine
// never advances its clock, so no deadline ends the first write. The same happens
// when code holds a mutex while it writes, as [net/http.Server.Close]
// does. A connection of this package has an unbounded buffer, and writing to it
// never blocks.
package pipetest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Pipe returns the two ends of a connection.
func Pipe() (net.Conn, net.Conn) {
	a, b := newStream(), newStream()
	return &conn{in: a, out: b}, &conn{in: b, out: a}
}

// stream carries the bytes of one direction.
type stream struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte
	until    time.Time // deadline of writes
	eof      bool      // the writer has closed its end
	err      error     // error of reads after the reader has closed its end
	deadline time.Time
	timer    *time.Timer
}

func newStream() *stream {
	s := &stream{}
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.err != nil:
			return 0, s.err
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return 0, os.ErrDeadlineExceeded
		case len(s.data) > 0:
			n := copy(b, s.data)
			s.data = s.data[n:]
			return n, nil
		case s.eof:
			return 0, io.EOF
		case len(b) == 0:
			return 0, nil
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.eof || s.err != nil {
		return 0, io.ErrClosedPipe
	}
	if !s.until.IsZero() && !time.Now().Before(s.until) {
		return 0, os.ErrDeadlineExceeded
	}
	s.data = append(s.data, b...)
	s.changed.Broadcast()
	return len(b), nil
}

func (s *stream) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	s.changed.Broadcast()
}

type conn struct{ in, out *stream }

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }

// Close closes both directions. The other end can still read data written before.
func (c *conn) Close() error {
	c.out.change(func() { c.out.eof = true })
	c.in.change(func() {
		c.in.err = io.ErrClosedPipe
		if c.in.timer != nil {
			c.in.timer.Stop()
		}
	})
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.change(func() {
		if c.in.timer != nil {
			c.in.timer.Stop()
		}
		c.in.deadline = t
		if !t.IsZero() {
			c.in.timer = time.AfterFunc(time.Until(t), func() { c.in.change(func() {}) })
		}
	})
	return nil
}

// SetWriteDeadline makes later writes fail. A write before it does not block.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.out.until = t })
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) LocalAddr() net.Addr  { return addr }
func (c *conn) RemoteAddr() net.Addr { return addr }

// addr has the form of a network address, since servers read the peer's IP from it.
var addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// Listener is a [net.Listener] of pipes.
type Listener struct {
	pipe   func() (net.Conn, net.Conn)
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a listener that nothing outside of the process reaches. Its
// connections come from pipe, which is [Pipe], or [net.Pipe] for a test that needs
// a write to block until the other end reads.
func Listen(pipe func() (net.Conn, net.Conn)) *Listener {
	return &Listener{pipe: pipe, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Dial connects to the listener. It waits until the connection is accepted.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	client, server := l.pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and refuses new connections.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns an address on loopback.
func (l *Listener) Addr() net.Addr { return addr }
