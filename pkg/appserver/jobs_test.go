package appserver_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// contextOf returns a context that ends with the test, or when it hangs.
func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 5*time.Minute)
}

// fill stores n subscriptions at the sink, /0 and so on.
func (f *fixture) fill(s *sink, n int) {
	f.t.Helper()
	var all sync.WaitGroup
	next := make(chan int)
	for range 64 {
		all.Go(func() {
			for i := range next {
				if _, _, err := f.store.Put(f.t.Context(), appserver.Record{Endpoint: fmt.Sprintf("%s/%d", s.URL, i), P256DH: p256dh, Auth: auth, Service: webpush.Other, Origin: s.URL}); err != nil {
					f.t.Error(err)
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

func TestPush(t *testing.T) {
	t.Parallel()
	sink := newSink(t, func(path string, n int) int {
		switch path {
		case "/gone", "/missing":
			return map[string]int{"/gone": 410, "/missing": 404}[path]
		case "/refused":
			return 403
		}
		return 201
	})
	f := newFixture(t, nil)
	for _, name := range []string{"/a", "/b", "/gone", "/missing", "/refused"} {
		f.want(201, "POST", "/subscription", subscription(sink.URL+name, `"tags":["`+name[1:]+`"]`, `"user":"u`+name[1:2]+`"`))
	}
	id := f.push(`{"notification":{"title":"T","url":"https://example.com/","data":{"n":1}},"ttl":60,"urgency":"low","topic":"t"}`)
	if v := f.want(200, "GET", "/push/"+id, "").json(t); v["state"] != "queued" || v["total"] != float64(5) || at(v, "to", "all") != true {
		t.Errorf("queued: %v", v)
	}
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/later"))
	f.run()
	v := f.finished(id)
	if v["state"] != "done" || v["done"] != float64(5) || at(v, "counts", "delivered") != float64(2) || at(v, "counts", "gone") != float64(2) || at(v, "counts", "rejected") != float64(1) ||
		at(v, "services", "other", "gone") != float64(2) || v["started"] == nil || v["finished"] == nil || at(v, "message", "ttl") != float64(60) {
		t.Errorf("done: %v", v)
	}
	if n := sink.count("/later"); n != 0 {
		t.Error("who came later got the message")
	}
	for name, want := range map[string]bool{"/a": true, "/gone": false, "/missing": false, "/refused": true} {
		if _, err := f.store.Find(t.Context(), sink.URL+name); (err == nil) != want {
			t.Errorf("%s is there: %v", name, err)
		}
	}
	list := f.want(200, "GET", "/push/"+id+"?results=rejected", "").json(t)["results"].([]any)
	if len(list) != 1 || at(list[0], "status") != float64(403) || at(list[0], "origin") != sink.URL || strings.Contains(fmt.Sprint(list), "/refused") {
		t.Errorf("the results are %v", list)
	}
	if v := f.want(200, "GET", "/push/"+id+"?results=temporary", "").json(t); len(v["results"].([]any)) != 0 {
		t.Errorf("temporary: %v", v)
	}
	f.want(400, "GET", "/push/"+id+"?results=gone", "")
	f.want(200, "GET", "/push/"+id+"?results=expired", "")
	if v := f.want(200, "GET", "/subscriptions?tag=a", "").json(t); at(v["subscriptions"].([]any)[0], "lastStatus") != float64(201) {
		t.Errorf("listed %v", v)
	}

	// To some.
	for body, want := range map[string]string{`{"to":{"tag":"a"}}`: "/a", `{"to":{"user":"ub"},"payload":{"any":["json"]}}`: "/b", `{"to":{"tag":"none"},"payload":""}`: ""} {
		before, _ := sink.all()
		v := f.finished(f.push(body))
		after, _ := sink.all()
		wanted := 0
		if want != "" {
			wanted = 1
		}
		if after-before != wanted || v["total"] != float64(wanted) || wanted > 0 && sink.count(want) < 2 {
			t.Errorf("%s: %d more requests, %v", body, after-before, v)
		}
	}
	if jobs := f.want(200, "GET", "/push?limit=4", "").json(t); len(jobs["jobs"].([]any)) != 4 || jobs["next"] != nil {
		t.Errorf("the last page, which is full: %v", jobs)
	}
	if v := f.want(200, "GET", "/push/"+id+"?results=rejected&limit=1", "").json(t); len(v["results"].([]any)) != 1 || v["next"] != nil {
		t.Errorf("the last page of results, which is full: %v", v)
	}
	jobs := f.want(200, "GET", "/push?limit=3", "").json(t)
	if len(jobs["jobs"].([]any)) != 3 || jobs["next"] == nil {
		t.Errorf("the jobs are %v", jobs)
	}
	if jobs := f.want(200, "GET", "/push?before="+jobs["next"].(string), "").json(t)["jobs"].([]any); len(jobs) != 1 || at(jobs[0], "id") != id {
		t.Errorf("the older jobs are %v", jobs)
	}
}

// TestStop: requests in flight are finished, and the next start sends the rest. No
// subscription is skipped or sent to twice.
func TestStop(t *testing.T) {
	t.Parallel()
	var (
		reached = make(chan struct{})
		once    sync.Once
		total   atomic.Int64
	)
	sink := newSink(t, func(path string, n int) int {
		if total.Add(1) == 700 {
			once.Do(func() { close(reached) })
		}
		if n == 0 && strings.HasSuffix(path, "00") { // is waiting to be tried again when it stops
			return 503
		}
		return 201
	})
	const all = 2000
	f := newFixture(t, func(o *appserver.Options) { o.Bulk.Concurrency = 32 })
	f.fill(sink, all)
	stop := f.run()
	id := f.push(`{"payload":"x"}`)
	<-reached
	stop()
	j, err := f.store.FindJob(t.Context(), id)
	if err != nil || j.State != appserver.Running || j.Counts[webpush.Other][webpush.ClassDelivered] < 600 || j.Counts[webpush.Other][webpush.ClassDelivered] == all {
		t.Fatalf("stopped at %+v, %v", j, err)
	}
	if n := j.Counts[webpush.Other][webpush.ClassTemporary]; n != 0 {
		t.Errorf("%d were given up", n)
	}
	// Event streams are closed with the server, not with the job.
	f.server.Close()
	if list := f.events(id); len(list) != 1 || list[0].name != "progress" {
		t.Errorf("events of a closed server: %v", list)
	}

	g := newFixture(t, func(o *appserver.Options) { o.Store = f.store })
	g.run()
	if v := g.finished(id); v["state"] != "done" || at(v, "counts", "delivered") != float64(all) {
		t.Errorf("ended as %v", v)
	}
	for i := range all {
		want := 1
		if i%100 == 0 && i > 0 {
			want = 2
		}
		if n := sink.count(fmt.Sprintf("/%d", i)); n != want {
			t.Errorf("/%d got %d messages, want %d", i, n, want)
		}
	}
}

// TestChangeMeanwhile: a subscription that is replaced while a message to it is in flight is
// neither removed because of the response to the old one nor skipped.
func TestChangeMeanwhile(t *testing.T) {
	t.Parallel()
	var f *fixture
	var sink *sink
	sink = newSink(t, func(path string, n int) int {
		switch {
		case path == "/old":
			f.want(200, "POST", "/subscription/change", `{"old":{"endpoint":"`+sink.URL+`/old"},"new":`+subscription(sink.URL+"/new")+`}`)
			return 410
		case path == "/again" && n == 0: // the browser subscribed anew and has the same endpoint
			f.want(200, "POST", "/subscription", strings.Replace(subscription(sink.URL+"/again"), auth, "AAAAAAAAAAAAAAAAAAAAAA", 1))
			return 410
		case path == "/newer": // was posted before it was said what it replaces
			return 201
		case path == "/older":
			f.want(201, "POST", "/subscription", subscription(sink.URL+"/newer"))
			f.want(200, "POST", "/subscription/change", `{"old":{"endpoint":"`+sink.URL+`/older"},"new":`+subscription(sink.URL+"/newer")+`}`)
			return 404
		}
		return 201
	})
	f = newFixture(t, nil)
	for _, name := range []string{"/old", "/again", "/older"} {
		f.want(201, "POST", "/subscription", subscription(sink.URL+name))
	}
	f.run()
	v := f.finished(f.push(`{"payload":"x"}`))
	if v["state"] != "done" || at(v, "counts", "delivered") != float64(3) || at(v, "counts", "gone") != nil {
		t.Errorf("ended as %v", v)
	}
	for path, want := range map[string]int{"/old": 1, "/new": 1, "/again": 2, "/older": 1, "/newer": 1} {
		if n := sink.count(path); n != want {
			t.Errorf("%s got %d messages, want %d", path, n, want)
		}
	}
	if list, err := f.store.List(t.Context(), appserver.Filter{}, 0, 0, 10); err != nil || len(list) != 3 {
		t.Errorf("%d are left, %v", len(list), err)
	}
}

func TestCancelAndQueue(t *testing.T) {
	t.Parallel()
	hold, entered := make(chan struct{}), make(chan struct{}, 100)
	release := sync.OnceFunc(func() { close(hold) })
	defer release()
	sink := newSink(t, func(path string, n int) int {
		entered <- struct{}{}
		<-hold
		return 201
	})
	f := newFixture(t, func(o *appserver.Options) { o.Jobs, o.Bulk.Concurrency = 1, 4 })
	f.fill(sink, 50)
	f.run()
	first := f.push(`{"payload":"x"}`)
	for range 4 {
		<-entered
	}
	second := f.push(`{"payload":"y","to":{"tag":"none"}}`)
	third := f.push(`{"payload":"z"}`)
	if v := f.want(200, "GET", "/push/"+second, "").json(t); v["state"] != "queued" {
		t.Errorf("the second is %v", v["state"])
	}
	f.want(409, "POST", "/push/"+first+"/retry", "")
	if v := f.want(200, "DELETE", "/push/"+third, "").json(t); v["state"] != "canceled" || v["started"] != nil {
		t.Errorf("the third is %v", v)
	}
	if v := f.want(200, "DELETE", "/push/"+first, "").json(t); v["state"] != "canceled" {
		t.Errorf("the first is %v", v)
	}
	f.want(409, "DELETE", "/push/"+first, "")
	f.want(409, "POST", "/push/"+first+"/retry", "")
	release()
	if v := f.finished(second); v["state"] != "done" {
		t.Errorf("the second is %v", v)
	}
	if n, most := sink.all(); n > 8 || most != 1 {
		t.Errorf("after it was canceled %d messages were sent in all", n)
	}
	if v := f.finished(first); v["state"] != "canceled" {
		t.Errorf("the first is %v", v)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	var up atomic.Bool
	busy := newSink(t, func(path string, n int) int {
		if path == "/1" && !up.Load() {
			return 429
		}
		return 201
	})
	f := newFixture(t, nil)
	f.fill(busy, 1)
	if _, _, err := f.store.Put(t.Context(), appserver.Record{Endpoint: busy.URL + "/1", P256DH: p256dh, Auth: auth, Service: webpush.Other, Origin: busy.URL}); err != nil {
		t.Fatal(err)
	}
	f.run()
	id := f.push(`{"payload":"x"}`)
	if v := f.finished(id); at(v, "counts", "temporary") != float64(1) || at(v, "counts", "delivered") != float64(1) {
		t.Fatalf("the job is %v", v)
	}
	up.Store(true)
	f.want(202, "POST", "/push/"+id+"/retry", "")
	if v := f.finished(id); v["state"] != "done" || at(v, "counts", "delivered") != float64(2) || at(v, "counts", "temporary") != nil {
		t.Errorf("after the retry the job is %v", v)
	}
	if a, b := busy.count("/0"), busy.count("/1"); a != 1 || b != 2 {
		t.Errorf("sent %d and %d times, want 1 and 2", a, b)
	}
	if v := f.want(202, "POST", "/push/"+id+"/retry", "").json(t); v["state"] != "done" {
		t.Errorf("nothing to retry: %v", v)
	}
}

// TestEvents: a stream starts with the current state, continues with updates, and ends with
// the job. Heartbeats are comments.
func TestEvents(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	sink := newSink(t, func(path string, n int) int {
		<-hold
		return 201
	})
	f := newFixture(t, nil)
	f.fill(sink, 500)
	f.run()
	id := f.push(`{"payload":"x"}`)
	ctx, cancel := contextOf(t)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", f.http.URL+"/push/"+id+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var names []string
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			if names = append(names, v); len(names) == 1 {
				close(hold)
			}
		}
	}
	if len(names) < 2 || names[0] != "progress" || names[len(names)-1] != "end" || len(names) > 20 {
		t.Errorf("the events are %v", names)
	}
	if r := f.want(200, "HEAD", "/push/"+id+"/events", ""); len(r.text) != 0 {
		t.Errorf("HEAD has a body: %q", r.text)
	}
}

// faultyStore fails when its counters reach zero.
type faultyStore struct {
	appserver.Store
	commit, list, state atomic.Int64 // fails when it comes down to 0, and after that while it is negative
}

var errDisk = errors.New("the disk is full")

func fails(n *atomic.Int64) bool { return n.Add(-1) < 0 }

func (s *faultyStore) CommitPart(ctx context.Context, p appserver.Part, b appserver.Batch) (appserver.Committed, error) {
	if fails(&s.commit) {
		return appserver.Committed{}, errDisk
	}
	return s.Store.CommitPart(ctx, p, b)
}

func (s *faultyStore) List(ctx context.Context, f appserver.Filter, after, upTo int64, limit int) ([]appserver.Record, error) {
	if fails(&s.list) {
		return nil, errDisk
	}
	return s.Store.List(ctx, f, after, upTo, limit)
}

func (s *faultyStore) SetState(ctx context.Context, id string, to appserver.State, problem string) error {
	if to != appserver.Running && fails(&s.state) {
		return errDisk
	}
	return s.Store.SetState(ctx, id, to, problem)
}

// TestStoreFails: a push fails if nothing can be recorded or read, and continues on request.
// If not even the failure can be recorded, its messages are not sent repeatedly.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	const all, concurrency, plenty = 3000, 16, 1 << 40
	for _, what := range []string{"commit", "list", "all"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			sink := newSink(t, nil)
			store := new(faultyStore)
			f := newFixture(t, func(o *appserver.Options) {
				o.Bulk.Concurrency = concurrency
				store.Store = o.Store
				o.Store = store
			})
			f.fill(sink, all)
			for _, n := range []*atomic.Int64{&store.commit, &store.list, &store.state} {
				n.Store(plenty)
			}
			switch what {
			case "commit":
				store.commit.Store(20)
			case "list":
				store.list.Store(3)
			case "all":
				store.commit.Store(20)
				store.state.Store(0)
			}
			f.server.SetLease(300 * time.Millisecond) // of what cannot be given back
			stop := f.run()
			id := f.push(`{"payload":"x"}`)
			until(t, "the failure is logged", func() bool { return strings.Contains(f.log.String(), errDisk.Error()) })
			if what == "all" {
				until(t, "it is given up", func() bool { return strings.Contains(f.log.String(), "the failure of the push cannot be recorded") })
				before, _ := sink.all()
				f.want(202, "POST", "/push", `{"payload":"x","to":{"tag":"none"}}`) // lets it look for jobs
				time.Sleep(100 * time.Millisecond)
				if after, _ := sink.all(); after != before {
					t.Errorf("it has sent %d more messages", after-before)
				}
				if strings.Count(f.log.String(), "push started") > 2 {
					t.Errorf("it is tried again and again:\n%s", f.log)
				}
				stop()
				for _, n := range []*atomic.Int64{&store.commit, &store.list, &store.state} {
					n.Store(plenty)
				}
				f = newFixture(t, func(o *appserver.Options) { o.Store = store })
				f.server.SetLease(time.Second)
				f.run()
			} else {
				v := f.finished(id)
				if v["state"] != "failed" || v["problem"] == nil || strings.Contains(fmt.Sprint(v), "disk") {
					t.Errorf("it ended as %v", v)
				}
				store.commit.Store(plenty)
				store.list.Store(plenty)
				f.want(202, "POST", "/push/"+id+"/retry", "")
			}
			if v := f.finished(id); v["state"] != "done" || at(v, "counts", "delivered") != float64(all) {
				t.Errorf("it went on to %v", v)
			}
			total, most := sink.all()
			if total < all || total > all+concurrency || most > 2 {
				t.Errorf("%d messages were sent, %d to one at most", total, most)
			}
			for i := range all {
				if sink.count(fmt.Sprint("/", i)) == 0 {
					t.Errorf("/%d was skipped", i)
				}
			}
		})
	}
}
