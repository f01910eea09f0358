package webpush

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func readBody(tb testing.TB, r *http.Request) []byte {
	tb.Helper()
	if r.Body == nil {
		return nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// decrypted returns the payload of a request, as the user agent gets it.
func decrypted(tb testing.TB, id *ece.Identity, h http.Header, body []byte) string {
	tb.Helper()
	m, err := ece.ParseEncryptedMessage(ece.Encoding(h.Get("Content-Encoding")), h.Get("Encryption"), h.Get("Crypto-Key"), body)
	if err != nil {
		tb.Fatal(err)
	}
	plain, err := id.Decrypt(m)
	if err != nil {
		tb.Fatal(err)
	}
	return string(plain)
}

func TestTTL(t *testing.T) {
	sub := testSubscription(t, mozillaEndpoint, nil)
	for _, tt := range []struct {
		ttl  *time.Duration
		want string // empty is refused
	}{
		{nil, "2419200"},
		{new(time.Duration(0)), "0"},
		{new(time.Second), "1"},
		{new(time.Millisecond), "1"}, // not 0, which means now or never
		{new(1500 * time.Millisecond), "2"},
		{new(365 * 24 * time.Hour), "31536000"},
		{new(MaxTTL), "2147483648"},
		{new(MaxTTL + 1), ""},
		{new(time.Duration(-1)), ""},
		{new(-5 * time.Second), ""},
		{new(time.Duration(1<<63 - 1)), ""},
	} {
		req, err := (&Client{}).NewRequest(t.Context(), sub, Message{TTL: tt.ttl})
		if tt.want == "" {
			var e *InputError
			if !errors.As(err, &e) || e.Part != "ttl" || !strings.Contains(err.Error(), "expected 0 to 2147483648 seconds") {
				t.Errorf("%v: %v", *tt.ttl, err)
			}
			continue
		}
		if err != nil || req.Header.Get("TTL") != tt.want || len(req.Header.Values("TTL")) != 1 {
			t.Errorf("%v: %q, %v; want %s", tt.ttl, req.Header["Ttl"], err, tt.want)
		}
	}
}

func TestUrgencyAndTopic(t *testing.T) {
	sub := testSubscription(t, mozillaEndpoint, nil)
	for _, tt := range []struct {
		msg  Message
		part string // of the refusal, or ""
		text string
	}{
		{Message{}, "", ""},
		{Message{Urgency: VeryLow}, "", ""},
		{Message{Urgency: Low}, "", ""},
		{Message{Urgency: Normal}, "", ""},
		{Message{Urgency: High}, "", ""},
		{Message{Urgency: "HIGH"}, "urgency", `the urgency is "HIGH", expected very-low, low, normal, or high`},
		{Message{Urgency: "high, low"}, "urgency", "expected"},
		{Message{Urgency: "high\r\nX: y"}, "urgency", "expected"},
		{Message{Topic: "a"}, "", ""},
		{Message{Topic: "azAZ09-_"}, "", ""},
		{Message{Topic: strings.Repeat("t", 32)}, "", ""},
		{Message{Topic: strings.Repeat("t", 33)}, "topic", "has 33 characters, expected 1 to 32"},
		{Message{Topic: "new event"}, "topic", `has the character ' '`},
		{Message{Topic: "a=="}, "topic", `has the character '='`},
		{Message{Topic: "ä"}, "topic", `has the character 'ä'`},
		{Message{Topic: "a\r\nX: y"}, "topic", `has the character '\r'`},
	} {
		req, err := (&Client{}).NewRequest(t.Context(), sub, tt.msg)
		if tt.part != "" {
			var e *InputError
			if !errors.As(err, &e) || e.Part != tt.part || !strings.Contains(e.Error(), tt.text) {
				t.Errorf("%+v: %v", tt.msg, err)
			}
			continue
		}
		if err != nil || req.Header.Get("Urgency") != string(tt.msg.Urgency) || req.Header.Get("Topic") != tt.msg.Topic {
			t.Errorf("%+v: %v, %v", tt.msg, req.Header, err)
		}
		if _, ok := req.Header["Urgency"]; ok != (tt.msg.Urgency != "") {
			t.Errorf("%+v: %v", tt.msg, req.Header)
		}
	}
	if err := CheckTopic(""); err == nil {
		t.Error("an empty topic was taken")
	}
	for _, u := range Urgencies() {
		if got, err := ParseUrgency(string(u)); got != u || err != nil {
			t.Errorf("ParseUrgency(%q) = %q, %v", u, got, err)
		}
	}
}

func TestHashTopic(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"", "a", "new event", "ä\x00", strings.Repeat("long ", 1000)} {
		topic := HashTopic(text)
		if err := CheckTopic(topic); err != nil || len(topic) != 32 {
			t.Errorf("HashTopic(%.10q) = %q, %v", text, topic, err)
		}
		// Apple decodes topics.
		if _, err := base64.RawURLEncoding.Strict().DecodeString(topic); err != nil {
			t.Errorf("%q: %v", topic, err)
		}
		if topic != HashTopic(text) || seen[topic] != "" {
			t.Errorf("%q is not one topic for %.10q", topic, text)
		}
		seen[topic] = "seen"
	}
}

func TestHeader(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"Prefer", "respond-async", ""},
		{"x-wns-type", "wns/raw", ""},
		{"User-Agent", "ops/1 (ä)\t;", ""},
		{"X-Empty", "", ""},
		{"authorization", "x", "cannot be set"},
		{"TTL", "1", "cannot be set"},
		{"ttl", "1", "cannot be set"},
		{"uRGENCY", "high", "cannot be set"},
		{"Topic", "x", "cannot be set"},
		{"Crypto-Key", "dh=", "cannot be set"},
		{"encryption", "salt=", "cannot be set"},
		{"Content-Encoding", "x", "cannot be set"},
		{"content-type", "x", "cannot be set"},
		{"Content-Length", "1", "cannot be set"},
		{"Transfer-Encoding", "chunked", "cannot be set"},
		{"Host", "x", "cannot be set"},
		{"Connection", "close", "cannot be set"},
		{"Expect", "100-continue", "cannot be set"},
		{"Proxy-Authorization", "x", "cannot be set"},
		{"", "x", "the header name"},
		{"A B", "x", "the header name"},
		{"A:B", "x", "the header name"},
		{"A\r\nB", "x", "the header name"},
		{"Ä", "x", "the header name"},
		{"X-A", "a\r\nTTL: 0", "line break"},
		{"X-A", "a\nb", "line break"},
		{"X-A", "a\x00b", "control character"},
		{"X-A", "a\x7fb", "control character"},
	} {
		msg := Message{Header: http.Header{tt.name: {"first", tt.value}}}
		req, err := (&Client{}).NewRequest(t.Context(), testSubscription(t, mozillaEndpoint, nil), msg)
		if tt.want == "" {
			if err != nil || !slices.Equal(req.Header.Values(tt.name), []string{"first", tt.value}) {
				t.Errorf("%q: %q: %v", tt.name, tt.value, err)
			}
			continue
		}
		var e *InputError
		if !errors.As(err, &e) || e.Part != "header" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %q: %v", tt.name, tt.value, err)
		}
	}
	// A name without values sends nothing, but does not hide a reserved one either.
	if _, err := (&Client{}).NewRequest(t.Context(), testSubscription(t, mozillaEndpoint, nil), Message{Header: http.Header{"ttl": nil}}); err == nil {
		t.Error("ttl without a value was taken")
	}
}

// TestOwnHeaders asserts that no header which a message can be given replaces one that this
// package writes.
func TestOwnHeaders(t *testing.T) {
	own := ownHeader{ttl: 1, urgency: "high", topic: "t", encoding: ece.AESGCM, encryption: "salt=s", cryptoKey: "dh=k", authorization: "vapid t=t"}
	if got := reflect.ValueOf(own); got.NumField() != 8 {
		t.Errorf("ownHeader has %d fields: set them all here", got.NumField())
	}
	for name := range own.with(nil) {
		if CheckHeader(name, "x") == nil {
			t.Errorf("a message can have the header %s, which is written anyway", name)
		}
	}
}

func TestPayload(t *testing.T) {
	id := testIdentity(t)
	sub, bare := testSubscription(t, mozillaEndpoint, id), testSubscription(t, mozillaEndpoint, nil)
	key := testKey(t)
	c := &Client{Key: key, Subject: "mailto:ops@example.com"}

	t.Run("aes128gcm", func(t *testing.T) {
		for _, payload := range [][]byte{{}, []byte("hi"), make([]byte, 3993)} {
			req, err := c.NewRequest(t.Context(), sub, Message{Payload: payload})
			if err != nil {
				t.Fatal(err)
			}
			body := readBody(t, req)
			if int(req.ContentLength) != len(body) || decrypted(t, id, req.Header, body) != string(payload) {
				t.Errorf("%d bytes did not arrive", len(payload))
			}
			want := []string{"Authorization", "Content-Encoding", "Content-Type", "Ttl"}
			if got := slices.Sorted(maps.Keys(req.Header)); !slices.Equal(got, want) {
				t.Errorf("headers %v, want %v", got, want)
			}
			if req.Method != "POST" || req.URL.String() != mozillaEndpoint || req.Host != "updates.push.services.mozilla.com" || req.Header.Get("Content-Type") != "application/octet-stream" {
				t.Errorf("%s %s, %v", req.Method, req.URL, req.Header)
			}
		}
	})
	t.Run("aesgcm and the draft's scheme", func(t *testing.T) {
		c := &Client{Key: key, Subject: "mailto:ops@example.com", Scheme: vapid.SchemeWebPush}
		req, err := c.NewRequest(t.Context(), sub, Message{Payload: []byte("old"), Encoding: ece.AESGCM})
		if err != nil {
			t.Fatal(err)
		}
		body := readBody(t, req)
		if decrypted(t, id, req.Header, body) != "old" {
			t.Error("the payload did not arrive")
		}
		dh, p256ecdsa, ok := strings.Cut(req.Header.Get("Crypto-Key"), ";")
		if !ok || !strings.HasPrefix(dh, "dh=") || len(dh) != 3+87 || p256ecdsa != "p256ecdsa="+key.PublicKey().String() || len(req.Header["Crypto-Key"]) != 1 {
			t.Errorf("Crypto-Key is %q", req.Header["Crypto-Key"])
		}
		token, err := vapid.ParseToken(req.Header.Get("Authorization"), req.Header.Get("Crypto-Key"))
		if err != nil || !strings.HasPrefix(req.Header.Get("Authorization"), "WebPush ") {
			t.Fatal(err)
		}
		if err := token.Verify(sub.Origin()); err != nil {
			t.Error(err)
		}
	})
	t.Run("aesgcm and RFC 8292", func(t *testing.T) {
		req, err := c.NewRequest(t.Context(), sub, Message{Payload: []byte("old"), Encoding: ece.AESGCM})
		if err != nil || strings.Contains(req.Header.Get("Crypto-Key"), "p256ecdsa") || !strings.HasPrefix(req.Header.Get("Encryption"), "salt=") {
			t.Errorf("%v, %v", req.Header, err)
		}
	})
	t.Run("too long", func(t *testing.T) {
		_, err := c.NewRequest(t.Context(), sub, Message{Payload: make([]byte, 3994)})
		var e *ece.TooLongError
		if !errors.As(err, &e) || e.By != 1 || e.Max != 3993 {
			t.Error(err)
		}
		if req, err := c.NewRequest(t.Context(), sub, Message{Payload: make([]byte, 3994), MaxBody: 5000}); err != nil || req.ContentLength != 4097 {
			t.Errorf("with a larger limit: %v", err)
		}
	})
	t.Run("padding", func(t *testing.T) {
		if req, err := c.NewRequest(t.Context(), sub, Message{Payload: []byte("hi"), Pad: ece.PadAuto}); err != nil || req.ContentLength != 256+103 {
			t.Errorf("%v", err)
		}
	})
	t.Run("no keys", func(t *testing.T) {
		_, err := c.NewRequest(t.Context(), bare, Message{Payload: []byte("hi")})
		var e *InputError
		if !errors.As(err, &e) || e.Part != "keys" || !strings.Contains(err.Error(), "no keys") {
			t.Error(err)
		}
	})
	t.Run("none", func(t *testing.T) {
		for _, sub := range []*Subscription{sub, bare} {
			req, err := c.NewRequest(t.Context(), sub, Message{})
			if err != nil || req.Body != nil || req.ContentLength != 0 {
				t.Fatalf("%v", err)
			}
			if got := slices.Sorted(maps.Keys(req.Header)); !slices.Equal(got, []string{"Authorization", "Ttl"}) {
				t.Errorf("headers %v", got)
			}
		}
	})
	t.Run("unsigned", func(t *testing.T) {
		req, err := (&Client{}).NewRequest(t.Context(), sub, Message{})
		if err != nil || req.Header.Get("Authorization") != "" {
			t.Errorf("%v, %v", req, err)
		}
	})
}

func TestWNSCachePolicy(t *testing.T) {
	wns := testSubscription(t, "https://wns2-par02p.notify.windows.com/w/?token=BQ%2b", nil)
	own := http.Header{"x-wns-cache-policy": {"cache"}}
	for _, tt := range []struct {
		sub  *Subscription
		msg  Message
		want []string
	}{
		{wns, Message{}, []string{"cache"}},
		{wns, Message{TTL: new(time.Second)}, []string{"cache"}},
		{wns, Message{TTL: new(time.Duration(0))}, []string{"no-cache"}},
		{wns, Message{TTL: new(time.Duration(0)), Header: own}, []string{"cache"}},
		{testSubscription(t, mozillaEndpoint, nil), Message{TTL: new(time.Duration(0))}, nil},
	} {
		req, err := (&Client{}).NewRequest(t.Context(), tt.sub, tt.msg)
		if err != nil || !slices.Equal(req.Header.Values("X-WNS-Cache-Policy"), tt.want) {
			t.Errorf("%+v: %v, %v", tt.msg, req.Header, err)
		}
	}
}

func TestGCM(t *testing.T) {
	id := testIdentity(t)
	sub := testSubscription(t, "https://android.googleapis.com/gcm/send/APA91b:reg-id_1?x=/y", id)
	c := &Client{Key: testKey(t), Subject: "mailto:ops@example.com", Scheme: vapid.SchemeWebPush}
	long := strings.Repeat("k", 152)
	for _, tt := range []struct {
		name     string
		gcm      GCM
		encoding ece.Encoding
		url, id  string
	}{
		{"old key", GCM{Key: "AIza-short"}, ece.AES128GCM, "https://android.googleapis.com/gcm/send", "APA91b:reg-id_1"},
		{"key of 99", GCM{Key: long[:99]}, ece.AESGCM, "https://android.googleapis.com/gcm/send", "APA91b:reg-id_1"},
		{"key of 100", GCM{Key: long[:100]}, ece.AESGCM, "https://fcm.googleapis.com/fcm/send", "APA91b:reg-id_1"},
		{"own id and URL", GCM{Key: long, RegistrationID: "me", URL: "http://127.0.0.1:1/s?a=%7E"}, ece.AES128GCM, "http://127.0.0.1:1/s?a=%7E", "me"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			payload := []byte("hello")
			req, err := c.NewRequest(t.Context(), sub, Message{Payload: payload, TTL: new(90 * time.Second), Urgency: High, Encoding: tt.encoding, GCM: &tt.gcm})
			if err != nil {
				t.Fatal(err)
			}
			if req.Method != "POST" || req.URL.String() != tt.url || req.Host != req.URL.Host {
				t.Errorf("%s %s", req.Method, req.URL)
			}
			h := req.Header
			if h.Get("Authorization") != "key="+tt.gcm.Key || h.Get("Content-Type") != "application/json" || h.Get("TTL") != "90" || h.Get("Urgency") != "high" || h.Get("Content-Encoding") != string(tt.encoding) {
				t.Errorf("headers %v", h)
			}
			if strings.Contains(h.Get("Crypto-Key"), "p256ecdsa") {
				t.Error("the VAPID key is named though its token is not sent")
			}
			b := readBody(t, req)
			if int64(len(b)) != req.ContentLength {
				t.Errorf("%d bytes, Content-Length %d", len(b), req.ContentLength)
			}
			var body struct {
				IDs  []string `json:"registration_ids"`
				Data []byte   `json:"raw_data"` // encoding/json uses the standard alphabet
				TTL  int      `json:"time_to_live"`
			}
			d := json.NewDecoder(bytes.NewReader(b))
			d.DisallowUnknownFields()
			if err := d.Decode(&body); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(body.IDs, []string{tt.id}) || body.TTL != 90 || decrypted(t, id, h, body.Data) != "hello" {
				t.Errorf("body %s", b)
			}
		})
	}
	req, err := c.NewRequest(t.Context(), sub, Message{GCM: &GCM{Key: "k"}})
	if err != nil {
		t.Fatal(err)
	}
	if b := readBody(t, req); string(b) != `{"registration_ids":["APA91b:reg-id_1"],"time_to_live":2419200}` {
		t.Errorf("without payload: %s", b)
	}
	for _, gcm := range []GCM{{}, {Key: "a\nb"}, {Key: "k", URL: "::"}, {Key: "k", URL: "ftp://h/"}, {Key: "k", URL: "http://push.example.net/"}} {
		if _, err := c.NewRequest(t.Context(), sub, Message{GCM: &gcm}); err == nil {
			t.Errorf("%q with a key of %d characters was taken", gcm.URL, len(gcm.Key))
		} else {
			noSecret(t, "the error", err.Error())
		}
	}
}

// The caller's values must be the same afterwards, and not be shared with the
// request: other libraries wrote aud and exp into the caller's claims.
func TestNothingIsMutated(t *testing.T) {
	id := testIdentity(t)
	c := &Client{Key: testKey(t), Claims: vapid.Claims{Subject: "ops@example.com", Extra: map[string]any{"x": "y"}}}
	msg := Message{Payload: []byte("hello"), TTL: new(time.Minute), Header: http.Header{"prefer": {"a", "b"}}, Encoding: ece.AESGCM}
	claims := fmt.Sprintf("%+v", c.Claims)
	gcm := &GCM{Key: "k"}
	for _, endpoint := range []string{mozillaEndpoint, "https://web.push.apple.com/x"} {
		for _, g := range []*GCM{nil, gcm} {
			msg.GCM = g
			before := fmt.Sprintf("%+v", msg)
			sub := testSubscription(t, endpoint, id)
			req, err := c.NewRequest(t.Context(), sub, msg)
			if err != nil {
				t.Fatal(err)
			}
			req.Header["Prefer"][0] = "changed"
			req.URL.Path = "/changed"
			body := readBody(t, req)
			clear(body)
			if after := fmt.Sprintf("%+v", msg); after != before {
				t.Errorf("message was %s, is %s", before, after)
			}
			if after := fmt.Sprintf("%+v", c.Claims); after != claims {
				t.Errorf("claims were %s, are %s", claims, after)
			}
			if g == nil {
				token, err := vapid.ParseToken(req.Header.Get("Authorization"), "")
				if err != nil {
					t.Fatal(err)
				}
				got, err := token.Claims()
				if err != nil || got.Audience != sub.Origin() || got.Subject != "mailto:ops@example.com" || got.Extra["x"] != "y" {
					t.Errorf("claims %+v, %v", got, err)
				}
			}
			if again, err := c.NewRequest(t.Context(), sub, msg); err != nil || again.URL.Path == "/changed" {
				t.Errorf("a request changed its subscription: %v", err)
			}
		}
	}
	if *gcm != (GCM{Key: "k"}) {
		t.Error("the GCM was changed")
	}
}

func TestNotification(t *testing.T) {
	full := Notification{Title: "T <&>", Body: "b", Icon: "/i.png", Image: "/m.png", Badge: "/b.png", Tag: "t", Navigate: "https://example.com/?a=1&b=2",
		Actions: []Action{{"ok", "OK"}}, Silent: true, RequireInteraction: true, Data: json.RawMessage(`{"id":12345678901234567890}`)}
	data := string(full.Data)
	for _, tt := range []struct {
		name        string
		n           Notification
		declarative bool
		want        string // JSON, or the part of the refusal
	}{
		{"empty", Notification{}, false, `{}`},
		{"title", Notification{Title: "T"}, false, `{"title":"T"}`},
		{"full", full, false, `{"title":"T <&>","body":"b","icon":"/i.png","image":"/m.png","badge":"/b.png","tag":"t","navigate":"https://example.com/?a=1&b=2",` +
			`"actions":[{"action":"ok","title":"OK"}],"silent":true,"requireInteraction":true,"data":{"id":12345678901234567890,"url":"https://example.com/?a=1&b=2"}}`},
		{"relative URL", Notification{Title: "T", Navigate: "/x"}, false, `{"title":"T","navigate":"/x","data":{"url":"/x"}}`},
		{"data with a url", Notification{Title: "T", Navigate: "/x", Data: json.RawMessage(`{"url":"/y"}`)}, false, `{"title":"T","navigate":"/x","data":{"url":"/y"}}`},
		{"data of any kind", Notification{Title: "T", Data: json.RawMessage(`[1]`)}, false, `{"title":"T","data":[1]}`},
		{"data is no object", Notification{Title: "T", Navigate: "/x", Data: json.RawMessage(`[1]`)}, false, "data"},
		{"data is null", Notification{Title: "T", Navigate: "/x", Data: json.RawMessage(`null`)}, false, "data"},
		{"data is not JSON", Notification{Title: "T", Data: json.RawMessage(`{`)}, false, "data"},
		{"full", full, true, `{"web_push":8030,"notification":{"title":"T <&>","body":"b","icon":"/i.png","image":"/m.png","badge":"/b.png","tag":"t","navigate":"https://example.com/?a=1&b=2",` +
			`"actions":[{"action":"ok","title":"OK"}],"silent":true,"requireInteraction":true,"data":{"id":12345678901234567890}}}`},
		{"no title", Notification{Navigate: "https://example.com/"}, true, "title"},
		{"no URL", Notification{Title: "T"}, true, "url"},
		{"relative URL", Notification{Title: "T", Navigate: "/x"}, true, "url"},
		{"URL without host", Notification{Title: "T", Navigate: "https:"}, true, "url"},
		{"data is not JSON", Notification{Title: "T", Navigate: "https://example.com/", Data: json.RawMessage(`}`)}, true, "data"},
	} {
		t.Run(fmt.Sprintf("%s, declarative %t", tt.name, tt.declarative), func(t *testing.T) {
			make := tt.n.Payload
			if tt.declarative {
				make = tt.n.Declarative
			}
			b, err := make()
			if tt.want[0] == '{' {
				if err != nil || string(b) != tt.want {
					t.Errorf("%s, %v\nwant %s", b, err, tt.want)
				}
				return
			}
			var e *InputError
			if !errors.As(err, &e) || e.Part != tt.want {
				t.Errorf("%s, %v; want a refusal of %s", b, err, tt.want)
			}
		})
	}
	if !reflect.DeepEqual(string(full.Data), data) {
		t.Error("the caller's data was changed")
	}
}

// TestCheckHeaders yields one error for each header, in the order of their names.
func TestCheckHeaders(t *testing.T) {
	h := http.Header{"X-Bad": {"a\nb", "c\nd"}, "Ttl": {"60"}, "X-Good": {"a", ""}, "A B": nil}
	var got []string
	for err := range CheckHeaders(h) {
		got = append(got, err.Error())
	}
	want := []string{`the header name "A B" has characters that no name has`, "the header TTL cannot be set: it is written by webpush itself", "the value of the header X-Bad has a line break or control character"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for range 20 { // a message always has the same error
		if _, err := (&Message{Header: h}).check(); err == nil || err.Error() != want[0] {
			t.Fatal(err)
		}
	}
}

// TestParseTTL reads the values of a TTL header as RFC 8030 defines them, digits alone.
func TestParseTTL(t *testing.T) {
	for value, want := range map[string]time.Duration{"0": 0, "60": time.Minute, "0060": time.Minute, "2147483648": MaxTTL} {
		if got, err := ParseTTL(value); got != want || err != nil {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	for _, value := range []string{"", "-1", "+60", " 60", "60s", "1.5", "2147483649", "99999999999999999999"} {
		if got, err := ParseTTL(value); err == nil || CheckTTL(got) != nil {
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
	for ttl, ok := range map[time.Duration]bool{-1: false, 0: true, MaxTTL: true, MaxTTL + 1: false} {
		if err := CheckTTL(ttl); (err == nil) != ok {
			t.Errorf("%v: %v", ttl, err)
		}
	}
}
