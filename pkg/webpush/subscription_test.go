package webpush

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The receiver of RFC 8291 appendix A.
const (
	rfcP256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	rfcAuth   = "BTBZMqHH6r4Tts7J_aSIgg"

	mozillaEndpoint = "https://updates.push.services.mozilla.com/wpush/v2/" + testToken
)

func stdPadded(tb testing.TB, s string) string {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func subscriptionJSON(endpoint, p256dh, auth string) string {
	b, err := json.Marshal(map[string]any{"endpoint": endpoint, "keys": map[string]string{"p256dh": p256dh, "auth": auth}})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestParseSubscriptionAccepts(t *testing.T) {
	plain := subscriptionJSON(mozillaEndpoint, rfcP256DH, rfcAuth)
	endpointOnly := `"endpoint":"` + mozillaEndpoint + `"`
	for _, tt := range []struct {
		name, in string
		noKeys   bool
		expires  int64
	}{
		{"as toJSON writes it", `{` + endpointOnly + `,"expirationTime":null,"keys":{"p256dh":"` + rfcP256DH + `","auth":"` + rfcAuth + `"}}`, false, 0},
		{"without expirationTime", plain, false, 0},
		{"standard base64, padded", subscriptionJSON(mozillaEndpoint, stdPadded(t, rfcP256DH), stdPadded(t, rfcAuth)), false, 0},
		{"hexadecimal digits", subscriptionJSON(mozillaEndpoint, hexOf(t, rfcP256DH), "0x"+hexOf(t, rfcAuth)), false, 0},
		{"digits of PostgreSQL", subscriptionJSON(mozillaEndpoint, `\x`+hexOf(t, rfcP256DH), `\x`+hexOf(t, rfcAuth)), false, 0},
		{"standard base64, not padded", subscriptionJSON(mozillaEndpoint, strings.TrimRight(stdPadded(t, rfcP256DH), "="), strings.TrimRight(stdPadded(t, rfcAuth), "=")), false, 0},
		{"base64url, padded", subscriptionJSON(mozillaEndpoint, rfcP256DH+"=", rfcAuth+"=="), false, 0},
		{"byte order mark", "\xef\xbb\xbf" + plain, false, 0},
		{"CRLF and white space", "\r\n\t" + strings.ReplaceAll(plain, ",", ",\r\n  ") + "\r\n\r\n", false, 0},
		{"wrapped", `{"id":7,"subscription":` + plain + `}`, false, 0},
		{"unknown members", strings.Replace(plain, "{", `{"id":[1],"subscription":null,`, 1), false, 0},
		{"no keys", `{` + endpointOnly + `}`, true, 0},
		{"keys null", `{` + endpointOnly + `,"keys":null}`, true, 0},
		{"keys empty", `{` + endpointOnly + `,"keys":{}}`, true, 0},
		{"both keys null", `{` + endpointOnly + `,"keys":{"p256dh":null,"auth":null}}`, true, 0},
		{"expirationTime", strings.Replace(plain, "{", `{"expirationTime":1750000000123,`, 1), false, 1750000000123},
		{"expirationTime with a fraction", strings.Replace(plain, "{", `{"expirationTime":1.750000000123e12,`, 1), false, 1750000000123},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseSubscription([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if s.Endpoint() != mozillaEndpoint || s.Origin() != "https://updates.push.services.mozilla.com" || s.Service() != Mozilla {
				t.Errorf("found %s at %s, %s", s.Endpoint(), s.Origin(), s.Service())
			}
			if tt.noKeys != (s.Recipient() == nil) {
				t.Fatalf("recipient %v", s.Recipient())
			}
			if !tt.noKeys && (encode64(s.Recipient().P256DH()) != rfcP256DH || encode64(s.Recipient().Auth()) != rfcAuth) {
				t.Errorf("keys of %v", s.Recipient())
			}
			if tt.expires == 0 != s.ExpirationTime().IsZero() || tt.expires != 0 && s.ExpirationTime().UnixMilli() != tt.expires {
				t.Errorf("expires at %v", s.ExpirationTime())
			}
			var viaJSON Subscription
			if err := json.Unmarshal(bytes.TrimPrefix([]byte(tt.in), []byte("\xef\xbb\xbf")), &viaJSON); err != nil || viaJSON.Endpoint() != s.Endpoint() {
				t.Errorf("UnmarshalJSON: %v", err)
			}
		})
	}
}

// hexOf returns a key in base64url as hexadecimal digits.
func hexOf(t *testing.T, key string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func TestParseSubscriptionRefuses(t *testing.T) {
	good := subscriptionJSON(mozillaEndpoint, rfcP256DH, rfcAuth)
	twice := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	point, _ := base64.RawURLEncoding.DecodeString(rfcP256DH)
	auth, _ := base64.RawURLEncoding.DecodeString(rfcAuth)
	offCurve := bytes.Clone(point)
	offCurve[64] ^= 1
	compressed := append([]byte{2}, point[1:33]...)
	der := append([]byte{0x30, 0x59, 0x30, 0x13}, make([]byte, 87)...)
	keys := func(p256dh, auth string) string { return subscriptionJSON(mozillaEndpoint, p256dh, auth) }
	at := func(endpoint string) string { return subscriptionJSON(endpoint, rfcP256DH, rfcAuth) }
	for _, tt := range []struct {
		name, in, part, want string
	}{
		{"nothing", "", "subscription", "the text is empty"},
		{"white space", " \r\n", "subscription", "the text is empty"},
		{"cut off", good[:len(good)-2], "subscription", "truncated: its JSON does not end"},
		{"cut off in a string", good[:60], "subscription", "truncated: its JSON does not end"},
		{"no JSON", "nothing", "subscription", "not valid JSON: invalid character 'o'"},
		{"YAML", "endpoint: x", "subscription", "the subscription is YAML, not plain JSON"},
		{"PHP", "Array\n(\n    [endpoint] => x\n)", "subscription", "the output of PHP's print_r, not plain JSON"},
		{"Python", "{'endpoint': 'x'}", "subscription", "a Python dictionary, not plain JSON"},
		{"a comma", `{"endpoint":"x",}`, "subscription", "JSON with a comma after the last value"},
		{"a list in a field", `{"user":"a","devices":[` + good + `]}`, "endpoint", "the subscription has no endpoint"},
		{"a string", `"` + mozillaEndpoint + `"`, "subscription", "found a JSON string, expected the object"},
		{"an array", "[" + good + "]", "subscription", "found a JSON array, expected the object"},
		{"a number", "12", "subscription", "found a JSON number, expected the object"},
		{"null", "null", "subscription", "found null"},
		{"wrapped null", `{"subscription":null}`, "subscription", "found null"},
		{"two objects", good + "\n" + good, "subscription", "found more text after"},
		{"text behind", good + "}", "subscription", "found more text after"},

		{"no endpoint", `{"keys":{}}`, "endpoint", "the subscription has no endpoint"},
		{"endpoint null", `{"endpoint":null}`, "endpoint", "the endpoint is not a string"},
		{"endpoint a number", `{"endpoint":1}`, "endpoint", "the endpoint is not a string"},
		{"endpoint empty", at(""), "endpoint", "the endpoint is empty"},
		{"endpoint a path", at("/wpush/v2/" + testToken), "endpoint", "not an absolute URL"},
		{"endpoint a path with a URL in it", at("/wpush/v2/" + testToken + "?https://host"), "endpoint", "not an absolute URL"},
		{"endpoint without host", at("https:///wpush/v2/" + testToken), "endpoint", "the endpoint has no host"},
		{"endpoint with port only", at("https://:443/wpush/v2/" + testToken), "endpoint", "the endpoint has no host"},
		{"opaque", at("https:wpush/" + testToken), "endpoint", "not an absolute URL"},
		{"ftp", at("ftp://host/wpush/v2/" + testToken), "endpoint", `the endpoint's scheme is "ftp", expected https`},
		{"user", at("https://me@host/wpush/v2/" + testToken), "endpoint", "user information"},
		{"user and password", at("https://me:" + testToken + "@host/wpush"), "endpoint", "user information"},
		{"fragment", at(mozillaEndpoint + "#" + testToken), "endpoint", "fragment"},
		{"empty fragment", at(mozillaEndpoint + "#"), "endpoint", "fragment"},
		{"space in front", at(" " + mozillaEndpoint), "endpoint", "space or control character at byte 1"},
		{"line break behind", at(mozillaEndpoint + "\n"), "endpoint", "space or control character"},
		{"space within", at(mozillaEndpoint + " x"), "endpoint", "space or control character"},
		{"no-break space", at(mozillaEndpoint + "\u00a0x"), "endpoint", "space or control character"},
		{"escape sequence", at(mozillaEndpoint + "\x1b[31m"), "endpoint", "space or control character"},
		{"escape sequence of one character", at("https://a\u009b31mb/wpush"), "endpoint", "space or control character"},
		{"control character in the host, encoded", at("https://a%C2%9Bb/wpush"), "endpoint", "characters that no host has"},
		{"writing direction in the host", at("https://a\u202eb/wpush"), "endpoint", "characters that no host has"},
		{"bad escape in the host", at("https://a%zzb/wpush"), "endpoint", "host or port is not valid"},
		{"bad port", at("https://host:wpush/x"), "endpoint", "host or port is not valid"},
		{"port too large", at("https://host:65536/wpush"), "endpoint", `port is "65536"`},
		{"port 0", at("https://host:0/wpush"), "endpoint", `port is "0"`},
		{"backslash after the host", at(`https://host\@evil/wpush`), "endpoint", "backslash"},

		{"keys a string", `{"endpoint":"` + mozillaEndpoint + `","keys":"x"}`, "keys", "keys is not an object"},
		{"keys an array", `{"endpoint":"` + mozillaEndpoint + `","keys":[]}`, "keys", "keys is not an object"},
		{"auth a number", `{"endpoint":"` + mozillaEndpoint + `","keys":{"auth":1}}`, "keys.auth", "keys.auth is not a string"},
		{"no auth", keys(rfcP256DH, ""), "keys.auth", "keys.auth is missing"},
		{"no p256dh", keys("", rfcAuth), "keys.p256dh", "keys.p256dh is missing"},
		{"auth of 15 bytes", keys(rfcP256DH, encode64(auth[:15])), "keys.auth", "keys.auth has 15 bytes, expected 16; it looks truncated"},
		{"auth of 17 bytes", keys(rfcP256DH, encode64(append(bytes.Clone(auth), 0))), "keys.auth", "keys.auth has 17 bytes, expected 16"},
		{"auth no base64", keys(rfcP256DH, "!"+rfcAuth), "keys.auth", `keys.auth: character '!' at position 1 is not base64`},
		{"auth with a blank", keys(rfcP256DH, rfcAuth[:9]+" "+rfcAuth[9:]), "keys.auth", "keys.auth: white space"},
		{"auth undefined", keys(rfcP256DH, "undefined"), "keys.auth", "keys.auth is the text undefined"},
		{"auth as Python bytes", keys(rfcP256DH, "b'"+rfcAuth+"'"), "keys.auth", "keys.auth is the text of Python bytes"},
		{"auth as a list", keys(rfcP256DH, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"), "keys.auth", "keys.auth is a list of bytes"},
		{"auth an array", `{"endpoint":"` + mozillaEndpoint + `","keys":{"p256dh":"` + rfcP256DH + `","auth":[1,2]}}`, "keys.auth", "keys.auth is an array of bytes"},
		{"keys as text", `{"endpoint":"` + mozillaEndpoint + `","keys":"[object Object]"}`, "keys", "the text \"[object Object]\""},
		{"gzip", "\x1f\x8b\x08\x00", "subscription", "found a gzip file, expected JSON"},
		{"binary", "\xf1\x02\xff\x80", "subscription", "found 4 bytes of binary data, expected JSON"},
		{"a receiver", `{"privateKey":"x","p256dh":"x","auth":"x"}`, "subscription", "found the keys of a receiver, expected a subscription"},
		{"a key pair", `{"publicKey":"x","privateKey":"x"}`, "subscription", "found a key, expected a subscription"},
		{"a JSON Web Key", `{"kty":"EC","crv":"P-256","x":"x"}`, "subscription", "found a key, expected a subscription"},
		{"claims", `{"sub":"mailto:a@b.example"}`, "subscription", "found claims, expected a subscription"},
		{"a user", `{"sub":"7","name":"x"}`, "endpoint", "the subscription has no endpoint"},
		{"a spreadsheet", "PK\x03\x04\x14", "subscription", "found a zip file or spreadsheet, expected JSON"},
		{"a page", "<!DOCTYPE html><title>x</title>", "subscription", "found a web page, expected JSON"},
		{"FCM without a token", `{"endpoint":"https://fcm.googleapis.com/fcm/send/"}`, "endpoint", "no token after its path"},
		{"FCM's origin", `{"endpoint":"https://fcm.googleapis.com"}`, "endpoint", "no path"},
		{"Mozilla, truncated", `{"endpoint":"https://updates.push.services.mozilla.com/wpush/v2/gAAAAABmx"}`, "endpoint", "is truncated"},
		{"WNS without a token", `{"endpoint":"https://db5p.notify.windows.com/w/?token="}`, "endpoint", "no token"},
		{"Apple's origin", `{"endpoint":"https://web.push.apple.com/"}`, "endpoint", "no path"},
		{"auth with stray bits", keys(rfcP256DH, rfcAuth[:21]+"h"), "keys.auth", "stray bits"},
		{"auth twice", keys(rfcP256DH, twice(rfcAuth)), "keys.auth", "keys.auth was encoded in base64 twice"},
		{"p256dh twice", keys(twice(stdPadded(t, rfcP256DH)), rfcAuth), "keys.p256dh", "keys.p256dh was encoded in base64 twice"},
		{"p256dh cut", keys(encode64(point[:60]), rfcAuth), "keys.p256dh", "keys.p256dh has 60 bytes, expected 65; it looks truncated"},
		{"p256dh without its 4", keys(encode64(point[1:]), rfcAuth), "keys.p256dh", "the leading 0x04 of an uncompressed point is missing"},
		{"p256dh off the curve", keys(encode64(offCurve), rfcAuth), "keys.p256dh", "keys.p256dh is not a point on the curve P-256"},
		{"p256dh compressed", keys(encode64(compressed), rfcAuth), "keys.p256dh", "keys.p256dh is a compressed point of 33 bytes"},
		{"p256dh in DER", keys(encode64(der), rfcAuth), "keys.p256dh", "look like DER"},
		{"p256dh zero", keys(encode64(make([]byte, 65)), rfcAuth), "keys.p256dh", "starts with 0x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := ParseSubscription([]byte(tt.in))
			var e *InputError
			if s != nil || !errors.As(err, &e) {
				t.Fatalf("got %v, %v; want an InputError", s, err)
			}
			if e.Part != tt.part || !strings.Contains(e.Error(), tt.want) {
				t.Errorf("%s: %s; want %s: …%s…", e.Part, e, tt.part, tt.want)
			}
			noSecret(t, "the error", e.Error()+e.Hint())
			for _, s := range []string{rfcAuth[:8], rfcP256DH[:8], "\x1b", "\u009b"} {
				if strings.Contains(e.Error(), s) {
					t.Errorf("the error repeats %q: %v", s, e)
				}
			}
		})
	}
	if _, err := NewSubscription("https://host/\xff", "", ""); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("invalid UTF-8: %v", err)
	}
}

func TestSubscriptionOrigin(t *testing.T) {
	for _, tt := range []struct {
		endpoint, origin string
		loopback         bool
		service          Service
	}{
		{"HTTPS://Updates.Push.Services.Mozilla.COM:443/wpush/v2/x", "https://updates.push.services.mozilla.com", false, Mozilla},
		{"https://updates-autopush.stage.mozaws.net/wpush/v1/x", "https://updates-autopush.stage.mozaws.net", false, Mozilla},
		{"https://fcm.googleapis.com/fcm/send/a:b", "https://fcm.googleapis.com", false, FCM},
		{"https://fcm.googleapis.com/wp/a:b", "https://fcm.googleapis.com", false, FCM},
		{"https://jmt17.google.com/fcm/send/a:b", "https://jmt17.google.com", false, FCM},
		{"https://web.push.apple.com/x", "https://web.push.apple.com", false, Apple},
		{"https://wns2-par02p.notify.windows.com/w/?token=BQ%2b%2f", "https://wns2-par02p.notify.windows.com", false, WNS},
		{"https://ntfy.example.org/upAbCd1234?up=1", "https://ntfy.example.org", false, UnifiedPush},
		{"https://push.example.net:8443/p", "https://push.example.net:8443", false, Other},
		{"https://push.example.net:443", "https://push.example.net", false, Other},
		{"http://127.0.0.2:80/p", "http://127.0.0.2", true, Other},
		{"http://[::1]:8080/p", "http://[::1]:8080", true, Other},
		{"http://[::ffff:127.0.0.1]/p", "http://[::ffff:127.0.0.1]", true, Other},
		{"http://a.localhost/p", "http://a.localhost", true, Other},
		// The names of services in places that anybody can write to.
		{"https://evil.example/fcm.googleapis.com/x?.push.apple.com", "https://evil.example", false, Other},
		{"https://xpush.apple.com/", "https://xpush.apple.com", false, Other},
		{"https://localhost.evil.example/", "https://localhost.evil.example", false, Other},
	} {
		s := testSubscription(t, tt.endpoint, nil)
		if s.Origin() != tt.origin || s.loopback != tt.loopback || s.Service() != tt.service || s.Endpoint() != tt.endpoint {
			t.Errorf("%s: origin %s, loopback %t, service %s", tt.endpoint, s.Origin(), s.loopback, s.Service())
		}
	}
}

func TestSubscriptionMarshal(t *testing.T) {
	in := `{"id":12345678901234567890,"note":"<&>","endpoint":"https://host/a?b=<&>","keys":{"auth":"` + stdPadded(t, rfcAuth) + `","p256dh":"` + rfcP256DH + `"},"subscription":[1, 2]}`
	s, err := ParseSubscription([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"endpoint":"https://host/a?b=<&>","expirationTime":null,"id":12345678901234567890,"keys":{"p256dh":"` + rfcP256DH + `","auth":"` + rfcAuth + `"},"note":"<&>","subscription":[1,2]}`
	for name, v := range map[string]interface{ MarshalJSON() ([]byte, error) }{"pointer": s, "value": *s} {
		b, err := v.MarshalJSON()
		if err != nil || string(b) != want {
			t.Errorf("%s: %s, %v\nwant %s", name, b, err, want)
		}
	}
	// A value in a struct must not come out as {} because its fields are hidden.
	b, err := json.Marshal(struct{ S Subscription }{*s})
	if err != nil || !strings.Contains(string(b), rfcP256DH) {
		t.Errorf("a value is written as %s, %v", b, err)
	}
	if b, err := testSubscription(t, "https://host/", nil).MarshalJSON(); err != nil || string(b) != `{"endpoint":"https://host/","expirationTime":null}` {
		t.Errorf("without keys: %s, %v", b, err)
	}
}

func TestNothingPrintsSecrets(t *testing.T) {
	s, err := ParseSubscription([]byte(subscriptionJSON(mozillaEndpoint, rfcP256DH, rfcAuth)))
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{Key: testKey(t), Subject: "mailto:ops@example.com"}
	if _, err := c.NewRequest(t.Context(), s, Message{}); err != nil { // keeps a token
		t.Fatal(err)
	}
	gcm := &GCM{Key: testToken}
	for name, v := range map[string]any{
		"pointer": s, "value": *s, "nil": (*Subscription)(nil), "zero": Subscription{},
		"exported field": struct{ S *Subscription }{s},
		"hidden pointer": struct{ s *Subscription }{s},
		"hidden value":   struct{ s Subscription }{*s},
		"slice":          []*Subscription{s},
		"client":         c,
		"GCM":            gcm, "GCM value": *gcm, "message": Message{GCM: gcm},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%p"} {
			if _, ok := v.(GCM); ok && verb == "%p" { // fmt asks no method for it
				continue
			}
			text := fmt.Sprintf(verb, v)
			noSecret(t, name+" with "+verb, text)
			if strings.Contains(text, rfcAuth) || strings.Contains(text, fmt.Sprintf("%x", testToken)) {
				t.Errorf("%s with %s: %s", name, verb, text)
			}
		}
		var text bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "v", v)
		if _, ok := v.(*Subscription); ok {
			slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "v", v)
		}
		noSecret(t, name+" in slog", text.String())
	}
	if got := s.String(); got != "subscription at https://updates.push.services.mozilla.com" {
		t.Error(got)
	}
}

// What follows the host is opaque: the server must see every byte of it as the
// browser gave it.
func TestEndpointToTheByte(t *testing.T) {
	for _, server := range []string{"http", "https", "h2"} {
		t.Run(server, func(t *testing.T) {
			var got string
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.RequestURI
				w.WriteHeader(http.StatusCreated)
			})
			s := httptest.NewUnstartedServer(handler)
			s.EnableHTTP2 = server == "h2"
			if server == "http" {
				s.Start()
			} else {
				s.StartTLS()
			}
			defer s.Close()
			for path, want := range map[string]string{
				"":                                 "/",
				"?x=1":                             "/?x=1",
				"/p?":                              "/p?",
				"/w/?token=BQYAAAC%2b%2Fa%7e%7E":   "",
				"/wpush/v2/gAAA:b_-~.=;,+@!$&'()*": "",
				`/$(id)'"&;` + "`{[]}|^<>" + `?x=%7Ey|z{}"'` + "`": "",
				"/a/../b/./c//d": "",
				"/%2F%2f%41":     "",
				"/?a=1?b=2":      "",
			} {
				if want == "" {
					want = path
				}
				c := &Client{HTTP: s.Client()}
				if _, err := c.Send(t.Context(), testSubscription(t, s.URL+path, nil), Message{}); err != nil {
					t.Errorf("%q: %v", path, err)
				} else if got != want {
					t.Errorf("sent %q as %q", path, got)
				}
			}
		})
	}

	// Paths that net/url refuses, and that Go's server therefore answers with
	// 400 before a handler sees them: look at the bytes.
	for _, path := range []string{"/0:1%zz", "/100%", "//double/" + `"`} {
		raw := newRaw(t, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
		if _, err := (&Client{}).Send(t.Context(), testSubscription(t, raw.url+path, nil), Message{}); err != nil {
			t.Errorf("%q: %v", path, err)
			continue
		}
		line, _, _ := strings.Cut(raw.request(), "\r\n")
		// An absolute request target is the same to a server (RFC 9112 section 3.2.2).
		if line != "POST "+path+" HTTP/1.1" && line != "POST "+raw.url+path+" HTTP/1.1" {
			t.Errorf("sent %q as %q", path, line)
		}
	}
}

func TestPermanentlyRemoved(t *testing.T) {
	s := testSubscription(t, "https://permanently-removed.invalid/fcm/send/"+testToken, nil)
	asked := 0
	c := &Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) { asked++; return nil, io.EOF })}
	_, err := c.Send(t.Context(), s, Message{})
	var e *Error
	if !errors.As(err, &e) || !e.Gone() || e.Temporary() || e.Hint() == "" || asked != 0 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	noSecret(t, "the error", err.Error())
}

func TestNoSubscription(t *testing.T) {
	for _, s := range []*Subscription{nil, {}} {
		_, err := (&Client{}).NewRequest(context.Background(), s, Message{})
		var e *InputError
		if !errors.As(err, &e) || e.Hint() == "" {
			t.Errorf("%v", err)
		}
	}
	var s Subscription
	if s.Endpoint() != "" || s.Origin() != "" || s.Recipient() != nil || s.PermanentlyRemoved() {
		t.Error("the zero value is something")
	}
}

func FuzzParseSubscription(f *testing.F) {
	good := subscriptionJSON(mozillaEndpoint, rfcP256DH, rfcAuth)
	for _, s := range []string{
		good, "\xef\xbb\xbf" + good, `{"subscription":` + good + `}`, `{"endpoint":"http://127.0.0.1:1/$(id)'\"&;?x=%7Ey|z","keys":null}`,
		`{"endpoint":"https://[::1]:8443//a?","expirationTime":1e12,"x":{"<":"\u2028\ud800"}}`, `{"endpoint":"https://HOST%C3%A9/%zz","keys":{"p256dh":null}}`,
		subscriptionJSON(mozillaEndpoint, stdPadded(f, rfcP256DH), stdPadded(f, rfcAuth)), `{"endpoint":"https://h","expirationTime":null,"expirationTime":5}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := ParseSubscription(data)
		if err != nil {
			var e *InputError
			if s != nil || !errors.As(err, &e) || e.Part == "" || e.Problem == "" {
				t.Fatalf("%v, %v", s, err)
			}
			return
		}
		b, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseSubscription(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		b2, err := again.MarshalJSON()
		if err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("%s comes back as %s, %v", b, b2, err)
		}
		if again.Endpoint() != s.Endpoint() || again.Origin() != s.Origin() || !again.ExpirationTime().Equal(s.ExpirationTime()) || recipientKeys(s) != recipientKeys(again) {
			t.Fatalf("%s comes back different", data)
		}
		// What was accepted can be sent to, unless the rules forbid it.
		ttl := time.Minute
		req, err := (&Client{AllowHTTP: true}).NewRequest(context.Background(), s, Message{TTL: &ttl})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !s.PermanentlyRemoved() {
				t.Fatal(err)
			}
			return
		}
		if !strings.HasSuffix(s.Endpoint(), strings.TrimPrefix(req.URL.RequestURI(), "/")) {
			t.Fatalf("%q is sent as %q", s.Endpoint(), req.URL.RequestURI())
		}
	})
}

func recipientKeys(s *Subscription) [2]string {
	r := s.Recipient()
	if r == nil {
		return [2]string{}
	}
	return [2]string{encode64(r.P256DH()), encode64(r.Auth())}
}

// FuzzPlainSubscription: what the short way takes, it takes as encoding/json does.
func FuzzPlainSubscription(f *testing.F) {
	good := subscriptionJSON(mozillaEndpoint, rfcP256DH, rfcAuth)
	for _, s := range []string{
		good, good + "\n", strings.ReplaceAll(good, ":", ": "), strings.Replace(good, `,"keys"`, `,"expirationTime":null,"keys"`, 1),
		`{"endpoint":"https://h/a//b?c=%7e#","keys":{"auth":"` + rfcAuth + `","p256dh":"` + rfcP256DH + `"}}`,
		`{"endpoint":"","keys":{"p256dh":"-","auth":"="}}`, `{"endpoint": "https://[::1]:8443//a:b", "expirationTime": null, "keys": {"p256dh": "` + rfcP256DH + `", "auth": "` + rfcAuth + `"}} `,
	} {
		if _, _, _, ok := plainSubscription([]byte(s)); !ok {
			f.Fatalf("the short way does not take %s", s)
		}
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"endpoint":"https://h/\u0041","keys":{"p256dh":"","auth":""}}`))
	f.Add([]byte(good + "}"))
	f.Add([]byte(`{"endpoint":"https://h","keys":{"p256dh":"","auth":""}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, _, ok := plainSubscription(data); !ok {
			return
		}
		got, err := ParseSubscription(data)
		want, wantErr := parseSubscription(data)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("%s: %v, want %v", data, err, wantErr)
		}
		if err != nil {
			return
		}
		a, _ := got.MarshalJSON()
		b, _ := want.MarshalJSON()
		if !bytes.Equal(a, b) || got.secrets().url != want.secrets().url || got.loopback != want.loopback || got.service != want.service {
			t.Fatalf("%s: %s %+v, want %s %+v", data, a, got.secrets().url, b, want.secrets().url)
		}
	})
}

// FuzzPlainURL: an endpoint in plain characters has the URL that it has by the
// general rules.
func FuzzPlainURL(f *testing.F) {
	f.Add("https://h/a/b")
	f.Add("https://h//a:b")
	f.Add("https://h")
	f.Add("HTTP://H.:80/../.")
	f.Fuzz(func(t *testing.T, endpoint string) {
		if !plainURL(endpoint) || foreignTo(endpoint) != "" {
			if plainURL(endpoint) {
				t.Fatalf("%q is taken for plain: %s", endpoint, foreignTo(endpoint))
			}
			return
		}
		s, err := newEndpoint(endpoint)
		if err != nil {
			return
		}
		u := s.secrets().url
		if want := endpoint[strings.Index(endpoint, "://")+3:]; "//"+want != "//"+u.Host+u.RequestURI() && want+"/" != u.Host+u.RequestURI() && u.Opaque != "//"+want {
			t.Fatalf("%q is sent to %s%s, opaque %q", endpoint, u.Host, u.RequestURI(), u.Opaque)
		}
	})
}

// TestHash pins the name of an endpoint, which others compute too.
func TestHash(t *testing.T) {
	sub, err := NewSubscription("https://push.example.net/abc", "", "")
	if err != nil {
		t.Fatal(err)
	}
	// printf %s https://push.example.net/abc | sha256sum | cut -c 1-32
	if got, want := sub.Hash(), "992795d4c00588f9a94f48cba9900071"; got != want {
		t.Errorf("Hash() = %s, want %s", got, want)
	}
}

// TestParseRows asserts that a subscription is read however a database has it, with
// its keys, and that it is known as a row.
func TestParseRows(t *testing.T) {
	const key, auth = rfcP256DH, rfcAuth
	for _, names := range [][2]string{{"public_key", "auth_token"}, {"publicKey", "authToken"}, {"key_p256dh", "key_auth"}, {"p256dh_key", "auth_key"}, {"PUBLIC_KEY", "AUTHENTICATION_SECRET"},
		{"P256DH", "Auth"}, {"p256dh", "auth"}, {"pubKey", "auth"}} {
		flat := fmt.Sprintf(`%q:%q,%q:%q`, names[0], key, names[1], auth)
		for _, format := range []string{`{"id":1,"endpoint":%q,%s,"created_at":"2024-01-01"}`, `{"Endpoint":%q,%s}`, `{"url":%q,"pubKeySet":{%s}}`, `{"model":"x","pk":7,"fields":{"registration_id":%q,%s}}`} {
			text := fmt.Sprintf(format, mozillaEndpoint, flat)
			s, err := ParseSubscription([]byte(text))
			if err != nil || s.Endpoint() != mozillaEndpoint || s.Recipient() == nil || !s.Row() {
				t.Errorf("%s: %v, %v", text, s, err)
				continue
			}
			b, err := s.MarshalJSON()
			if again, err2 := ParseSubscription(b); err != nil || err2 != nil || again.Recipient() == nil || again.Endpoint() != mozillaEndpoint {
				t.Errorf("%s: written as %s: %v, %v", text, b, err, err2)
			}
		}
	}
	whole := fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}}`, mozillaEndpoint, key, auth)
	keys := fmt.Sprintf(`{"p256dh":%q,"auth":%q}`, key, auth)
	for _, text := range []string{
		fmt.Sprintf(`{"endpoint":%q,"keys":%q}`, mozillaEndpoint, keys),
		fmt.Sprintf(`{"endpoint":%q,"subscription":%q}`, mozillaEndpoint, whole),
		fmt.Sprintf(`{"endpoint":%q,"subscription":%s}`, mozillaEndpoint, whole),
	} {
		if s, err := ParseSubscription([]byte(text)); err != nil || s.Recipient() == nil || !s.Row() {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
	for _, text := range []string{whole, fmt.Sprintf(`{"subscription":%q}`, whole), fmt.Sprintf(`{"subscription":%s}`, whole), strings.Replace(whole, "{", `{"expirationTime":"soon",`, 1), strings.Replace(whole, "{", `{"expirationTime":-1,`, 1),
		strings.Replace(whole, "{", `{"publicKey":"`+rfcP256DH+`",`, 1)} {
		if s, err := ParseSubscription([]byte(text)); err != nil || s.Recipient() == nil || s.Row() {
			t.Errorf("%s: %v, %v", text, s, err)
		}
	}
}

// TestNoKeysByName asserts that no subscription without keys comes of keys under an
// unknown name, or of what a page has made of them.
func TestNoKeysByName(t *testing.T) {
	for members, want := range map[string]string{
		`"p":"` + rfcP256DH + `","a":"` + rfcAuth + `"`:                                      `the fields are "a", "endpoint", "p"`,
		`"my_p256dh_column":5,"p256dh_old":"x"`:                                              "found no keys",
		`"keys":{"p256dh":{},"auth":{}}`:                                                     "an empty object, which JSON makes of an ArrayBuffer",
		`"keys":{"p256dh":"[object ArrayBuffer]","auth":"[object ArrayBuffer]"}`:             `the text "[object ArrayBuffer]"`,
		`"keys":{"p256dh":{"0":4},"auth":{"0":4}}`:                                           "a Uint8Array",
		`"keys":{"p256dh":{"type":"Buffer","data":[4]},"auth":{"type":"Buffer","data":[4]}}`: "a Node Buffer",
		`"keys":{"p256dh":"` + rfcAuth + `","auth":"` + rfcP256DH + `"}`:                     "swapped",
		`"p256dh":"` + rfcP256DH + `"`:                                                       "keys.auth is missing",
	} {
		_, err := ParseSubscription([]byte(`{"endpoint":"` + mozillaEndpoint + `",` + members + "}"))
		var e *InputError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", members, err, want)
		}
	}
	for _, members := range []string{"", `,"keys":null`, `,"id":1,"created_at":"2024-01-01"`, `,"publicKey":"` + rfcP256DH + `"`} {
		if s, err := ParseSubscription([]byte(`{"endpoint":"` + mozillaEndpoint + `"` + members + "}")); err != nil || s.Recipient() != nil || s.Row() {
			t.Errorf("%s: %v, %v", members, s, err)
		}
	}
}
