package queue

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// engine is a NATS server in this process.
type engine struct {
	tb   testing.TB
	o    server.Options
	s    *server.Server
	addr string
}

func startEngine(tb testing.TB) *engine {
	tb.Helper()
	e := &engine{tb: tb, o: server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: tb.TempDir(), NoSigs: true, NoLog: true}}
	e.start()
	tb.Cleanup(func() { e.stop() })
	return e
}

func (e *engine) start() {
	e.tb.Helper()
	s, err := server.NewServer(&e.o)
	if err != nil {
		e.tb.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		e.tb.Fatal("the server does not start")
	}
	e.s, e.addr = s, s.ClientURL()
	if e.o.Port == -1 {
		fmt.Sscanf(e.addr[strings.LastIndex(e.addr, ":")+1:], "%d", &e.o.Port)
	}
}

func (e *engine) stop() {
	e.s.Shutdown()
	e.s.WaitForShutdown()
}

func (e *engine) queue(c Config) *Queue {
	e.tb.Helper()
	q, err := Dial(e.tb.Context(), e.addr, DialOptions{}, c)
	if err != nil {
		e.tb.Fatal(err)
	}
	e.tb.Cleanup(q.Close)
	return q
}

// sink is a push service that counts the requests for each path.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	counts map[string]int
	ttls   map[string]string
	answer func(w http.ResponseWriter, path string, n int) bool // reports whether it responded
}

func newSink(tb testing.TB) *sink {
	s := &sink{counts: make(map[string]int), ttls: make(map[string]string)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.counts[r.URL.Path]++
		s.ttls[r.URL.Path] = r.Header.Get("TTL")
		n, answer := s.counts[r.URL.Path], s.answer
		s.mu.Unlock()
		if answer == nil || !answer(w, r.URL.Path, n) {
			w.WriteHeader(http.StatusCreated)
		}
	}))
	tb.Cleanup(s.Close)
	return s
}

func (s *sink) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[path]
}

func (s *sink) ttl(path string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ttls[path]
}

// twice counts the paths that were asked more than once, and all.
func (s *sink) twice() (more, all int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.counts {
		if n > 1 {
			more++
		}
	}
	return more, len(s.counts)
}

func testClient(tb testing.TB) *webpush.Client {
	tb.Helper()
	key, err := vapid.GenerateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return &webpush.Client{Key: key, Claims: vapid.Claims{Subject: "mailto:a@example.com"}}
}

var testIdentity = sync.OnceValue(func() *ece.Identity {
	id, err := ece.GenerateIdentity()
	if err != nil {
		panic(err)
	}
	return id
})

func subscription(endpoint string) string {
	r := testIdentity().Recipient()
	return fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}}`, endpoint, base64.RawURLEncoding.EncodeToString(r.P256DH()), base64.RawURLEncoding.EncodeToString(r.Auth()))
}

// records yields the lines as records of an input.
func records(lines ...string) iter.Seq2[*bulk.Record, error] {
	r, err := bulk.Open(bulk.Source{Name: "subs.ndjson", Stream: strings.NewReader(strings.Join(lines, "\n"))})
	if err != nil {
		panic(err)
	}
	return r.Records(context.Background())
}

// work runs a worker until the test ends or the returned function is called.
func work(tb testing.TB, q *Queue, o WorkerOptions) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	if o.Client == nil {
		o.Client = testClient(tb)
	}
	go func() { done <- q.Work(ctx, o) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					tb.Errorf("the worker failed: %v", err)
				}
			case <-time.After(40 * time.Second):
				tb.Error("the worker does not stop")
			}
		})
	}
	tb.Cleanup(stop)
	return stop
}

// follow reads the results of a run that is complete, until all are there.
func follow(tb testing.TB, q *Queue, run string) []Result {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 60*time.Second)
	defer cancel()
	var list []Result
	for r, err := range q.Results(ctx, ResultsOptions{Run: run, Follow: true}) {
		if err != nil {
			tb.Fatalf("results of %s, after %d: %v", run, len(list), err)
		}
		list = append(list, r)
	}
	return list
}

func enqueue(tb testing.TB, q *Queue, o EnqueueOptions, lines ...string) *EnqueueProgress {
	tb.Helper()
	o.Progress = new(EnqueueProgress)
	if err := q.Enqueue(tb.Context(), records(lines...), o); err != nil {
		tb.Fatal(err)
	}
	return o.Progress
}

func payload(text string) webpush.Message { return webpush.Message{Payload: []byte(text)} }

func TestQueueSends(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	s.answer = func(w http.ResponseWriter, path string, n int) bool {
		switch path {
		case "/gone":
			w.WriteHeader(410)
		case "/rejected":
			w.WriteHeader(400)
		default:
			return false
		}
		return true
	}
	lines := []string{
		fmt.Sprintf(`{"id": 7, "subscription": %s}`, subscription(s.URL+"/a")),
		subscription(s.URL + "/b"),
		subscription(s.URL + "/gone"),
		subscription(s.URL + "/rejected"),
		`{"endpoint": "not a URL"}`,
		`[1, 2]`,
		fmt.Sprintf(`{"id": "z", "ttl": 0, "subscription": %s}`, subscription(s.URL+"/now")),
	}
	p := enqueue(t, q, EnqueueOptions{Run: "first", Message: payload("hi")}, lines...)
	if p.Enqueued.Load() != 7 || p.Duplicates.Load() != 0 {
		t.Errorf("%d enqueued, %d duplicates", p.Enqueued.Load(), p.Duplicates.Load())
	}
	p = enqueue(t, q, EnqueueOptions{Run: "first", Message: payload("hi")}, lines...)
	if p.Enqueued.Load() != 7 || p.Duplicates.Load() != 7 {
		t.Errorf("repeated: %d enqueued, %d duplicates", p.Enqueued.Load(), p.Duplicates.Load())
	}
	stop := work(t, q, WorkerOptions{})
	results := follow(t, q, "first")
	stop()
	classes := make(map[int64]webpush.Class)
	for _, r := range results {
		if _, again := classes[r.Index]; again {
			t.Errorf("record %d has two results", r.Index)
		}
		classes[r.Index] = r.Class
		if r.Index == 0 && (string(r.ID) != "7" || r.File != "subs.ndjson" || r.Line != 1 || r.Status != 201 || r.EndpointHash == "" || r.Endpoint != "") {
			t.Errorf("the first result is %+v", r)
		}
		if (r.Record != nil) != (r.Class == webpush.ClassGone) {
			t.Errorf("the %s record %d has the record %s", r.Class, r.Index, r.Record)
		}
		if r.Class == webpush.ClassGone && string(r.Record) != lines[2] {
			t.Errorf("gone is %s, expected %s", r.Record, lines[2])
		}
	}
	want := map[int64]webpush.Class{0: "delivered", 1: "delivered", 2: "gone", 3: "rejected", 4: "invalid", 5: "invalid", 6: "delivered"}
	if fmt.Sprint(classes) != fmt.Sprint(want) {
		t.Errorf("the classes are %v, expected %v", classes, want)
	}
	if more, all := s.twice(); more != 0 || all != 5 {
		t.Errorf("%d of %d subscriptions were sent to more than once", more, all)
	}
	if got := s.ttl("/now"); got != "0" {
		t.Errorf("TTL 0 was sent as %s", got)
	}
	for _, lane := range mustStatus(t, q) {
		if lane.Waiting+lane.Taken != 0 || lane.Age != 0 {
			t.Errorf("the stream is not empty: %+v", lane)
		}
	}
}

func mustStatus(t *testing.T, q *Queue) []LaneStatus {
	t.Helper()
	list, err := q.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// What another program publishes is sent; what is not a record has a result and is
// not delivered again.
func TestOtherPublishers(t *testing.T) {
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	now := time.Now().UTC()
	publish := func(body string, header nats.Header) {
		if _, err := q.js.PublishMsg(t.Context(), &nats.Msg{Subject: sendPrefix + "other", Data: []byte(body), Header: header}); err != nil {
			t.Fatal(err)
		}
	}
	at := func(path string) string {
		return `{"subscription":` + subscription(s.URL+path) + `,"payload":{"a":1},"ttl":`
	}
	publish(at("/plain")+`60}`, nil)
	publish(at("/late")+`60}`, nats.Header{HeaderExpires: {now.Add(-time.Second).Format(time.RFC3339)}})
	publish(at("/half")+`7200}`, nats.Header{HeaderExpires: {now.Add(time.Hour).Format(time.RFC3339)}})
	publish(at("/now")+`0}`, nats.Header{HeaderExpires: {now.Add(-time.Second).Format(time.RFC3339)}})
	publish(at("/bad")+`60}`, nats.Header{HeaderExpires: {"tomorrow"}})
	publish(at("/badrun")+`60}`, nats.Header{HeaderRun: {"a.b"}})
	publish("\xff\x00", nil)
	publish("", nil)
	stop := work(t, q, WorkerOptions{})
	got := make(map[uint64]webpush.Class)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for r, err := range q.Results(ctx, ResultsOptions{Run: Unnamed, Follow: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Sequence] = r.Class
		if r.Sequence == 5 && !strings.Contains(r.Reason, `Webpush-Expires is "tomorrow"`) {
			t.Errorf("the reason is %q", r.Reason)
		}
		if len(got) == 8 {
			break
		}
	}
	stop()
	want := map[uint64]webpush.Class{1: "delivered", 2: "expired", 3: "delivered", 4: "delivered", 5: "invalid", 6: "invalid", 7: "invalid", 8: "invalid"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the classes are %v, expected %v", got, want)
	}
	if ttl, err := strconv.Atoi(s.ttl("/half")); err != nil || ttl > 3600 || ttl < 3000 { // however slow this machine is
		t.Errorf("after half of its time, the TTL is %d, %v", ttl, err)
	}
	if s.ttl("/now") != "0" || s.count("/late") != 0 {
		t.Errorf("TTL 0 was sent as %q, and the late message %d times", s.ttl("/now"), s.count("/late"))
	}
}

// A temporary failure comes back later, and keeps no other message.
func TestTemporary(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	s.answer = func(w http.ResponseWriter, path string, n int) bool {
		if path == "/later" && n < 4 {
			w.WriteHeader(503)
			return true
		}
		return false
	}
	enqueue(t, q, EnqueueOptions{Run: "r", Message: payload("hi")}, subscription(s.URL+"/later"), subscription(s.URL+"/a"), subscription(s.URL+"/b"))
	client := testClient(t)
	client.Attempts = 1
	defer work(t, q, WorkerOptions{Client: client, retryWait: 50 * time.Millisecond})()
	results := follow(t, q, "r")
	if len(results) != 3 || results[2].Index != 0 || results[2].Class != webpush.ClassDelivered || s.count("/later") != 4 {
		t.Errorf("the results are %+v, after %d requests", results, s.count("/later"))
	}
}

// When the time for retries has passed, the result is temporary.
func TestTemporaryForGood(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	s.answer = func(w http.ResponseWriter, path string, n int) bool { w.WriteHeader(503); return true }
	enqueue(t, q, EnqueueOptions{Run: "r", Message: payload("hi")}, subscription(s.URL+"/never"))
	client := testClient(t)
	client.Attempts = 1
	defer work(t, q, WorkerOptions{Client: client, RetryFor: time.Nanosecond, retryWait: time.Millisecond})()
	results := follow(t, q, "r")
	if len(results) != 1 || results[0].Class != webpush.ClassTemporary || results[0].Status != 503 || s.count("/never") != minAttempts {
		t.Errorf("the results are %+v, after %d requests", results, s.count("/never"))
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	enqueue(t, q, EnqueueOptions{Run: "stay", Message: payload("hi")}, subscription(s.URL+"/a"))
	enqueue(t, q, EnqueueOptions{Run: "go", Message: payload("hi")}, subscription(s.URL+"/b"), subscription(s.URL+"/c"))
	if err := q.Cancel(t.Context(), "go"); err != nil {
		t.Fatal(err)
	}
	if err := q.Enqueue(t.Context(), records(subscription(s.URL+"/d")), EnqueueOptions{Run: "go"}); err == nil || err.Error() != `the run "go" was canceled` {
		t.Errorf("enqueueing into a canceled run: %v", err)
	}
	defer work(t, q, WorkerOptions{})()
	for _, r := range follow(t, q, "go") {
		if r.Class != webpush.ClassSkipped || !strings.Contains(r.Reason, "canceled") {
			t.Errorf("a canceled message is %+v", r)
		}
	}
	if r := follow(t, q, "stay"); len(r) != 1 || r[0].Class != webpush.ClassDelivered || s.count("/b")+s.count("/c") != 0 {
		t.Errorf("%+v, and %d canceled messages were sent", r, s.count("/b")+s.count("/c"))
	}
}

// Streams and consumers that differ are refused, with what differs.
func TestDifferentStream(t *testing.T) {
	e := startEngine(t)
	e.queue(Config{MaxAge: time.Hour})
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, ""},
		{Config{MaxAge: time.Hour}, ""},
		{Config{MaxAge: 2 * time.Hour}, "the stream WEBPUSH_SEND exists and differs: maximum age is 1h0m0s, expected 2h0m0s"},
		{Config{MaxBytes: 5}, "the stream WEBPUSH_SEND exists and differs: maximum size in bytes is -1, expected 5"},
		{Config{DuplicateWindow: time.Minute}, "the stream WEBPUSH_SEND exists and differs: duplicate window is 1h0m0s, expected 1m0s"},
		{Config{Replicas: 3}, "the stream WEBPUSH_SEND exists and differs: replicas is 1, expected 3"},
		{Config{AckWait: time.Minute}, "the time to acknowledge is 1m0s, expected at most 15s"},
	} {
		q, err := Dial(t.Context(), e.addr, DialOptions{}, c.config)
		if q != nil {
			q.Close()
		}
		if got := fmt.Sprint(err); c.want == "" && err != nil || c.want != "" && got != c.want {
			t.Errorf("%+v: %v, expected %q", c.config, err, c.want)
		}
	}
	q := e.queue(Config{})
	if _, err := q.consumer(t.Context(), "fcm"); err != nil {
		t.Fatal(err)
	}
	q = e.queue(Config{AckWait: 3 * time.Second})
	err := q.Work(t.Context(), WorkerOptions{Client: testClient(t), Lanes: []string{"fcm"}})
	if err == nil || err.Error() != "the consumer webpush-fcm exists and differs: time to acknowledge is 15s, expected 3s" {
		t.Errorf("another consumer: %v", err)
	}
}

// A server that restarts, and a connection that is broken, lose nothing, and
// nothing is sent twice that was not in flight.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{AckWait: 3 * time.Second})
	const n = 3000
	lines := make([]string, n)
	for i := range lines {
		lines[i] = subscription(fmt.Sprintf("%s/%d", s.URL, i))
	}
	enqueue(t, q, EnqueueOptions{Run: "r", Message: payload("hi")}, lines...)
	o := WorkerOptions{}
	o.Send.Concurrency, o.Send.Rates.PerOrigin = 50, 1000
	defer work(t, q, o)()
	for range 2 {
		reached := len(lines) / 4
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if _, all := s.twice(); all >= reached {
				break
			}
		}
		e.stop()
		e.start()
	}
	results := follow(t, q, "r")
	more, all := s.twice()
	if len(results) != n || all != n || more > 2*50 {
		t.Errorf("%d results; %d of %d were sent, %d more than once", len(results), all, n, more)
	}
}

func TestEnqueueJournal(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{DuplicateWindow: 100 * time.Millisecond})
	name := filepath.Join(t.TempDir(), "journal")
	pass := func(lines ...string) *EnqueueProgress {
		return enqueue(t, q, EnqueueOptions{Run: "r", Message: payload("hi"), Journal: name}, lines...)
	}
	a, b, c := subscription(s.URL+"/a"), subscription(s.URL+"/b"), subscription(s.URL+"/c")
	if p := pass(a, b); p.Enqueued.Load() != 2 {
		t.Errorf("%d enqueued", p.Enqueued.Load())
	}
	time.Sleep(300 * time.Millisecond)
	p := pass(a, b, c)
	if p.Enqueued.Load() != 1 || p.Skipped.Load() != 2 {
		t.Errorf("repeated: %d enqueued, %d skipped", p.Enqueued.Load(), p.Skipped.Load())
	}
	if lines := p.Lines(); len(lines) != 2 || !strings.HasPrefix(lines[0], "enqueued 1 record in ") || lines[1] != "2 records were enqueued in earlier runs of "+name {
		t.Errorf("the lines are %q", lines)
	}
	if b, err := json.Marshal(p); err != nil || !strings.HasPrefix(string(b), `{"duplicates":0,"enqueued":1,"finishedBefore":2,"refused":0,"run":"r","seconds":`) {
		t.Errorf("%s, %v", b, err)
	}
	defer work(t, q, WorkerOptions{})()
	if r := follow(t, q, "r"); len(r) != 3 {
		t.Errorf("%d results", len(r))
	}
}

// Secrets of an address and of files are in no error.
func TestDialErrors(t *testing.T) {
	dir := t.TempDir()
	seed := filepath.Join(dir, "seed")
	if err := os.WriteFile(seed, []byte("SECRETSEED"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address string
		o       DialOptions
		want    string
	}{
		{"nats://user:SECRET@127.0.0.1:1", DialOptions{}, "no connection to nats://127.0.0.1:1"},
		{"SECRET@127.0.0.1:1", DialOptions{}, "no connection to nats://127.0.0.1:1"},
		{"nats://us%er:SECRET@127.0.0.1:1", DialOptions{}, "the address of the NATS server is not a URL"},
		{"http://SECRET@127.0.0.1:1", DialOptions{}, `the address of the NATS server has the scheme "http"`},
		{"nats://", DialOptions{}, "the address of the NATS server is not a URL"},
		{"127.0.0.1:1", DialOptions{NKey: seed}, "does not contain the seed of an nkey"},
		{"127.0.0.1:1", DialOptions{Creds: seed + "x"}, "no connection"},
		{"127.0.0.1:1", DialOptions{CAFile: seed}, "has no certificate in PEM"},
		{"tls://127.0.0.1:1", DialOptions{CertFile: seed, KeyFile: seed}, "are not a certificate and its private key in PEM"},
	} {
		_, err := Dial(t.Context(), c.address, c.o, Config{})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%+v: %v, expected %q", c.o, err, c.want)
		}
	}
}

// Push services that ask to wait or do not respond do not delay others in their lane.
func TestOthersGoOn(t *testing.T) {
	t.Parallel()
	e, refusing, silent, well := startEngine(t), newSink(t), newSink(t), newSink(t)
	q := e.queue(Config{})
	refusing.answer = func(w http.ResponseWriter, path string, n int) bool {
		w.Header().Set("Retry-After", "100")
		w.WriteHeader(429)
		return true
	}
	end := make(chan struct{})
	defer close(end)
	silent.answer = func(http.ResponseWriter, string, int) bool { <-end; return true }
	var lines []string
	for i := range 1500 { // more than a worker receives of the lane
		lines = append(lines, subscription(fmt.Sprintf("%s/%d", refusing.URL, i)), subscription(fmt.Sprintf("%s/%d", silent.URL, i)))
	}
	for i := range 100 {
		lines = append(lines, subscription(fmt.Sprintf("%s/%d", well.URL, i)))
	}
	enqueue(t, q, EnqueueOptions{Run: "r", Message: payload("hi")}, lines...)
	client := testClient(t)
	client.Timeout = time.Minute
	o := WorkerOptions{Client: client, stuckAfter: 500 * time.Millisecond}
	o.Send.Concurrency = 64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- q.Work(ctx, o) }()
	all := 0
	for deadline := time.Now().Add(45 * time.Second); all < 100 && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		_, all = well.twice()
	}
	if _, asked := refusing.twice(); all < 100 || asked > 200 {
		t.Errorf("%d of 100 messages were sent while others wait; the service that asks to wait was asked %d times", all, asked)
	}
	cancel()
	for range 64 { // the requests in flight to the silent service
		select {
		case end <- struct{}{}:
		case err := <-done:
			done <- err
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestCheckMessage asserts which messages no record can have.
func TestCheckMessage(t *testing.T) {
	for want, m := range map[string]webpush.Message{
		"":                         {Payload: make([]byte, 3993), Urgency: webpush.High, Topic: "t", TTL: new(time.Hour)},
		"are not kept in a record": {Payload: []byte("hi"), Pad: 256},
		"at most 3993":             {Payload: make([]byte, 3994)},
		"not UTF-8":                {Payload: []byte{0xff}},
	} {
		err := CheckMessage(&m)
		if (err != nil) != (want != "") || err != nil && (!strings.Contains(err.Error(), want) || err.(*Error).Hint() == "") {
			t.Errorf("%v, expected %q", err, want)
		}
	}
}

// TestWorkerOptions asserts that a worker refuses options that contradict its task.
func TestWorkerOptions(t *testing.T) {
	for _, o := range []WorkerOptions{{Lanes: []string{"nowhere"}}, {Send: webpush.BulkOptions{MaxFailures: 1}}} {
		if err := new(Queue).Work(t.Context(), o); !errors.As(err, new(*Error)) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
