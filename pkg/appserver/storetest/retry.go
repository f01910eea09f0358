package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// A retry can be limited to the failures with one cause, of any class.
func testRetrySome(t *testing.T, s appserver.Store) {
	var outcomes []appserver.Outcome
	for i, f := range []appserver.Failure{
		{Class: webpush.ClassTemporary, Status: 503, Problem: "busy"},
		{Class: webpush.ClassTemporary, Problem: "no response"},
		{Class: webpush.ClassRejected, Status: 403, Problem: "the key is wrong"},
		{Class: webpush.ClassRejected, Status: 403, Problem: "the key is wrong", Origin: "https://push.example"},
		{Class: webpush.ClassRejected, Status: 400, Problem: "the key is wrong"},
		{Class: webpush.ClassRejected, Status: 403, Problem: "the topic is wrong"},
		{Class: webpush.ClassExpired, Problem: "too late"},
		{Class: webpush.ClassInvalid, Problem: "too long"},
	} {
		r := record(string(rune('a' + i)))
		if f.Origin != "" {
			r.Origin, r.Service = f.Origin, webpush.Other
		}
		outcomes = append(outcomes, appserver.Outcome{Record: put(t, s, r), Class: f.Class, Status: f.Status, Problem: f.Problem})
	}
	origin := record("a").Origin
	for i, c := range []struct {
		filter appserver.FailureFilter
		want   []int64
	}{
		{appserver.FailureFilter{}, []int64{1, 2, 7}},
		{appserver.FailureFilter{Class: webpush.ClassTemporary}, []int64{1, 2}},
		{appserver.FailureFilter{Status: new(0)}, []int64{2, 7}},
		{appserver.FailureFilter{Class: webpush.ClassRejected}, []int64{3, 4, 5, 6}},
		{appserver.FailureFilter{Class: webpush.ClassRejected, Origin: origin, Status: new(403), Problem: "the key is wrong"}, []int64{3}},
		{appserver.FailureFilter{Class: webpush.ClassRejected, Origin: "https://push.example"}, []int64{4}},
		{appserver.FailureFilter{Class: webpush.ClassInvalid, Problem: "too long"}, []int64{8}},
		{appserver.FailureFilter{Problem: "the key is wrong"}, nil},
		{appserver.FailureFilter{Class: webpush.ClassDelivered}, nil},
	} {
		id := string(rune('A' + i))
		create(t, s, appserver.Job{ID: id, Message: appserver.JobMessage{TTL: time.Hour}})
		commit(t, s, id, appserver.Batch{Cursor: int64(len(outcomes)), Outcomes: outcomes})
		finish(t, s, id)
		if n, err := s.Retry(t.Context(), id, c.filter); n != int64(len(c.want)) || err != nil {
			t.Errorf("%+v: %d, %v; want %d", c.filter, n, err, len(c.want))
		}
		var again []int64
		for _, r := range must[[]appserver.Record](t)(s.Again(t.Context(), id, 0, 100)) {
			again = append(again, r.Seq)
		}
		if !slices.Equal(again, c.want) {
			t.Errorf("%+v: %v is sent again, want %v", c.filter, again, c.want)
		}
		j := findJob(t, s, id)
		if want := map[bool]appserver.State{true: appserver.Queued, false: appserver.Done}[len(c.want) > 0]; j.State != want {
			t.Errorf("%+v: the job is %s, want %s", c.filter, j.State, want)
		}
		// What is not sent again is still counted and listed.
		counts := make(map[webpush.Class]int64)
		for _, classes := range j.Counts {
			for class, n := range classes {
				counts[class] += n
			}
		}
		left := must[[]appserver.Failure](t)(s.Failures(t.Context(), id, "", 0, 100))
		for _, f := range left {
			counts[f.Class]--
		}
		for class, n := range counts {
			if n != 0 {
				t.Errorf("%+v: %s counts %d more than are listed", c.filter, class, n)
			}
		}
		if len(left) != len(outcomes)-len(c.want) {
			t.Errorf("%+v: %d failures are left", c.filter, len(left))
		}
	}
}

// The current key of a server is known to others for some time.
func testAnnounce(t *testing.T, s appserver.Store) {
	const lease = 200 * time.Millisecond
	for _, key := range []string{"a", "b", "a"} {
		if keys := must[[]string](t)(s.Announce(t.Context(), key, lease)); !slices.Contains(keys, key) {
			t.Errorf("the keys after %s are %v", key, keys)
		}
	}
	for start := time.Now(); ; time.Sleep(lease / 4) {
		if keys := must[[]string](t)(s.Announce(t.Context(), "c", lease)); slices.Equal(keys, []string{"c"}) {
			return
		} else if time.Since(start) > time.Minute {
			t.Fatalf("the keys are still %v", keys)
		}
	}
}

// Stored data has a size.
func testSize(t *testing.T, s appserver.Store) {
	before := must[int64](t)(s.Size(t.Context()))
	for i := range 2000 {
		r := record(time.Unix(int64(i), 0).UTC().Format(time.RFC3339))
		put(t, s, r)
	}
	if after := must[int64](t)(s.Size(t.Context())); before <= 0 || after < before+200_000 {
		t.Errorf("the size is %d, after 2000 records %d", before, after)
	}
}
