package appserver_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// A TTL counts from the request: a message that is sent late has the remaining TTL, and one
// that would be sent too late expires.
func TestTTLCountsFromRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		ttls := make(map[string][]string)
		const url = "https://push.example.net"
		f := newBubbleFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			mu.Lock()
			defer mu.Unlock()
			ttls[r.Header.Get("Topic")] = append(ttls[r.Header.Get("Topic")], r.Header.Get("TTL"))
			w.WriteHeader(http.StatusCreated)
		}), nil)
		sent := func(topic string) []string {
			mu.Lock()
			defer mu.Unlock()
			return ttls[topic]
		}
		f.want(201, "POST", "/subscription", subscription(url+"/a"))
		short := f.push(`{"payload":"x","ttl":1,"topic":"short"}`)
		now := f.push(`{"payload":"x","ttl":0,"topic":"now"}`)
		long := f.push(`{"payload":"x","ttl":3600,"topic":"long"}`)
		time.Sleep(1100 * time.Millisecond) // as while the server is down
		later := f.push(`{"payload":"x","ttl":1,"topic":"later","sendAt":"1s"}`)
		stop := f.run()
		if v := f.finished(short); at(v["counts"], "expired") != float64(1) || v["done"] != float64(1) || sent("short") != nil {
			t.Errorf("it ended as %v, after %q", v, sent("short"))
		}
		for id, topic := range map[string]string{now: "now", long: "long", later: "later"} {
			if v := f.finished(id); at(v["counts"], "delivered") != float64(1) {
				t.Errorf("%s ended as %v", topic, v)
			}
		}
		if got := sent("now"); len(got) != 1 || got[0] != "0" {
			t.Errorf("now or never was sent with TTL %q", got)
		}
		if got := sent("long"); len(got) != 1 || got[0] >= "3600" || len(got[0]) != 4 {
			t.Errorf("a late message was sent with TTL %q", got)
		}
		results := f.want(200, "GET", "/push/"+short+"?results=expired", "").json(t)["results"].([]any)
		if len(results) != 1 || at(results[0], "status") != nil || at(results[0], "attempts") != float64(0) {
			t.Errorf("the results are %v", results)
		}
		// A manual retry starts the TTL again.
		f.want(202, "POST", "/push/"+short+"/retry", "")
		if v := f.finished(short); at(v["counts"], "delivered") != float64(1) || at(v["counts"], "expired") != nil || len(sent("short")) != 1 {
			t.Errorf("it ended as %v, after %q", v, sent("short"))
		}
		stop()
		j := appserver.Job{Created: time.Unix(100, 0), Message: appserver.JobMessage{TTL: 10 * time.Second}}
		for _, c := range []struct {
			due, retried, want int64
		}{{0, 0, 110}, {200, 0, 210}, {200, 300, 310}, {0, 300, 310}} {
			j.Due, j.Retried = time.Time{}, time.Time{}
			if c.due > 0 {
				j.Due = time.Unix(c.due, 0)
			}
			if c.retried > 0 {
				j.Retried = time.Unix(c.retried, 0)
			}
			if got := j.Expires(); got.Unix() != c.want {
				t.Errorf("%+v: expires at %d", c, got.Unix())
			}
		}
	})
}
