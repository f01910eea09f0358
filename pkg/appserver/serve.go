package appserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// Close closes the event streams, which otherwise stay open as long as their jobs. Call
// it before [http.Server.Shutdown]; [Server.Serve] does so.
func (s *Server) Close() { s.once.Do(func() { close(s.closed) }) }

// times holds the timeouts of Serve's connections, the interval of heartbeats in an
// event stream (which sets its own timeouts), the lease of a part, the pause while
// the store is unavailable, and the time limit of a test message.
type times struct{ header, read, write, idle, heartbeat, lease, unavailable, test time.Duration }

var defaultTimes = times{header: 10 * time.Second, read: 30 * time.Second, write: 60 * time.Second, idle: 2 * time.Minute, heartbeat: 15 * time.Second,
	lease: Lease, unavailable: time.Second, test: 10 * time.Second}

const maxHeader = 32 << 10

// server returns a server with these timeouts, which logs nothing.
func (t times) server(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ReadHeaderTimeout: t.header, ReadTimeout: t.read, WriteTimeout: t.write,
		IdleTimeout: t.idle, MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0)}
}

// shutDown finishes the requests in flight, even if ctx is done, and aborts them after a
// time.
func shutDown(ctx context.Context, h *http.Server, within time.Duration) error {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	err := h.Shutdown(last)
	if err != nil {
		_ = h.Close()
		err = fmt.Errorf("requests were aborted: %w", err)
	}
	return err
}

// Serve handles requests at l, with timeouts, and sends messages like [Server.Run]. When
// ctx is done, it accepts no new requests, finishes the requests and messages in flight,
// closes l, and returns.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := s.times.server(s)
	if s.certificate != nil {
		h.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.certificate}, MinVersion: tls.VersionTLS12}
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() {
		defer stop()
		if h.TLSConfig != nil {
			served <- h.ServeTLS(l, "", "")
		} else {
			served <- h.Serve(l)
		}
	}()
	sent := make(chan error, 1)
	go func() { sent <- s.Run(ctx) }()
	<-ctx.Done()
	s.log.Info("stopping after requests in flight", "within", s.o.ShutdownTimeout)
	s.Close()
	err := shutDown(ctx, h, s.o.ShutdownTimeout)
	if failed := <-served; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return errors.Join(err, <-sent)
}
