package queue

import (
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestPostpone has a row for each rule of worker.postpone.
func TestPostpone(t *testing.T) {
	sub, err := webpush.ParseSubscription([]byte(`{"endpoint":"https://push.example.net/x"}`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	w := &worker{o: &WorkerOptions{stuckAfter: 5 * time.Second}}
	w.o.Send.Rates.PerOrigin = 100
	l := &lane{name: "other", limit: 400}
	for _, row := range []struct {
		name     string
		origin   laneOrigin
		attempts uint64
		want     time.Duration
	}{
		{"nothing in the way", laneOrigin{owned: 15, moved: now}, 1, 0},
		{"below twice its rate", laneOrigin{owned: 199, moved: now}, 1, 0},
		{"asked to wait", laneOrigin{held: now.Add(time.Minute), moved: now}, 1, time.Minute},
		{"asked to wait briefly", laneOrigin{held: now.Add(time.Millisecond), moved: now}, 1, time.Second},
		{"asked to wait briefly, again", laneOrigin{held: now.Add(time.Millisecond), moved: now}, 4, 8 * time.Second},
		{"asked to wait briefly, often", laneOrigin{held: now.Add(time.Millisecond), moved: now}, 1000, 16 * time.Second},
		{"results are recent", laneOrigin{owned: 100, moved: now.Add(-5 * time.Second)}, 1, 0},
		{"stuck", laneOrigin{owned: 100, moved: now.Add(-6 * time.Second)}, 1, 5 * time.Second},
		{"stuck, again", laneOrigin{owned: 100, moved: now.Add(-6 * time.Second)}, 3, 20 * time.Second},
		{"stuck, often", laneOrigin{owned: 100, moved: now.Add(-6 * time.Second)}, 1000, 80 * time.Second},
		{"enough for its rate", laneOrigin{owned: 200, moved: now}, 9, 2*time.Second + 10*time.Millisecond},
		{"others wait for its rate", laneOrigin{owned: 200, moved: now, next: now.Add(time.Minute)}, 1, time.Minute + 10*time.Millisecond},
		{"very many wait for its rate", laneOrigin{owned: 200, moved: now, next: now.Add(2 * maxDelay)}, 1, 2 * maxDelay},
	} {
		row.origin.name = sub.Origin()
		m := &delivery{attempts: row.attempts, lane: l}
		m.data.job.Subscription = sub
		if got := w.postpone(l, &row.origin, m, now); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}
