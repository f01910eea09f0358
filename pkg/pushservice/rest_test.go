package pushservice_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func messageOf(t testing.TB, body []byte) string {
	t.Helper()
	var v struct{ Message string }
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v.Message
}

func TestREST(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the time is 2000-01-01
		s := pushservice.New(pushservice.Options{})
		key := generateKey(t).PublicKey()
		if got := call(t, s, "GET", "/api/subscriptions", "", 200); got != `{"subscriptions":[]}` {
			t.Errorf("no subscriptions: %s", got)
		}
		type created struct{ ID, Endpoint string }
		var open, restricted created
		for _, c := range []struct {
			body string
			to   *created
		}{{"", &open}, {fmt.Sprintf(`{"applicationServerKey":%q}`, key), &restricted}} {
			if err := json.Unmarshal([]byte(call(t, s, "POST", "/api/subscriptions", c.body, 201)), c.to); err != nil {
				t.Fatal(err)
			}
		}
		path := strings.TrimPrefix(open.Endpoint, origin)
		if !strings.HasPrefix(path, "/wpush/v1/") || !strings.HasPrefix(restricted.Endpoint, origin+"/wpush/v2/") || len(path) != len("/wpush/v1/")+43 || len(open.ID) != 22 {
			t.Errorf("subscriptions are %v and %v", open, restricted)
		}
		body := aes128gcmBody(t, 4096, point(t), 20)
		r := request(path, body)
		r.Header.Set("Topic", "a_b-c")
		do(s, r)
		id := receive(t, s, open.ID, 0)[0].ID
		want := fmt.Sprintf(`{"messages":[{"id":%q,"seq":1,"time":"2000-01-01T00:00:00Z","ttl":60,"urgency":"normal","topic":"a_b-c","headers":{"content-encoding":"aes128gcm"},"body":%q}]}`, id, encode(body))
		if got := call(t, s, "GET", "/api/subscriptions/"+open.ID+"/messages?wait=60", "", 200); got != want {
			t.Errorf("messages are\n%s, want\n%s", got, want)
		}
		if got := call(t, s, "GET", "/api/subscriptions/"+open.ID+"/messages?after=1", "", 200); got != `{"messages":[]}` {
			t.Errorf("later messages are %s", got)
		}
		want = fmt.Sprintf(`{"subscriptions":[{"id":%q,"endpoint":%q,"applicationServerKey":null,"created":"2000-01-01T00:00:00Z","messages":1,"waiting":0,"channelID":null},`+
			`{"id":%q,"endpoint":%q,"applicationServerKey":%q,"created":"2000-01-01T00:00:00Z","messages":0,"waiting":0,"channelID":null}]}`,
			open.ID, open.Endpoint, restricted.ID, restricted.Endpoint, key)
		if got := call(t, s, "GET", "/api/subscriptions", "", 200); got != want {
			t.Errorf("subscriptions are\n%s, want\n%s", got, want)
		}
		call(t, s, "DELETE", "/m/"+id, "", 204)
		send(t, s, path)
		id = receive(t, s, open.ID, 0)[0].ID
		want = fmt.Sprintf(`{"messages":[{"id":%q,"seq":2,"time":"2000-01-01T00:00:00Z","ttl":60,"urgency":"normal","topic":"","headers":{},"body":""}]}`, id)
		if got := call(t, s, "GET", "/api/subscriptions/"+open.ID+"/messages", "", 200); got != want {
			t.Errorf("without payload\n%s, want\n%s", got, want)
		}
		want = fmt.Sprintf(`{"time":"2000-01-01T00:00:00Z","method":"POST","host":"localhost","path":%q,"proto":"HTTP/1.1","headers":{"Content-Encoding":["aes128gcm"],"Topic":["a_b-c"],"Ttl":["60"]},"bodyLength":106,"status":201,"subscription":%q}`, path, open.ID)
		if got := call(t, s, "GET", "/api/requests", "", 200); !strings.HasPrefix(got, `{"requests":[`+want+`,{`) {
			t.Errorf("requests are\n%s, want\n%s", got, want)
		}
		if w := do(s, newRequest("HEAD", "/api/requests", nil)); w.Code != 200 {
			t.Errorf("HEAD: status %d", w.Code)
		}
	})
}

func TestApplicationServerKeyForms(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	key := generateKey(t).PublicKey()
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.StdEncoding} {
		call(t, s, "POST", "/api/subscriptions", fmt.Sprintf(`{"applicationServerKey":%q}`, enc.EncodeToString(key.Bytes())), 201)
	}
	for _, sub := range s.Subscriptions() {
		if sub.Key != key {
			t.Errorf("key is %v, want %v", sub.Key, key)
		}
	}
}

func TestRESTRefused(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	sub := subscribe(t, s, vapid.PublicKey{})
	private, err := generateKey(t).Marshal(vapid.FormatBase64URL)
	if err != nil {
		t.Fatal(err)
	}
	messages := "/api/subscriptions/" + sub.ID + "/messages"
	for _, c := range []struct {
		method, path, body string
		status             int
		message            string
	}{
		{"POST", "/api/subscriptions", `{"applicationServerKey":"` + string(private) + `"}`, 400, "Invalid applicationServerKey: the key has 32 bytes, expected 65"},
		{"POST", "/api/subscriptions", `{"applicationServerKey":""}`, 400, "Invalid applicationServerKey: the key has 0 bytes, expected 65"},
		{"POST", "/api/subscriptions", `{"applicationServerKey":"a b"}`, 400, "Invalid applicationServerKey: white space at position 2 of base64 text"},
		{"POST", "/api/subscriptions", `{"key":""}`, 400, `Invalid JSON: unknown field "key"`},
		{"POST", "/api/subscriptions", `{`, 400, "Invalid JSON: the JSON is incomplete"},
		{"POST", "/api/subscriptions", `[1]`, 400, "Invalid JSON: a JSON array, expected an object"},
		{"POST", "/api/subscriptions", `{"applicationServerKey":5}`, 400, "Invalid JSON: applicationServerKey is a JSON number, expected a string"},
		{"POST", "/api/subscriptions", `{}{}`, 400, "Invalid JSON: there is more after the object"},
		{"POST", "/api/subscriptions", `{"applicationServerKey":"` + strings.Repeat("A", 1<<20) + `"}`, 413, "Body too large: it has more than 1048576 bytes"},
		{"GET", messages + "?wait=61", "", 400, `Invalid parameter wait: found "61", expected one whole number from 0 to 60`},
		{"GET", messages + "?wait=1s", "", 400, `Invalid parameter wait: found "1s", expected one whole number from 0 to 60`},
		{"GET", messages + "?wait=1&wait=1", "", 400, `Invalid parameter wait: found "1", expected one whole number from 0 to 60`},
		{"GET", messages + "?after=-1", "", 400, `Invalid parameter after: found "-1", expected one whole number from 0 to 18446744073709551615`},
		{"POST", "/api/faults", "", 400, "Invalid fault: status, delay, and reset are missing"},
		{"POST", "/api/faults", `{"status":99}`, 400, "Invalid fault: status is 99, expected 200 to 599"},
		{"POST", "/api/faults", `{"status":600}`, 400, "Invalid fault: status is 600, expected 200 to 599"},
		{"POST", "/api/faults", `{"status":500,"count":0}`, 400, "Invalid fault: count is 0, expected 1 or more"},
		{"POST", "/api/faults", `{"status":500,"count":-1}`, 400, "Invalid fault: count is -1, expected 1 or more"},
		{"POST", "/api/faults", `{"delay":"1x"}`, 400, `Invalid fault: delay is "1x", expected a duration such as 100ms or 2s`},
		{"POST", "/api/faults", `{"delay":"-1s"}`, 400, "Invalid fault: delay is -1s, expected 0 or more"},
		{"POST", "/api/faults", `{"status":500,"headers":{"a b":"c"}}`, 400, `Invalid fault: "a b" is not a header name`},
		{"POST", "/api/faults", `{"status":500,"headers":{"a":"b\nc"}}`, 400, `Invalid fault: header "a" contains control characters`},
		{"POST", "/api/faults", `{"status":500,"subscription":"x"}`, 404, "No such subscription: the id is unknown"},
	} {
		t.Run(c.method+" "+c.path+" "+c.body[:min(40, len(c.body))], func(t *testing.T) {
			errno := map[int]int{404: 102, 413: 104}[c.status]
			wantError(t, do(s, newRequest(c.method, c.path, strings.NewReader(c.body))), c.status, errno, c.message)
		})
	}
	if n := len(s.Subscriptions()); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	send(t, s, sub.Path) // no fault was added
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushservice.New(pushservice.Options{})
		a, b := subscribe(t, s, vapid.PublicKey{}), subscribe(t, s, vapid.PublicKey{})
		fault := func(body string) { t.Helper(); call(t, s, "POST", "/api/faults", body, 204) }

		fault(`{"subscription":"` + a.ID + `","status":429,"headers":{"Retry-After":"1"},"body":"slow down","count":2}`)
		send(t, s, b.Path)
		for range 2 {
			w := do(s, request(a.Path, nil))
			if w.Code != 429 || w.Header().Get("Retry-After") != "1" || w.Body.String() != "slow down" {
				t.Errorf("status %d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
		}
		send(t, s, a.Path)

		// Without a body it looks like the service's own, and concerns all.
		fault(`{"status":503}`)
		wantError(t, do(s, request("/wpush/v1/unknown", nil)), 503, 0, "Fault: this response was requested")
		fault(`{"status":404,"body":""}`)
		if w := do(s, request(b.Path, nil)); w.Code != 404 || w.Body.Len() != 0 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
		fault(`{"status":307,"headers":{"location":"https://example.net/"}}`)
		if w := do(s, request(b.Path, nil)); w.Code != 307 || w.Header().Get("Location") != "https://example.net/" || w.Body.Len() != 0 {
			t.Errorf("status %d: %v", w.Code, w.Header())
		}

		// A delay alone is one of a message that is accepted.
		fault(`{"delay":"1500ms"}`)
		start := time.Now()
		send(t, s, a.Path)
		if d := time.Since(start); d != 1500*time.Millisecond {
			t.Errorf("delayed by %v", d)
		}

		fault(`{"reset":true,"count":5}`)
		func() {
			defer func() {
				if p := recover(); p != http.ErrAbortHandler {
					t.Errorf("panic: %v", p)
				}
			}()
			do(s, request(a.Path, nil))
		}()
		call(t, s, "DELETE", "/api/faults", "", 204)
		send(t, s, a.Path)

		var statuses []int
		for _, r := range s.Requests() {
			statuses = append(statuses, r.Status)
		}
		if want := []int{201, 429, 429, 201, 503, 404, 307, 201, 0, 201}; !reflect.DeepEqual(statuses, want) {
			t.Errorf("answered %v, want %v", statuses, want)
		}
	})
}
