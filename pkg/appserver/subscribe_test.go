package appserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const pageSubscription = `{"endpoint":"https://push.example/x","keys":{"p256dh":"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM","auth":"tBHItJI5svbpez7KI4CCXg"}}`

func TestSubscribePage(t *testing.T) {
	t.Parallel()
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var saved []string
	refusal := errors.New("the disk is full")
	page, err := appserver.SubscribePage(key.PublicKey(), "some/folder/sub.json", func(sub *webpush.Subscription) error {
		if refusal != nil {
			return refusal
		}
		saved = append(saved, sub.Endpoint())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(page)
	defer server.Close()
	own := server.URL

	ask := func(method, path, host, origin, kind, body string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Origin": origin, "Content-Type": kind} {
			if value != "" {
				r.Header.Set(name, value)
			}
		}
		if host != "" {
			r.Host = host
		}
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, string(b)
	}

	// The key, and the file's name without its folder.
	_, text := ask("GET", "/subscription", "", "", "", "")
	var config map[string]string
	if err := json.Unmarshal([]byte(text), &config); err != nil || config["publicKey"] != key.PublicKey().String() || config["file"] != "sub.json" {
		t.Errorf("%v: %s", err, text)
	}
	// The page, under the policy that lets it load its own files alone.
	for path, kind := range map[string]string{"/": "text/html; charset=utf-8", "/app.js": "text/javascript; charset=utf-8", "/sw.js": "text/javascript; charset=utf-8", "/style.css": "text/css; charset=utf-8"} {
		answer, text := ask("GET", path, "", "", "", "")
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != kind || len(text) == 0 {
			t.Errorf("%s: %s, %s", path, answer.Status, answer.Header.Get("Content-Type"))
		}
		if policy := answer.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
	}
	for _, tt := range []struct {
		name, method, path, host, origin, kind, body string
		status                                       int
	}{
		{"a name of the Internet", "GET", "/subscription", "evil.example", "", "", "", 421},
		{"a name of the Internet, with this port", "POST", "/subscription", "evil.example:8091", "http://evil.example:8091", "application/json", pageSubscription, 421},
		{"a page of another site", "POST", "/subscription", "", "https://evil.example", "application/json", pageSubscription, 403},
		{"a page without origin", "POST", "/subscription", "", "null", "application/json", pageSubscription, 403},
		{"a form of another site", "POST", "/subscription", "", "https://evil.example", "text/plain", pageSubscription, 403},
		{"a form", "POST", "/subscription", "", own, "text/plain", pageSubscription, 415},
		{"no subscription", "POST", "/subscription", "", own, "application/json", `{"endpoint":"x"}`, 400},
		{"more than a subscription has", "POST", "/subscription", "", own, "application/json", `{"x":"` + strings.Repeat("x", 20<<10) + `"}`, 413},
		{"another method", "DELETE", "/subscription", "", own, "application/json", pageSubscription, 405},
		{"posted to the page", "POST", "/", "", own, "application/json", pageSubscription, 405},
		{"the server's other routes", "GET", "/subscriptions", "", "", "", "", 404},
		{"what is above", "GET", "/../backend.go", "", "", "", "", 404},
		{"not saved", "POST", "/subscription", "", own, "application/json", pageSubscription, 500},
	} {
		answer, text := ask(tt.method, tt.path, tt.host, tt.origin, tt.kind, tt.body)
		if answer.StatusCode != tt.status || answer.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s, want %d: %s", tt.name, answer.Status, tt.status, text)
		}
		if tt.status == 500 && !strings.Contains(text, "the disk is full") {
			t.Errorf("%s: %s", tt.name, text)
		}
	}
	if len(saved) != 0 {
		t.Fatalf("saved are %v", saved)
	}

	// After an error the browser may try again, and once it is saved, no more.
	refusal = nil
	if answer, text := ask("POST", "/subscription", "localhost:8091", "http://localhost:8091", "application/json", pageSubscription); answer.StatusCode != 201 {
		t.Errorf("%s: %s", answer.Status, text)
	}
	if answer, text := ask("POST", "/subscription", "", own, "application/json", pageSubscription); answer.StatusCode != 409 {
		t.Errorf("%s: %s", answer.Status, text)
	}
	if len(saved) != 1 || saved[0] != "https://push.example/x" {
		t.Errorf("saved are %v", saved)
	}
}

// Subscribe returns the first subscription that could be saved, after the page has its
// response, and the error of the context otherwise. Both close the listener.
func TestSubscribe(t *testing.T) {
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	listen := func() net.Listener {
		t.Helper()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := listen()
	full := errors.New("the disk is full")
	posted := make(chan int, 2)
	go func() {
		for range 2 {
			resp, err := http.Post("http://"+l.Addr().String()+"/subscription", "application/json", strings.NewReader(pageSubscription))
			if err != nil {
				t.Error(err)
				posted <- 0
				continue
			}
			resp.Body.Close()
			posted <- resp.StatusCode
		}
	}()
	sub, err := appserver.Subscribe(t.Context(), l, key.PublicKey(), "sub.json", func(*webpush.Subscription) error {
		defer func() { full = nil }()
		return full
	})
	if err != nil || sub.Endpoint() != "https://push.example/x" {
		t.Fatalf("subscribed %v, %v", sub, err)
	}
	if first, second := <-posted, <-posted; first != 500 || second != 201 {
		t.Errorf("the responses are %d and %d", first, second)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
	l = listen()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := appserver.Subscribe(ctx, l, key.PublicKey(), "sub.json", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

func TestUserHeader(t *testing.T) {
	user, err := appserver.UserHeader("X-User")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("x-user", "ann")
	if name, err := user(r); name != "ann" || err != nil {
		t.Errorf("the user is %q, %v", name, err)
	}
	for _, name := range []string{"", "X User", "X-User:", "Ü", "a\n"} {
		if _, err := appserver.UserHeader(name); err == nil || webpush.HintOf(err) == "" {
			t.Errorf("%q: %v", name, err)
		}
	}
}
