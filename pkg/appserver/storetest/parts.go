package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// many stores n records, from many goroutines.
func many(t *testing.T, s appserver.Store, n int, change func(i int, r *appserver.Record)) {
	t.Helper()
	var all sync.WaitGroup
	next := make(chan int)
	for range 64 {
		all.Go(func() {
			for i := range next {
				r := record(fmt.Sprint("many-", i))
				if change != nil {
					change(i, &r)
				}
				if _, _, err := s.Put(t.Context(), r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
}

func claim(t *testing.T, s appserver.Store, id string) appserver.Part {
	t.Helper()
	return must[appserver.Part](t)(s.Claim(t.Context(), id, appserver.Lease))
}

func noPart(t *testing.T, s appserver.Store, id string, want error) {
	t.Helper()
	if p, err := s.Claim(t.Context(), id, appserver.Lease); !errors.Is(err, want) {
		t.Fatalf("claimed %+v, %v; want the error %v", p, err, want)
	}
}

// Parts are claimed concurrently: each recipient is in one part, and the job is done when
// all parts are done, in any order.
func testParts(t *testing.T, s appserver.Store) {
	const n = 2*appserver.PartSize + appserver.PartSize/2
	many(t, s, n, func(i int, r *appserver.Record) {
		if i%2 == 0 {
			r.Tags = []string{"even"}
		}
	})
	create(t, s, appserver.Job{ID: "all"})
	create(t, s, appserver.Job{ID: "even", To: appserver.Filter{Tag: "even"}})
	put(t, s, record("later"))
	for id, c := range map[string]struct {
		to           appserver.Filter
		parts, total int
	}{"all": {appserver.Filter{}, 3, n}, "even": {appserver.Filter{Tag: "even"}, 2, n / 2}} {
		var mu sync.Mutex
		var parts []appserver.Part
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for {
					p, err := s.Claim(t.Context(), id, appserver.Lease)
					if errors.Is(err, appserver.ErrNoPart) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					parts = append(parts, p)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(parts) != c.parts {
			t.Fatalf("%s: %d parts, want %d: %+v", id, len(parts), c.parts, parts)
		}
		seen := make(map[int64]int)
		numbers := make(map[int64]bool)
		for _, p := range parts {
			numbers[p.Number] = true
			list := must[[]appserver.Record](t)(s.List(t.Context(), c.to, p.After, p.UpTo, n))
			if len(list) > appserver.PartSize {
				t.Errorf("%s: part %d has %d recipients", id, p.Number, len(list))
			}
			for _, r := range list {
				seen[r.Seq]++
			}
		}
		if len(seen) != c.total || len(numbers) != len(parts) {
			t.Errorf("%s: %d recipients are in the parts, want %d; the numbers are %v", id, len(seen), c.total, numbers)
		}
		for seq, times := range seen {
			if times != 1 {
				t.Fatalf("%s: record %d is in %d parts", id, seq, times)
			}
		}
		// The last part may be done first; the job is done only after all parts.
		for i := len(parts) - 1; i >= 0; i-- {
			got := must[appserver.Committed](t)(s.CommitPart(t.Context(), parts[i], appserver.Batch{Step: 1, Cursor: parts[i].UpTo, Done: true}))
			if (got.State == appserver.Done) != (i == 0) {
				t.Errorf("%s: with %d parts left the job is %s", id, i, got.State)
			}
		}
		noPart(t, s, id, appserver.ErrFinished)
	}
	// A part that is done before the next ones are created.
	create(t, s, appserver.Job{ID: "early"})
	p := claim(t, s, "early")
	if got := must[appserver.Committed](t)(s.CommitPart(t.Context(), p, appserver.Batch{Step: 1, Cursor: p.UpTo, Done: true})); got.State != appserver.Running {
		t.Errorf("after the first part the job is %s", got.State)
	}
	finish(t, s, "early")
	// No recipients.
	create(t, s, appserver.Job{ID: "nobody", To: appserver.Filter{Tag: "none"}})
	finish(t, s, "nobody")
}

// A lease excludes others until it expires. Then another caller can claim the part, and
// the first one can no longer commit.
func testLeases(t *testing.T, s appserver.Store) {
	r := put(t, s, record("a"))
	create(t, s, appserver.Job{ID: "j"})
	first := claim(t, s, "j")
	noPart(t, s, "j", appserver.ErrNoPart)
	sent := []appserver.Outcome{{Record: r, Class: webpush.ClassDelivered, Status: 201}}
	// A commit extends the lease; here, the new lease expires immediately.
	if c := must[appserver.Committed](t)(s.CommitPart(t.Context(), first, appserver.Batch{Step: 1, Cursor: 1, Open: []int64{1}, Lease: time.Nanosecond})); c.State != appserver.Running {
		t.Errorf("the job is %s", c.State)
	}
	time.Sleep(5 * time.Millisecond)
	second := claim(t, s, "j")
	if second.Number != first.Number || second.Lease <= first.Lease || second.Step != 1 || !reflect.DeepEqual(second.Open, []int64{1}) {
		t.Errorf("claimed %+v after %+v", second, first)
	}
	for _, b := range []appserver.Batch{{Step: 2, Cursor: 1, Outcomes: sent, Lease: appserver.Lease}, {Lease: appserver.Lease}, {Release: true}} {
		if _, err := s.CommitPart(t.Context(), first, b); !errors.Is(err, appserver.ErrLost) {
			t.Errorf("%+v: the error is %v, want ErrLost", b, err)
		}
	}
	if c := findJob(t, s, "j").Counts; len(c) != 0 {
		t.Errorf("a late outcome was counted: %v", c)
	}
	// Extending a lease or giving it back changes nothing else.
	for _, b := range []appserver.Batch{{Lease: appserver.Lease}, {Release: true}} {
		must[appserver.Committed](t)(s.CommitPart(t.Context(), second, b))
	}
	third := claim(t, s, "j")
	if third.Step != 1 || !reflect.DeepEqual(third.Open, []int64{1}) {
		t.Errorf("claimed %+v", third)
	}
	// The holder of the part learns that the job was canceled, and its outcomes count.
	if err := s.SetState(t.Context(), "j", appserver.Canceled, ""); err != nil {
		t.Fatal(err)
	}
	if c := must[appserver.Committed](t)(s.CommitPart(t.Context(), third, appserver.Batch{Lease: appserver.Lease})); c.State != appserver.Canceled {
		t.Errorf("the job is %s", c.State)
	}
	if c := must[appserver.Committed](t)(s.CommitPart(t.Context(), third, appserver.Batch{Step: 2, Cursor: 1, Outcomes: sent, Done: true})); c.State != appserver.Canceled {
		t.Errorf("the job is %s", c.State)
	}
	if c := findJob(t, s, "j"); c.Counts["mozilla"]["delivered"] != 1 || c.State != appserver.Canceled {
		t.Errorf("the job is %+v", c)
	}
	noPart(t, s, "j", appserver.ErrFinished)
}

// A commit that is repeated because its response was lost counts once.
func testSteps(t *testing.T, s appserver.Store) {
	r, other := put(t, s, record("a")), put(t, s, record("b"))
	create(t, s, appserver.Job{ID: "j"})
	p := claim(t, s, "j")
	for range 2 {
		c := must[appserver.Committed](t)(s.CommitPart(t.Context(), p, appserver.Batch{Step: 1, Cursor: 1, Lease: appserver.Lease,
			Outcomes: []appserver.Outcome{{Record: r, Class: webpush.ClassDelivered, Status: 201}}}))
		if c.State != appserver.Running {
			t.Errorf("the job is %s", c.State)
		}
	}
	for range 2 {
		c := must[appserver.Committed](t)(s.CommitPart(t.Context(), p, appserver.Batch{Step: 2, Cursor: 2, Lease: appserver.Lease, Done: true,
			Outcomes: []appserver.Outcome{{Record: other, Class: webpush.ClassRejected, Status: 400}}}))
		if c.State != appserver.Done {
			t.Errorf("the job is %s", c.State)
		}
	}
	if c := findJob(t, s, "j").Counts["mozilla"]; c["delivered"] != 1 || c["rejected"] != 1 {
		t.Errorf("counts are %v", c)
	}
}

// A scheduled job is sent to the subscriptions that exist when it is due.
func testScheduled(t *testing.T, s appserver.Store) {
	put(t, s, record("a"))
	due := time.Now().Add(300 * time.Millisecond).UTC().Truncate(time.Millisecond)
	j := create(t, s, appserver.Job{ID: "j", Due: due})
	if j.State != appserver.Scheduled || !j.Due.Equal(due) {
		t.Errorf("created %+v", j)
	}
	create(t, s, appserver.Job{ID: "canceled", Due: due})
	if j := create(t, s, appserver.Job{ID: "past", Due: time.Now().Add(-time.Hour)}); j.State != appserver.Queued || !j.Due.IsZero() {
		t.Errorf("a job that was due in the past: %+v", j)
	}
	ids := func() (out []string) {
		for _, j := range must[[]appserver.Job](t)(s.Unfinished(t.Context(), 10)) {
			out = append(out, j.ID)
		}
		return out
	}
	if got := ids(); !reflect.DeepEqual(got, []string{"past"}) {
		t.Errorf("due are %v", got)
	}
	noPart(t, s, "j", appserver.ErrNoPart)
	if err := s.SetState(t.Context(), "canceled", appserver.Canceled, ""); err != nil {
		t.Fatal(err)
	}
	put(t, s, record("b"))
	if err := s.Prune(t.Context(), time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(due) + 20*time.Millisecond)
	if got := ids(); !reflect.DeepEqual(got, []string{"j", "past"}) {
		t.Errorf("due are %v", got)
	}
	if p := claim(t, s, "j"); p.UpTo != 2 {
		t.Errorf("the part is %+v, want both records", p)
	}
	if j := findJob(t, s, "j"); j.Total != 2 || j.MaxSeq != 2 || j.State != appserver.Running || !j.Due.Equal(due) {
		t.Errorf("the job is %+v", j)
	}
	noPart(t, s, "j", appserver.ErrNoPart) // the part is claimed only once
	noPart(t, s, "canceled", appserver.ErrFinished)
}

// PutAll stores records as Put does, and keeps their ID, time, and status.
func testPutAll(t *testing.T, s appserver.Store) {
	old := put(t, s, record("a"))
	moved := record("b")
	moved.ID, moved.Created, moved.LastStatus, moved.Tags = "kept", time.Date(2020, 1, 2, 3, 4, 5, 6e6, time.UTC), 201, []string{"y", "x"}
	update := record("a")
	update.ID, update.User, update.LastStatus = "other", "u", 500
	list, created, err := s.PutAll(t.Context(), []appserver.Record{moved, update, record("c"), record("c")})
	if err != nil || !reflect.DeepEqual(created, []bool{true, false, true, false}) {
		t.Fatalf("stored %v, %v", created, err)
	}
	old.User = "u"
	if !reflect.DeepEqual(list[1], old) {
		t.Errorf("updated to %+v, want %+v", list[1], old)
	}
	moved.Seq, moved.Version, moved.Tags = list[0].Seq, 1, []string{"x", "y"}
	if got := find(t, s, moved.Endpoint); !reflect.DeepEqual(got, moved) || !reflect.DeepEqual(list[0], moved) {
		t.Errorf("found %+v, want %+v", got, moved)
	}
	if n := must[map[webpush.Service]int64](t)(s.Count(t.Context())); n["mozilla"] != 3 {
		t.Errorf("counts are %v", n)
	}
}

// A record keeps its application server key until it gets another one.
func testKey(t *testing.T, s appserver.Store) {
	r := record("a")
	r.Key = "first"
	first := put(t, s, r)
	put(t, s, record("a"))
	if got := find(t, s, r.Endpoint); got.Key != "first" || got.Version != first.Version {
		t.Errorf("found %+v", got)
	}
	r.Key = "second"
	put(t, s, r)
	if got := find(t, s, r.Endpoint); got.Key != "second" || got.Version != first.Version {
		t.Errorf("found %+v", got)
	}
	if got := must[[]appserver.Record](t)(s.List(t.Context(), appserver.Filter{}, 0, 0, 10)); len(got) != 1 || got[0].Key != "second" {
		t.Errorf("listed %+v", got)
	}
}

// A probe can be repeated and concurrent, and changes nothing that is visible.
func testProbe(t *testing.T, s appserver.Store) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 5 {
				if err := s.Probe(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := must[map[webpush.Service]int64](t)(s.Count(t.Context())); len(n) != 0 {
		t.Errorf("counts are %v", n)
	}
}

// Repeated and concurrent requests with the same key create one job, until the key is
// forgotten.
func testOnce(t *testing.T, s appserver.Store) {
	once := appserver.Once{Key: "k", Request: "r", For: time.Hour}
	var all sync.WaitGroup
	ids := make(chan string, 32)
	for i := range cap(ids) {
		all.Go(func() {
			j, err := s.CreateJob(t.Context(), appserver.Job{ID: fmt.Sprint("try-", i), Once: once})
			if err != nil {
				t.Error(err)
			}
			ids <- j.ID
		})
	}
	all.Wait()
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Fatalf("the same request created %s and %s", first, id)
		}
	}
	jobs := func() int { return len(must[[]appserver.Job](t)(s.Jobs(t.Context(), 0, 100))) }
	if n := jobs(); n != 1 {
		t.Fatalf("there are %d jobs", n)
	}
	other := once
	other.Request = "another"
	if j, err := s.CreateJob(t.Context(), appserver.Job{ID: "other", Once: other}); !errors.Is(err, appserver.ErrOtherRequest) {
		t.Errorf("another request created %+v, %v", j, err)
	}
	other.Key = "k2"
	for _, id := range []string{"with another key", "without a key"} {
		if j := create(t, s, appserver.Job{ID: id, Once: other}); j.ID != id || j.Once != (appserver.Once{}) {
			t.Errorf("created %+v", j)
		}
		other = appserver.Once{}
	}
	// The response is the job in its current state.
	put(t, s, record("a"))
	finish(t, s, first)
	if j := create(t, s, appserver.Job{ID: "late", Once: once}); j.ID != first || j.State != appserver.Done {
		t.Errorf("found %+v", j)
	}
	// A key is forgotten after its time, or with its job.
	if err := s.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	once.For = 50 * time.Millisecond
	if j := create(t, s, appserver.Job{ID: "new", Once: once}); j.ID != "new" {
		t.Errorf("found %+v", j)
	}
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if j := create(t, s, appserver.Job{ID: "newer", Once: once}); j.ID == "newer" {
			break
		}
		if time.Since(start) > 10*time.Second {
			t.Fatal("the key is never forgotten")
		}
	}
	if n := jobs(); n != 4 {
		t.Errorf("there are %d jobs, want 4", n)
	}
}

// A scheduled job can be moved until it starts.
func testReschedule(t *testing.T, s appserver.Store) {
	put(t, s, record("a"))
	at := func(d time.Duration) time.Time { return time.Now().Add(d).UTC().Truncate(time.Millisecond) }
	for i, d := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
		create(t, s, appserver.Job{ID: fmt.Sprint(i), Due: at(d)})
	}
	create(t, s, appserver.Job{ID: "now"})
	ids := func(list []appserver.Job, err error) (out []string) {
		t.Helper()
		for _, j := range must[[]appserver.Job](t)(list, err) {
			out = append(out, j.ID)
		}
		return out
	}
	if got := ids(s.Scheduled(t.Context(), 10)); !reflect.DeepEqual(got, []string{"1", "2", "0"}) {
		t.Errorf("scheduled are %v", got)
	}
	if got := ids(s.Scheduled(t.Context(), 2)); !reflect.DeepEqual(got, []string{"1", "2"}) {
		t.Errorf("the first two are %v", got)
	}
	due := at(90 * time.Minute)
	if err := s.Reschedule(t.Context(), "0", due); err != nil {
		t.Fatal(err)
	}
	if j := findJob(t, s, "0"); !j.Due.Equal(due) || j.State != appserver.Scheduled {
		t.Errorf("the job is %+v", j)
	}
	if got := ids(s.Scheduled(t.Context(), 10)); !reflect.DeepEqual(got, []string{"1", "0", "2"}) {
		t.Errorf("scheduled are %v", got)
	}
	noPart(t, s, "0", appserver.ErrNoPart)
	if err := s.Reschedule(t.Context(), "0", time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := ids(s.Unfinished(t.Context(), 10)); !reflect.DeepEqual(got, []string{"0", "now"}) {
		t.Errorf("due are %v", got)
	}
	if j := findJob(t, s, "0"); time.Since(j.Due) > time.Minute || j.Due.IsZero() {
		t.Errorf("a job that was moved to the past is due at %v", j.Due)
	}
	claim(t, s, "0")
	for id, want := range map[string]error{"0": appserver.ErrFinished, "now": appserver.ErrFinished, "none": appserver.ErrNotFound} {
		if err := s.Reschedule(t.Context(), id, due); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", id, err, want)
		}
	}
	if err := s.SetState(t.Context(), "1", appserver.Canceled, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.Reschedule(t.Context(), "1", due); !errors.Is(err, appserver.ErrFinished) {
		t.Errorf("a canceled job was moved: %v", err)
	}
}

// cancelable stores five subscriptions. outcomes returns a batch with deliveries to all of
// them, of which four can be withdrawn until a time.
func cancelable(t *testing.T, s appserver.Store) (all []appserver.Record, outcomes func(until time.Time) appserver.Batch) {
	for i := range 5 {
		all = append(all, put(t, s, record(fmt.Sprint(i))))
	}
	return all, func(until time.Time) appserver.Batch {
		b := appserver.Batch{Step: 1, Cursor: 5}
		for i, r := range all {
			o := appserver.Outcome{Record: r, Class: webpush.ClassDelivered, Status: 201}
			if i < 4 {
				o.Location, o.LocationUntil = locationOf(r), until
			}
			b.Outcomes = append(b.Outcomes, o)
		}
		return b
	}
}

func locationOf(r appserver.Record) string { return r.Origin + "/m/" + r.ID }

// cancelableMessage is the message of a job that can be withdrawn.
var cancelableMessage = appserver.JobMessage{TTL: time.Hour, Cancelable: true}

func withdraw(t *testing.T, s appserver.Store, limit int) []appserver.Location {
	t.Helper()
	return must[[]appserver.Location](t)(s.ClaimLocations(t.Context(), limit, time.Hour))
}

func cancel(t *testing.T, s appserver.Store, id string) {
	t.Helper()
	if err := s.SetState(t.Context(), id, appserver.Canceled, ""); err != nil {
		t.Fatal(err)
	}
}

// The messages of a job that is done can be withdrawn after the job is canceled, and each
// is counted once.
func testWithdraw(t *testing.T, s appserver.Store) {
	all, outcomes := cancelable(t, s)
	create(t, s, appserver.Job{ID: "j", Message: cancelableMessage})
	commit(t, s, "j", outcomes(time.Now().Add(time.Hour)))
	finish(t, s, "j")
	if j := findJob(t, s, "j"); j.Kept != 4 || !j.Message.Cancelable || j.Withdrawn != 0 || j.NotWithdrawn != 0 {
		t.Errorf("the job is %+v", j)
	}
	if list := withdraw(t, s, 10); len(list) != 0 {
		t.Errorf("a job that is not canceled has messages to withdraw: %+v", list)
	}
	cancel(t, s, "j")
	if j := findJob(t, s, "j"); j.State != appserver.Canceled {
		t.Errorf("the job is %s", j.State)
	}
	if err := s.SetState(t.Context(), "j", appserver.Canceled, ""); !errors.Is(err, appserver.ErrFinished) {
		t.Errorf("canceled twice: %v", err)
	}
	found := make(map[string]appserver.Location)
	for _, l := range append(withdraw(t, s, 3), withdraw(t, s, 3)...) {
		found[l.URL] = l
	}
	if list := withdraw(t, s, 3); len(found) != 4 || len(list) != 0 {
		t.Fatalf("found %+v, then %+v", found, list)
	}
	var done []appserver.Withdrawal
	for _, r := range all[:4] {
		l := found[locationOf(r)]
		if l.JobID != "j" || l.Seq != r.Seq || l.Service != r.Service || l.Origin != r.Origin {
			t.Errorf("the location is %+v", l)
		}
		done = append(done, appserver.Withdrawal{JobID: "j", Seq: l.Seq, OK: l.Seq != 2})
	}
	for range 2 { // the second time, nothing is there
		if err := s.Withdrawn(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	if j := findJob(t, s, "j"); j.Kept != 0 || j.Withdrawn != 3 || j.NotWithdrawn != 1 {
		t.Errorf("the job is %+v", j)
	}
	withdraw(t, s, 3) // nothing is left
}

// Messages that are accepted after the job was canceled can be withdrawn. Expired ones
// cannot, and are removed.
func testWithdrawLate(t *testing.T, s appserver.Store) {
	_, outcomes := cancelable(t, s)
	create(t, s, appserver.Job{ID: "late", Message: cancelableMessage})
	p := claim(t, s, "late")
	cancel(t, s, "late")
	must[appserver.Committed](t)(s.CommitPart(t.Context(), p, outcomes(time.Now().Add(time.Hour))))
	if list := withdraw(t, s, 10); len(list) != 4 {
		t.Errorf("found %+v", list)
	}
	create(t, s, appserver.Job{ID: "old", Message: cancelableMessage})
	commit(t, s, "old", outcomes(time.Now().Add(-time.Second)))
	finish(t, s, "old")
	if err := s.SetState(t.Context(), "old", appserver.Canceled, ""); !errors.Is(err, appserver.ErrFinished) || findJob(t, s, "old").Kept != 0 {
		t.Errorf("canceled after its messages have expired: %v", err)
	}
	if err := s.Prune(t.Context(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	findJob(t, s, "old")
}

// A job that is read while its messages are withdrawn has each of them in one number.
func testWithdrawRead(t *testing.T, s appserver.Store) {
	const n = 300
	many(t, s, n, nil)
	create(t, s, appserver.Job{ID: "j", Message: cancelableMessage})
	b := appserver.Batch{Cursor: n}
	for _, r := range must[[]appserver.Record](t)(s.List(t.Context(), appserver.Filter{}, 0, 0, n)) {
		b.Outcomes = append(b.Outcomes, appserver.Outcome{Record: r, Class: webpush.ClassDelivered, Status: 201, Location: locationOf(r), LocationUntil: time.Now().Add(time.Hour)})
	}
	commit(t, s, "j", b)
	cancel(t, s, "j")
	var withdrawing sync.WaitGroup
	withdrawing.Go(func() {
		for _, l := range withdraw(t, s, n) {
			if err := s.Withdrawn(t.Context(), []appserver.Withdrawal{{JobID: "j", Seq: l.Seq, OK: true}}); err != nil {
				t.Error(err)
			}
		}
	})
	for {
		j := findJob(t, s, "j")
		if j.Kept+j.Withdrawn != n {
			t.Errorf("%d messages can be withdrawn and %d were withdrawn, of %d", j.Kept, j.Withdrawn, n)
			break
		}
		if j.Withdrawn == n {
			break
		}
	}
	withdrawing.Wait()
}

// Reports increase the numbers of their job, up to its total.
func testReport(t *testing.T, s appserver.Store) {
	for i := range 3 {
		put(t, s, record(fmt.Sprint(i)))
	}
	if j := create(t, s, appserver.Job{ID: "a", Track: "ta"}); j.Track != "ta" || findJob(t, s, "a").Track != "ta" {
		t.Errorf("created %+v", j)
	}
	create(t, s, appserver.Job{ID: "b", Track: "tb"})
	create(t, s, appserver.Job{ID: "untracked"})
	create(t, s, appserver.Job{ID: "untracked too"})
	report := func(reports map[string]appserver.Reports, want appserver.Reports) {
		t.Helper()
		if got := must[appserver.Reports](t)(s.Report(t.Context(), reports)); got != want {
			t.Errorf("added %+v, want %+v", got, want)
		}
	}
	report(map[string]appserver.Reports{"ta": {Shown: 2, Clicked: 1}, "none": {Shown: 5}, "": {Shown: 5}}, appserver.Reports{Shown: 2, Clicked: 1})
	report(map[string]appserver.Reports{"ta": {Shown: 5, Closed: 1}, "tb": {Closed: 1}}, appserver.Reports{Shown: 1, Closed: 2})
	for id, want := range map[string]appserver.Reports{"a": {Shown: 3, Clicked: 1, Closed: 1}, "b": {Closed: 1}, "untracked": {}} {
		if got := findJob(t, s, id).Reports; got != want {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := s.Report(t.Context(), map[string]appserver.Reports{"ta": {Clicked: 1}, "tb": {Clicked: 1}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if a, b := findJob(t, s, "a").Reports, findJob(t, s, "b").Reports; a.Clicked != 3 || b.Clicked != 3 {
		t.Errorf("the reports are %+v and %+v", a, b)
	}
}

// With GoneAfter, one response that a subscription is gone does not remove it.
func testGoneAfter(t *testing.T, s appserver.Store) {
	names := []string{"once", "again", "back", "changed", "now"}
	for _, name := range names {
		put(t, s, record(name))
	}
	job := 0
	send := func(classes map[string]webpush.Class, after time.Duration) int {
		t.Helper()
		job++
		id := fmt.Sprint(job)
		create(t, s, appserver.Job{ID: id})
		var out []appserver.Outcome
		for _, name := range names {
			if class := classes[name]; class != "" {
				out = append(out, appserver.Outcome{Record: find(t, s, record(name).Endpoint), Class: class, GoneAfter: after})
			}
		}
		removed := commit(t, s, id, appserver.Batch{Cursor: 10, Outcomes: out})
		finish(t, s, id)
		if n := findJob(t, s, id).Counts[webpush.Mozilla][webpush.ClassGone]; classes["once"] == webpush.ClassGone && n == 0 {
			t.Error("the messages are not counted as gone")
		}
		return removed
	}
	all := map[string]webpush.Class{"once": webpush.ClassGone, "again": webpush.ClassGone, "back": webpush.ClassGone, "changed": webpush.ClassGone}
	if n := send(all, time.Hour); n != 0 {
		t.Errorf("%d were removed after one response", n)
	}
	first := find(t, s, record("again").Endpoint)
	if time.Since(first.GoneSince) > time.Minute || first.GoneSince.IsZero() {
		t.Errorf("the record is %+v", first)
	}
	if n := send(all, time.Hour); n != 0 {
		t.Errorf("%d were removed after two responses at once", n)
	}
	if again := find(t, s, record("again").Endpoint); !again.GoneSince.Equal(first.GoneSince) {
		t.Errorf("the time changed from %v to %v", first.GoneSince, again.GoneSince)
	}
	send(map[string]webpush.Class{"back": webpush.ClassDelivered, "once": webpush.ClassTemporary}, time.Hour)
	r := record("changed")
	r.Auth = "new"
	put(t, s, r)
	for name, want := range map[string]bool{"once": false, "again": false, "back": true, "changed": true, "now": true} {
		if got := find(t, s, record(name).Endpoint).GoneSince.IsZero(); got != want {
			t.Errorf("%s: it is recorded as gone: %v", name, !got)
		}
	}
	time.Sleep(30 * time.Millisecond)
	if n := send(map[string]webpush.Class{"again": webpush.ClassGone, "back": webpush.ClassGone, "changed": webpush.ClassGone}, 20*time.Millisecond); n != 1 {
		t.Errorf("%d were removed, want 1", n)
	}
	absent(t, s, record("again").Endpoint)
	if n := send(map[string]webpush.Class{"now": webpush.ClassGone}, 0); n != 1 {
		t.Errorf("%d were removed, want 1", n)
	}
	absent(t, s, record("now").Endpoint)
	back := find(t, s, record("back").Endpoint)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{time.Hour, false}, {0, true}, {0, false}} {
		if removed, err := s.Gone(t.Context(), back, c.after); err != nil || removed != c.want {
			t.Errorf("Gone after %v: %v, %v", c.after, removed, err)
		}
	}
	old := find(t, s, record("changed").Endpoint)
	old.Version--
	if removed, err := s.Gone(t.Context(), old, 0); err != nil || removed {
		t.Errorf("a record that has changed was removed: %v, %v", removed, err)
	}
}
