package appserver_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// With GoneAfter, a push or a test message does not remove a subscription after the first
// response that it is gone.
func TestGoneAfter(t *testing.T) {
	t.Parallel()
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

// A delayed test message to a subscription that is gone removes it, unless its keys were
// renewed in the meantime.
func TestGoneAfterDelay(t *testing.T) {
	t.Parallel()
	for _, renewed := range []bool{false, true} {
		t.Run(map[bool]string{false: "gone", true: "renewed"}[renewed], func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var f *fixture
				var endpoint string
				sink := newBubbleSink(func(string, int) int {
					if renewed { // while the message is in flight
						record, err := f.store.Find(t.Context(), endpoint)
						if err == nil {
							record.Auth = "AAAAAAAAAAAAAAAAAAAAAA"
							_, _, err = f.store.Put(t.Context(), record)
						}
						if err != nil {
							t.Error(err)
						}
					}
					return 410
				})
				f = newBubbleFixture(t, sink, nil)
				endpoint = sink.URL + "/a"
				f.want(201, "POST", "/subscription", subscription(endpoint))
				f.want(202, "POST", "/subscription/test", `{"endpoint":"`+endpoint+`","delay":1}`)
				until(t, "the failure is logged", func() bool { return strings.Contains(f.log.String(), "a delayed test message was not accepted") })
				left := 0
				if renewed {
					left = 1
				}
				if n := f.want(200, "GET", "/subscriptions", "").json(t)["total"]; n != float64(left) {
					t.Errorf("renewed %v: %v subscriptions are left", renewed, n)
				}
				if removed := strings.Contains(string(f.want(200, "GET", "/metrics", "").text), "webpush_subscriptions_removed_total 1\n"); removed == renewed {
					t.Errorf("renewed %v: the metrics count a removal: %v", renewed, removed)
				}
			})
		})
	}
}
