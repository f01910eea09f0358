package webpush

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A program that sends NewRequest's request itself learns what Send would say.
func TestReadResponse(t *testing.T) {
	status, body := 201, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/m/1")
		w.Header().Set("TTL", "60")
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(strings.NewReplacer("PATH", r.URL.Path, "TOKEN", r.Header.Get("Authorization")).Replace(body)))
	}))
	defer server.Close()
	key := testKey(t)
	sub := testSubscription(t, server.URL+"/wpush/v2/"+testToken, testIdentity(t))
	c := &Client{Key: key, Subject: "mailto:ops@push.dev"}
	exchange := func() (*Receipt, error) {
		t.Helper()
		req, err := c.NewRequest(t.Context(), sub, Message{Payload: []byte("hi")})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Request = req
		return ReadResponse(resp)
	}
	r, err := exchange()
	if err != nil || r.Status != 201 || r.Location != server.URL+"/m/1" || r.TTL == nil || *r.TTL != time.Minute || !strings.Contains(r.Note, "only 60 seconds, and not 2419200 as requested") || r.Origin != server.URL {
		t.Errorf("%+v, %v", r, err)
	}
	for _, tt := range []struct {
		status int
		body   string
		class  Class
	}{{410, "gone PATH", ClassGone}, {429, "", ClassTemporary}, {403, "refused TOKEN", ClassRejected}, {503, "PATH", ClassTemporary}, {200, "<!doctype html><title>Log in</title>", ClassTemporary}} {
		status, body = tt.status, tt.body
		_, err := exchange()
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status != tt.status || Classify(err) != tt.class || e.Origin != server.URL {
			t.Errorf("%d: %v, class %s", tt.status, err, Classify(err))
			continue
		}
		noSecret(t, "the error", e.Error()+string(e.Body)+e.Reason)
		// Send says the same.
		_, sent := (&Client{Key: key, Subject: "mailto:ops@push.dev", Attempts: 1}).Send(t.Context(), sub, Message{Payload: []byte("hi")})
		if sent == nil || sent.Error() != e.Error() {
			t.Errorf("%d: %v, but Send says %v", tt.status, e, sent)
		}
	}
	if _, err := ReadResponse(respond(410, "")); Classify(err) != ClassGone {
		t.Errorf("without a request: %v", err)
	}
}

// Do sends as Send does: no redirect is followed, and faults of the network are
// explained without the endpoint.
func TestDo(t *testing.T) {
	hits := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	c := &Client{Key: testKey(t), Subject: "mailto:ops@push.dev"}
	request := func(ctx context.Context) *http.Request {
		t.Helper()
		req, err := c.NewRequest(ctx, testSubscription(t, server.URL+"/wpush/v2/"+testToken, nil), Message{})
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	resp, err := c.Do(request(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadResponse(resp); err == nil || hits != 1 || !strings.Contains(err.Error(), "307") {
		t.Errorf("%d requests, %v", hits, err)
	}
	server.Close()
	_, err = c.Do(request(t.Context()))
	if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeNetwork {
		t.Errorf("no server: %v", err)
	}
	noSecret(t, "the error", err.Error())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Do(request(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
