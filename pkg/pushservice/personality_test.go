package pushservice_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestPersonalities violates one rule at a time, and compares the response of each
// service and its interpretation by this module's sender.
func TestPersonalities(t *testing.T) {
	key, other := generateKey(t), generateKey(t)
	type set map[string]string
	claims := func(change map[string]any) string {
		c := goodClaims()
		for name, value := range change {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
		return sign(t, key, c).Authorization()
	}
	good := claims(nil)
	damaged := good[:strings.Index(good, ", k=")-4] + "AAAA" + good[strings.Index(good, ", k="):]
	body := aes128gcmBody(t, 4096, point(t), 30)
	type answer struct {
		status int
		text   string // in the body or X-WNS-Error-Description
		code   webpush.Code
	}
	const (
		strict  = pushservice.Strict
		mozilla = pushservice.Mozilla
		fcm     = pushservice.FCM
		apple   = pushservice.Apple
		wns     = pushservice.WNS
	)
	all := []pushservice.Personality{strict, mozilla, fcm, apple, wns}
	ok := answer{201, "", ""}
	for _, c := range []struct {
		name    string
		headers set // "" removes
		body    []byte
		path    string // instead of the endpoint's, with + after it
		fault   int
		want    [5]answer
	}{
		{"good", nil, body, "", 0, [5]answer{ok, ok, ok, ok, ok}},
		{"no token", set{"Authorization": ""}, body, "", 0, [5]answer{
			{401, `"errno":109`, webpush.CodeVAPIDMissing}, {401, "Missing VAPID public key", webpush.CodeVAPIDMissing},
			{403, "sender is not authenticated.\n", webpush.CodeVAPIDMissing}, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"other key", set{"Authorization": sign(t, other, goodClaims()).Authorization()}, body, "", 0, [5]answer{
			{401, "VAPID public key mismatch", webpush.CodeKeyMismatch}, {401, "VAPID public key mismatch", webpush.CodeKeyMismatch},
			{403, "do not correspond to the credentials", webpush.CodeKeyMismatch}, {400, `{"reason":"VapidPkHashMismatch"}`, webpush.CodeKeyMismatch}, {403, "", webpush.CodeKeyMismatch}}},
		{"header", set{"Authorization": "vapid x"}, body, "", 0, [5]answer{
			{401, `"errno":109`, webpush.CodeVAPIDInvalid}, {401, "Missing VAPID public key", ""},
			{403, "authorization header had invalid format.", webpush.CodeVAPIDFormat}, {400, `{"reason":"BadAuthorizationHeader"}`, webpush.CodeVAPIDFormat}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"public key", set{"Authorization": good[:len(good)-87] + "AAAA"}, body, "", 0, [5]answer{
			{401, "Invalid VAPID public key", webpush.CodeVAPIDFormat}, {401, "Invalid VAPID public key", webpush.CodeVAPIDFormat},
			{403, "public key must be 65 bytes long", webpush.CodeVAPIDFormat}, {400, `{"reason":"BadVapidPublicKey"}`, webpush.CodeVAPIDFormat}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"signature", set{"Authorization": damaged}, body, "", 0, [5]answer{
			{401, "Invalid VAPID token", webpush.CodeVAPIDInvalid}, {401, "Invalid VAPID token", webpush.CodeVAPIDInvalid},
			{403, "invalid JWT provided", webpush.CodeVAPIDInvalid}, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"aud", set{"Authorization": claims(map[string]any{"aud": "https://example.org"})}, body, "", 0, [5]answer{
			{401, "Invalid VAPID audience", webpush.CodeVAPIDAudience}, {401, "Invalid VAPID audience", webpush.CodeVAPIDAudience},
			{403, "aud claim in the token MUST include", webpush.CodeVAPIDAudience}, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"long", set{"Authorization": claims(map[string]any{"exp": time.Now().Add(25 * time.Hour).Unix()})}, body, "", 0, [5]answer{
			{401, "expiration is too long", webpush.CodeVAPIDLifetime}, {401, "expiration is too long", webpush.CodeVAPIDLifetime},
			{403, "exp claim MUST NOT be more than 24 hours", webpush.CodeVAPIDLifetime}, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"expired", set{"Authorization": claims(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})}, body, "", 0, [5]answer{
			{401, "Invalid VAPID token: exp", webpush.CodeVAPIDInvalid}, {401, "ExpiredSignature", webpush.CodeVAPIDExpired},
			{403, "token has expired", webpush.CodeVAPIDExpired}, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"no exp", set{"Authorization": claims(map[string]any{"exp": nil})}, body, "", 0, [5]answer{
			{401, "exp is missing", webpush.CodeVAPIDInvalid}, {401, "exp is missing", webpush.CodeVAPIDInvalid},
			{403, "exp claim is missing", webpush.CodeVAPIDInvalid}, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, {401, "", webpush.CodeVAPIDInvalid}}},
		{"no sub", set{"Authorization": claims(map[string]any{"sub": nil})}, body, "", 0, [5]answer{ok, ok, ok, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, ok}},
		{"sub at localhost", set{"Authorization": claims(map[string]any{"sub": "mailto:me@localhost"})}, body, "", 0, [5]answer{ok, ok, ok, {403, `{"reason":"BadJwtToken"}`, webpush.CodeVAPIDInvalid}, ok}},
		{"no TTL", set{"TTL": ""}, body, "", 0, [5]answer{
			{400, `"errno":111`, webpush.CodeTTL}, {400, "Missing TTL value", webpush.CodeTTL},
			{400, "Missing TTL value", ""}, {400, `{"reason":"BadTtl"}`, webpush.CodeTTL}, {400, "Missing TTL value", ""}}},
		{"TTL 0", set{"TTL": "0"}, body, "", 0, [5]answer{ok, ok, ok, {400, `{"reason":"BadTtl"}`, webpush.CodeTTL}, {400, "Ttl value conflicts with X-WNS-Cache-Policy.", webpush.CodeTTL}}},
		{"TTL 0, not cached", set{"TTL": "0", "X-WNS-Cache-Policy": "no-cache"}, body, "", 0, [5]answer{ok, ok, ok, {400, `{"reason":"BadTtl"}`, webpush.CodeTTL}, ok}},
		{"TTL 1, not cached", set{"TTL": "1", "X-WNS-Cache-Policy": "no-cache"}, body, "", 0, [5]answer{ok, ok, ok, ok, {400, "conflicts", webpush.CodeTTL}}},
		{"urgency", set{"Urgency": "now"}, body, "", 0, [5]answer{
			{400, "Invalid Urgency header", ""}, ok, {400, "Invalid Urgency", ""}, {400, `{"reason":"BadUrgency"}`, webpush.CodeUrgency}, {400, "Invalid Urgency", ""}}},
		{"topic of 9", set{"Topic": "new_event"}, body, "", 0, [5]answer{ok, ok, ok, {400, `{"reason":"BadWebPushTopic"}`, webpush.CodeTopic}, ok}},
		{"topic of 8", set{"Topic": "newEvent"}, body, "", 0, [5]answer{ok, ok, ok, ok, ok}},
		{"topic", set{"Topic": "a b"}, body, "", 0, [5]answer{
			{400, `"errno":113`, webpush.CodeTopic}, {400, `"errno":113`, webpush.CodeTopic}, {400, "Topic", ""}, {400, `{"reason":"BadWebPushTopic"}`, webpush.CodeTopic}, {400, "Topic", ""}}},
		{"coding", set{"Content-Encoding": "gzip"}, body, "", 0, [5]answer{
			{415, `"errno":110`, webpush.CodeEncryption}, {400, `"code":400,"errno":110`, webpush.CodeEncryption}, {400, "Content-Encoding", ""}, {400, `{"reason":"BadWebPushRequest"}`, webpush.CodeEncryption}, {400, "Content-Encoding", ""}}},
		{"not encrypted", nil, []byte(`{"hello":"world"}`), "", 0, [5]answer{
			{400, `"errno":110`, webpush.CodeEncryption}, {400, `"errno":110`, webpush.CodeEncryption}, {400, "body", ""}, {400, `{"reason":"BadWebPushRequest"}`, webpush.CodeEncryption}, {400, "body", ""}}},
		{"too large", nil, aes128gcmBody(t, 8192, point(t), 5631-86), "", 0, [5]answer{
			{413, `"errno":104`, webpush.CodeTooLarge}, {413, `"errno":104`, webpush.CodeTooLarge}, {400, "too large", ""}, {413, `{"reason":"PayloadTooLarge"}`, webpush.CodeTooLarge}, {413, "5000", webpush.CodeTooLarge}}},
		{"5630 bytes", nil, aes128gcmBody(t, 8192, point(t), 5630-86), "", 0, [5]answer{
			{413, `"errno":104`, webpush.CodeTooLarge}, ok, {400, "too large", ""}, {413, `{"reason":"PayloadTooLarge"}`, webpush.CodeTooLarge}, {413, "5000", webpush.CodeTooLarge}}},
		{"5000 bytes", nil, aes128gcmBody(t, 8192, point(t), 5000-86), "", 0, [5]answer{
			{413, `"errno":104`, webpush.CodeTooLarge}, ok, {400, "too large", ""}, {413, `{"reason":"PayloadTooLarge"}`, webpush.CodeTooLarge}, ok}},
		{"4096 bytes", nil, aes128gcmBody(t, 4097, point(t), 4096-86), "", 0, [5]answer{ok, ok, ok, ok, ok}},
		{"chunked", set{"chunked": "yes"}, body, "", 0, [5]answer{ok, ok, ok, ok, {411, "Missing Content-Length: a chunked body is not supported", ""}}},
		{"unknown", nil, body, "x", 0, [5]answer{
			{404, `"errno":102`, webpush.CodeGone}, {404, "", webpush.CodeGone}, {404, "A valid push subscription endpoint should be specified", webpush.CodeGone}, {404, `{"reason":"BadPath"}`, webpush.CodeGone}, {404, "", webpush.CodeGone}}},
		{"expired subscription", nil, body, "expired", 0, [5]answer{
			{410, `"errno":106`, webpush.CodeGone}, {410, `"errno":106`, webpush.CodeGone}, {410, "push subscription has unsubscribed or expired.", webpush.CodeGone}, {410, `{"reason":"Unregistered"}`, webpush.CodeGone}, {410, "", webpush.CodeGone}}},
		{"429", nil, body, "", 429, [5]answer{
			{429, `"code":429`, webpush.CodeRateLimited}, {429, `"code":429`, webpush.CodeRateLimited}, {429, "", webpush.CodeRateLimited}, {429, `{"reason":"TooManyRequests"}`, webpush.CodeRateLimited}, {429, "", webpush.CodeRateLimited}}},
		{"503", nil, body, "", 503, [5]answer{
			{503, `"code":503`, webpush.CodeUnavailable}, {503, "", webpush.CodeUnavailable}, {503, "", webpush.CodeUnavailable}, {503, `{"reason":"ServiceUnavailable"}`, webpush.CodeUnavailable}, {503, "", webpush.CodeUnavailable}}},
		{"500", nil, body, "", 500, [5]answer{
			{500, "", webpush.CodeUnavailable}, {500, "", webpush.CodeUnavailable}, {500, "", webpush.CodeUnavailable}, {500, `{"reason":"InternalServerError"}`, webpush.CodeUnavailable}, {500, "", webpush.CodeUnavailable}}},
	} {
		for i, as := range all {
			t.Run(c.name+" "+string(as), func(t *testing.T) {
				s := pushservice.New(pushservice.Options{As: as})
				sub := subscribe(t, s, key.PublicKey())
				switch path := sub.Path; c.path {
				case "x":
					sub.Path += "x"
				case "expired":
					if err := s.Unsubscribe(sub.ID); err != nil {
						t.Fatal(err)
					}
				default:
					if strings.ContainsAny(path, " +") {
						t.Errorf("the path is %q", path)
					}
				}
				if c.fault != 0 {
					if err := s.AddFault(pushservice.Fault{Status: c.fault}); err != nil {
						t.Fatal(err)
					}
				}
				r := request(sub.Path, c.body)
				r.Header.Set("Authorization", good)
				for name, value := range c.headers {
					if name == "chunked" {
						r.ContentLength, r.TransferEncoding = -1, []string{"chunked"}
						continue
					}
					if r.Header.Set(name, value); value == "" {
						r.Header.Del(name)
					}
				}
				w := do(s, r)
				want := c.want[i]
				text := w.Body.String() + w.Header().Get("X-WNS-Error-Description")
				if w.Code != want.status || !strings.Contains(text, want.text) {
					t.Fatalf("status %d, %q, want %d, %q", w.Code, text, want.status, want.text)
				}
				if list := s.Requests(); len(list) != 1 || list[0].Status != want.status {
					t.Errorf("requests are %+v", list)
				}
				if want.status != 201 {
					service := webpush.Service(as)
					if as == strict {
						service = webpush.Other
					}
					if e := webpush.Explain(service, w.Code, w.Header(), w.Body.Bytes()); want.code != "" && e.Code != want.code {
						t.Errorf("the sender understands %s (%s), want %s", e.Code, e.Reason, want.code)
					}
					if as == wns && w.Body.Len() > 0 {
						t.Errorf("WNS has a body: %s", w.Body)
					}
					return
				}
				checkAccepted(t, as, w)
			})
		}
	}
}

// checkAccepted compares the headers of a response to a message.
func checkAccepted(t *testing.T, as pushservice.Personality, w *httptest.ResponseRecorder) {
	t.Helper()
	location := w.Header().Get("Location")
	switch as {
	case pushservice.Apple:
		if location != "" || len(w.Header().Get("apns-id")) != 36 {
			t.Errorf("headers are %v", w.Header())
		}
	case pushservice.WNS:
		if location != "" || w.Header().Get("X-WNS-Status") != "received" {
			t.Errorf("headers are %v", w.Header())
		}
	case pushservice.FCM:
		if !strings.HasPrefix(location, origin+"/0:") || !strings.Contains(location, "%") {
			t.Errorf("Location is %q", location)
		}
	default:
		if !strings.HasPrefix(location, origin+"/m/") || w.Header().Get("TTL") == "" {
			t.Errorf("headers are %v", w.Header())
		}
	}
}

// TestPersonalityWithoutKey uses unrestricted subscriptions.
func TestPersonalityWithoutKey(t *testing.T) {
	for as, want := range map[pushservice.Personality]int{
		pushservice.Strict: 201, pushservice.Mozilla: 201, pushservice.WNS: 201, pushservice.FCM: 403, pushservice.Apple: 403, "unknown": 201,
	} {
		s := pushservice.New(pushservice.Options{As: as})
		if w := do(s, request(subscribe(t, s, vapid.PublicKey{}).Path, nil)); w.Code != want {
			t.Errorf("%s: status %d, want %d", as, w.Code, want)
		}
	}
	if _, err := pushservice.Start(pushservice.ServerOptions{Options: pushservice.Options{As: "unknown"}}); err == nil || !strings.Contains(err.Error(), "unknown personality") {
		t.Errorf("an unknown personality: %v", err)
	}
}

// TestPersonalityTTL: each service has its own maximum TTL.
func TestPersonalityTTL(t *testing.T) {
	key := generateKey(t)
	for as, want := range map[pushservice.Personality]string{pushservice.Strict: "2592000", pushservice.Mozilla: "2592000", pushservice.FCM: "2419200"} {
		s := pushservice.New(pushservice.Options{As: as})
		r := request(subscribe(t, s, key.PublicKey()).Path, nil)
		r.Header.Set("Authorization", sign(t, key, goodClaims()).Authorization())
		r.Header.Set("TTL", "99999999")
		if w := do(s, r); w.Code != 201 || w.Header().Get("TTL") != want {
			t.Errorf("%s: status %d, TTL %q, want %s", as, w.Code, w.Header().Get("TTL"), want)
		}
	}
}

// TestMozilla: as Mozilla, the service reads headers like autopush, even where
// autopush differs from the RFCs.
func TestMozilla(t *testing.T) {
	key := generateKey(t)
	token := sign(t, key, goodClaims())
	jwt, k := token.JWT(), key.PublicKey().String()
	late := func(ago time.Duration) string {
		return sign(t, key, map[string]any{"aud": origin, "sub": "mailto:ops@example.com", "exp": time.Now().Add(-ago).Unix()}).Authorization()
	}
	for _, c := range []struct{ name, value, mozilla, strict string }{
		{"Authorization", "vapid t=" + jwt + ", k=" + k, "", ""},
		{"Authorization", "vapid t=" + jwt + ",k=" + k, "", ""},
		{"Authorization", "vapid t=" + jwt + "; k=" + k, "Missing VAPID public key", "Invalid VAPID token: the parameters are separated by a semicolon"},
		{"Authorization", `vapid t="` + jwt + `", k="` + k + `"`, "Invalid VAPID public key: Invalid symbol 34, offset 0.", ""},
		{"Authorization", "vapid T=" + jwt + ", K=" + k, "Missing VAPID public key", ""},
		{"Authorization", "vapid\tt=" + jwt + ", k=" + k, "Missing VAPID token", "Invalid VAPID token: the scheme is followed by a tab"},
		{"Authorization", "vapid k=" + k, "Missing VAPID token", "Missing VAPID token"},
		{"Authorization", "vapid", "Missing VAPID token", "Missing VAPID token"},
		{"Authorization", "", "Missing VAPID token", "Missing VAPID token"},
		{"Authorization", late(30 * time.Second), "", "Invalid VAPID token"},
		{"Authorization", late(65 * time.Second), "ExpiredSignature", "Invalid VAPID token"},
		{"TTL", "+5", "", "Invalid TTL value"},
		{"TTL", "9223372036854775807", "", ""},
		{"TTL", "9223372036854775808", "Missing TTL value", ""},
		{"TTL", "x", "Invalid TTL value", "Invalid TTL value"},
		{"Topic", "ab==", "", "Topic must be URL"},
		{"Topic", "\u00e9", "", "Topic must be URL"},
		{"Topic", "a b", "Topic must be URL", "Topic must be URL"},
	} {
		for as, want := range map[pushservice.Personality]string{pushservice.Mozilla: c.mozilla, pushservice.Strict: c.strict} {
			s := pushservice.New(pushservice.Options{As: as})
			r := request(subscribe(t, s, key.PublicKey()).Path, nil)
			r.Header.Set("Authorization", token.Authorization())
			r.Header[http.CanonicalHeaderKey(c.name)] = []string{c.value}
			w := do(s, r)
			if (w.Code == 201) != (want == "") || want != "" && !strings.HasPrefix(messageOf(t, w.Body.Bytes()), want) {
				t.Errorf("%q, %s: %.200s: status %d, %s, want %q", as, c.name, c.value, w.Code, w.Body, want)
			}
		}
	}
}
