package appserver_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// A push that is cancelable can be withdrawn after it is done: from the push
// services that accepted its messages, and from no other server.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	deleted := make(map[string]int)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("another server was asked: %s %s", r.Method, r.URL)
	}))
	defer elsewhere.Close()
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		name := strings.TrimPrefix(r.URL.Path, "/")
		switch {
		case r.Method == http.MethodDelete:
			mu.Lock()
			deleted[name]++
			mu.Unlock()
			if name == "m/delivered" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.WriteHeader(http.StatusNoContent)
			return
		case name == "elsewhere":
			w.Header().Set("Location", elsewhere.URL+"/m/x")
		case name != "without":
			w.Header().Set("Location", "/m/"+name)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer sink.Close()
	f := newFixture(t, nil)
	for _, name := range []string{"a", "b", "delivered", "without", "elsewhere"} {
		f.want(201, "POST", "/subscription", subscription(sink.URL+"/"+name))
	}
	f.run()
	plain, now := f.push(`{"payload":"x"}`), f.push(`{"payload":"x","ttl":0,"cancelable":true}`)
	for _, id := range []string{plain, now} {
		f.finished(id)
		if r := f.want(409, "DELETE", "/push/"+id, ""); r.json(t)["code"] != "push-over" {
			t.Errorf("the problem is %s", r.text)
		}
	}
	id := f.push(`{"payload":"x","ttl":3600,"cancelable":true}`)
	v := f.finished(id)
	if at(v, "message", "cancelable") != true || at(v, "withdrawn", "possible") != float64(4) {
		t.Errorf("the push is %v", v)
	}
	if v := f.want(200, "DELETE", "/push/"+id, "").json(t); v["state"] != "canceled" {
		t.Errorf("the push is %v", v)
	}
	until(t, "all messages are withdrawn", func() bool {
		v = f.want(200, "GET", "/push/"+id, "").json(t)
		return at(v, "withdrawn", "possible") == float64(0)
	})
	if at(v, "withdrawn", "done") != float64(2) || at(v, "withdrawn", "failed") != float64(2) || at(v, "counts", "delivered") != float64(5) {
		t.Errorf("the push is %v", v)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(deleted) != 3 || deleted["m/a"] != 1 || deleted["m/b"] != 1 {
		t.Errorf("deleted were %v", deleted)
	}
	if log := f.log.String(); strings.Contains(log, "/m/") {
		t.Errorf("the log has a location, a secret: %s", log)
	}
	f.want(409, "DELETE", "/push/"+id, "")
}
