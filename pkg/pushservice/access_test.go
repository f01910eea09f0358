package pushservice_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// TestHost: every route refuses requests for unknown host names.
func TestHost(t *testing.T) {
	s := pushservice.New(pushservice.Options{Hosts: []string{"push"}, HostHint: "allow it with an option", NewReceiver: newReceiver})
	sub := subscribe(t, s, vapid.PublicKey{})
	for _, c := range []struct {
		host string
		ok   bool
	}{
		{"localhost", true}, {"LOCALHOST:8090", true}, {"127.0.0.1:8090", true}, {"127.8.8.8", true}, {"[::1]:8090", true}, {"[::1]", true},
		{"push", true}, {"Push:8090", true}, {"192.0.2.7:8090", true},
		{"evil.example", false}, {"evil.example:8090", false}, {"localhost.evil.example", false}, {"push.evil.example", false},
		{"localhost.", true}, {"192.0.2.8", false}, {"xpush", false}, {"2130706433", false},
	} {
		for _, route := range [][2]string{
			{"GET", "/"}, {"POST", sub.Path}, {"OPTIONS", sub.Path}, {"POST", "/wpush/v1/x"}, {"DELETE", "/m/x"}, {"GET", "/r/x"}, {"GET", "/api/subscriptions"},
			{"POST", "/api/subscriptions"}, {"GET", "/api/requests"}, {"POST", "/status"}, {"POST", "/subscribe"}, {"GET", "/nothing"},
		} {
			r := newRequest(route[0], route[1], nil)
			r.Host = c.host
			r.Header.Set("TTL", "0")
			if route[1] == "/" {
				r.Header.Set("Upgrade", "websocket")
			}
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 8090})))
			w := do(s, r)
			if (w.Code == 421) == c.ok {
				t.Errorf("%v for %q: status %d", route, c.host, w.Code)
			}
			if !c.ok {
				wantError(t, w, 421, 0, `Unknown host: "`+c.host+`" is not a host name of this push service; allow it with an option`)
			}
		}
	}
}

// TestWebPages: web pages of other origins cannot use the routes of user agents
// unless they are allowed.
func TestWebPages(t *testing.T) {
	s := pushservice.New(pushservice.Options{AllowOrigins: []string{"https://test.example"}, NewReceiver: newReceiver})
	for _, c := range []struct {
		origin, site string
		status       int // of a POST
		get          int
	}{
		{"", "", 201, 200},
		{origin, "same-origin", 201, 200},
		{"ws://localhost:8090/", "", 201, 200},
		{"wss://localhost:8090", "", 201, 200},
		{"moz-extension://x", "", 201, 200},
		{"https://test.example", "cross-site", 201, 200},
		{"", "cross-site", 403, 200},
		{"", "same-site", 403, 200},
		{"https://evil.example", "", 403, 403},
		{"http://localhost:3000", "same-site", 403, 403},
		{"HTTP://evil.example", "", 403, 403},
		{"null", "", 403, 403},
	} {
		for _, path := range []string{"/api/subscriptions", "/subscribe"} {
			for _, method := range []string{"POST", "GET"} {
				r := newRequest(method, path, nil)
				if c.origin != "" {
					r.Header.Set("Origin", c.origin)
				}
				r.Header.Set("Sec-Fetch-Site", c.site)
				w, want := do(s, r), c.status
				switch {
				case method == "GET":
					want = c.get
				}
				if path == "/subscribe" && want < 300 {
					want = map[string]int{"POST": 200, "GET": 405}[method]
				}
				if w.Code != want {
					t.Errorf("%s %s from %q, %q: status %d, want %d", method, path, c.origin, c.site, w.Code, want)
				}
				readable := ""
				if c.origin == "https://test.example" {
					readable = c.origin
				}
				if got := w.Header().Get("Access-Control-Allow-Origin"); got != readable {
					t.Errorf("%s %s from %q: Access-Control-Allow-Origin is %q", method, path, c.origin, got)
				}
			}
		}
	}
	// An allowed page can send JSON, which requires a preflight request.
	r := newRequest("OPTIONS", "/api/subscriptions", nil)
	r.Header.Set("Origin", "https://test.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	r.Header.Set("Access-Control-Request-Headers", "content-type")
	if w := do(s, r); w.Code != 204 || w.Header().Get("Access-Control-Allow-Headers") != "content-type" || !strings.Contains(w.Header().Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("the preflight is %d, %v", w.Code, w.Header())
	}
	// Message requests are not checked: anyone who has an endpoint can send.
	sub := subscribe(t, s, vapid.PublicKey{})
	r = request(sub.Path, nil)
	r.Header.Set("Origin", "https://evil.example")
	if w := do(s, r); w.Code != 201 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a message is %d, %v", w.Code, w.Header())
	}

	url := listen(t, s)
	for o, ok := range map[string]bool{"": true, url: true, "ws" + strings.TrimPrefix(url, "http") + "/": true, "https://test.example": true, "https://evil.example": false, "null": false} {
		h := http.Header{}
		if o != "" {
			h.Set("Origin", o)
		}
		ws, answer, err := websocket.Dial(t.Context(), url, &websocket.DialOptions{HTTPHeader: h})
		if (err == nil) != ok {
			t.Errorf("a WebSocket from %q: %v", o, err)
		}
		if err == nil {
			_ = ws.CloseNow()
		} else if answer == nil || answer.StatusCode != 403 {
			t.Errorf("a WebSocket from %q: %v", o, answer)
		}
	}
}

// TestPreflight: as Mozilla, the service lets pages send messages with fetch().
func TestPreflight(t *testing.T) {
	for _, as := range []pushservice.Personality{pushservice.Strict, pushservice.Mozilla} {
		s := pushservice.New(pushservice.Options{As: as})
		sub := subscribe(t, s, vapid.PublicKey{})
		for _, path := range []string{sub.Path, "/m/x"} {
			r := newRequest("OPTIONS", path, nil)
			r.Header.Set("Origin", "https://page.example")
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "ttl,authorization")
			w := do(s, r)
			if as == pushservice.Strict {
				if w.Code != 405 || w.Header().Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("%s: %d %v", path, w.Code, w.Header())
				}
				continue
			}
			if w.Code != 200 || w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Headers") != "ttl,authorization" {
				t.Errorf("%s: %d %v", path, w.Code, w.Header())
			}
		}
		w := do(s, request(sub.Path, nil))
		if got := w.Header().Get("Access-Control-Allow-Origin"); w.Code != 201 || (got == "*") != (as == pushservice.Mozilla) {
			t.Errorf("%q: %d, Access-Control-Allow-Origin %q", as, w.Code, got)
		}
	}
}

func newReceiver() (pushservice.Receiver, error) { return fakeReceiver{}, nil }
