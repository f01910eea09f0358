package webpush

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// pushServer is a TLS server that decrypts and verifies what it gets, and then
// answers with answer.
func pushServer(t *testing.T, id *ece.Identity, http2 bool, answer http.HandlerFunc) (*httptest.Server, func() (requests int, last string)) {
	t.Helper()
	var mu sync.Mutex
	n, last := 0, ""
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading the request: %v", err)
		}
		got := "no payload"
		if len(body) > 0 {
			m, err := ece.ParseEncryptedMessage(ece.Encoding(r.Header.Get("Content-Encoding")), r.Header.Get("Encryption"), r.Header.Get("Crypto-Key"), body)
			if err != nil {
				t.Errorf("the message: %v", err)
			} else if plain, err := id.Decrypt(m); err != nil {
				t.Errorf("the message: %v", err)
			} else {
				got = string(plain)
			}
		}
		if r.ContentLength != int64(len(body)) || r.Header.Get("Content-Length") == "" || len(r.TransferEncoding) > 0 {
			t.Errorf("%d bytes came with Content-Length %q, Transfer-Encoding %v", len(body), r.Header.Get("Content-Length"), r.TransferEncoding)
		}
		token, err := vapid.ParseToken(r.Header.Get("Authorization"), r.Header.Get("Crypto-Key"))
		if err != nil {
			t.Errorf("the token: %v", err)
		} else if err := token.Verify("https://" + r.Host); err != nil {
			t.Errorf("the token: %v", err)
		}
		if want := map[bool]int{false: 1, true: 2}[http2]; r.ProtoMajor != want {
			t.Errorf("came over HTTP/%d, want %d", r.ProtoMajor, want)
		}
		mu.Lock()
		n, last = n+1, got
		mu.Unlock()
		answer(w, r)
	}))
	s.EnableHTTP2 = http2
	s.Config.ErrorLog = quietLog()
	s.StartTLS()
	t.Cleanup(s.Close)
	return s, func() (int, string) {
		mu.Lock()
		defer mu.Unlock()
		return n, last
	}
}

func signing(t *testing.T, d Doer) *Client {
	return &Client{Key: testKey(t), Subject: "mailto:ops@example.com", HTTP: d}
}

// sendError sends, expects an *Error, and checks what holds of every error.
func sendError(t *testing.T, c *Client, sub *Subscription, msg Message) *Error {
	t.Helper()
	r, err := c.Send(t.Context(), sub, msg)
	var e *Error
	if r != nil || !errors.As(err, &e) {
		t.Fatalf("sent: %+v, %v; want an *Error", r, err)
	}
	noSecret(t, "the error", e.Error()+e.Hint()+e.Reason+e.Problem)
	noSecret(t, "the error in a struct", fmt.Sprintf("%v %+v", e, struct{ E error }{e}))
	for cause := errors.Unwrap(e); cause != nil; cause = errors.Unwrap(cause) {
		noSecret(t, "its cause", cause.Error())
	}
	if e.Hint() == "" || e.Problem == "" || e.Code == "" || e.Origin == "" || strings.ContainsAny(e.Error(), "\n\r\x1b") {
		t.Errorf("%#v: %v", e.Code, e)
	}
	return e
}

func TestSend(t *testing.T) {
	id := testIdentity(t)
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP2 %t", http2), func(t *testing.T) {
			s, got := pushServer(t, id, http2, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Location", "https://"+r.Host+"/m/0:16%31bd")
				w.Header().Set("TTL", "60")
				w.WriteHeader(http.StatusCreated)
			})
			c := signing(t, s.Client())
			sub := testSubscription(t, s.URL+"/wpush/v2/"+testToken, id)
			r, err := c.Send(t.Context(), sub, Message{Payload: []byte("hello"), TTL: new(60 * time.Second)})
			if err != nil {
				t.Fatal(err)
			}
			if n, last := got(); n != 1 || last != "hello" {
				t.Errorf("%d requests, the last with %q", n, last)
			}
			if r.Status != 201 || r.Attempts != 1 || r.Origin != s.URL || r.Service != Other || r.Location != s.URL+"/m/0:16%31bd" ||
				r.TTL == nil || *r.TTL != time.Minute || r.Note != "" || r.Latency <= 0 || r.ReceiptSubscription != "" {
				t.Errorf("receipt %+v", r)
			}
			if _, err := c.Send(t.Context(), sub, Message{}); err != nil {
				t.Error(err)
			}
			if n, last := got(); n != 2 || last != "no payload" {
				t.Errorf("%d requests, the last with %q", n, last)
			}
		})
	}
}

func TestReceipt(t *testing.T) {
	mozilla, wns := testSubscription(t, mozillaEndpoint, nil), testSubscription(t, "https://a.notify.windows.com/w/?token=x", nil)
	for _, tt := range []struct {
		name   string
		sub    *Subscription
		msg    Message
		status int
		header []string
		want   Receipt
	}{
		{"bare", mozilla, Message{}, 201, nil, Receipt{Status: 201}},
		{"200", mozilla, Message{}, 200, nil, Receipt{Status: 200}},
		{"204", mozilla, Message{}, 204, nil, Receipt{Status: 204}},
		{"less TTL", mozilla, Message{TTL: new(48 * time.Hour)}, 201, []string{"TTL", "3600"},
			Receipt{Status: 201, TTL: new(time.Hour), Note: "the service keeps the message for only 3600 seconds, and not 172800 as requested"}},
		{"less than the default", mozilla, Message{}, 201, []string{"TTL", "3600"},
			Receipt{Status: 201, TTL: new(time.Hour), Note: "the service keeps the message for only 3600 seconds, and not 2419200 as requested"}},
		{"more TTL", mozilla, Message{TTL: new(time.Second)}, 201, []string{"TTL", "60"}, Receipt{Status: 201, TTL: new(time.Minute)}},
		{"senseless TTL", mozilla, Message{}, 201, []string{"TTL", "-1"}, Receipt{Status: 201}},
		{"absurd TTL", mozilla, Message{}, 201, []string{"TTL", "9223372036854775807"}, Receipt{Status: 201}},
		{"relative Location", mozilla, Message{}, 201, []string{"Location", "/m/abc%"}, Receipt{Status: 201, Location: "https://updates.push.services.mozilla.com/m/abc%"}},
		{"202", mozilla, Message{}, 202, nil, Receipt{Status: 202, Note: "the service accepted the message for later processing"}},
		{"202 with less TTL", mozilla, Message{TTL: new(time.Minute)}, 202, []string{"TTL", "0"}, Receipt{Status: 202, TTL: new(time.Duration),
			Note: "the service keeps the message for only 0 seconds, and not 60 as requested; the service accepted the message for later processing"}},
		{"202 with a receipt", mozilla, Message{}, 202, []string{"Link", `<https://push.example.net/r/1>; rel="urn:ietf:params:push:receipt"`},
			Receipt{Status: 202, ReceiptSubscription: "https://push.example.net/r/1"}},
		{"receipt among other links", mozilla, Message{}, 202, []string{"Link", `<https://push.example.net/a,b>;title="x, <y>;z"; rel=push, </r/1>; REL="other urn:ietf:params:push:receipt"; a=b, <x>; rel=next`},
			Receipt{Status: 202, ReceiptSubscription: "https://updates.push.services.mozilla.com/r/1"}},
		{"other links only", mozilla, Message{}, 202, []string{"Link", `<urn:ietf:params:push:receipt>; rel=push, <x`},
			Receipt{Status: 202, Note: "the service accepted the message for later processing"}},
		{"WNS received", wns, Message{}, 200, []string{"X-WNS-NotificationStatus", "received", "X-WNS-Status", "Received"}, Receipt{Status: 200}},
		{"WNS dropped", wns, Message{}, 200, []string{"X-WNS-NotificationStatus", "dropped\x1b[31m"},
			Receipt{Status: 200, Note: "WNS accepted the message but reports it as dropped [31m: it will not arrive"}},
		{"WNS throttled", wns, Message{}, 200, []string{"X-WNS-Status", "channelthrottled"},
			Receipt{Status: 200, Note: "WNS accepted the message but reports it as channelthrottled: it will not arrive"}},
		{"GCM", mozilla, Message{GCM: &GCM{Key: "k"}}, 200, nil, Receipt{Status: 200}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) {
				return respond(tt.status, `{"success":1,"failure":0}`, tt.header...), nil
			})}
			r, err := c.Send(t.Context(), tt.sub, tt.msg)
			if err != nil {
				t.Fatal(err)
			}
			if (r.TTL == nil) != (tt.want.TTL == nil) || r.TTL != nil && *r.TTL != *tt.want.TTL {
				t.Errorf("TTL %v, want %v", r.TTL, tt.want.TTL)
			}
			if r.Status != tt.want.Status || r.Location != tt.want.Location || r.Note != tt.want.Note || r.ReceiptSubscription != tt.want.ReceiptSubscription {
				t.Errorf("receipt %+v, want %+v", r, tt.want)
			}
		})
	}
}

// A 200 of the legacy service may be a refusal.
func TestGCMRefusal(t *testing.T) {
	for reason, want := range map[string]Code{"NotRegistered": CodeGone, "MismatchSenderId": CodeRejected, "Unavailable": CodeUnavailable} {
		c := &Client{Attempts: 1, HTTP: doerFunc(func(*http.Request) (*http.Response, error) {
			return respond(200, `{"success":0,"failure":1,"results":[{"error":"`+reason+`"}]}`), nil
		})}
		e := sendError(t, c, testSubscription(t, "https://push.example.net/wpush/x", nil), Message{GCM: &GCM{Key: "k"}})
		if e.Code != want || e.Reason != reason || e.Status != 200 || e.Origin != "https://android.googleapis.com" {
			t.Errorf("%s: %s, %v", reason, e.Code, e)
		}
	}
}

func TestRedirectIsNeverFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{"/elsewhere", "", "http://[::1" + testToken} {
			n := 0
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n++; n > 3 { // else a client that follows would do so for ever
					return
				}
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(status)
			}))
			for name, d := range map[string]Doer{"own client": nil, "a client that follows": &http.Client{}, "a client that says so": &http.Client{
				CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}} {
				n = 0
				e := sendError(t, signing(t, d), testSubscription(t, s.URL+"/wpush/"+testToken, nil), Message{})
				if e.Code != CodeRedirect || e.Temporary() || e.Gone() || n != 1 {
					t.Errorf("%d to %q with %s: %v, after %d requests", status, location, name, e, n)
				}
			}
			s.Close()
		}
	}
}

// between is a wait in seconds; the jitter adds at most a tenth to what the
// service asks for, and doubles what it did not.
type between [2]float64

type limits struct {
	Attempts int
	MaxWait  time.Duration
}

func TestRetry(t *testing.T) {
	const net = -1 // no answer
	growing := []between{{0.5, 1}, {1, 2}, {2, 4}}
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, tt := range []struct {
		name   string
		status int
		header func() []string // in the bubble, whose clock it uses
		client limits
		waits  []between // of every retry that there is
	}{
		{"429", 429, nil, limits{}, growing},
		{"500", 500, nil, limits{}, growing},
		{"502", 502, nil, limits{}, growing},
		{"503", 503, nil, limits{}, growing},
		{"504", 504, nil, limits{}, growing},
		{"507", 507, nil, limits{}, growing},
		{"408", 408, nil, limits{}, growing},
		{"no answer", net, nil, limits{}, growing},
		{"one attempt", 503, nil, limits{Attempts: 1}, nil},
		{"no wait", 503, nil, limits{MaxWait: -1}, nil},
		{"many attempts", 503, nil, limits{Attempts: 10}, append(slices.Clone(growing), between{4, 8}, between{8, 16}, between{16, 32}, between{32, 64}, between{32, 64}, between{32, 64})},
		{"own waits are cut", 503, nil, limits{MaxWait: 800 * time.Millisecond}, []between{{0.5, 0.8}, {0.8, 0.8}, {0.8, 0.8}}},

		{"Retry-After in seconds", 429, func() []string { return []string{"Retry-After", "10"} }, limits{}, []between{{10, 11}, {10, 11}, {10, 11}}},
		{"Retry-After with 500", 500, func() []string { return []string{"Retry-After", " 10 "} }, limits{Attempts: 2}, []between{{10, 11}}},
		{"Retry-After with a fraction", 429, func() []string { return []string{"Retry-After", "1.5"} }, limits{Attempts: 2}, []between{{1.5, 1.65}}},
		{"Retry-After 0", 429, func() []string { return []string{"Retry-After", "0"} }, limits{}, growing},
		{"Retry-After negative", 429, func() []string { return []string{"Retry-After", "-10"} }, limits{}, growing},
		{"Retry-After as a date", 503, func() []string { return []string{"Retry-After", date(30 * time.Second)} }, limits{Attempts: 2}, []between{{29, 33}}},
		{"a date beside the service's own, wrong clock", 503, func() []string {
			return []string{"Date", date(-5 * time.Hour), "Retry-After", date(-5*time.Hour + 30*time.Second)}
		}, limits{Attempts: 2}, []between{{30, 33}}},
		{"past date", 503, func() []string { return []string{"Retry-After", date(-time.Hour)} }, limits{}, growing},
		{"garbage", 503, func() []string { return []string{"Retry-After", "soon"} }, limits{}, growing},
		{"garbage that Go takes for a number", 503, func() []string { return []string{"Retry-After", "0x20"} }, limits{}, growing},
		{"dots", 503, func() []string { return []string{"Retry-After", "1.2.3"} }, limits{}, growing},
		{"infinite", 503, func() []string { return []string{"Retry-After", "Inf"} }, limits{}, growing},
		{"as long as is allowed", 503, func() []string { return []string{"Retry-After", "120"} }, limits{}, []between{{120, 120}, {120, 120}, {120, 120}}},
		{"longer than is allowed", 503, func() []string { return []string{"Retry-After", "121"} }, limits{}, nil},
		{"absurd", 429, func() []string { return []string{"Retry-After", "99999999999999999999"} }, limits{}, nil},
		{"absurd beyond float64", 429, func() []string { return []string{"Retry-After", strings.Repeat("9", 400)} }, limits{}, nil},
		{"absurd date", 429, func() []string { return []string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"} }, limits{}, nil},
		{"WNS's header", 503, func() []string { return []string{"X-WNS-Continue-After", "7"} }, limits{Attempts: 2}, []between{{7, 7.7}}},

		{"400", 400, nil, limits{}, nil},
		{"401", 401, nil, limits{}, nil},
		{"403", 403, nil, limits{}, nil},
		{"404", 404, nil, limits{}, nil},
		{"406", 406, nil, limits{}, nil},
		{"410", 410, nil, limits{}, nil},
		{"410 with Retry-After", 410, func() []string { return []string{"Retry-After", "1"} }, limits{}, nil},
		{"413", 413, nil, limits{}, nil},
		{"418", 418, nil, limits{}, nil},
		{"304", 304, nil, limits{}, nil},
		{"999", 999, nil, limits{}, nil},
	} {
		for _, succeed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, success at last %t", tt.name, succeed), func(t *testing.T) {
				if succeed && tt.waits == nil {
					t.Skip("there is no retry")
				}
				synctest.Test(t, func(t *testing.T) {
					id := testIdentity(t)
					var at []time.Time
					var bodies, tokens []string
					c := &Client{Attempts: tt.client.Attempts, MaxWait: tt.client.MaxWait, Key: testKey(t), Subject: "mailto:ops@example.com"}
					c.HTTP = doerFunc(func(r *http.Request) (*http.Response, error) {
						at = append(at, time.Now())
						bodies = append(bodies, string(readBody(t, r)))
						tokens = append(tokens, r.Header.Get("Authorization"))
						if succeed && len(at) == len(tt.waits)+1 {
							return respond(201, ""), nil
						}
						if tt.status == net {
							return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: syscall.ECONNRESET}
						}
						var header []string
						if tt.header != nil {
							header = tt.header()
						}
						return respond(tt.status, "", header...), nil
					})
					var told []time.Duration
					c.OnRetry = func(e *Error, wait time.Duration) {
						if e.Attempts != len(told)+1 {
							t.Errorf("retry %d after %d attempts", len(told), e.Attempts)
						}
						told = append(told, wait)
					}
					sub := testSubscription(t, "https://push.example.net/wpush/"+testToken, id)
					msg := Message{Payload: []byte("hello")}
					if succeed {
						r, err := c.Send(t.Context(), sub, msg)
						if err != nil || r.Attempts != len(tt.waits)+1 {
							t.Errorf("%+v, %v", r, err)
						}
					} else {
						e := sendError(t, c, sub, msg)
						if e.Attempts != len(at) || e.Status != max(tt.status, 0) {
							t.Errorf("%v, after %d attempts", e, e.Attempts)
						}
						if len(at) > 1 != strings.Contains(e.Error(), fmt.Sprintf("after %d attempts", len(at))) {
							t.Errorf("%v, after %d attempts", e, len(at))
						}
					}
					if len(at) != len(tt.waits)+1 || len(told) != len(tt.waits) {
						t.Fatalf("%d attempts, %d told; want %d retries", len(at), len(told), len(tt.waits))
					}
					for i, w := range tt.waits {
						got := at[i+1].Sub(at[i])
						if s := got.Seconds(); s < w[0] || s > w[1] || told[i] != got {
							t.Errorf("wait %d was %v (told %v), want %v", i+1, got, told[i], w)
						}
						if bodies[i] != bodies[i+1] || tokens[i] != tokens[i+1] {
							t.Error("a retry is not the same message")
						}
					}
				})
			})
		}
	}
}

func TestJitter(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 100 {
		seen[backoff(1, 0)] = true
		if d := backoff(1000, 0); d < 32*time.Second || d > 64*time.Second {
			t.Errorf("the 1000th wait is %v", d)
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d different waits of 100", len(seen))
	}
}

func TestCancel(t *testing.T) {
	sub := testSubscription(t, "https://push.example.net/wpush/"+testToken, nil)
	check := func(t *testing.T, err error, want error, part string) {
		t.Helper()
		var e *Error
		if !errors.Is(err, want) || errors.As(err, &e) || !strings.Contains(err.Error(), part) {
			t.Errorf("%v, want %v", err, want)
		}
		noSecret(t, "the error", err.Error())
	}
	t.Run("while waiting", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			start := time.Now()
			c := &Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) { return respond(429, "", "Retry-After", "60"), nil })}
			_, err := c.Send(ctx, sub, Message{})
			check(t, err, context.Canceled, "sending to https://push.example.net was interrupted before attempt 2")
			if d := time.Since(start); d != 3*time.Second {
				t.Errorf("took %v", d)
			}
		})
	})
	hanging := doerFunc(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: r.Context().Err()}
	})
	t.Run("during a request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			_, err := (&Client{HTTP: hanging}).Send(ctx, sub, Message{})
			check(t, err, context.Canceled, "sending to https://push.example.net was interrupted")
		})
	})
	t.Run("the caller's deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := (&Client{HTTP: hanging}).Send(ctx, sub, Message{})
			check(t, err, context.DeadlineExceeded, "interrupted")
		})
	})
	t.Run("the timeout of each attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			for _, tt := range []struct {
				timeout time.Duration
				want    string
			}{{0, "the request took longer than 30s"}, {5 * time.Second, "the request took longer than 5s"}} {
				start := time.Now()
				e := sendError(t, &Client{HTTP: hanging, Timeout: tt.timeout, Attempts: 2}, sub, Message{})
				if e.Code != CodeNetwork || !e.Temporary() || e.Problem != tt.want || e.Attempts != 2 {
					t.Errorf("%v", e)
				}
				if d := time.Since(start); d < 2*tt.timeout || d > 65*time.Second {
					t.Errorf("took %v", d)
				}
			}
		})
	})
	t.Run("the timeout of the caller's client", func(t *testing.T) {
		e := sendError(t, &Client{Attempts: 1, Timeout: -1, HTTP: doerFunc(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: os.ErrDeadlineExceeded}
		})}, sub, Message{})
		if e.Code != CodeNetwork || strings.Contains(e.Error(), "-1") {
			t.Errorf("%v", e)
		}
	})
	t.Run("a body that does not end in time", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusGone)
			_, _ = io.WriteString(w, "it is over")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		defer s.Close()
		e := sendError(t, &Client{Timeout: 50 * time.Millisecond}, testSubscription(t, s.URL+"/wpush/x", nil), Message{})
		if !e.Gone() || e.Reason != "it is over" {
			t.Errorf("%v", e)
		}
	})
}

func TestHostileAnswers(t *testing.T) {
	quick := &Client{Attempts: 2, MaxWait: time.Millisecond, Timeout: 5 * time.Second}
	for _, tt := range []struct {
		name, answer string
		code         Code
		requests     int
	}{
		{"endless body", "HTTP/1.1 400 Bad\r\n" + endless, CodeRejected, 1},
		{"endless body of a temporary refusal", "HTTP/1.1 503 Later\r\n" + endless, CodeUnavailable, 2},
		{"reset", "", CodeNetwork, 2},
		{"no HTTP", "I am no HTTP server\r\n\r\n", CodeNetwork, 2},
		{"cut body", "HTTP/1.1 410 Gone\r\nContent-Length: 100\r\n\r\nshort", CodeGone, 1},
		{"control characters", "HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n\x1b[2J\x1b]0;pwned\x07\r\nnext\x00line\x9b1m", CodeRejected, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newRaw(t, tt.answer)
			e := sendError(t, quick, testSubscription(t, s.url+"/wpush/"+testToken, nil), Message{})
			if e.Code != tt.code || len(e.Body) > maxBody || len(e.Error()) > 700 || s.requests() != tt.requests {
				t.Errorf("%s, %d bytes, %d requests: %v", e.Code, len(e.Body), s.requests(), e)
			}
		})
	}
	t.Run("endless body of a success", func(t *testing.T) {
		s := newRaw(t, "HTTP/1.1 201 Created\r\n"+endless)
		if r, err := quick.Send(t.Context(), testSubscription(t, s.url, nil), Message{}); err != nil || r.Status != 201 {
			t.Errorf("%+v, %v", r, err)
		}
	})
	// Express and others write the path, and proxies all headers, into the answer.
	t.Run("echo", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusTeapot)
			fmt.Fprintf(w, "Cannot POST %s, %s, %s: %s", r.RequestURI, strings.TrimPrefix(r.URL.Path, "/wpush/v2/"), r.Header.Get("Authorization"), r.URL)
		}))
		defer s.Close()
		for _, path := range []string{"/wpush/v2/" + testToken, "/wpush/v2/" + testToken + "?a=%7E", `/wpush/v2/` + testToken + `"&'`, "/?token=" + testToken} {
			e := sendError(t, signing(t, nil), testSubscription(t, s.URL+path, nil), Message{})
			if !strings.HasPrefix(e.Reason, "Cannot POST …") || strings.Contains(string(e.Body), "wpush") {
				t.Errorf("%q: %v, body %s", path, e, e.Body)
			}
		}
	})
	t.Run("echo in a header", func(t *testing.T) {
		c := &Client{HTTP: doerFunc(func(r *http.Request) (*http.Response, error) {
			return respond(400, "", "X-WNS-Error-Description", "no channel "+r.URL.RequestURI()), nil
		})}
		if e := sendError(t, c, testSubscription(t, "https://a.notify.windows.com/w/?token="+testToken, nil), Message{}); e.Reason != "no channel …" {
			t.Errorf("%v", e)
		}
	})
	t.Run("echo in HTML", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(w, "<html><body><pre>Cannot POST %s</pre></body></html>", r.RequestURI)
		}))
		defer s.Close()
		if e := sendError(t, &Client{Attempts: 1}, testSubscription(t, s.URL+"/wpush/"+testToken, nil), Message{}); e.Reason != "Cannot POST …" {
			t.Errorf("%v", e)
		}
	})
}

func TestNetworkFaults(t *testing.T) {
	sub := testSubscription(t, mozillaEndpoint, nil)
	notFound := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "updates.push.services.mozilla.com", IsNotFound: true}}
	lame := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", Name: "updates.push.services.mozilla.com", Server: "127.0.0.53:53", IsTemporary: true}}
	for _, tt := range []struct {
		name    string
		err     error
		again   bool
		meaning string
	}{
		{"host not found", notFound, false, "the host updates.push.services.mozilla.com does not exist"},
		{"name server fails", lame, true, "the host updates.push.services.mozilla.com could not be looked up: server misbehaving"},
		{"refused", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true, "connect: connection refused"},
		{"dial timeout", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, true, "no connection was made in time"},
		{"dial is reset", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNRESET)}, true, "connect: connection reset by peer"},
		{"cut off", io.ErrUnexpectedEOF, true, "the connection was closed before a response arrived"},
		{"reset", &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true, "the connection was closed before a response arrived"},
		{"text of a stranger", errors.New("malformed HTTP response \"\x1b[31m /wpush/v2/" + testToken + "\u202e\""), true, `malformed HTTP response " [31m … "`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := 0
			c := &Client{Attempts: 3, MaxWait: time.Millisecond, HTTP: doerFunc(func(r *http.Request) (*http.Response, error) {
				n++
				return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: tt.err}
			})}
			e := sendError(t, c, sub, Message{})
			if want := map[bool]int{false: 1, true: 3}[tt.again]; n != want || e.Attempts != want {
				t.Errorf("%d attempts, want %d", n, want)
			}
			if e.Code != CodeNetwork || !e.Temporary() || e.Gone() || e.Problem != tt.meaning || e.Status != 0 {
				t.Errorf("%s: %q", e.Code, e.Problem)
			}
			if !strings.HasPrefix(e.Error(), "no response from https://updates.push.services.mozilla.com: ") {
				t.Errorf("%v", e)
			}
			if tt.name != "text of a stranger" && !errors.Is(e, tt.err) {
				t.Errorf("the cause %v is lost", tt.err)
			}
		})
	}
}

func TestTLSFaults(t *testing.T) {
	n := atomic.Int32{}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { n.Add(1) }))
	s.Config.ErrorLog = quietLog()
	s.StartTLS()
	defer s.Close()
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	trusting, err := NewHTTPClient(TransportOptions{CAs: certificate(s)})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, endpoint string
		http           Doer
		meaning        string
	}{
		{"unknown authority", s.URL, nil, "authority that is not trusted"},
		{"other name", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), trusting, "the certificate is not valid: x509: certificate is valid for example.com"},
		{"no TLS", "https" + strings.TrimPrefix(plain.URL, "http"), nil, "does not speak TLS"},
		{"not even HTTP", "https" + strings.TrimPrefix(newRawGreeting(t), "http"), nil, "does not speak TLS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			retries := 0
			c := &Client{HTTP: tt.http, OnRetry: func(*Error, time.Duration) { retries++ }}
			e := sendError(t, c, testSubscription(t, tt.endpoint+"/wpush/"+testToken, nil), Message{})
			if e.Code != CodeNetwork || !strings.Contains(e.Problem, tt.meaning) || retries != 0 {
				t.Errorf("%s, %d retries: %v", e.Code, retries, e)
			}
		})
	}
	if n.Load() != 0 {
		t.Error("a request came through")
	}
	for _, o := range []TransportOptions{{CAs: certificate(s)}, {Insecure: true}} {
		hc, err := NewHTTPClient(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&Client{HTTP: hc}).Send(t.Context(), testSubscription(t, s.URL, nil), Message{}); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestPlainHTTP(t *testing.T) {
	for _, tt := range []struct {
		endpoint string
		allow    bool
		ok       bool
	}{
		{"http://push.example.net/wpush", false, false},
		{"HTTP://PUSH.example.net/wpush", false, false},
		{"http://192.168.0.1/wpush", false, false},
		{"http://127.0.0.1.example.net/wpush", false, false},
		{"http://push.example.net/wpush", true, true},
		{"http://127.0.0.1:8080/wpush", false, true},
		{"http://localhost/wpush", false, true},
		{"http://[::1]/wpush", false, true},
		{"https://push.example.net/wpush", false, true},
	} {
		n := 0
		c := &Client{AllowHTTP: tt.allow, HTTP: doerFunc(func(*http.Request) (*http.Response, error) { n++; return respond(201, ""), nil })}
		sub := testSubscription(t, tt.endpoint, nil)
		if tt.ok {
			if _, err := c.Send(t.Context(), sub, Message{}); err != nil || n != 1 {
				t.Errorf("%s: %v", tt.endpoint, err)
			}
			continue
		}
		if e := sendError(t, c, sub, Message{}); e.Code != CodeRefused || n != 0 || !strings.Contains(e.Error(), "was not asked") {
			t.Errorf("%s: %v", tt.endpoint, e)
		}
	}
}

// A token is signed once for an origin and used until shortly before it ends.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		token := func(c *Client, endpoint string) string {
			t.Helper()
			req, err := c.NewRequest(t.Context(), testSubscription(t, endpoint, nil), Message{})
			if err != nil {
				t.Fatal(err)
			}
			a := req.Header.Get("Authorization")
			parsed, err := vapid.ParseToken(a, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := parsed.Verify(testSubscription(t, endpoint, nil).Origin()); err != nil {
				t.Errorf("%s: %v", endpoint, err)
			}
			return a
		}
		c := &Client{Key: testKey(t), Subject: "mailto:ops@example.com"}
		first := token(c, "https://a.example.net/1")
		if token(c, "https://a.example.net:443/2") != first {
			t.Error("the origin's token is not used again")
		}
		if token(c, "https://a.example.net:8443/2") == first || token(c, "https://b.example.net/2") == first {
			t.Error("another origin has the same token")
		}
		time.Sleep(10*time.Hour + 59*time.Minute)
		if token(c, "https://a.example.net/") != first {
			t.Error("the token is renewed earlier than an hour before its end")
		}
		time.Sleep(time.Minute)
		second := token(c, "https://a.example.net/")
		if second == first {
			t.Error("the token is not renewed an hour before its end")
		}

		c = &Client{Key: testKey(t), Subject: "mailto:ops@example.com", Lifetime: 4 * time.Minute}
		first = token(c, "https://a.example.net/")
		time.Sleep(3*time.Minute - time.Second)
		if token(c, "https://a.example.net/") != first {
			t.Error("a short token is not used for three quarters of its life")
		}
		time.Sleep(time.Second)
		if token(c, "https://a.example.net/") == first {
			t.Error("a short token is used in the last quarter of its life")
		}

		// An aud that was written for another service does not count; one that is
		// meant for all does.
		c = &Client{Key: testKey(t), Subject: "mailto:ops@example.com", Claims: vapid.Claims{Audience: "https://other.example.net"}}
		token(c, "https://a.example.net/")
		c = &Client{Key: testKey(t), Subject: "mailto:ops@example.com", Audience: "https://other.example.net"}
		req, err := c.NewRequest(t.Context(), testSubscription(t, "https://a.example.net/", nil), Message{})
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := vapid.ParseToken(req.Header.Get("Authorization"), ""); err != nil || parsed.Verify("https://other.example.net") != nil {
			t.Errorf("Audience: %v", err)
		}

		// An end that the caller fixed is kept, and refused when it is past.
		c = &Client{Key: testKey(t), Claims: vapid.Claims{Expires: time.Now().Add(time.Hour)}, Subject: "mailto:ops@example.com"}
		first = token(c, "https://a.example.net/")
		time.Sleep(59 * time.Minute)
		if token(c, "https://a.example.net/") != first {
			t.Error("a token with a fixed end is not kept")
		}
		time.Sleep(2 * time.Minute)
		var e *vapid.ClaimsError
		if _, err := c.NewRequest(t.Context(), testSubscription(t, "https://a.example.net/", nil), Message{}); !errors.As(err, &e) {
			t.Errorf("a token that has expired: %v", err)
		}
		for _, exp := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(25 * time.Hour)} {
			c = &Client{Key: testKey(t), Claims: vapid.Claims{Expires: exp}, Lenient: true}
			if _, err := c.NewRequest(t.Context(), testSubscription(t, "https://a.example.net/", nil), Message{}); !errors.As(err, &e) {
				t.Errorf("Sign with exp %v: %v", exp, err)
			}
		}
		c = &Client{Key: testKey(t), Claims: vapid.Claims{Subject: "push.dev"}, Lenient: true}
		req, err = c.NewRequest(t.Context(), testSubscription(t, "https://a.example.net/", nil), Message{})
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := vapid.ParseToken(req.Header.Get("Authorization"), ""); err != nil || len(parsed.Check("https://a.example.net")) < 1 {
			t.Errorf("Lenient: %v", err)
		}
	})
}

func TestConcurrency(t *testing.T) {
	id := testIdentity(t)
	s, got := pushServer(t, id, true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) })
	c := signing(t, s.Client())
	sub := testSubscription(t, s.URL+"/wpush/"+testToken, id)
	msg := Message{Payload: []byte("hello"), Header: http.Header{"Prefer": {"respond-async"}}}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			for range 4 {
				if _, err := c.Send(t.Context(), sub, msg); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, _ := got(); n != 200 {
		t.Errorf("%d requests", n)
	}
}

// newRawGreeting is the address of a server that speaks first, and no TLS.
func newRawGreeting(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n")
			_, _ = io.CopyN(io.Discard, conn, 1)
			_ = conn.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

// writeCounter counts the writes of a connection.
type writeCounter struct {
	net.Conn
	n *atomic.Int32
}

func (w writeCounter) Write(p []byte) (int, error) { w.n.Add(1); return w.Conn.Write(p) }

// A request over HTTP/1.1 is one write: its body does not follow its head alone.
func TestRequestIsOneWrite(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(201)
	}))
	defer s.Close()
	var writes atomic.Int32
	hc := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return writeCounter{conn, &writes}, err
	}}}
	defer hc.CloseIdleConnections()
	sub := testSubscription(t, s.URL+"/1", testIdentity(t))
	c := &Client{HTTP: hc}
	if _, err := c.Send(t.Context(), sub, Message{Payload: []byte("hi")}); err != nil {
		t.Fatal(err)
	}
	if n := writes.Swap(0); n != 1 {
		t.Errorf("Send: %d writes", n)
	}
	jobs := func(yield func(Job, error) bool) {
		yield(Job{Subscription: sub, Message: Message{Payload: []byte("hi")}}, nil)
	}
	for r := range c.SendAll(t.Context(), jobs, BulkOptions{}) {
		if r.Class != ClassDelivered {
			t.Error(r.Err)
		}
	}
	if n := writes.Load(); n != 1 {
		t.Errorf("SendAll: %d writes", n)
	}
}
