package appserver_test

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	token  = "a-token-for-tests-only"
	p256dh = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	auth   = "BTBZMqHH6r4Tts7J_aSIgg"
)

// sink is a push service that takes everything but what answer says.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	counts map[string]int
	answer func(path string, n int) int // called with the number of requests before
}

func newSink(t testing.TB, answer func(path string, n int) int) *sink {
	s := &sink{counts: make(map[string]int), answer: answer}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// newBubbleSink is newSink for [newBubbleFixture].
func newBubbleSink(answer func(path string, n int) int) *sink {
	return &sink{Server: &httptest.Server{URL: "https://push.example.net"}, counts: make(map[string]int), answer: answer}
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	n := s.counts[r.URL.Path]
	s.counts[r.URL.Path]++
	s.mu.Unlock()
	status := http.StatusCreated
	if s.answer != nil {
		status = s.answer(r.URL.Path, n)
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "3600") // longer than anybody waits
	}
	w.WriteHeader(status)
}

// direct passes requests to a handler without a connection, for tests in bubbles of
// synctest, in which time passes at once.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "127.0.0.1:1", cmp.Or(r.Host, r.URL.Host)
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, in)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// all returns how many requests there were, and how often a path was asked at most.
func (s *sink) all() (total, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.counts {
		total, most = total+n, max(most, n)
	}
	return total, most
}

func (s *sink) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[path]
}

// fixture is a server with a store of its own, and a client that checks each
// answer against the server's OpenAPI document.
type fixture struct {
	t      testing.TB
	key    *vapid.Key
	store  appserver.Store
	server *appserver.Server
	http   *httptest.Server
	via    http.RoundTripper // to http
	log    *lockedBuffer
	api    map[string]any
	mu     sync.Mutex // a sink may ask, too
	schema *jsonschema.Compiler
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newFixture(t testing.TB, change func(*appserver.Options)) *fixture {
	t.Helper()
	f := newServer(t, change)
	f.http, f.via = httptest.NewServer(f.server), http.DefaultTransport
	t.Cleanup(func() {
		f.server.Close()
		f.http.Close()
	})
	f.readAPI()
	return f
}

// newBubbleFixture is newFixture for a test in a bubble of synctest, with the only push
// service.
func newBubbleFixture(t testing.TB, sink http.Handler, change func(*appserver.Options)) *fixture {
	t.Helper()
	f := newServer(t, func(o *appserver.Options) {
		o.HTTP = doer(direct{sink}.RoundTrip)
		if change != nil {
			change(o)
		}
	})
	f.http, f.via = &httptest.Server{URL: "http://127.0.0.1:1"}, direct{f.server}
	t.Cleanup(f.server.Close)
	f.readAPI()
	return f
}

// newServer returns a fixture whose server is not reachable yet.
func newServer(t testing.TB, change func(*appserver.Options)) *fixture {
	t.Helper()
	f := &fixture{t: t, log: new(lockedBuffer)}
	var err error
	if f.key, err = vapid.GenerateKey(); err != nil {
		t.Fatal(err)
	}
	if f.store, err = sqlite.Open(filepath.Join(t.TempDir(), "webpush.db")); err != nil {
		t.Fatal(err)
	}
	own := f.store
	t.Cleanup(func() { _ = own.Close() })
	o := appserver.Options{Store: f.store, Key: f.key, Subject: "mailto:ops@example.com", Token: token, AllowPrivate: true, ClientRate: -1,
		Log: slog.New(slog.NewTextHandler(f.log, nil))}
	if change != nil {
		change(&o)
	}
	f.store = o.Store
	if f.server, err = appserver.New(o); err != nil {
		t.Fatal(err)
	}
	return f
}

// readAPI reads the server's OpenAPI document.
func (f *fixture) readAPI() {
	f.t.Helper()
	r, err := http.NewRequest("GET", f.http.URL+"/openapi.json", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	answer, err := f.via.RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	doc, err := jsonschema.UnmarshalJSON(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	f.api = doc.(map[string]any)
	f.schema = jsonschema.NewCompiler()
	f.schema.DefaultDraft(jsonschema.Draft2020)
	f.schema.AssertFormat()
	if err := f.schema.AddResource("openapi.json", map[string]any{"paths": f.api["paths"], "components": f.api["components"]}); err != nil {
		f.t.Fatal(err)
	}
}

// run sends jobs until the test ends, or stop is called.
func (f *fixture) run() (stop func()) {
	ctx, cancel := contextOf(f.t)
	ended := make(chan error, 1)
	go func() { ended <- f.server.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			f.t.Errorf("Run: %v", err)
		}
	})
	f.t.Cleanup(stop)
	return stop
}

// reply is an answer.
type reply struct {
	*http.Response
	text []byte
}

func (r *reply) json(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(r.text, &v); err != nil {
		t.Fatalf("%s: %v", r.text, err)
	}
	return v
}

// do makes a request; header has names and values in turn. Without an
// Authorization header, the token is sent.
func (f *fixture) do(method, path, body string, header ...string) *reply {
	f.t.Helper()
	r, err := http.NewRequest(method, f.http.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		if header[i+1] == "" {
			r.Header.Del(header[i])
		} else {
			r.Header.Set(header[i], header[i+1])
		}
	}
	answer, err := f.via.RoundTrip(r) // no redirect
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	out := &reply{answer, text}
	f.check(method, path, body, out)
	return out
}

// raw is do for responses that the document does not describe.
func (f *fixture) raw(method, path string, header ...string) *reply {
	f.t.Helper()
	r, err := http.NewRequest(method, f.http.URL+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	answer, err := f.via.RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return &reply{answer, text}
}

// want is do with a status that is expected.
func (f *fixture) want(status int, method, path, body string, header ...string) *reply {
	f.t.Helper()
	r := f.do(method, path, body, header...)
	if r.StatusCode != status {
		f.t.Errorf("%s %s %s: %d %s, want %d", method, path, body, r.StatusCode, r.text, status)
	}
	return r
}

// pointer makes a JSON pointer.
func pointer(parts ...string) string {
	out := "openapi.json#"
	for _, p := range parts {
		out += "/" + strings.ReplaceAll(strings.ReplaceAll(p, "~", "~0"), "/", "~1")
	}
	return out
}

func at(v any, parts ...string) any {
	for _, p := range parts {
		m, _ := v.(map[string]any)
		v = m[p]
	}
	return v
}

// check validates an answer, and the request that it accepted.
func (f *fixture) check(method, path, body string, r *reply) {
	f.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	template := "/"
	for p := range f.api["paths"].(map[string]any) {
		got, want := strings.Split(path, "/"), strings.Split(p, "/")
		if len(got) == len(want) && (p == path || strings.Contains(p, "{id}") && got[1] == want[1] && (len(got) < 4 || got[3] == want[3])) {
			template = p
		}
	}
	method = strings.ToLower(strings.Replace(method, http.MethodHead, http.MethodGet, 1))
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if r.Header.Get("X-Content-Type-Options") != "nosniff" || r.Header.Get("Content-Security-Policy") == "" {
		f.t.Errorf("%s %s has the headers %v", method, path, r.Header)
	}
	if r.StatusCode >= 400 {
		f.validate(pointer("components", "schemas", "Problem"), r.text)
		if v := r.json(f.t); kind != "application/problem+json" || v["status"] != float64(r.StatusCode) {
			f.t.Errorf("%s %s: %s, %s", method, path, kind, r.text)
		}
		if r.StatusCode == http.StatusMethodNotAllowed || at(f.api, "paths", template, method) == nil || template == "/" && path != "/" {
			return
		}
	}
	if method == "options" {
		return
	}
	parts := []string{"paths", template, method, "responses", fmt.Sprint(r.StatusCode)}
	said := at(f.api, parts...)
	if said == nil {
		f.t.Errorf("%s %s answered %d, which the document does not have: %s", method, template, r.StatusCode, r.text)
		return
	}
	if r.StatusCode >= 400 {
		return
	}
	content, _ := at(said, "content").(map[string]any)
	if (len(content) == 0) != (kind == "") || len(content) > 0 && content[kind] == nil {
		f.t.Errorf("%s %s answered with %q, expected %v", method, template, kind, content)
	}
	if kind == "application/json" && template != "/openapi.json" && len(r.text) > 0 {
		f.validate(pointer(append(parts, "content", kind, "schema")...), r.text)
	}
	if body != "" && r.Request.Header.Get("Content-Type") == "application/json" {
		f.validate(pointer("paths", template, method, "requestBody", "content", "application/json", "schema"), []byte(body))
	}
}

func (f *fixture) validate(at string, text []byte) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	schema, err := f.schema.Compile(at)
	if err != nil {
		f.t.Fatalf("%s: %v", at, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		f.t.Fatalf("%s: %v", text, err)
	}
	if err := schema.Validate(v); err != nil {
		f.t.Errorf("%s is not as %s says: %v", text, at, err)
	}
}

// subscription is the JSON of one at this endpoint, with more members.
func subscription(endpoint string, more ...string) string {
	return fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":{"p256dh":%q,"auth":%q}%s}`, endpoint, p256dh, auth, strings.Join(append([]string{""}, more...), ","))
}

// finished waits for the end of a job by its events and returns its last state.
func (f *fixture) finished(id string) map[string]any {
	f.t.Helper()
	var last map[string]any
	for _, e := range f.events(id) {
		last = e.data
	}
	if last == nil {
		f.t.Fatalf("there was no event of %s", id)
	}
	return last
}

type event struct {
	name string
	data map[string]any
}

func (f *fixture) events(id string) (list []event) {
	f.t.Helper()
	ctx, cancel := contextOf(f.t)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", f.http.URL+"/push/"+id+"/events", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Last-Event-ID", "no matter")
	answer, err := f.via.RoundTrip(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != "text/event-stream" {
		f.t.Fatalf("events: %s %v", answer.Status, answer.Header)
	}
	name := ""
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = v
		}
		if v, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			f.validate(pointer("components", "schemas", "Job"), []byte(v))
			var data map[string]any
			if err := json.Unmarshal([]byte(v), &data); err != nil {
				f.t.Fatal(err)
			}
			list = append(list, event{name, data})
		}
	}
	return list
}

// push starts a job and returns its id.
func (f *fixture) push(body string) string {
	f.t.Helper()
	r := f.want(202, "POST", "/push", body)
	id, _ := r.json(f.t)["id"].(string)
	if r.Header.Get("Location") != "push/"+id {
		f.t.Fatalf("Location is %q: %s", r.Header.Get("Location"), r.text)
	}
	return id
}

// TestOpenAPI compares the document with the routes, both ways.
func TestOpenAPI(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.Track = true })
	got := make(map[string][]string)
	for path, v := range f.api["paths"].(map[string]any) {
		for method, op := range v.(map[string]any) {
			if method == "parameters" {
				continue
			}
			got[path] = append(got[path], strings.ToUpper(method))
			for _, part := range []string{"operationId", "summary", "responses"} {
				if at(op, part) == nil {
					t.Errorf("%s %s has no %s", method, path, part)
				}
			}
			// Who may is as the document says.
			r := f.do(strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "none"), "", "Authorization", "")
			if (r.StatusCode == 401) != (at(op, "security") != nil) {
				t.Errorf("%s %s without a token: %d", method, path, r.StatusCode)
			}
			if example := at(op, "requestBody", "content", "application/json", "example"); example != nil {
				b, err := json.Marshal(example)
				if err != nil {
					t.Fatal(err)
				}
				f.validate(pointer("paths", path, method, "requestBody", "content", "application/json", "schema"), b)
			} else if at(op, "requestBody") != nil {
				t.Errorf("%s %s has no example", method, path)
			}
		}
		sort.Strings(got[path])
	}
	want := f.server.Routes()
	for _, methods := range want {
		sort.Strings(methods)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the document has\n%v\nand the server\n%v", got, want)
	}
	if v := f.api["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		t.Errorf("openapi is %s", v)
	}
	for name := range f.api["components"].(map[string]any)["schemas"].(map[string]any) {
		if _, err := f.schema.Compile(pointer("components", "schemas", name)); err != nil {
			t.Errorf("the schema %s: %v", name, err)
		}
	}
}

func TestSubscriptions(t *testing.T) {
	f := newFixture(t, nil)
	if got := f.want(200, "GET", "/subscription", "").json(t)["publicKey"]; got != f.key.PublicKey().String() {
		t.Errorf("the key is %v", got)
	}
	if r := f.want(200, "GET", "/subscription", "", "Accept", "application/octet-stream"); len(r.text) != 65 || r.text[0] != 4 {
		t.Errorf("the raw key is %x", r.text)
	}
	if r := f.want(200, "HEAD", "/subscription", ""); len(r.text) != 0 {
		t.Errorf("HEAD has a body: %s", r.text)
	}

	const endpoint = "https://fcm.googleapis.com/fcm/send/secret-1"
	first := f.want(201, "POST", "/subscription", subscription(endpoint, `"user":"u1"`, `"tags":["b","a","a"]`)).json(t)
	if first["service"] != "fcm" || first["created"] != true {
		t.Errorf("stored %v", first)
	}
	again := f.want(200, "POST", "/subscription", `{"subscription":`+subscription(endpoint)+`}`).json(t)
	if again["id"] != first["id"] || again["created"] != false {
		t.Errorf("again: %v, want %v", again, first)
	}
	list := f.want(200, "GET", "/subscriptions", "")
	want := `{"total":1,"services":{"fcm":1},"keys":[{"publicKey":"` + f.key.PublicKey().String() + `","fingerprint":"` + f.key.PublicKey().Fingerprint() + `","use":"current","subscriptions":1}],"subscriptions":[{"id":"` + first["id"].(string) + `","service":"fcm","origin":"https://fcm.googleapis.com","user":"u1","tags":["a","b"],"created":"`
	if !strings.HasPrefix(string(list.text), want) || bytes.Contains(list.text, []byte("secret")) {
		t.Errorf("listed %s\nwant %s", list.text, want)
	}
	if list := f.want(200, "GET", "/subscriptions?endpoints=true", ""); !bytes.Contains(list.text, []byte(endpoint)) {
		t.Errorf("listed %s", list.text)
	}

	// Change: the id, user and tags stay.
	const changed = "https://updates.push.services.mozilla.com/wpush/v2/secret-2"
	now := f.want(200, "POST", "/subscription/change", `{"old":`+subscription(endpoint)+`,"new":`+subscription(changed)+`}`).json(t)
	if now["id"] != first["id"] || now["service"] != "mozilla" || now["created"] != false {
		t.Errorf("changed to %v", now)
	}
	for query, n := range map[string]int{"user=u1": 1, "tag=a": 1, "tag=c": 0, "user=u2": 0} {
		if v := f.want(200, "GET", "/subscriptions?"+query, "").json(t)["subscriptions"].([]any); len(v) != n {
			t.Errorf("%s: %v", query, v)
		}
	}
	f.want(201, "POST", "/subscription/change", `{"old":null,"new":`+subscription("https://push.example.net/3")+`}`)
	f.want(201, "POST", "/subscription/change", `{"old":{"endpoint":"https://push.example.net/none"},"new":{"subscription":`+subscription("https://push.example.net/4")+`,"tags":["x"]}}`)

	// Pages of the list.
	var seen []any
	next := ""
	for range 5 {
		v := f.want(200, "GET", "/subscriptions?limit=2"+next, "").json(t)
		for _, s := range v["subscriptions"].([]any) {
			seen = append(seen, at(s, "id"))
		}
		if v["next"] == nil {
			break
		}
		next = "&after=" + v["next"].(string)
	}
	if len(seen) != 3 {
		t.Errorf("the pages have %v", seen)
	}

	if v := f.want(200, "GET", "/subscriptions?limit=3", "").json(t); v["next"] != nil || len(v["subscriptions"].([]any)) != 3 {
		t.Errorf("the last page, which is full: %v", v)
	}

	for range 2 {
		f.want(204, "DELETE", "/subscription", `{"endpoint":"`+changed+`"}`)
	}
	if v := f.want(200, "GET", "/subscriptions", "").json(t); v["total"] != float64(2) {
		t.Errorf("left are %v", v)
	}
	for _, secret := range []string{"secret-1", "secret-2", token, "u1", auth} {
		if strings.Contains(f.log.String(), secret) {
			t.Errorf("the log has the secret %q:\n%s", secret, f.log)
		}
	}
}

func TestBadRequests(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.AllowPrivate = false; o.KnownServices = true })
	good := subscription("https://fcm.googleapis.com/x")
	foreign, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		status             int
		method, path, body string
		code, part, detail string
	}{
		{400, "POST", "/subscription", "{", "invalid-json", "body", "truncated"},
		{400, "POST", "/subscription", " ", "invalid-json", "body", "empty"},
		{400, "POST", "/subscription", "[]", "invalid-json", "body", "not a JSON object"},
		{400, "POST", "/subscription", good + "x", "invalid-json", "body", "unexpected data after"},
		{400, "POST", "/subscription", `{"user":1}`, "invalid-json", "user", "user is a JSON number, expected a string"},
		{400, "POST", "/subscription", `{"a":"` + "\xff" + `"}`, "invalid-utf8", "body", "at byte 7"},
		{400, "POST", "/subscription", "{}", "invalid-subscription", "endpoint", "no endpoint"},
		{400, "POST", "/subscription", strings.Replace(good, auth, "AAAA", 1), "invalid-subscription", "keys.auth", "3 bytes"},
		{400, "POST", "/subscription", `{"endpoint":"https://fcm.googleapis.com/x","keys":null}`, "invalid-subscription", "keys", "no keys"},
		{400, "POST", "/subscription", subscription("http://fcm.googleapis.com/x"), "endpoint-refused", "endpoint", "not https"},
		{400, "POST", "/subscription", subscription("https://push.example.net/x"), "endpoint-refused", "endpoint", "unknown push service"},
		{400, "POST", "/subscription", subscription("https://localhost/x"), "endpoint-refused", "endpoint", "not on the Internet"},
		{400, "POST", "/subscription", subscription("https://10.1.2.3/x"), "endpoint-refused", "endpoint", "not on the Internet"},
		{400, "POST", "/subscription", subscription("https://[::ffff:127.0.0.1]/x"), "endpoint-refused", "endpoint", "not on the Internet"},
		{400, "POST", "/subscription", subscription("https://permanently-removed.invalid/x"), "endpoint-refused", "endpoint", "permanently removed"},
		{400, "POST", "/subscription", subscription("https://fcm.googleapis.com/" + strings.Repeat("x", 2048)), "endpoint-refused", "endpoint", "at most 2048"},
		{400, "POST", "/subscription", subscription("https://fcm.googleapis.com/x", `"applicationServerKey":"`+foreign.PublicKey().String()+`"`), "wrong-key", "applicationServerKey", "another"},
		{400, "POST", "/subscription", subscription("https://fcm.googleapis.com/x", `"tags":["a",""]`), "invalid-input", "tags[1]", "empty"},
		{400, "POST", "/subscription", subscription("https://fcm.googleapis.com/x", `"tags":["`+strings.Repeat("x", 201)+`"]`), "invalid-input", "tags[0]", "201 bytes"},
		{400, "POST", "/subscription", subscription("https://fcm.googleapis.com/x", `"tags":["`+strings.Repeat(`a","`, 33)+`"]`), "invalid-input", "tags", "34 tags"},
		{400, "POST", "/subscription", subscription("https://fcm.googleapis.com/x", `"user":"a\u0007"`), "invalid-input", "user", "control character"},
		{413, "POST", "/subscription", `{"endpoint":"` + strings.Repeat("x", 20000) + `"}`, "body-too-large", "body", "16384"},
		{400, "DELETE", "/subscription", `{}`, "invalid-input", "endpoint", "missing"},
		{400, "POST", "/subscription/change", `{"old":null}`, "invalid-input", "new", "missing"},
		{400, "POST", "/subscription/change", `{"new":{"endpoint":"x"}}`, "invalid-subscription", "new.endpoint", ""},
		{400, "POST", "/subscription/change", `{"old":{},"new":` + good + `}`, "invalid-input", "old.endpoint", "missing"},
		{400, "POST", "/subscription/change", `{"odl":{},"new":` + good + `}`, "invalid-json", "odl", "unknown field"},
		{404, "POST", "/subscription/test", `{"endpoint":"https://fcm.googleapis.com/none"}`, "not-found", "endpoint", ""},
		{400, "GET", "/subscriptions?limit=0", "", "invalid-query", "limit", "up to 1000"},
		{400, "GET", "/subscriptions?limit=x", "", "invalid-query", "limit", ""},
		{400, "GET", "/subscriptions?limits=1", "", "invalid-query", "limits", "unknown parameter"},
		{400, "GET", "/subscriptions?endpoints=1", "", "invalid-query", "endpoints", "true or false"},
		{400, "GET", "/subscriptions?user=a&tag=b", "", "invalid-input", "tag", ""},
		{400, "POST", "/push", `{"payload":"a","notification":{"title":"x"}}`, "invalid-input", "payload", "cannot be combined"},
		{400, "POST", "/push", `{"notification":{"body":"x"}}`, "invalid-input", "notification.title", "no title"},
		{400, "POST", "/push", `{"notification":{"title":"x","titel":"y"}}`, "invalid-json", "titel", "unknown field"},
		{400, "POST", "/push", `{"title":"x"}`, "invalid-json", "title", `{"notification": {"title": …}}`},
		{400, "POST", "/push", `{"url":"/x"}`, "invalid-json", "url", `{"notification": {"url": …}}`},
		{400, "POST", "/push", `{"user":"anna"}`, "invalid-json", "user", `{"to": {"user": …}}`},
		{400, "POST", "/push", `{"notification":{"title":7}}`, "invalid-json", "notification.title", "expected a string"},
		{400, "POST", "/push", `{"notification":{"title":"x","declarative":true}}`, "invalid-input", "notification.url", "absolute URL"},
		{400, "POST", "/push", `{"notification":{"title":"x","url":"a","navigate":"b"}}`, "invalid-input", "notification.url", "differ"},
		{400, "POST", "/push", `{"notification":{"title":"x","url":"a","data":7}}`, "invalid-input", "notification.data", ""},
		{400, "POST", "/push", `{"ttl":-1}`, "invalid-input", "ttl", "-1"},
		{400, "POST", "/push", `{"ttl":1.5}`, "invalid-json", "ttl", "a whole number"},
		{400, "POST", "/push", `{"urgency":"now"}`, "invalid-input", "urgency", "now"},
		{400, "POST", "/push", `{"topic":"a b"}`, "invalid-input", "topic", ""},
		{400, "POST", "/push", `{"to":{}}`, "invalid-input", "to", "expected exactly one"},
		{400, "POST", "/push", `{"to":{"all":true,"tag":"x"}}`, "invalid-input", "to", "2 of"},
		{413, "POST", "/push", `{"payload":"` + strings.Repeat("x", 3994) + `"}`, "payload-too-large", "payload", "3993"},
		{413, "POST", "/push", `{"notification":{"title":"` + strings.Repeat("x", 4000) + `"}}`, "payload-too-large", "notification", ""},
		{413, "POST", "/push", `{"payload":"` + strings.Repeat("x", 70000) + `"}`, "body-too-large", "body", ""},
		{404, "GET", "/push/none", "", "not-found", "id", "none"},
		{404, "DELETE", "/push/none", "", "not-found", "id", ""},
		{404, "POST", "/push/none/retry", "", "not-found", "id", ""},
		{404, "GET", "/push/none/events", "", "not-found", "id", ""},
		{404, "GET", "/none", "", "not-found", "", "/none"},
		{404, "POST", "/none", "", "not-found", "", ""},
		{404, "GET", "/page/../index.html", "", "not-found", "", ""},
		{404, "GET", "//subscription", "", "not-found", "", ""},
		{404, "GET", "/subscription/", "", "not-found", "", ""},
		{405, "PUT", "/subscription", "", "method-not-allowed", "", "DELETE, GET, HEAD, OPTIONS, POST"},
		{405, "POST", "/", "", "method-not-allowed", "", "GET"},
		{405, "GET", "/push/x/retry", "", "method-not-allowed", "", "POST"},
	} {
		r := f.do(c.method, c.path, c.body)
		v := r.json(t)
		part, _ := v["part"].(string)
		if r.StatusCode != c.status || v["code"] != c.code || part != c.part || !strings.Contains(fmt.Sprint(v["detail"], "; ", v["hint"]), c.detail) {
			t.Errorf("%s %s %.80s:\n%d %s\nwant %d, %s, %s, %s", c.method, c.path, c.body, r.StatusCode, r.text, c.status, c.code, c.part, c.detail)
		}
		if c.status == 405 && r.Header.Get("Allow") == "" {
			t.Errorf("%s %s has no Allow", c.method, c.path)
		}
	}
	f.want(415, "POST", "/subscription", good, "Content-Type", "text/plain")
	f.want(415, "POST", "/push", "<p>", "Content-Type", "text/html")
	f.want(400, "POST", "/push", `{"title":"Hello","body":"there"}`, "Content-Type", "application/x-www-form-urlencoded")
	if r := f.want(200, "GET", "/subscriptions", "", "Accept", "application/x-ndjson"); len(r.text) > 0 { // nothing is written
		t.Errorf("the export of no subscriptions: %q", r.text)
	}
	if metrics := string(f.want(200, "GET", "/metrics", "").text); !strings.Contains(metrics, `method="GET",route="/subscriptions",status="200"`) || strings.Contains(metrics, `status="0"`) {
		t.Errorf("the metrics of an empty response:\n%s", metrics)
	}
	f.want(201, "POST", "/subscription", good)
}

// TestSafety is about who may do what.
func TestSafety(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) {
		o.Origins = []string{"https://Shop.example/"}
		o.Hosts = []string{"127.0.0.1", "push.example"}
	})
	body := subscription("https://push.example.net/1")
	for _, c := range []struct {
		status int
		method string
		origin string
		allow  string
	}{
		{200, "GET", "https://evil.example", ""},
		{403, "POST", "https://evil.example", ""},
		{403, "POST", "null", ""},
		{403, "OPTIONS", "https://evil.example", ""},
		{201, "POST", "https://shop.example", "https://shop.example"},
		{200, "GET", "https://shop.example", "https://shop.example"},
		{204, "OPTIONS", "https://shop.example", "https://shop.example"},
		{200, "POST", "", ""},
	} {
		text := ""
		if c.method == "POST" {
			text = body
		}
		r := f.want(c.status, c.method, "/subscription", text, "Origin", c.origin, "Authorization", "")
		if r.Header.Get("Access-Control-Allow-Origin") != c.allow || !slices.Contains(r.Header.Values("Vary"), "Origin") {
			t.Errorf("%s from %s: %v", c.method, c.origin, r.Header)
		}
		if c.method == "OPTIONS" && c.allow != "" && (r.Header.Get("Access-Control-Allow-Headers") != "Content-Type" || !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), "DELETE")) {
			t.Errorf("preflight: %v", r.Header)
		}
	}
	f.want(200, "POST", "/subscription", body, "Origin", f.http.URL)
	// Pages of other sites get nothing done with a token that leaked into them.
	if r := f.want(403, "POST", "/push", "{}", "Origin", "https://shop.example"); !strings.Contains(string(r.text), "Host") {
		t.Errorf("no hint for who has a proxy: %s", r.text)
	}
	if r := f.want(204, "OPTIONS", "/push", "", "Origin", "https://shop.example"); r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("the administrator's routes have CORS: %v", r.Header)
	}

	for host, status := range map[string]int{"push.example": 200, "PUSH.example.:8080": 200, "evil.example": 421, "evil.example:80": 421, "127.0.0.1.evil.example": 421} {
		f.want(status, "GET", "/subscription", "", "Host", host)
	}
	if !strings.Contains(f.log.String(), "route=none status=421") { // an operator looks there first
		t.Errorf("the log has nothing of a wrong host:\n%s", f.log)
	}

	for _, wrong := range []string{"", "Bearer", "Bearer " + token + "x", "Basic " + token, "Bearer " + token[1:]} {
		r := f.want(401, "GET", "/push", "", "Authorization", wrong)
		if r.Header.Get("WWW-Authenticate") == "" {
			t.Errorf("no WWW-Authenticate: %v", r.Header)
		}
	}
	f.want(200, "GET", "/push", "", "Authorization", "bearer "+token)
	// Guessing is slow.
	refused := 0
	for range 20 {
		if r := f.do("GET", "/push", "", "Authorization", "Bearer guess"); r.StatusCode == 429 {
			refused++
			if r.Header.Get("Retry-After") == "" {
				t.Errorf("no Retry-After: %v", r.Header)
			}
		}
	}
	if refused < 10 {
		t.Errorf("%d of 20 guesses were refused", refused)
	}
	f.want(200, "GET", "/push", "")

	// The page cannot be framed or made to load anything.
	r := f.want(200, "GET", "/", "")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"} {
		if !strings.Contains(r.Header.Get("Content-Security-Policy"), want) {
			t.Errorf("the policy is %s", r.Header.Get("Content-Security-Policy"))
		}
	}
	if bytes.Contains(r.text, []byte("style=")) || bytes.Contains(r.text, []byte("onclick")) {
		t.Error("the page has what the policy forbids")
	}
	f.want(304, "GET", "/", "", "If-None-Match", r.Header.Get("ETag"))
}

func TestLimits(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) {
		o.ClientRate, o.MaxSubscriptions, o.BehindProxy = 1, 3, true
		o.User = func(r *http.Request) (string, error) {
			if r.Header.Get("X-User") == "" {
				return "", fmt.Errorf("nobody is signed in")
			}
			return r.Header.Get("X-User"), nil
		}
	})
	post := func(i int, from string, user string) *reply {
		return f.do("POST", "/subscription", subscription(fmt.Sprint("https://push.example.net/", i), `"user":"forged"`), "X-Forwarded-For", "192.0.2.9, "+from, "X-User", user)
	}
	if r := post(0, "192.0.2.1", ""); r.StatusCode != 403 || strings.Contains(string(r.text), "signed") {
		t.Errorf("without a user: %s", r.text)
	}
	if log := f.log.String(); !strings.Contains(log, "nobody is signed in") || strings.Contains(log, "ERROR") { // it happens
		t.Errorf("the log of one without a user is %s", log)
	}
	for i := range 3 {
		if r := post(i, "192.0.2.1", "u"); r.StatusCode != 201 {
			t.Errorf("%d: %s", i, r.text)
		}
	}
	if list, err := f.store.List(t.Context(), appserver.Filter{User: "u"}, 0, 0, 10); err != nil || len(list) != 3 {
		t.Errorf("%d have the user, %v", len(list), err)
	}
	if r := post(3, "192.0.2.1", "u"); r.StatusCode != 507 {
		t.Errorf("one too many: %d %s", r.StatusCode, r.text)
	}
	// A change is no way around it, unless it is one.
	for i, old := range []string{`null`, `{"endpoint":"https://push.example.net/none"}`, `{"endpoint":"https://push.example.net/0"}`} {
		want := []int{507, 507, 200}[i]
		if r := f.do("POST", "/subscription/change", `{"old":`+old+`,"new":`+subscription("https://push.example.net/4")+`}`, "X-Forwarded-For", "192.0.2.3", "X-User", "u"); r.StatusCode != want {
			t.Errorf("a change of %s when it is full: %d %s, want %d", old, r.StatusCode, r.text, want)
		}
	}
	if r := post(1, "192.0.2.1", "u"); r.StatusCode != 200 {
		t.Errorf("a known one when it is full: %d %s", r.StatusCode, r.text)
	}
	limited := 0
	for range 20 {
		if r := post(1, "192.0.2.1", "u"); r.StatusCode == 429 {
			limited++
		}
	}
	if limited < 5 {
		t.Errorf("%d of 20 requests were refused", limited)
	}
	if r := post(1, "192.0.2.2", "u"); r.StatusCode != 200 {
		t.Errorf("another address: %d %s", r.StatusCode, r.text)
	}
	if r := post(1, "2001:db8::1", "u"); r.StatusCode != 200 {
		t.Errorf("IPv6: %d %s", r.StatusCode, r.text)
	}
	// With a port, and what is no address at all is the proxy's.
	for _, from := range []string{"192.0.2.4:4711", "[2001:db8:0:1::1]:4711", "unknown"} {
		if r := post(1, from, "u"); r.StatusCode != 200 {
			t.Errorf("%s: %d %s", from, r.StatusCode, r.text)
		}
	}
	for from, want := range map[string]string{"192.0.2.4:4711": "client=192.0.2.4\n", "[2001:db8:0:1::1]:4711": "client=2001:db8:0:1::1\n", "unknown": "client=127.0.0.1\n"} {
		if !strings.Contains(f.log.String(), want) {
			t.Errorf("%s: no %q in the log:\n%s", from, want, f.log)
		}
	}
	if r := post(1, "192.0.2.5", "u\xff"); r.StatusCode != 400 {
		t.Errorf("a user that is no UTF-8: %d %s", r.StatusCode, r.text)
	}
}

// TestTotalLimit: what all ask together is bounded, wherever they come from.
func TestTotalLimit(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.TotalRate, o.BehindProxy = 0.01, true })
	for i, want := range []int{200, 429, 429} {
		if r := f.want(want, "GET", "/subscription", "", "X-Forwarded-For", fmt.Sprint("192.0.2.", i)); (r.Header.Get("Retry-After") == "") != (want == 200) {
			t.Errorf("Retry-After is %q", r.Header.Get("Retry-After"))
		}
	}
	f.want(200, "GET", "/healthz", "")
}

func TestOptions(t *testing.T) {
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	good := appserver.Options{Store: store, Key: key, Subject: "mailto:ops@example.com", Token: token}
	for want, change := range map[string]func(*appserver.Options){
		"store":                     func(o *appserver.Options) { o.Store = nil },
		"private key":               func(o *appserver.Options) { o.Key = nil },
		"has 5 characters":          func(o *appserver.Options) { o.Token = "short" },
		"MaxFailures":               func(o *appserver.Options) { o.Bulk.MaxFailures = 1 },
		"DryRun":                    func(o *appserver.Options) { o.Bulk.DryRun = true },
		"certificate or":            func(o *appserver.Options) { o.CertificatePEM = []byte("x") },
		"contains a space":          func(o *appserver.Options) { o.Token = token + "\n" },
		"not allowed in a header":   func(o *appserver.Options) { o.Token = token + "ü" },
		`"https://x" is not a host`: func(o *appserver.Options) { o.Hosts = []string{"localhost", "https://x"} },
		`"x:8080" is not a host`:    func(o *appserver.Options) { o.Hosts = []string{"x:8080"} },
		`"" is not a host`:          func(o *appserver.Options) { o.Hosts = []string{""} },
		"sub":                       func(o *appserver.Options) { o.Subject = "nobody" },
		`"shop" is not an origin`:   func(o *appserver.Options) { o.Origins = []string{"shop"} },
		`/x" is not an origin`:      func(o *appserver.Options) { o.Origins = []string{"https://shop.example/x"} },
		"invalid port":              func(o *appserver.Options) { o.Ports = []int{0} },
		"no certificate in":         func(o *appserver.Options) { o.Transport.CAs = []byte("x") },
	} {
		o := good
		change(&o)
		s, err := appserver.New(o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, s, err)
		}
		input, named := errors.AsType[*webpush.InputError](err)
		if named != (o.Hosts != nil || o.Origins != nil || o.Ports != nil || o.Transport.CAs != nil) || named && input.Part == "" {
			t.Errorf("%s: the error is a %T", want, err)
		}
		if errors.As(err, new(*vapid.ClaimsError)) != (o.Subject != good.Subject) {
			t.Errorf("%s: the error is a %T", want, err)
		}
	}
	good.Hosts = []string{"localhost", "127.0.0.1", "::1", "[::1]", "push.example.com", "Büro", "under_score"}
	if _, err := appserver.New(good); err != nil {
		t.Error(err)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	t.Parallel()
	sink := newSink(t, func(path string, n int) int {
		if path == "/gone" {
			return 410
		}
		return 201
	})
	f := newFixture(t, nil)
	f.run()
	for _, name := range []string{"/a", "/b", "/gone"} {
		f.want(201, "POST", "/subscription", subscription(sink.URL+name))
	}
	f.finished(f.push(`{"payload":"x"}`))
	f.want(200, "GET", "/healthz", "", "Authorization", "")
	// The store says that the push is done in the moment in which the results are
	// committed, and they are counted after that.
	var text string
	until(t, "the removed subscription is counted", func() bool {
		text = string(f.want(200, "GET", "/metrics", "").text)
		return strings.Contains(text, "webpush_subscriptions_removed_total 1\n")
	})
	for _, want := range []string{
		`webpush_messages_total{class="delivered",service="other"} 2`, `webpush_messages_total{class="gone",service="other"} 1`,
		`webpush_message_duration_seconds_count{service="other"} 3`, `webpush_subscriptions{service="other"} 2`,
		`webpush_subscriptions_removed_total 1`, `webpush_jobs{state="queued"} 0`, `webpush_queue_messages 0`,
		`webpush_http_requests_total{method="POST",route="/subscription",status="201"} 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if err := f.store.Close(); err != nil {
		t.Fatal(err)
	}
	f.server.SetHealthFor(0)
	f.want(503, "GET", "/healthz", "")
	if r := f.want(500, "GET", "/push", ""); strings.Contains(string(r.text), "closed") || !strings.Contains(f.log.String(), "closed") {
		t.Errorf("the answer is %s, the log %s", r.text, f.log)
	}
}

func TestTestMessage(t *testing.T) {
	sink := newSink(t, func(path string, n int) int {
		switch path {
		case "/gone":
			return 410
		case "/bad":
			return 400
		case "/busy":
			return 503
		}
		return 201
	})
	f := newFixture(t, nil)
	test := func(path string) *reply {
		f.do("POST", "/subscription", subscription(sink.URL+path))
		return f.do("POST", "/subscription/test", `{"endpoint":"`+sink.URL+path+`","title":"T","body":"B"}`)
	}
	if v := test("/ok").json(t); v["status"] != float64(201) || v["origin"] != sink.URL || v["service"] != "other" {
		t.Errorf("sent: %v", v)
	}
	for path, want := range map[string]int{"/gone": 410, "/bad": 502, "/busy": 503} {
		r := test(path)
		if v := r.json(t); r.StatusCode != want || at(v, "answer", "origin") != sink.URL {
			t.Errorf("%s: %d %s, want %d", path, r.StatusCode, r.text, want)
		}
	}
	if n := sink.count("/busy"); n != 1 {
		t.Errorf("a test was sent %d times", n)
	}
	if _, err := f.store.Find(t.Context(), sink.URL+"/gone"); err != appserver.ErrNotFound {
		t.Errorf("what is gone is still there: %v", err)
	}
	if text := string(f.want(200, "GET", "/metrics", "").text); !strings.Contains(text, "webpush_subscriptions_removed_total 1\n") {
		t.Errorf("the metrics do not count what is removed: %s", text)
	}
	var last *reply
	for range 6 {
		last = test("/ok")
	}
	if last.StatusCode != 429 || last.Header.Get("Retry-After") == "" {
		t.Errorf("many tests: %d %s", last.StatusCode, last.text)
	}
}

// TestClientGone: who does not wait for an answer makes no error of the server's.
func TestClientGone(t *testing.T) {
	sink, entered, release := held(t)
	f := newFixture(t, nil)
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/a"))
	ctx, cancel := contextOf(t)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", f.http.URL+"/subscription/test", strings.NewReader(`{"endpoint":"`+sink.URL+`/a"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	go func() {
		<-entered
		cancel()
	}()
	if answer, err := http.DefaultClient.Do(r); err == nil {
		answer.Body.Close()
		t.Fatalf("it answered %s", answer.Status)
	}
	until(t, "the request is logged", func() bool { return strings.Contains(f.log.String(), "route=/subscription/test") })
	release()
	if log := f.log.String(); strings.Contains(log, "ERROR") || !strings.Contains(log, "status=499") {
		t.Errorf("the log is %s", log)
	}
	text := string(f.want(200, "GET", "/metrics", "").text)
	for _, want := range []string{`webpush_messages_total{class="temporary",service="other"} 1`, `webpush_http_requests_total{method="POST",route="/subscription/test",status="499"} 1`} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// TestPrivateAddress: a name may lead anywhere, so the address that is dialed counts.
func TestPrivateAddress(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	f := newFixture(t, func(o *appserver.Options) { o.AllowPrivate = false })
	f.server.SetTestTimeout(time.Second)
	f.run()
	f.want(400, "POST", "/subscription", subscription(sink.URL+"/a"))
	// As if its name had led elsewhere when it was stored.
	if _, _, err := f.store.Put(t.Context(), appserver.Record{Endpoint: sink.URL + "/b", P256DH: p256dh, Auth: auth, Service: "other", Origin: sink.URL}); err != nil {
		t.Fatal(err)
	}
	// The administrator learns the reason, a stranger not where a name leads.
	if r := f.want(502, "POST", "/subscription/test", `{"endpoint":"`+sink.URL+`/b"}`); strings.Contains(string(r.text), "not public") || !strings.Contains(f.log.String(), "not public") {
		t.Errorf("the answer is %s, the log %s", r.text, f.log)
	}
	id := f.push(`{"payload":"x"}`)
	if v := f.finished(id); at(v, "counts", "rejected") != float64(1) {
		t.Errorf("the job is %v", v)
	}
	if r := f.want(200, "GET", "/push/"+id+"?results=all", ""); !strings.Contains(string(r.text), "not public") || !strings.Contains(string(r.text), "public addresses") {
		t.Errorf("the results are %s", r.text)
	}
	if n := sink.count("/b"); n != 0 {
		t.Errorf("it was sent %d times", n)
	}
}
