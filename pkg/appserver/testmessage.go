package appserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Limits of test messages.
const (
	trialTTL      = 5 * time.Minute  // default TTL
	maxTrialDelay = 60 * time.Second // enough to close a tab and watch
	maxTrialID    = 64               // characters
	// maxTrials is the maximum number of test messages in flight, and maxDelayed
	// the maximum number that wait for their delay.
	maxTrials  = 256
	maxDelayed = 1000
)

// trialRequest is the body of POST /subscription/test.
type trialRequest struct {
	Endpoint string `json:"endpoint"`
	Title    string `json:"title"`
	Body     string `json:"body"`
	// ID is returned in the payload as data.webpush.id. The page uses it to match the
	// messages that arrive.
	ID       string           `json:"id"`
	TTL      *int64           `json:"ttl"` // in seconds
	Urgency  webpush.Urgency  `json:"urgency"`
	Topic    string           `json:"topic"`
	Encoding string           `json:"encoding"` // aes128gcm or aesgcm
	Delay    int64            `json:"delay"`    // in seconds
	message  *webpush.Message // result of the fields above
}

// trialReceipt is the response to a test message that was accepted.
type trialReceipt struct {
	Service   webpush.Service `json:"service"`
	Origin    string          `json:"origin"`
	Status    int             `json:"status"`
	TTL       *int64          `json:"ttl,omitempty"` // granted, in seconds
	Note      string          `json:"note,omitempty"`
	LatencyMS int64           `json:"latencyMs"`
	Request   *shownRequest   `json:"request,omitempty"`
	Response  *shownResponse  `json:"response,omitempty"`
}

// shownRequest is a message request without its secrets, the path of the endpoint and
// the token.
type shownRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Bytes   int64             `json:"bytes"`
}

// shownResponse is the push service's response without secrets.
type shownResponse struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
}

var trialID = pattern.New(fmt.Sprintf("^[A-Za-z0-9_-]{1,%d}$", maxTrialID))

// read checks the fields of a test message.
func (v *trialRequest) read() error {
	bad := func(part, format string, a ...any) error {
		return refuse(http.StatusBadRequest, "invalid-input", format, a...).in(part)
	}
	if v.ID != "" && !trialID.MatchString(v.ID) {
		return bad("id", "id is %q, expected 1 to %d of A-Z a-z 0-9 - _", clip(v.ID), maxTrialID)
	}
	if v.Delay < 0 || v.Delay > int64(maxTrialDelay/time.Second) {
		return bad("delay", "delay is %d, expected 0 to %d seconds", v.Delay, maxTrialDelay/time.Second)
	}
	n := webpush.Notification{Title: v.Title, Body: v.Body}
	if v.ID != "" {
		n.Data = fmt.Appendf(nil, `{"webpush":{"id":%q}}`, v.ID) // the pattern of an ID needs no escapes
	}
	payload, err := n.Payload()
	if err != nil {
		return err
	}
	m := &webpush.Message{Payload: payload, TTL: new(trialTTL), Urgency: webpush.High, Topic: v.Topic}
	if v.TTL != nil {
		if *m.TTL, err = ttlOf(*v.TTL); err != nil {
			return err
		}
	}
	if v.Urgency != "" {
		if m.Urgency, err = webpush.ParseUrgency(string(v.Urgency)); err != nil {
			return err
		}
	}
	switch v.Encoding {
	case "", string(ece.AES128GCM):
	case string(ece.AESGCM):
		m.Encoding = ece.AESGCM
	default:
		return bad("encoding", "encoding is %q, expected aes128gcm or aesgcm", clip(v.Encoding))
	}
	v.message = m
	return nil
}

func (s *Server) testSubscription(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, maxSubscription)
	if err != nil {
		return err
	}
	v := trialRequest{Title: "Test message"}
	if err := decode(b, &v, true, ""); err != nil {
		return err
	}
	if _, err := endpointOf(b, ""); err != nil {
		return err
	}
	if err := v.read(); err != nil {
		return err
	}
	rec, err := s.store.Find(r.Context(), v.Endpoint)
	if errors.Is(err, ErrNotFound) {
		return refuse(http.StatusNotFound, "not-found", "no subscription has this endpoint").in("endpoint").hint("first POST the subscription to /subscription")
	}
	if err != nil {
		return err
	}
	for _, key := range []string{"id " + rec.ID, addressKey(s.clientAddr(r))} {
		if wait, ok := s.tests.take(key, time.Now()); !ok {
			return tooMany(wait)
		}
	}
	if _, err := s.probe(*v.message); err != nil {
		return tooLong(err, "body")
	}
	sub, err := webpush.NewSubscription(rec.Endpoint, rec.P256DH, rec.Auth)
	if err != nil {
		return err
	}
	if v.Delay > 0 {
		free, ok := enter(s.delayed)
		if !ok {
			return tooMany(maxTrialDelay)
		}
		delay := time.Duration(v.Delay) * time.Second
		go func() {
			defer free()
			s.sendLater(context.WithoutCancel(r.Context()), delay, rec, sub, *v.message)
		}()
		return writeJSON(w, http.StatusAccepted, map[string]time.Time{"sendAt": time.Now().Add(delay).UTC()})
	}
	free, ok := enter(s.trials)
	if !ok {
		return tooMany(s.unreachableAfter())
	}
	defer free()
	unreachable := time.NewTimer(s.unreachableAfter())
	defer unreachable.Stop()
	seen := &capture{next: s.o.HTTP}
	receipt, err := s.tester(seen).Send(r.Context(), sub, *v.message)
	s.metrics.tested(sub.Service(), receipt, err)
	var refused *webpush.Error
	switch {
	case errors.As(err, &refused) && refused.Status == 0 && !s.o.AllowPrivate:
		return s.testUnreachable(r, refused, unreachable.C)
	case errors.As(err, &refused):
		return s.testRefused(r, rec, refused)
	}
	if err != nil {
		return err
	}
	out := trialReceipt{Service: receipt.Service, Origin: receipt.Origin, Status: receipt.Status, Note: receipt.Note, LatencyMS: receipt.Latency.Milliseconds()}
	out.Request, out.Response = seen.shown(receipt.Origin)
	if receipt.TTL != nil {
		out.TTL = new(int64(receipt.TTL.Seconds()))
	}
	return writeJSON(w, http.StatusOK, out)
}

// unreachableAfter is the duration of each request for a test message that got no HTTP
// response. It is longer than the time limit of the request to the push service, so it
// does not reveal the cause.
func (s *Server) unreachableAfter() time.Duration { return s.times.test + 500*time.Millisecond }

// enter adds a place to a channel without waiting. It returns a function that frees the
// place, and reports whether there was room.
func enter(places chan struct{}) (free func(), ok bool) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	default:
		return nil, false
	}
}

// testUnreachable responds to a test message that got no HTTP response. Strangers
// must not learn which names exist in this server's network, where they lead, or
// what can be reached there, so the response and its time are the same in all cases.
func (s *Server) testUnreachable(r *http.Request, e *webpush.Error, at <-chan time.Time) error {
	s.log.Warn("a test message was not sent", "origin", e.Origin, "error", e)
	select {
	case <-at:
	case <-s.closed:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	return refuse(http.StatusBadGateway, "push-service-unreachable", "the push service sent no HTTP response").in("endpoint").hint("the server's log has the cause")
}

// gone removes a subscription that is gone as a push does: not if it has changed since it
// was read.
func (s *Server) gone(ctx context.Context, rec Record) error {
	removed, err := s.store.Gone(ctx, rec, s.o.GoneAfter)
	if removed {
		s.metrics.removed.Inc()
	}
	return err
}

// testRefused returns the push service's response as a problem. A subscription that
// is gone is removed.
func (s *Server) testRefused(r *http.Request, rec Record, e *webpush.Error) error {
	var p *problem
	switch {
	case e.Gone():
		p = refuse(http.StatusGone, "subscription-gone", "%v", e).in("endpoint").hint("unsubscribe, and subscribe again")
		if err := s.gone(r.Context(), rec); err != nil {
			return err
		}
	case e.Temporary():
		p = refuse(http.StatusServiceUnavailable, "push-service-unavailable", "%v", e).hint(e.Hint())
		if e.RetryAfter > 0 {
			p.with("Retry-After", strconv.Itoa(int(e.RetryAfter.Seconds())))
		}
	default:
		p = refuse(http.StatusBadGateway, "push-service-refused", "%v", e).hint(e.Hint())
	}
	p.Answer = &pushResponse{Service: e.Service, Origin: e.Origin, Status: e.Status, Code: e.Code, Reason: e.Reason}
	return p
}

// tester returns a client for test messages, which are sent once because somebody
// waits for the response.
func (s *Server) tester(h webpush.Doer) *webpush.Client {
	return &webpush.Client{Key: s.o.Key, OldKeys: s.o.OldKeys, Subject: s.o.Subject, HTTP: h, Attempts: 1, Timeout: s.times.test}
}

// sendLater sends a test message after a delay, unless the server stops first. A failure
// is only logged. A subscription that is gone is removed.
func (s *Server) sendLater(ctx context.Context, delay time.Duration, rec Record, sub *webpush.Subscription, m webpush.Message) {
	select {
	case <-s.closed:
		return
	case <-time.After(delay):
	}
	receipt, err := s.tester(s.o.HTTP).Send(ctx, sub, m)
	s.metrics.tested(sub.Service(), receipt, err)
	var refused *webpush.Error
	if errors.As(err, &refused) && refused.Gone() {
		if err := s.gone(ctx, rec); err != nil {
			s.log.Error("a subscription that is gone was not removed", "error", err)
		}
	}
	if err != nil {
		s.log.Warn("a delayed test message was not accepted", "origin", sub.Origin(), "error", err)
	}
}

// capture records the last request and its response.
type capture struct {
	next webpush.Doer

	mu       sync.Mutex
	request  *http.Request
	response *http.Response
}

// Do sends the request.
func (c *capture) Do(r *http.Request) (*http.Response, error) {
	next := c.next
	if client, ok := next.(*http.Client); ok { // the caller cannot see this client, which may follow redirects
		own := *client
		own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		next = &own
	}
	response, err := next.Do(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.request, c.response = r, response
	return response, err
}

// shown returns the request and the response without secrets.
func (c *capture) shown(origin string) (*shownRequest, *shownResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.request == nil || c.response == nil {
		return nil, nil
	}
	return &shownRequest{c.request.Method, origin + "/…", shownHeader(c.request.Header), c.request.ContentLength},
		&shownResponse{c.response.StatusCode, shownHeader(c.response.Header)}
}

// shownHeader returns header fields with their usual names and without secrets.
func shownHeader(h http.Header) map[string]string {
	out := make(map[string]string)
	for name, value := range webpush.ShownHeaders(h, false) {
		if before := out[name]; before != "" {
			value = before + ", " + value
		}
		out[name] = clipTo(value, 300)
	}
	return out
}
