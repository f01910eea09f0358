package appserver_test

import (
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// With GoneAfter, a push or a test message does not remove a subscription after the first
// response that it is gone.
func TestGoneAfter(t *testing.T) {
	sink := newSink(t, func(string, int) int { return 410 })
	for after, left := range map[time.Duration]int{0: 0, time.Hour: 2} {
		f := newFixture(t, func(o *appserver.Options) { o.GoneAfter = after })
		f.want(201, "POST", "/subscription", subscription(sink.URL+"/a"))
		f.run()
		if v := f.finished(f.push(`{"payload":"x"}`)); at(v["counts"], "gone") != float64(1) {
			t.Errorf("%v: the push ended as %v", after, v)
		}
		f.do("POST", "/subscription", subscription(sink.URL+"/a"))
		f.want(201, "POST", "/subscription", subscription(sink.URL+"/b"))
		for _, name := range []string{"/a", "/b"} {
			f.want(410, "POST", "/subscription/test", `{"endpoint":"`+sink.URL+name+`"}`)
		}
		if n := f.want(200, "GET", "/subscriptions", "").json(t)["total"]; n != float64(left) {
			t.Errorf("%v: %v subscriptions are left, want %d", after, n, left)
		}
	}
}
