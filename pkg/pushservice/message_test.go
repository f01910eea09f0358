package pushservice_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func TestMessageRefused(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	sub := subscribe(t, s, vapid.PublicKey{})
	good := aes128gcmBody(t, 4096, point(t), 17)
	dh, salt := encode(point(t)), encode(make([]byte, 16))
	offCurve := point(t)
	offCurve[64] ^= 1

	set := func(headers ...string) func(*http.Request) {
		return func(r *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				r.Header.Del(headers[i])
			}
			for i := 0; i < len(headers); i += 2 {
				r.Header.Add(headers[i], headers[i+1])
			}
		}
	}
	legacy := func(encryption, cryptoKey string, more ...string) func(*http.Request) {
		return set(append([]string{"Content-Encoding", "aesgcm", "Encryption", encryption, "Crypto-Key", cryptoKey}, more...)...)
	}
	for _, c := range []struct {
		name    string
		body    []byte
		change  func(*http.Request)
		status  int
		errno   int
		message string
	}{
		{"no TTL", nil, func(r *http.Request) { r.Header.Del("TTL") }, 400, 111, "Missing TTL value: the request has no TTL header"},
		{"empty TTL", nil, set("TTL", ""), 400, 111, `Invalid TTL value: found "", expected a number of seconds in decimal digits`},
		{"words", nil, set("TTL", "1h"), 400, 111, `Invalid TTL value: found "1h", expected a number of seconds in decimal digits`},
		{"fraction", nil, set("TTL", "1.5"), 400, 111, `Invalid TTL value: found "1.5", expected a number of seconds in decimal digits`},
		{"plus", nil, set("TTL", "+1"), 400, 111, `Invalid TTL value: found "+1", expected a number of seconds in decimal digits`},
		{"minus alone", nil, set("TTL", "-"), 400, 111, `Invalid TTL value: found "-", expected a number of seconds in decimal digits`},
		{"other digits", nil, set("TTL", "٣"), 400, 111, `Invalid TTL value: found "٣", expected a number of seconds in decimal digits`},
		{"two TTLs", nil, set("TTL", "1", "TTL", "1"), 400, 111, "Invalid TTL value: the request has 2 TTL headers"},
		{"negative", nil, set("TTL", "-1"), 400, 114, `TTL must be greater than 0: found "-1"`},

		{"urgency", nil, set("Urgency", "urgent"), 400, 0, `Invalid Urgency header: found "urgent", expected one of very-low, low, normal, high`},
		{"empty urgency", nil, set("Urgency", ""), 400, 0, `Invalid Urgency header: found "", expected one of very-low, low, normal, high`},
		{"urgency list", nil, set("Urgency", "low, high"), 400, 0, `Invalid Urgency header: found "low, high", expected one of very-low, low, normal, high`},
		{"two urgencies", nil, set("Urgency", "low", "Urgency", "high"), 400, 0, "Invalid Urgency header: found 2 of them, expected one of very-low, low, normal, high"},

		{"long topic", nil, set("Topic", strings.Repeat("x", 33)), 400, 113, "Topic must be no greater than 32 characters: it has 33"},
		{"topic with space", nil, set("Topic", "a b"), 400, 113, `Topic must be URL and Filename safe Base64 alphabet: found "a b"`},
		{"padded topic", nil, set("Topic", "YQ=="), 400, 113, `Topic must be URL and Filename safe Base64 alphabet: found "YQ=="`},
		{"empty topic", nil, set("Topic", ""), 400, 113, "Topic must be URL and Filename safe Base64 alphabet: it is empty"},
		{"two topics", nil, set("Topic", "a", "Topic", "b"), 400, 113, "Invalid Topic header: found 2 of them, expected one"},

		{"no encoding", good, func(r *http.Request) { r.Header.Del("Content-Encoding") }, 400, 110, "Missing Content-Encoding header: the message has a body of 103 bytes, expected aes128gcm"},
		{"unknown encoding", good, set("Content-Encoding", "gzip"), 415, 110, `Unknown Content-Encoding header: found "gzip", expected aes128gcm`},
		{"oldest encoding", good, set("Content-Encoding", "aesgcm128"), 415, 110, `Unknown Content-Encoding header: found "aesgcm128", expected aes128gcm`},
		{"two encodings", good, set("Content-Encoding", "aes128gcm", "Content-Encoding", "gzip"), 415, 110, `Unknown Content-Encoding header: found "aes128gcm, gzip", expected aes128gcm`},
		{"salt twice", good, set("Encryption", "salt="+salt), 400, 110, "Do not include 'salt' header in aes128gcm Encryption header: the salt is in the body"},
		{"dh twice", good, set("Crypto-Key", "p256ecdsa=x;dh="+dh), 400, 110, "Do not include 'dh' header in aes128gcm Crypto-Key header: the sender's key is in the body"},
		{"broken Crypto-Key", good, set("Crypto-Key", "dh"), 400, 110, `Invalid Crypto-Key header: parameter "dh" has no value`},
		{"quote without end", good, set("Crypto-Key", `keyid="a`), 400, 110, `Invalid Crypto-Key header: parameter "keyid" has an unterminated quote`},
		{"parameter twice", good, set("Encryption", "rs=1;rs=2"), 400, 110, `Invalid Encryption header: parameter "rs" is given twice`},
		{"parameter without value", good, set("Encryption", "rs=;keyid=a"), 400, 110, `Invalid Encryption header: parameter "rs" has no value`},
		{"junk after value", good, set("Encryption", "rs=1 2"), 400, 110, `Invalid Encryption header: parameter "rs" has '2' after its value, expected a comma or semicolon`},

		{"tiny body", good[:20], nil, 400, 110, "Invalid aes128gcm body: it has 20 bytes, too few for salt, rs, and idlen"},
		{"one byte", good[:1], nil, 400, 110, "Invalid aes128gcm body: it has 1 byte, too few for salt, rs, and idlen"},
		{"no keyid", aes128gcmBody(t, 4096, nil, 100), nil, 400, 110, "Invalid aes128gcm body: idlen is 0, expected 65, the size of the sender's key"},
		{"small rs", aes128gcmBody(t, 17, point(t), 17), nil, 400, 110, "Invalid aes128gcm body: rs is 17, expected 18 or more"},
		{"cut header", good[:80], nil, 400, 110, "Invalid aes128gcm body: it has 80 bytes, too few for a header of 86 and a record"},
		{"cut record", good[:102], nil, 400, 110, "Invalid aes128gcm body: it has 102 bytes, too few for a header of 86 and a record"},
		{"off the curve", aes128gcmBody(t, 4096, offCurve, 17), nil, 400, 110, "Invalid aes128gcm body: keyid: the key is not a point on P-256"},
		{"two records", aes128gcmBody(t, 18, point(t), 36), nil, 400, 110, "Invalid aes128gcm body: rs is 18, expected more than the 36 bytes after the header, which must be one record"},
		{"full record", aes128gcmBody(t, 100, point(t), 100), nil, 400, 110, "Invalid aes128gcm body: rs is 100, expected more than the 100 bytes after the header, which must be one record"},

		{"aesgcm alone", good, set("Content-Encoding", "aesgcm"), 400, 110, "Missing Encryption header: aesgcm has the salt there"},
		{"two encryptions", good, legacy("salt="+salt+",salt="+salt, "dh="+dh), 400, 110, "Invalid Encryption header: it has 2 entries, expected one"},
		{"no salt", good, legacy("rs=4096", "dh="+dh), 400, 110, "Missing salt value in Encryption header: aesgcm has the salt there"},
		{"bad salt", good, legacy("salt=a!", "dh="+dh), 400, 110, "Invalid salt value in Encryption header: character '!' at position 2 is not base64"},
		{"short salt", good, legacy("salt="+encode(make([]byte, 15)), "dh="+dh), 400, 110, "Invalid salt value in Encryption header: it has 15 bytes, expected 16"},
		{"no Crypto-Key", good, set("Content-Encoding", "aesgcm", "Encryption", "salt="+salt), 400, 110, "Missing dh value in Crypto-Key header: aesgcm has the sender's key there"},
		{"no dh", good, legacy("salt="+salt, "p256ecdsa="+dh), 400, 110, "Missing dh value in Crypto-Key header: aesgcm has the sender's key there"},
		{"two dh", good, legacy("salt="+salt, "dh="+dh+",dh="+dh), 400, 110, "Invalid Crypto-Key header: it contains dh 2 times"},
		{"short dh", good, legacy("salt="+salt, "dh=AAAA"), 400, 110, "Invalid dh value in Crypto-Key header: the key has 3 bytes, expected 65"},
		{"dh off the curve", good, legacy("salt="+salt, "dh="+encode(offCurve)), 400, 110, "Invalid dh value in Crypto-Key header: the key is not a point on P-256"},
		{"explicit key", good, legacy("salt="+salt, "aesgcm=AAAA;dh="+dh), 400, 110, "Invalid Crypto-Key header: it contains an explicit key, which lets anyone decrypt the message"},
		{"other keyid", good, legacy("keyid=a;salt="+salt, "keyid=b;dh="+dh), 400, 110, "Invalid Crypto-Key header: the entry with dh does not have the keyid of the Encryption header"},
		{"Encryption-Key", good, legacy("salt="+salt, "dh="+dh, "Encryption-Key", "dh="+dh), 400, 110, "Encryption-Key header is not valid for webpush draft 02 or later: the sender's key belongs in Crypto-Key"},
		{"bad rs", good, legacy("salt="+salt+";rs=1", "dh="+dh), 400, 110, `Invalid rs value in Encryption header: found "1", expected a number from 2 to 2^36-31`},
		{"short aesgcm", good[:17], legacy("salt="+salt, "dh="+dh), 400, 110, "Invalid aesgcm body: it has 17 bytes, too few for a record"},
		{"two aesgcm records", good, legacy("salt="+salt+";rs=87", "dh="+dh), 400, 110, "Invalid aesgcm body: it has 103 bytes, too many for one record with rs 87"},

		{"large", make([]byte, 4097), nil, 413, 104, "Body too large: it has 4097 bytes, expected at most 4096"},
		{"large chunks", make([]byte, 4097), func(r *http.Request) { r.ContentLength = -1 }, 413, 104, "Body too large: it has more than 4096 bytes"},
		{"broken off", good, func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)) }, 400, 0, "Invalid body: it ended after 0 bytes: unexpected EOF"},
		{"host", nil, func(r *http.Request) { r.Host = "a/b" }, 400, 0, `Invalid Host header: "a/b" is not a host`},
		{"no host", nil, func(r *http.Request) { r.Host = "" }, 400, 0, `Invalid Host header: "" is not a host`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(sub.Path, c.body)
			if c.change != nil {
				c.change(r)
			}
			wantError(t, do(s, r), c.status, c.errno, c.message)
			if list := s.Requests(); list[len(list)-1].Status != c.status {
				t.Errorf("logged as %d", list[len(list)-1].Status)
			}
		})
	}
	if list := receive(t, s, sub.ID, 0); len(list) != 0 {
		t.Errorf("%d refused messages are there", len(list))
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	sub := subscribe(t, s, vapid.PublicKey{})
	token := strings.TrimPrefix(sub.Path, "/wpush/v1/")
	for _, c := range []struct {
		method, path string
		status       int
		errno        int
		message      string
		allow        string
	}{
		{"POST", "/wpush/v1/" + token[1:], 404, 102, "Invalid token: no subscription has this endpoint", ""},
		{"POST", "/wpush/v1/", 404, 102, "Invalid token: no subscription has this endpoint", ""},
		{"POST", "/wpush/v2/" + token, 404, 102, "Invalid token: no subscription has this endpoint", ""},
		{"POST", "/wpush/v3/" + token, 404, 102, `Invalid API version: found "v3", expected v1 or v2`, ""},
		{"POST", "/wpush/" + token, 400, 111, "Missing TTL value: the request has no TTL header", ""}, // v1
		{"POST", "/wpush/" + token[1:], 404, 102, "Invalid token: no subscription has this endpoint", ""},
		{"POST", "/wpush/v1/" + token + "/", 404, 102, "", ""},
		{"POST", "//wpush/v1/x", 404, 102, `Invalid path: "//wpush/v1/x" is not a route of this push service`, ""},
		{"GET", "/", 404, 102, `Invalid path: "/" is not a route of this push service`, ""},
		{"GET", "/api", 404, 102, `Invalid path: "/api" is not a route of this push service`, ""},
		{"GET", "/api/nothing", 404, 102, `Invalid path: "/api/nothing" is not a route of this push service`, ""},
		{"GET", sub.Path, 405, 0, "Invalid method: GET is not allowed here, expected POST", "POST"},
		{"GET", "/m/x", 405, 0, "Invalid method: GET is not allowed here, expected DELETE", "DELETE"},
		{"DELETE", "/m/x", 404, 102, "No such message: it was acknowledged, canceled, or replaced, has expired, or never existed", ""},
		{"PUT", "/api/subscriptions", 405, 0, "Invalid method: PUT is not allowed here, expected GET, POST", "GET, POST"},
		{"GET", "/api/subscriptions/x", 405, 0, "Invalid method: GET is not allowed here, expected DELETE", "DELETE"},
		{"DELETE", "/api/subscriptions/x", 404, 102, "No such subscription: the id is unknown", ""},
		{"POST", "/api/subscriptions/x/messages", 405, 0, "Invalid method: POST is not allowed here, expected GET", "GET"},
		{"GET", "/api/subscriptions/x/messages", 404, 102, "No such subscription: the id is unknown", ""},
		{"GET", "/api/faults", 405, 0, "Invalid method: GET is not allowed here, expected POST, DELETE", "POST, DELETE"},
		{"POST", "/api/requests", 405, 0, "Invalid method: POST is not allowed here, expected GET", "GET"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			w := do(s, newRequest(c.method, c.path, nil))
			if c.message == "" {
				c.message = `Invalid path: "` + c.path + `" is not a route of this push service`
				if len(c.path) > 64 {
					c.message = `Invalid path: "` + c.path[:64] + `…" is not a route of this push service`
				}
			}
			wantError(t, w, c.status, c.errno, c.message)
			if allow := w.Header().Get("Allow"); allow != c.allow {
				t.Errorf("Allow is %q, want %q", allow, c.allow)
			}
		})
	}
}

func TestMessageAccepted(t *testing.T) {
	s := pushservice.New(pushservice.Options{})
	dh, salt := encode(point(t)), encode(make([]byte, 16))
	body := aes128gcmBody(t, 4096, point(t), 4096-86)
	for _, c := range []struct {
		name    string
		body    []byte
		headers []string
		ttl     string
		want    pushservice.AcceptedMessage
	}{
		{"no payload", nil, nil, "60", pushservice.AcceptedMessage{TTL: time.Minute, Urgency: "normal"}},
		{"no payload but encoding", nil, []string{"Content-Encoding", "aes128gcm"}, "60", pushservice.AcceptedMessage{TTL: time.Minute, Urgency: "normal"}},
		{"largest", body, nil, "60", pushservice.AcceptedMessage{TTL: time.Minute, Urgency: "normal", Encoding: "aes128gcm", Body: body}},
		{"all headers", body[:103], []string{"Urgency", "very-low", "Topic", strings.Repeat("x", 32), "TTL", "007"}, "7",
			pushservice.AcceptedMessage{TTL: 7 * time.Second, Urgency: "very-low", Topic: strings.Repeat("x", 32), Encoding: "aes128gcm", Body: body[:103]}},
		{"case", body[:103], []string{"Urgency", "High", "Content-Encoding", "AES128GCM"}, "60", pushservice.AcceptedMessage{TTL: time.Minute, Urgency: "high", Encoding: "aes128gcm", Body: body[:103]}},
		{"longest TTL", nil, []string{"TTL", "2592000"}, "2592000", pushservice.AcceptedMessage{TTL: 30 * 24 * time.Hour, Urgency: "normal"}},
		{"too long TTL", nil, []string{"TTL", "2592001"}, "2592000", pushservice.AcceptedMessage{TTL: 30 * 24 * time.Hour, Urgency: "normal"}},
		{"overflowing TTL", nil, []string{"TTL", strings.Repeat("9", 100)}, "2592000", pushservice.AcceptedMessage{TTL: 30 * 24 * time.Hour, Urgency: "normal"}},
		{"aesgcm", body[:18], []string{"Content-Encoding", "aesgcm", "Encryption", "salt=" + salt, "Crypto-Key", "dh=" + dh + ";p256ecdsa=" + dh}, "60",
			pushservice.AcceptedMessage{TTL: time.Minute, Urgency: "normal", Encoding: "aesgcm", Encryption: "salt=" + salt, CryptoKey: "dh=" + dh + ";p256ecdsa=" + dh, Body: body[:18]}},
		{"aesgcm quoted", body[:18], []string{"Content-Encoding", "aesgcm", "Encryption", `keyid="a\"b" ; salt="` + salt + `==" ; rs=4096`, "Crypto-Key", `keyid="a\"b";dh="` + dh + `=" , p256ecdsa=x`}, "60",
			pushservice.AcceptedMessage{TTL: time.Minute, Urgency: "normal", Encoding: "aesgcm", Encryption: `keyid="a\"b" ; salt="` + salt + `==" ; rs=4096`, CryptoKey: `keyid="a\"b";dh="` + dh + `=" , p256ecdsa=x`, Body: body[:18]}},
	} {
		t.Run(c.name, func(t *testing.T) {
			sub := subscribe(t, s, vapid.PublicKey{})
			r := request(sub.Path, c.body)
			for i := 0; i < len(c.headers); i += 2 {
				r.Header.Set(c.headers[i], c.headers[i+1])
			}
			w := do(s, r)
			if w.Code != 201 || w.Body.Len() != 0 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if got := w.Header().Get("TTL"); got != c.ttl {
				t.Errorf("TTL is %q, want %q", got, c.ttl)
			}
			list := receive(t, s, sub.ID, 0)
			if len(list) != 1 {
				t.Fatalf("%d messages", len(list))
			}
			got := list[0]
			if want := origin + "/m/" + got.ID; w.Header().Get("Location") != want || len(got.ID) != 22 {
				t.Errorf("Location is %q, want %q", w.Header().Get("Location"), want)
			}
			if !bytes.Equal(got.Body, c.want.Body) || (got.Body == nil) != (c.want.Body == nil) {
				t.Errorf("body is %x, want %x", got.Body, c.want.Body)
			}
			if got.Seq != 1 || got.TTL != c.want.TTL || got.Urgency != c.want.Urgency || got.Topic != c.want.Topic ||
				got.Encoding != c.want.Encoding || got.Encryption != c.want.Encryption || got.CryptoKey != c.want.CryptoKey {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOrigin(t *testing.T) {
	for _, c := range []struct{ origin, url, want string }{
		{"", "http://LocalHost:80/", "http://localhost"},
		{"", "http://[::1]:8080/", "http://[::1]:8080"},
		{"", "https://push.example.net:443/", "https://push.example.net"},
		{"https://Push.example.net:443", "http://127.0.0.1:8080/", "https://push.example.net"},
	} {
		s := pushservice.New(pushservice.Options{Origin: c.origin, Hosts: []string{"push.example.net"}})
		sub := subscribe(t, s, vapid.PublicKey{})
		r := newRequest("POST", c.url, nil)
		r.URL.Path = sub.Path
		r.Header.Set("TTL", "1")
		if w := do(s, r); !strings.HasPrefix(w.Header().Get("Location"), c.want+"/m/") {
			t.Errorf("%v: Location is %q", c, w.Header().Get("Location"))
		}
	}
}

func FuzzMessageRequest(f *testing.F) {
	body := aes128gcmBody(f, 4096, point(f), 17)
	dh, salt := encode(point(f)), encode(make([]byte, 16))
	key := generateKey(f)
	token := sign(f, key, goodClaims())
	f.Add("60", "high", "topic", "aes128gcm", "", "", "", "localhost", body)
	f.Add("60", "", "", "aesgcm", "salt="+salt, "dh="+dh, token.Authorization(), "localhost", body)
	f.Add("0", "low", "", "aesgcm", `salt="`+salt+`";rs=18`, `dh=`+dh+`,p256ecdsa=`+key.PublicKey().String(), "WebPush "+token.JWT(), "[::1]:80", body)
	f.Add("-1", "low, high", "a b", "", `a="\`, `=;,`, "vapid t=a.b.c, k=,", "a/b", []byte{0})
	f.Add("99999999999999999999", "", "", "", "", "", "Bearer", "", []byte{})

	s := pushservice.New(pushservice.Options{})
	paths := []string{subscribe(f, s, vapid.PublicKey{}).Path, subscribe(f, s, key.PublicKey()).Path, "/wpush/v1/x", "/wpush/v0/x"}
	f.Fuzz(func(t *testing.T, ttl, urgency, topic, encoding, encryption, cryptoKey, authorization, host string, body []byte) {
		for _, path := range paths {
			r := request(path, body)
			r.Host = host
			for name, value := range map[string]string{
				"TTL": ttl, "Urgency": urgency, "Topic": topic, "Content-Encoding": encoding,
				"Encryption": encryption, "Crypto-Key": cryptoKey, "Authorization": authorization,
			} {
				r.Header.Del(name)
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := do(s, r)
			switch {
			case w.Code == http.StatusCreated:
				location := w.Header().Get("Location")
				i := strings.LastIndex(location, "/m/")
				if i < 0 {
					t.Fatalf("Location is %q", location)
				}
				// A TTL of zero leaves nothing to cancel.
				if d := do(s, newRequest("DELETE", location[i:], nil)); d.Code != 204 && w.Header().Get("TTL") != "0" {
					t.Fatalf("canceling: status %d", d.Code)
				}
			case w.Code < 400 || w.Code >= 500:
				t.Fatalf("status %d: %s", w.Code, w.Body)
			case authorization != "" && len(authorization) > 40 && strings.Contains(w.Body.String(), authorization):
				t.Fatalf("the answer repeats credentials: %s", w.Body)
			}
		}
	})
}

// deadlines is a ResponseWriter that must not be used after the handler has returned,
// like net/http's for HTTP/2.
type deadlines struct {
	http.ResponseWriter
	t        *testing.T
	begun    chan struct{} // the one that follows on the end of the request
	returned atomic.Bool
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && time.Until(at) < 10*time.Second {
		close(d.begun)
		time.Sleep(10 * time.Millisecond)
	}
	if d.returned.Load() {
		d.t.Error("a deadline was set when the handler had returned")
	}
	return nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// A client that disconnects while its request is read affects only this request.
func TestClientGoesAway(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &deadlines{ResponseWriter: httptest.NewRecorder(), t: t, begun: make(chan struct{})}
	r := httptest.NewRequestWithContext(ctx, "POST", "/", readerFunc(func([]byte) (int, error) {
		cancel()
		<-d.begun
		return 0, io.EOF
	}))
	if _, err := pushservice.ReadAll(d, r, 100); err != nil {
		t.Fatal(err)
	}
	d.returned.Store(true)
	time.Sleep(50 * time.Millisecond)
}
