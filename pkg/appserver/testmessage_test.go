package appserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// TestTrial sends test messages with options and looks at what the response
// shows of the exchange.
func TestTrial(t *testing.T) {
	t.Parallel()
	requests := make(chan http.Header, 10)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		requests <- r.Header
		w.Header().Set("Location", "/m/secret-location")
		w.Header().Set("X-Sink", "yes")
		w.WriteHeader(http.StatusCreated)
	}))
	defer sink.Close()
	f := newFixture(t, func(o *appserver.Options) {})
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/secret-path"))
	post := func(more string) string {
		return `{"endpoint":"` + sink.URL + `/secret-path"` + more + `}`
	}
	r := f.want(200, "POST", "/subscription/test", post(`,"id":"a-1","ttl":0,"urgency":"low","topic":"t","encoding":"aesgcm"`))
	h := <-requests
	if h.Get("TTL") != "0" || h.Get("Urgency") != "low" || h.Get("Topic") != "t" || h.Get("Content-Encoding") != "aesgcm" {
		t.Errorf("the request has %v", h)
	}
	v := r.json(t)
	sent := v["request"].(map[string]any)
	if sent["method"] != "POST" || sent["url"] != sink.URL+"/…" || sent["bytes"].(float64) < 20 || sent["headers"].(map[string]any)["Topic"] != "t" {
		t.Errorf("the request is shown as %v", sent)
	}
	if got := v["response"].(map[string]any); got["status"] != 201.0 || got["headers"].(map[string]any)["X-Sink"] != "yes" {
		t.Errorf("the response is shown as %v", got)
	}
	for _, secret := range []string{"secret-path", "secret-location", "eyJ"} {
		if strings.Contains(string(r.text), secret) {
			t.Errorf("the response has the secret %q: %s", secret, r.text)
		}
	}
	f.want(202, "POST", "/subscription/test", post(`,"delay":1`))
	if h := <-requests; h.Get("TTL") != "300" || h.Get("Urgency") != "high" {
		t.Errorf("the delayed request has %v", h)
	}
	for body, part := range map[string]string{
		`,"id":"a b"`: "id", `,"id":"` + strings.Repeat("a", 65) + `"`: "id", `,"ttl":-1`: "ttl", `,"urgency":"soon"`: "urgency",
		`,"topic":"a b"`: "topic", `,"encoding":"gzip"`: "encoding", `,"delay":61`: "delay", `,"delay":-1`: "delay",
	} {
		// What the schema forbids is not checked against it here.
		r := f.do("POST", "/subscription/test", post(body), "Content-Type", "application/json; charset=utf-8")
		if got := r.json(t)["part"]; r.StatusCode != 400 || got != part {
			t.Errorf("%s: %d, part %v, want %s", body, r.StatusCode, got, part)
		}
	}
}
