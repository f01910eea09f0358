package useragent_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/pipetest"
	"github.com/seed81da77dd/webpush/pkg/useragent"
)

// overPipe serves a handler over pipes and returns a client for it.
func overPipe(t *testing.T, h http.Handler) (c *http.Client, end func()) {
	t.Helper()
	l := pipetest.Listen(pipetest.Pipe)
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	c = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return l.Dial(ctx)
	}}}
	return c, func() {
		_ = server.Close()
		<-done
	}
}

// TestRESTRetries: faults that may pass are passed over, and told; a State goes
// on; Close ends what waits.
func TestRESTRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := answers{`201 {"id":"a","endpoint":"http://localhost/wpush/v1/a"}`, "503 ", "429 ", `200 {"messages":[{"id":"m","seq":1}]}`, "204 ", "502 "}
		c, end := overPipe(t, &h)
		defer end()
		var events []useragent.Event
		sub, err := useragent.Subscribe(t.Context(), "http://localhost/", useragent.Options{HTTP: c, Notify: func(e useragent.Event) { events = append(events, e) }})
		if err != nil {
			t.Fatal(err)
		}
		m, err := sub.Receive(t.Context())
		if err != nil || m.ID != "m" {
			t.Fatalf("got %v, %v", m, err)
		}
		if len(events) != 3 || !strings.HasSuffix(events[0].Err.Error(), "status 503 Service Unavailable") || events[1].Retry < time.Second || events[2] != (useragent.Event{}) {
			t.Errorf("told %+v", events)
		}
		if err := sub.Ack(t.Context(), m); err != nil {
			t.Error(err)
		}
		b, err := json.Marshal(sub.State())
		if err != nil {
			t.Fatal(err)
		}
		var state useragent.State
		if err := json.Unmarshal(b, &state); err != nil {
			t.Fatal(err)
		}
		if sub, err = only(useragent.Open(t.Context(), state, useragent.Options{HTTP: c})); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Hour, func() {
			if err := sub.Close(); err != nil {
				t.Error(err)
			}
		})
		if m, err := sub.Receive(t.Context()); m != nil || !errors.Is(err, useragent.ErrClosed) || !strings.Contains(err.Error(), "status 502 Bad Gateway") {
			t.Errorf("got %v, %v", m, err)
		}
		closeSub(t, sub)
	})
}
