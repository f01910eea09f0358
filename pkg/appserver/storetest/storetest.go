// Package storetest tests implementations of [appserver.Store].
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Run tests an implementation of [appserver.Store]. open returns a new empty store, which
// Run closes. reopen, if it is not nil, closes a store and opens it again with its data.
func Run(t *testing.T, open func(t *testing.T) appserver.Store, reopen func(t *testing.T, s appserver.Store) appserver.Store) {
	for name, test := range map[string]func(*testing.T, appserver.Store){
		"Put": testPut, "Change": testChange, "Delete": testDelete, "List": testList, "Jobs": testJobs,
		"Commit": testCommit, "Versions": testVersions, "Retry": testRetry, "Failures": testFailures, "Prune": testPrune, "Concurrent": testConcurrent,
		"Parts": testParts, "Leases": testLeases, "Steps": testSteps, "Scheduled": testScheduled, "Key": testKey, "PutAll": testPutAll,
		"Probe": testProbe, "Once": testOnce, "Withdraw": testWithdraw, "WithdrawLate": testWithdrawLate, "WithdrawRead": testWithdrawRead, "GoneAfter": testGoneAfter, "Report": testReport, "Reschedule": testReschedule,
		"RetrySome": testRetrySome, "Announce": testAnnounce, "Size": testSize,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			defer func() {
				if err := s.Close(); err != nil {
					t.Errorf("closing: %v", err)
				}
			}()
			test(t, s)
		})
	}
	t.Run("Reopen", func(t *testing.T) {
		if reopen == nil {
			t.Skip("the store keeps nothing when it is closed")
		}
		s := open(t)
		first := put(t, s, record("a"))
		gone := put(t, s, record("b"))
		job := create(t, s, appserver.Job{ID: "one", Message: appserver.JobMessage{Payload: []byte{}, TTL: time.Hour, Topic: "t"}})
		commit(t, s, job.ID, appserver.Batch{Cursor: 2, Open: []int64{1}, Outcomes: []appserver.Outcome{{Record: gone, Class: webpush.ClassGone, Status: 410}}})
		s = reopen(t, s)
		defer s.Close()
		if got := find(t, s, first.Endpoint); !reflect.DeepEqual(got, first) {
			t.Errorf("found %+v, want %+v", got, first)
		}
		got := findJob(t, s, job.ID)
		if p := must[appserver.Part](t)(s.Claim(t.Context(), job.ID, appserver.Lease)); p.Number != 1 || p.Cursor != 2 || !reflect.DeepEqual(p.Open, []int64{1}) || p.Step != 1 {
			t.Errorf("the part is %+v", p)
		}
		if got.Counts["mozilla"][webpush.ClassGone] != 1 || !reflect.DeepEqual(got.Message, job.Message) {
			t.Errorf("the job is %+v", got)
		}
		if r := put(t, s, record("c")); r.Seq != 3 {
			t.Errorf("the number of a removed record was used again: %d", r.Seq)
		}
	})
}

func record(name string) appserver.Record {
	return appserver.Record{Endpoint: "https://updates.push.services.mozilla.com/wpush/v2/" + name, P256DH: "p-" + name, Auth: "a-" + name,
		Service: webpush.Mozilla, Origin: "https://updates.push.services.mozilla.com"}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func put(t *testing.T, s appserver.Store, r appserver.Record) appserver.Record {
	t.Helper()
	r, _, err := s.Put(t.Context(), r)
	return must[appserver.Record](t)(r, err)
}

func find(t *testing.T, s appserver.Store, endpoint string) appserver.Record {
	t.Helper()
	return must[appserver.Record](t)(s.Find(t.Context(), endpoint))
}

func absent(t *testing.T, s appserver.Store, endpoint string) {
	t.Helper()
	if r, err := s.Find(t.Context(), endpoint); !errors.Is(err, appserver.ErrNotFound) {
		t.Errorf("found %+v, %v; want ErrNotFound", r, err)
	}
}

func create(t *testing.T, s appserver.Store, j appserver.Job) appserver.Job {
	t.Helper()
	return must[appserver.Job](t)(s.CreateJob(t.Context(), j))
}

func findJob(t *testing.T, s appserver.Store, id string) appserver.Job {
	t.Helper()
	return must[appserver.Job](t)(s.FindJob(t.Context(), id))
}

// commit records a step of a free part of the job.
func commit(t *testing.T, s appserver.Store, id string, b appserver.Batch) int {
	t.Helper()
	p := must[appserver.Part](t)(s.Claim(t.Context(), id, appserver.Lease))
	b.Step, b.Release = p.Step+1, true
	return must[appserver.Committed](t)(s.CommitPart(t.Context(), p, b)).Removed
}

// finish sends nothing and finishes a job.
func finish(t *testing.T, s appserver.Store, id string) {
	t.Helper()
	for {
		p, err := s.Claim(t.Context(), id, appserver.Lease)
		if errors.Is(err, appserver.ErrFinished) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.CommitPart(t.Context(), p, appserver.Batch{Step: p.Step + 1, Cursor: p.UpTo, Done: true})
		if err != nil {
			t.Fatal(err)
		}
		if c.State == appserver.Done {
			break
		}
	}
	if j := findJob(t, s, id); j.State != appserver.Done || j.Finished.IsZero() {
		t.Fatalf("the job ended as %+v", j)
	}
}

func testPut(t *testing.T, s appserver.Store) {
	r := record("a")
	r.User, r.Tags = "u", []string{"y", "x", "y"}
	before := time.Now().Add(-time.Second)
	first, created, err := s.Put(t.Context(), r)
	if err != nil || !created || first.Seq != 1 || first.ID == "" || first.Created.Before(before) || !reflect.DeepEqual(first.Tags, []string{"x", "y"}) {
		t.Fatalf("stored %+v, %v, %v", first, created, err)
	}
	if got := find(t, s, r.Endpoint); !reflect.DeepEqual(got, first) {
		t.Errorf("found %+v, want %+v", got, first)
	}
	// Putting it again without user and tags changes nothing.
	again, created, err := s.Put(t.Context(), record("a"))
	if err != nil || created || !reflect.DeepEqual(again, first) {
		t.Errorf("again: %+v, %v, %v, want %+v", again, created, err, first)
	}
	// Other keys increase the version; other tags alone do not.
	r.Tags = []string{}
	if got := put(t, s, r); got.Version != first.Version || len(got.Tags) != 0 {
		t.Errorf("without tags: %+v", got)
	}
	r.Auth, r.User = "other", "v"
	got := put(t, s, r)
	if got.Version <= first.Version || got.Auth != "other" || got.User != "v" || got.ID != first.ID || got.Seq != first.Seq {
		t.Errorf("with another key: %+v", got)
	}
	if stored := find(t, s, r.Endpoint); !reflect.DeepEqual(stored, got) {
		t.Errorf("found %+v, want %+v", stored, got)
	}
	for f, want := range map[appserver.Filter]int{{User: "u"}: 0, {User: "v"}: 1, {Tag: "x"}: 0, {}: 1} {
		if list := must[[]appserver.Record](t)(s.List(t.Context(), f, 0, 0, 10)); len(list) != want {
			t.Errorf("%+v: %d records, want %d", f, len(list), want)
		}
	}
}

func testChange(t *testing.T, s appserver.Store) {
	r := record("a")
	r.User, r.Tags = "u", []string{"x"}
	first := put(t, s, r)
	other := record("b")
	other.Service, other.Origin = webpush.FCM, "https://fcm.googleapis.com"
	now, created, err := s.Change(t.Context(), r.Endpoint, other)
	if err != nil || created || now.Seq != first.Seq || now.ID != first.ID || now.Version <= first.Version || now.User != "u" ||
		!reflect.DeepEqual(now.Tags, []string{"x"}) || now.Endpoint != other.Endpoint || now.Service != webpush.FCM {
		t.Fatalf("changed to %+v, %v, %v", now, created, err)
	}
	absent(t, s, r.Endpoint)
	if got := find(t, s, other.Endpoint); !reflect.DeepEqual(got, now) {
		t.Errorf("found %+v, want %+v", got, now)
	}
	if n := must[map[webpush.Service]int64](t)(s.Count(t.Context())); !reflect.DeepEqual(n, map[webpush.Service]int64{webpush.FCM: 1}) {
		t.Errorf("counts are %v", n)
	}
	// If the old one is not known, the new one is stored.
	if _, created, err := s.Change(t.Context(), "https://push.example/none", record("c")); err != nil || !created {
		t.Errorf("created %v, %v", created, err)
	}
	// If both are known, only the older record is left.
	newer := record("d")
	newer.User = "v"
	put(t, s, newer)
	now, created, err = s.Change(t.Context(), other.Endpoint, record("d"))
	if err != nil || created || now.Seq != first.Seq || now.ID != first.ID || now.User != "v" || !reflect.DeepEqual(now.Tags, []string{"x"}) {
		t.Errorf("merged to %+v, %v, %v", now, created, err)
	}
	if list := must[[]appserver.Record](t)(s.List(t.Context(), appserver.Filter{}, 0, 0, 10)); len(list) != 2 {
		t.Errorf("%d records are left, want 2", len(list))
	}
	// With the same endpoint, Change is Put.
	if _, created, err := s.Change(t.Context(), "https://push.example/e", appserver.Record{Endpoint: "https://push.example/e", Service: webpush.Other}); err != nil || !created {
		t.Errorf("created %v, %v", created, err)
	}
}

func testDelete(t *testing.T, s appserver.Store) {
	r := record("a")
	r.Tags = []string{"x"}
	put(t, s, r)
	for _, want := range []bool{true, false} {
		if was, err := s.Delete(t.Context(), r.Endpoint); err != nil || was != want {
			t.Errorf("deleted: %v, %v, want %v", was, err, want)
		}
	}
	absent(t, s, r.Endpoint)
	if n := must[map[webpush.Service]int64](t)(s.Count(t.Context())); len(n) != 0 {
		t.Errorf("counts are %v", n)
	}
	if again := put(t, s, r); again.Seq != 2 {
		t.Errorf("the new record has the number %d, want 2", again.Seq)
	}
}

func testList(t *testing.T, s appserver.Store) {
	var all []appserver.Record
	for i := range 7 {
		r := record(fmt.Sprint(i))
		if i%2 == 0 {
			r.Tags = []string{"even", fmt.Sprint(i)}
		}
		r.User = fmt.Sprint(i % 3)
		all = append(all, put(t, s, r))
	}
	for _, c := range []struct {
		filter      appserver.Filter
		after, upTo int64
		limit       int
		want        []int64
	}{
		{appserver.Filter{}, 0, 0, 3, []int64{1, 2, 3}},
		{appserver.Filter{}, 3, 5, 10, []int64{4, 5}},
		{appserver.Filter{}, 7, 0, 10, []int64{}},
		{appserver.Filter{Tag: "even"}, 1, 6, 10, []int64{3, 5}},
		{appserver.Filter{Tag: "even"}, 0, 0, 2, []int64{1, 3}},
		{appserver.Filter{User: "0"}, 1, 0, 10, []int64{4, 7}},
		{appserver.Filter{Tag: "none"}, 0, 0, 10, []int64{}},
	} {
		got := []int64{}
		for _, r := range must[[]appserver.Record](t)(s.List(t.Context(), c.filter, c.after, c.upTo, c.limit)) {
			got = append(got, r.Seq)
			if !reflect.DeepEqual(r, all[r.Seq-1]) {
				t.Errorf("listed %+v, want %+v", r, all[r.Seq-1])
			}
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if got := must[[]appserver.Record](t)(s.Get(t.Context(), []int64{6, 99, 2})); len(got) != 2 || got[0].Seq != 2 || got[1].Seq != 6 {
		t.Errorf("got %+v", got)
	}
}

func testJobs(t *testing.T, s appserver.Store) {
	for i := range 3 {
		r := record(fmt.Sprint(i))
		if i > 0 {
			r.Tags = []string{"x"}
		}
		put(t, s, r)
	}
	all := create(t, s, appserver.Job{ID: "all", Message: appserver.JobMessage{TTL: time.Minute, Urgency: webpush.High}})
	some := create(t, s, appserver.Job{ID: "some", To: appserver.Filter{Tag: "x"}, Message: appserver.JobMessage{Payload: []byte("hi")}})
	put(t, s, record("later"))
	if all.MaxSeq != 3 || all.Total != 3 || all.State != appserver.Queued || some.Total != 2 || some.Seq <= all.Seq || all.Created.IsZero() {
		t.Errorf("made %+v and %+v", all, some)
	}
	if got := findJob(t, s, "all"); got.Total != 3 || got.MaxSeq != 3 || !reflect.DeepEqual(got.Message, all.Message) {
		t.Errorf("found %+v, want %+v", got, all)
	}
	if _, err := s.FindJob(t.Context(), "none"); !errors.Is(err, appserver.ErrNotFound) {
		t.Errorf("the error is %v", err)
	}
	ids := func(list []appserver.Job, err error) (out []string) {
		t.Helper()
		for _, j := range must[[]appserver.Job](t)(list, err) {
			out = append(out, j.ID)
		}
		return out
	}
	if got := ids(s.Jobs(t.Context(), 0, 10)); !reflect.DeepEqual(got, []string{"some", "all"}) {
		t.Errorf("jobs are %v", got)
	}
	if got := ids(s.Jobs(t.Context(), some.Seq, 10)); !reflect.DeepEqual(got, []string{"all"}) {
		t.Errorf("the older jobs are %v", got)
	}
	if p := must[appserver.Part](t)(s.Claim(t.Context(), "all", appserver.Lease)); p.JobID != "all" || p.Number != 1 || p.After != 0 || p.UpTo != 3 {
		t.Errorf("claimed %+v", p)
	}
	if got := findJob(t, s, "all").State; got != appserver.Running {
		t.Errorf("the job is %s", got)
	}
	for _, to := range []appserver.State{appserver.Done, appserver.Running, appserver.Queued} {
		if err := s.SetState(t.Context(), "all", to, ""); err == nil {
			t.Errorf("the job was set to %s, which only the store may do", to)
		}
	}
	started := findJob(t, s, "all").Started
	if started.IsZero() {
		t.Error("the job did not start")
	}
	if got := ids(s.Unfinished(t.Context(), 10)); !reflect.DeepEqual(got, []string{"all", "some"}) {
		t.Errorf("unfinished are %v", got)
	}
	if err := s.SetState(t.Context(), "all", appserver.Failed, "why"); err != nil {
		t.Fatal(err)
	}
	if got := findJob(t, s, "all"); got.State != appserver.Failed || got.Problem != "why" || got.Finished.IsZero() || !got.Started.Equal(started) {
		t.Errorf("failed: %+v", got)
	}
	if got := ids(s.Unfinished(t.Context(), 10)); !reflect.DeepEqual(got, []string{"some"}) {
		t.Errorf("unfinished are %v", got)
	}
	if err := s.SetState(t.Context(), "all", appserver.Canceled, ""); !errors.Is(err, appserver.ErrFinished) {
		t.Errorf("the error is %v, want ErrFinished", err)
	}
	if err := s.SetState(t.Context(), "none", appserver.Canceled, ""); !errors.Is(err, appserver.ErrNotFound) {
		t.Errorf("the error is %v, want ErrNotFound", err)
	}
}

func testCommit(t *testing.T, s appserver.Store) {
	var list []appserver.Record
	for i := range 4 {
		list = append(list, put(t, s, record(fmt.Sprint(i))))
	}
	j := create(t, s, appserver.Job{ID: "j"})
	removed := commit(t, s, "j", appserver.Batch{Cursor: 4, Open: []int64{2}, Outcomes: []appserver.Outcome{
		{Record: list[0], Class: webpush.ClassDelivered, Status: 201, Attempts: 1, Key: "found"},
		{Record: list[2], Class: webpush.ClassGone, Status: 410, Attempts: 1},
		{Record: list[3], Class: webpush.ClassRejected, Status: 403, Problem: "p", Hint: "h", Attempts: 2},
	}})
	if removed != 1 {
		t.Errorf("removed %d, want 1", removed)
	}
	absent(t, s, list[2].Endpoint)
	counts := must[map[string]int64](t)(s.CountKeys(t.Context()))
	if want := (map[string]int64{"found": 1, list[1].Key: 2}); !reflect.DeepEqual(counts, want) {
		t.Errorf("subscriptions by key: %v, want %v", counts, want)
	}
	for i, want := range map[int]int{0: 201, 1: 0, 3: 403} {
		if got := find(t, s, list[i].Endpoint); got.LastStatus != want {
			t.Errorf("record %d has the status %d, want %d", i, got.LastStatus, want)
		}
	}
	if p := must[appserver.Part](t)(s.Claim(t.Context(), "j", 0)); p.Cursor != 4 || !reflect.DeepEqual(p.Open, []int64{2}) {
		t.Errorf("the part is at %d but %v", p.Cursor, p.Open)
	}
	if removed := commit(t, s, "j", appserver.Batch{Cursor: 3, Outcomes: []appserver.Outcome{{Record: list[1], Class: webpush.ClassDelivered, Status: 201}}}); removed != 0 {
		t.Errorf("removed %d", removed)
	}
	got := findJob(t, s, j.ID)
	if want := (appserver.Counts{"mozilla": {"delivered": 2, "gone": 1, "rejected": 1}}); !reflect.DeepEqual(got.Counts, want) {
		t.Errorf("the job is %+v, want %v", got, want)
	}
	if p := must[appserver.Part](t)(s.Claim(t.Context(), "j", 0)); p.Cursor != 4 || len(p.Open) != 0 {
		t.Errorf("the part is at %d but %v", p.Cursor, p.Open)
	}
	if _, err := s.CommitPart(t.Context(), appserver.Part{JobID: "none", Number: 1}, appserver.Batch{Step: 1}); !errors.Is(err, appserver.ErrNotFound) {
		t.Errorf("the error is %v", err)
	}
	if _, err := s.Claim(t.Context(), "none", appserver.Lease); !errors.Is(err, appserver.ErrNotFound) {
		t.Errorf("the error is %v", err)
	}
}

// A record that has changed since it was read is not removed, but sent to again.
func testVersions(t *testing.T, s appserver.Store) {
	old := put(t, s, record("a"))
	create(t, s, appserver.Job{ID: "j"})
	now, _, err := s.Change(t.Context(), old.Endpoint, record("b"))
	if err != nil {
		t.Fatal(err)
	}
	gone := func(r appserver.Record) int {
		t.Helper()
		return commit(t, s, "j", appserver.Batch{Cursor: 1, Outcomes: []appserver.Outcome{{Record: r, Class: webpush.ClassGone, Status: 410}}})
	}
	if n := gone(old); n != 0 {
		t.Errorf("removed %d", n)
	}
	again := must[[]appserver.Record](t)(s.Again(t.Context(), "j", 0, 10))
	if len(again) != 1 || !reflect.DeepEqual(again[0], now) {
		t.Fatalf("again: %+v, want %+v", again, now)
	}
	if c := findJob(t, s, "j").Counts; len(c) != 0 {
		t.Errorf("it counts already: %v", c)
	}
	if list := must[[]appserver.Record](t)(s.Again(t.Context(), "j", now.Seq, 10)); len(list) != 0 {
		t.Errorf("after it: %+v", list)
	}
	// The response to the new version counts and is final.
	commit(t, s, "j", appserver.Batch{Cursor: 1, Outcomes: []appserver.Outcome{{Record: now, Class: webpush.ClassDelivered, Status: 201}}})
	if list := must[[]appserver.Record](t)(s.Again(t.Context(), "j", 0, 10)); len(list) != 0 {
		t.Errorf("again once more: %+v", list)
	}
	if c := findJob(t, s, "j").Counts; c["mozilla"]["delivered"] != 1 {
		t.Errorf("counts are %v", c)
	}
	// The number of attempts for a record that always changes is limited.
	create(t, s, appserver.Job{ID: "k"})
	n := 0
	for ; n < 20; n++ {
		commit(t, s, "k", appserver.Batch{Outcomes: []appserver.Outcome{{Record: old, Class: webpush.ClassGone, Status: 410}}})
		if len(must[[]appserver.Record](t)(s.Again(t.Context(), "k", 0, 10))) == 0 {
			break
		}
	}
	if n != 3 || findJob(t, s, "k").Counts["mozilla"]["gone"] != 1 {
		t.Errorf("it was sent %d more times, want 3: %v", n, findJob(t, s, "k").Counts)
	}
	find(t, s, now.Endpoint)
	// A record that was deleted in between is counted, and nothing is sent again.
	create(t, s, appserver.Job{ID: "l"})
	if _, err := s.Delete(t.Context(), now.Endpoint); err != nil {
		t.Fatal(err)
	}
	commit(t, s, "l", appserver.Batch{Outcomes: []appserver.Outcome{{Record: now, Class: webpush.ClassGone, Status: 410}}})
	if c := findJob(t, s, "l").Counts; c["mozilla"]["gone"] != 1 || len(must[[]appserver.Record](t)(s.Again(t.Context(), "l", 0, 10))) != 0 {
		t.Errorf("counts are %v", c)
	}
}

func testRetry(t *testing.T, s appserver.Store) {
	a, b, c, d := put(t, s, record("a")), put(t, s, record("b")), put(t, s, record("c")), record("d")
	d.ID, d.LastStatus = "expired", 201
	d = must[[]appserver.Record](t)(first(s.PutAll(t.Context(), []appserver.Record{d})))[0]
	if j := create(t, s, appserver.Job{ID: "j", Message: appserver.JobMessage{TTL: time.Hour}}); !j.Retried.IsZero() || !j.Expires().Equal(j.Created.Add(time.Hour)) {
		t.Errorf("created %+v, which expires at %v", j, j.Expires())
	}
	commit(t, s, "j", appserver.Batch{Cursor: 4, Outcomes: []appserver.Outcome{
		{Record: a, Class: webpush.ClassTemporary, Status: 503}, {Record: b, Class: webpush.ClassTemporary}, {Record: c, Class: webpush.ClassRejected, Status: 400},
		{Record: d, Class: webpush.ClassExpired}}})
	if got := find(t, s, d.Endpoint); got.LastStatus != 201 {
		t.Errorf("a message that was not sent changed the last status to %d", got.LastStatus)
	}
	if _, err := s.Retry(t.Context(), "j", appserver.FailureFilter{}); !errors.Is(err, appserver.ErrFinished) {
		t.Errorf("the error is %v, want ErrFinished", err)
	}
	finish(t, s, "j")
	if _, err := s.Delete(t.Context(), b.Endpoint); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Retry(t.Context(), "j", appserver.FailureFilter{}); n != 3 || err != nil {
		t.Errorf("%d, %v; want 3", n, err)
	}
	got := findJob(t, s, "j")
	if got.State != appserver.Queued || !got.Finished.IsZero() || got.Counts["mozilla"]["temporary"] != 0 || got.Counts["mozilla"]["expired"] != 0 || got.Counts["mozilla"]["rejected"] != 1 {
		t.Errorf("the job is %+v", got)
	}
	if again := must[[]appserver.Record](t)(s.Again(t.Context(), "j", 0, 10)); len(again) != 2 || again[0].Seq != a.Seq || again[1].Seq != d.Seq {
		t.Errorf("again: %+v", again)
	}
	if got.Retried.Before(got.Created) || !got.Expires().Equal(got.Retried.Add(time.Hour)) {
		t.Errorf("retried at %v, expires at %v", got.Retried, got.Expires())
	}
	if left := must[[]appserver.Failure](t)(s.Failures(t.Context(), "j", "", 0, 10)); len(left) != 1 {
		t.Errorf("failures: %+v", left)
	}
	p := must[appserver.Part](t)(s.Claim(t.Context(), "j", appserver.Lease))
	if p.Number != 0 {
		t.Errorf("the part of the retry is %+v", p)
	}
	if c := must[appserver.Committed](t)(s.CommitPart(t.Context(), p, appserver.Batch{Step: p.Step + 1, Done: true,
		Outcomes: []appserver.Outcome{{Record: a, Class: webpush.ClassDelivered, Status: 201}, {Record: d, Class: webpush.ClassDelivered, Status: 201}}})); c.State != appserver.Done {
		t.Errorf("after the retry the job is %s", c.State)
	}
	if n, err := s.Retry(t.Context(), "j", appserver.FailureFilter{}); n != 0 || err != nil || findJob(t, s, "j").State != appserver.Done {
		t.Errorf("nothing to retry: %d, %v, %s", n, err, findJob(t, s, "j").State)
	}
	create(t, s, appserver.Job{ID: "failed"})
	if err := s.SetState(t.Context(), "failed", appserver.Failed, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Retry(t.Context(), "failed", appserver.FailureFilter{}); err != nil || findJob(t, s, "failed").State != appserver.Queued {
		t.Errorf("a failed job does not continue: %v", err)
	}
}

// first returns the first of two values and the error.
func first[A, B any](a A, _ B, err error) (A, error) { return a, err }

func testFailures(t *testing.T, s appserver.Store) {
	var out []appserver.Outcome
	for i := range 5 {
		r := put(t, s, record(fmt.Sprint(i)))
		class := webpush.ClassRejected
		if i == 3 {
			class = webpush.ClassInvalid
		}
		out = append(out, appserver.Outcome{Record: r, Class: class, Status: 400 + i, Problem: "p", Hint: "h", Attempts: i})
	}
	create(t, s, appserver.Job{ID: "j"})
	commit(t, s, "j", appserver.Batch{Cursor: 5, Outcomes: out})
	list := must[[]appserver.Failure](t)(s.Failures(t.Context(), "j", "", 1, 2))
	if len(list) != 2 || list[0].Seq != 2 || list[1].Seq != 3 {
		t.Fatalf("failures: %+v", list)
	}
	if f := list[0]; f.ID != out[1].Record.ID || f.Status != 401 || f.Problem != "p" || f.Hint != "h" || f.Attempts != 1 || f.Time.IsZero() || f.Origin != out[1].Record.Origin || f.Service != webpush.Mozilla {
		t.Errorf("the failure is %+v", f)
	}
	if list := must[[]appserver.Failure](t)(s.Failures(t.Context(), "j", webpush.ClassInvalid, 0, 10)); len(list) != 1 || list[0].Seq != 4 {
		t.Errorf("invalid are %+v", list)
	}
}

func testPrune(t *testing.T, s appserver.Store) {
	put(t, s, record("a"))
	for _, id := range []string{"done", "queued"} {
		create(t, s, appserver.Job{ID: id})
	}
	commit(t, s, "done", appserver.Batch{Outcomes: []appserver.Outcome{{Record: find(t, s, record("a").Endpoint), Class: webpush.ClassRejected}}})
	finish(t, s, "done")
	if err := s.Prune(t.Context(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if findJob(t, s, "done"); len(must[[]appserver.Failure](t)(s.Failures(t.Context(), "done", "", 0, 10))) != 1 {
		t.Error("its failure is forgotten already")
	}
	if err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.FindJob(t.Context(), "done"); !errors.Is(err, appserver.ErrNotFound) {
		t.Errorf("the error is %v", err)
	}
	findJob(t, s, "queued")
}

// Concurrent calls: nothing is lost or duplicated, even if some callers give up.
func testConcurrent(t *testing.T, s appserver.Store) {
	put(t, s, record("same"))
	create(t, s, appserver.Job{ID: "j"})
	part := must[appserver.Part](t)(s.Claim(t.Context(), "j", appserver.Lease))
	var step atomic.Int64
	var committing sync.Mutex
	var all sync.WaitGroup
	const clients, each = 20, 25
	for c := range clients {
		all.Go(func() {
			for i := range each {
				r := record(fmt.Sprintf("%d-%d", c, i))
				if _, created, err := s.Put(context.Background(), r); err != nil || !created {
					t.Errorf("put: %v, %v", created, err)
				}
				if _, err := s.Find(context.Background(), r.Endpoint); err != nil {
					t.Errorf("a record that was put is not found: %v", err)
				}
				if _, _, err := s.Put(context.Background(), record("same")); err != nil {
					t.Error(err)
				}
				committing.Lock() // steps must be in order
				if _, err := s.CommitPart(context.Background(), part, appserver.Batch{Step: step.Add(1), Lease: appserver.Lease,
					Outcomes: []appserver.Outcome{{Record: appserver.Record{Seq: -1, Service: webpush.Other}, Class: webpush.ClassDelivered}}}); err != nil {
					t.Error(err)
				}
				committing.Unlock()
				ended, cancel := context.WithCancel(context.Background())
				cancel()
				if _, _, err := s.Put(ended, record("never")); err == nil {
					t.Error("a call with a canceled context succeeded")
				}
			}
		})
	}
	all.Wait()
	absent(t, s, record("never").Endpoint)
	if n := must[map[webpush.Service]int64](t)(s.Count(t.Context())); n[webpush.Mozilla] != clients*each+1 {
		t.Errorf("%d records, want %d", n[webpush.Mozilla], clients*each+1)
	}
	if c := findJob(t, s, "j").Counts[webpush.Other][webpush.ClassDelivered]; c != clients*each {
		t.Errorf("the job counts %d, want %d", c, clients*each)
	}
}
