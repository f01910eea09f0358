package pushservice_test

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/waittest"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/pushservice/sqlite"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// TestMain runs a push service in a child process; see startChild.
func TestMain(m *testing.M) {
	options := os.Getenv("PUSHSERVICE_TEST_SERVE")
	if options == "" {
		os.Exit(waittest.Run(m))
	}
	var o childOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		panic(err)
	}
	so := pushservice.ServerOptions{Addr: o.Addr, TLS: len(o.Authority) > 0, AuthorityPEM: o.Authority, Chromium: o.Chromium, Options: pushservice.Options{
		Origin: o.Origin, MaxMessages: 100_000, MaxSubscriptions: 100_000,
	}}
	if o.Dir != "" {
		storage, err := sqlite.Open(o.Dir)
		if err != nil {
			panic(err)
		}
		so.Storage = storage
	}
	server, err := pushservice.Start(so)
	if err != nil {
		panic(err)
	}
	fmt.Println(server.URL)
	// Until this process or its parent is killed.
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := server.Close(); err != nil {
		panic(err)
	}
}

type childOptions struct {
	Dir, Addr, Origin string // without Dir everything is in memory
	Authority         []byte // for TLS
	Chromium          *pushservice.ChromiumOptions
}

// child is a push service in a child process.
type child struct {
	url   string
	c     *exec.Cmd
	stdin io.Closer
}

func startChild(t testing.TB, o childOptions) *child {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "PUSHSERVICE_TEST_SERVE="+string(b))
	c.Stderr = os.Stderr
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the child has not started: %v", err)
	}
	return &child{strings.TrimSpace(line), c, stdin}
}

// kill sends SIGKILL.
func (c *child) kill() {
	_ = c.c.Process.Kill()
	_ = c.c.Wait()
}

func open(t testing.TB, dir string, o pushservice.Options) *pushservice.Service {
	t.Helper()
	storage, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pushservice.Open(storage, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func closeService(t testing.TB, s *pushservice.Service) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestOpen: all stored data is restored.
func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?#%", "data")
	s := open(t, dir, pushservice.Options{MaxSubscriptions: 4})
	key := generateKey(t)
	restricted, plain, ended := subscribe(t, s, key.PublicKey()), subscribe(t, s, vapid.PublicKey{}), subscribe(t, s, vapid.PublicKey{})
	body := aes128gcmBody(t, 4096, point(t), 17)
	for _, header := range [][]string{{"Topic", "news"}, {"Topic", "news", "Urgency", "high"}, {"TTL", "86400"}, {"TTL", "0"}, {"Topic", "other"}} {
		r := request(plain.Path, body)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		if w := do(s, r); w.Code != 201 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}
	legacy := request(plain.Path, make([]byte, 40))
	legacy.Header.Set("Content-Encoding", "aesgcm")
	legacy.Header.Set("Encryption", `salt="`+encode(make([]byte, 16))+`"`)
	legacy.Header.Set("Crypto-Key", "dh="+encode(point(t)))
	if w := do(s, legacy); w.Code != 201 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	acknowledged := send(t, s, plain.Path)
	call(t, s, "DELETE", "/m/"+acknowledged, "", 204)
	lost := send(t, s, ended.Path)
	if err := s.Unsubscribe(ended.ID); err != nil {
		t.Fatal(err)
	}
	// SQLite must not create a file for memory that processes share: on a full
	// disk, the service could not start.
	if _, err := os.Stat(filepath.Join(dir, "push-service.db-shm")); err == nil {
		t.Error("the database is open for others")
	}
	wantSubs, want := s.Subscriptions(), receive(t, s, plain.ID, 0)
	if len(wantSubs) != 2 || len(want) != 4 {
		t.Fatalf("%d subscriptions, %d messages", len(wantSubs), len(want))
	}
	closeService(t, s)
	closeService(t, s)
	wantError(t, do(s, request(plain.Path, nil)), 503, 201, "Storage failed: the push service stops")

	s = open(t, dir, pushservice.Options{MaxSubscriptions: 4})
	if got := s.Subscriptions(); !slices.Equal(got, wantSubs) {
		t.Errorf("subscriptions are\n%+v, want\n%+v", got, wantSubs)
	}
	got := receive(t, s, plain.ID, 0)
	if a, b := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); a != b {
		t.Errorf("messages are\n%s, want\n%s", a, b)
	}
	for _, id := range []string{acknowledged, lost} {
		call(t, s, "DELETE", "/m/"+id, "", 404)
	}
	wantError(t, do(s, request(ended.Path, nil)), 410, 106, "No such subscription: it has expired")
	if w := do(s, request(restricted.Path, nil)); w.Code != 401 {
		t.Errorf("status %d without a token", w.Code)
	}
	// The numbers continue, including the numbers of messages that were not kept.
	id := send(t, s, plain.Path)
	list := receive(t, s, plain.ID, 0)
	if last := list[len(list)-1]; last.ID != id || last.Seq != 8 {
		t.Errorf("the next message is %q with seq %d, want %q with 8", last.ID, last.Seq, id)
	}
	// Expired subscriptions are forgotten eventually, as without a storage.
	for range 4 {
		if err := s.Unsubscribe(subscribe(t, s, vapid.PublicKey{}).ID); err != nil {
			t.Fatal(err)
		}
	}
	closeService(t, s)
	s = open(t, dir, pushservice.Options{MaxSubscriptions: 4})
	wantError(t, do(s, request(ended.Path, nil)), 404, 102, "Invalid token: no subscription has this endpoint")

	if runtime.GOOS == "windows" {
		return
	}
	closeService(t, s)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s is %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

// TestOpenAgent: a user agent keeps its uaid, receives messages that it has not
// acknowledged, and keeps the channels that it has not unregistered.
func TestOpenAgent(t *testing.T) {
	const one, two, three = "11111111-2222-3333-4444-555555555555", "21111111-2222-3333-4444-555555555555", "31111111-2222-3333-4444-555555555555"
	dir := t.TempDir()
	s := open(t, dir, pushservice.Options{})
	b := connect(t, listen(t, s))
	uaid := b.hello("")
	key := generateKey(t).PublicKey()
	path := func(endpoint string) string { return endpoint[strings.Index(endpoint, "/wpush/"):] }
	first, second, third := path(b.register(one, vapid.PublicKey{})), path(b.register(two, key)), path(b.register(three, vapid.PublicKey{}))
	if got := call(t, s, "GET", "/api/subscriptions", "", 200); !strings.Contains(got, `"waiting":1,"channelID":"`+one+`"}`) {
		t.Errorf("subscriptions are %s", got)
	}
	acknowledged, kept := send(t, s, first), ""
	b.ack(b.notification(), 100)
	b.say(`{"messageType":"unregister","channelID":"` + three + `","code":200}`)
	if m := b.hear(); m["status"] != 200.0 {
		t.Errorf("unregister was answered with %v", m)
	}
	kept = send(t, s, first)
	if m := b.notification(); m["version"] != kept {
		t.Errorf("heard %v", m)
	}
	b.ws.CloseRead(t.Context()) // completes the closing handshake
	closeService(t, s)

	s = open(t, dir, pushservice.Options{})
	b = connect(t, listen(t, s))
	if id := b.hello(uaid); id != uaid {
		t.Fatalf("the user agent is %s, was %s", id, uaid)
	}
	if m := b.notification(); m["version"] != kept || m["channelID"] != one {
		t.Errorf("heard %v, want %s, and not %s", m, kept, acknowledged)
	}
	b.quiet()
	if got := path(b.register(two, key)); got != second {
		t.Errorf("the endpoint is %s, was %s", got, second)
	}
	wantError(t, do(s, request(third, nil)), 410, 106, "No such subscription: it has expired")
}

// TestKilledAgent: after the push service is killed, it does not resend a message
// that was acknowledged by WebSocket before a later response of the service.
func TestKilledAgent(t *testing.T) {
	t.Parallel()
	const channel = "11111111-2222-3333-4444-555555555555"
	o := childOptions{Dir: t.TempDir(), Origin: "http://127.0.0.1:1"}
	c := startChild(t, o)
	b := connect(t, c.url)
	uaid := b.hello("")
	path := strings.TrimPrefix(b.register(channel, vapid.PublicKey{}), o.Origin)
	next := ""
	for round := range 20 {
		r := request(path, nil)
		r.URL, _ = r.URL.Parse(c.url + path)
		r.RequestURI = ""
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if readAll(t, answer); answer.StatusCode != 201 {
			t.Fatalf("status %d", answer.StatusCode)
		}
		m := b.notification()
		if next != "" && m["version"] != next {
			t.Fatalf("round %d: heard %v, want the one before, %s", round, m, next)
		}
		if round%2 == 0 { // received and not acknowledged
			next = m["version"].(string)
		} else {
			b.ack(m, 100)
			last := b.notification()
			b.ack(last, 100)
			b.quiet()
			next = ""
		}
		c.kill()
		c = startChild(t, o)
		b = connect(t, c.url)
		if id := b.hello(uaid); id != uaid {
			t.Fatalf("the user agent is %s, was %s", id, uaid)
		}
		if next == "" {
			b.quiet()
		}
	}
}

// TestOpenReceipts: receipts survive a restart, and a message that expires in the
// meantime has one.
func TestOpenReceipts(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pushservice.Options{})
	sub := subscribe(t, s, vapid.PublicKey{})
	link := ""
	post := func(ttl string) string {
		r := request(sub.Path, nil)
		r.Header.Set("Prefer", "respond-async")
		r.Header.Set("TTL", ttl)
		if link != "" {
			r.Header.Set("Link", link)
		}
		w := do(s, r)
		if w.Code != 202 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		link = w.Header().Get("Link")
		return strings.TrimPrefix(w.Header().Get("Location"), origin)
	}
	acknowledged := post("60")
	call(t, s, "DELETE", acknowledged, "", 204)
	late, ended := post("60"), post("1")
	closeService(t, s)
	age(t, dir)

	s = open(t, dir, pushservice.Options{})
	path, _, _ := strings.Cut(strings.TrimPrefix(link, "<"+origin), ">")
	call(t, s, "DELETE", late, "", 204)
	want := `{"receipts":[{"seq":1,"message":"` + acknowledged + `","status":204},{"seq":2,"message":"` + ended +
		`","status":410},{"seq":3,"message":"` + late + `","status":204}]}`
	if got := call(t, s, "GET", path, "", 200); got != want {
		t.Errorf("receipts are\n%s, want\n%s", got, want)
	}
	closeService(t, s)
	s = open(t, dir, pushservice.Options{})
	if got := call(t, s, "GET", path, "", 200); got != want {
		t.Errorf("once more receipts are\n%s, want\n%s", got, want)
	}
	id := strings.TrimPrefix(post("60"), "/m/") // its Link is good still

	// It is forgotten after 30 days without a receipt, or after the service's maximum TTL if
	// that is longer.
	later := func(maxTTL time.Duration) {
		closeService(t, s)
		execute(t, database(t, dir), "UPDATE receipt_subscriptions SET used = used - 31 * 86400000")
		s = open(t, dir, pushservice.Options{MaxTTL: maxTTL})
	}
	later(time.Hour)
	call(t, s, "GET", path+"?after=3", "", 200) // a message waits
	call(t, s, "DELETE", "/m/"+id, "", 204)
	later(60 * 24 * time.Hour)
	call(t, s, "GET", path, "", 200)
	later(60 * 24 * time.Hour)
	call(t, s, "GET", path, "", 404)
}

// database runs one statement on the file of a closed service.
func database(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "push-service.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t testing.TB, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.Exec(query); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
}

// age makes messages with a TTL of 1 two seconds older.
func age(t testing.TB, dir string) {
	execute(t, database(t, dir), "UPDATE messages SET expires = expires - 2000 WHERE ttl = 1")
}

// TestOpenExpired: expired messages are removed from the file, at the start and
// while the service runs.
func TestOpenExpired(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pushservice.Options{})
	sub := subscribe(t, s, vapid.PublicKey{})
	send(t, s, sub.Path, "TTL", "1")
	closeService(t, s)
	age(t, dir)
	s = open(t, dir, pushservice.Options{})
	closeService(t, s)
	rows := func() (n int) {
		db := database(t, dir)
		defer db.Close()
		if err := db.QueryRow("SELECT count(*) FROM messages").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := rows(); n != 0 {
		t.Errorf("%d messages after the start", n)
	}
	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir, pushservice.Options{})
		send(t, s, sub.Path, "TTL", "1")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if n := rows(); n != 0 {
		t.Errorf("%d messages after two minutes", n)
	}
}

// TestOpenProblems: unusable files are reported and left unchanged.
func TestOpenProblems(t *testing.T) {
	garbage := func(dir string) {
		if err := os.WriteFile(filepath.Join(dir, "push-service.db"), []byte(strings.Repeat("garbage ", 4096)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(t *testing.T, dir string) {
		s := open(t, dir, pushservice.Options{})
		sub := subscribe(t, s, vapid.PublicKey{})
		for range 20 {
			if w := do(s, request(sub.Path, aes128gcmBody(t, 4096, point(t), 4010))); w.Code != 201 {
				t.Fatal(w.Code)
			}
		}
		closeService(t, s)
	}
	for name, c := range map[string]struct {
		prepare    func(t *testing.T, dir string)
		text, hint string
	}{
		"garbage": {func(t *testing.T, dir string) { garbage(dir) }, "it is damaged: ", "move it away"},
		"cut off": {func(t *testing.T, dir string) {
			fill(t, dir)
			if err := os.Truncate(filepath.Join(dir, "push-service.db"), 40_000); err != nil {
				t.Fatal(err)
			}
		}, "it is damaged: ", "move it away"},
		"zeros in the middle": {func(t *testing.T, dir string) {
			fill(t, dir)
			f, err := os.OpenFile(filepath.Join(dir, "push-service.db"), os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(make([]byte, 20_000), 20_000); err != nil {
				t.Fatal(err)
			}
			_ = f.Close()
		}, "it is damaged: ", "move it away"},
		"a key that is none": {func(t *testing.T, dir string) {
			fill(t, dir)
			execute(t, database(t, dir), "UPDATE subscriptions SET key = x'04'")
		}, "it is damaged: an application server key: it has 1 bytes, expected 65", "move it away"},
		"another program's": {func(t *testing.T, dir string) {
			execute(t, database(t, dir), "CREATE TABLE songs (title TEXT)")
		}, "it is the database of another program", "use another directory"},
		"newer": {func(t *testing.T, dir string) {
			fill(t, dir)
			execute(t, database(t, dir), "PRAGMA user_version = 99")
		}, "it was written by a newer version: its schema is 99, but this version supports 1", "use the newer version, or use another directory"},
		"in use": {func(t *testing.T, dir string) { open(t, dir, pushservice.Options{}) },
			"another push service uses it", "stop that one, or use another directory"},
		"in use by another process": {func(t *testing.T, dir string) { startChild(t, childOptions{Dir: dir}) },
			"another push service uses it", "stop that one, or use another directory"},
		"in use through a symbolic link": {func(t *testing.T, dir string) {
			other := t.TempDir()
			if err := os.Symlink(filepath.Join(other, "push-service.db"), filepath.Join(dir, "push-service.db")); err != nil {
				t.Skip(err)
			}
			open(t, other, pushservice.Options{})
		}, "another push service uses it", "stop that one, or use another directory"},
		"two names": {func(t *testing.T, dir string) {
			fill(t, dir)
			if err := os.Link(filepath.Join(dir, "push-service.db"), filepath.Join(t.TempDir(), "push-service.db")); err != nil {
				t.Skip(err)
			}
		}, "the file has 2 names (hard links), expected one", "remove the other names"},
		"a folder in its place": {func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "push-service.db"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "is a directory", "use a directory that you can write to"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.prepare(t, dir)
			storage, err := sqlite.Open(dir)
			if err == nil {
				var s *pushservice.Service
				if s, err = pushservice.Open(storage, pushservice.Options{}); err == nil {
					_ = s.Close()
				}
			}
			var e *sqlite.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.text) || !strings.Contains(e.Hint(), c.hint) || !strings.HasPrefix(e.Path, dir) {
				t.Errorf("error is %v, %+v", err, e)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(file); err == nil || !strings.Contains(err.Error(), file+": ") {
		t.Errorf("a file for a folder: %v", err)
	}
	// Start closes the storage if it fails.
	dir := t.TempDir()
	for name, o := range map[string]pushservice.ServerOptions{
		"a port that does not exist": {Addr: "127.0.0.1:99999"},
		"an unknown personality":     {Options: pushservice.Options{As: "unknown"}},
	} {
		storage, err := sqlite.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		o.Storage = storage
		if _, err := pushservice.Start(o); err == nil {
			t.Errorf("it starts with %s", name)
		}
	}
	open(t, dir, pushservice.Options{})
}

// TestKilled repeatedly kills a push service while messages are sent and
// acknowledged: accepted messages are delivered, and acknowledged messages are not
// sent again.
func TestKilled(t *testing.T) {
	t.Parallel()
	const rounds, senders = 6, 8
	dir := t.TempDir()
	o := childOptions{Dir: dir, Origin: "http://127.0.0.1:1"}
	var (
		mu         sync.Mutex
		accepted   = make(map[string]bool) // the ids of messages that were answered with 201
		done       = make(map[string]bool) // that were acknowledged, answered with 204
		asked      = make(map[string]bool) // that may be
		subs       []string                // paths
		subIDs     []string
		enoughLeft int
		enough     chan struct{}
	)
	for round := range rounds {
		c := startChild(t, o)
		enough = make(chan struct{})
		enoughLeft = 1 + rand.IntN(300)
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
		post := func(method, path string) (*http.Response, []byte) {
			r, err := http.NewRequest(method, c.url+path, nil)
			if err != nil {
				t.Error(err)
				return nil, nil
			}
			r.Header.Set("TTL", "600")
			answer, err := client.Do(r)
			if err != nil {
				return nil, nil // it was killed
			}
			defer answer.Body.Close()
			b, err := io.ReadAll(answer.Body)
			if err != nil {
				return nil, nil
			}
			return answer, b
		}
		var wg sync.WaitGroup
		for range senders {
			wg.Go(func() {
				answer, b := post("POST", "/api/subscriptions")
				if answer == nil {
					return
				}
				var sub struct{ ID, Endpoint string }
				if err := json.Unmarshal(b, &sub); err != nil || answer.StatusCode != 201 {
					t.Errorf("subscribing: %d %s", answer.StatusCode, b)
					return
				}
				path := strings.TrimPrefix(sub.Endpoint, o.Origin)
				mu.Lock()
				subs, subIDs = append(subs, path), append(subIDs, sub.ID)
				mu.Unlock()
				for i := 0; ; i++ {
					mu.Lock()
					target := subs[rand.IntN(len(subs))]
					mu.Unlock()
					answer, b := post("POST", target)
					if answer == nil {
						return
					}
					if answer.StatusCode != 201 {
						t.Errorf("status %d: %s", answer.StatusCode, b)
						return
					}
					id := answer.Header.Get("Location")[strings.LastIndex(answer.Header.Get("Location"), "/")+1:]
					mu.Lock()
					accepted[id] = true
					if enoughLeft--; enoughLeft == 0 {
						close(enough)
					}
					asked[id] = asked[id] || i%3 == 0
					mu.Unlock()
					if i%3 != 0 {
						continue
					}
					if answer, b = post("DELETE", "/m/"+id); answer == nil {
						return
					}
					if answer.StatusCode != 204 {
						t.Errorf("acknowledging: %d %s", answer.StatusCode, b)
						return
					}
					mu.Lock()
					done[id] = true
					mu.Unlock()
				}
			})
		}
		<-enough
		c.kill()
		wg.Wait()
		client.CloseIdleConnections()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}

	s := open(t, dir, pushservice.Options{})
	there := make(map[string]bool)
	for _, id := range subIDs {
		list, err := s.Messages(context.Background(), id, 0, 0)
		if err != nil {
			t.Errorf("a subscription is lost: %v", err)
		}
		seq := uint64(0)
		for _, m := range list {
			if there[m.ID] || m.Seq <= seq {
				t.Errorf("message %s is there twice, or out of order", m.ID)
			}
			there[m.ID], seq = true, m.Seq
		}
	}
	for id := range accepted {
		if !there[id] && !asked[id] {
			t.Errorf("message %s was accepted and is lost", id)
		}
		if there[id] && done[id] {
			t.Errorf("message %s was acknowledged and is there again", id)
		}
	}
	t.Logf("%d kills, %d messages accepted, %d acknowledged, %d there", rounds, len(accepted), len(done), len(there))
}
