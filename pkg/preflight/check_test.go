package preflight

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// finds writes what matters of findings: "error topic-apple [apple]".
func finds(findings []Finding, least Severity) []string {
	list := []string{}
	for _, f := range findings {
		if f.Severity < least {
			continue
		}
		text := f.Severity.String() + " " + f.Rule
		if len(f.Services) > 0 {
			var names []string
			for _, s := range f.Services {
				names = append(names, string(s))
			}
			text += " [" + strings.Join(names, " ") + "]"
		}
		list = append(list, text)
	}
	return list
}

// What each push service is known to refuse.
func TestCheck(t *testing.T) {
	key := testKey(t)
	good := func() *webpush.Client { return &webpush.Client{Key: key, Subject: "mailto:ops@push.dev"} }
	with := func(change func(*webpush.Client)) *webpush.Client {
		c := good()
		change(c)
		return c
	}
	parse := func(text string) *webpush.Subscription {
		t.Helper()
		s, err := webpush.ParseSubscription([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	beside := func(endpoint, members string) *webpush.Subscription {
		return parse(strings.Replace(subscriptionJSON(endpoint, rfcP256DH, rfcAuth), "{", "{"+members+",", 1))
	}
	at := func(endpoint string) *webpush.Subscription {
		return parse(subscriptionJSON(endpoint, rfcP256DH, rfcAuth))
	}
	const (
		appleEndpoint = "https://web.push.apple.com/" + testToken
		fcmEndpoint   = "https://fcm.googleapis.com/wp/" + testToken
		wnsEndpoint   = "https://wns2-par02p.notify.windows.com/w/?token=" + testToken
		upEndpoint    = "https://ntfy.sh/upAAAAAAAAAA?up=1"
		otherEndpoint = "https://push.dev/" + testToken
	)
	v1Endpoint := "https://updates.push.services.mozilla.com/wpush/v1/" + testToken[:140]
	v2Endpoint := "https://updates.push.services.mozilla.com/wpush/v2/" + testToken + testToken[10:48]
	hi := []byte("hi")
	own := key.PublicKey().String()
	spki := `"applicationServerKey":"` + own + `"`
	bytesOf := func(format string) string {
		raw := key.PublicKey().Bytes()
		var parts []string
		for i, b := range raw {
			if format == "object" {
				parts = append(parts, fmt.Sprintf(`"%d":%d`, i, b))
			} else {
				parts = append(parts, fmt.Sprint(b))
			}
		}
		if format == "object" {
			return "{" + strings.Join(parts, ",") + "}"
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	const foreign = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
	header := func(name, value string) http.Header { return http.Header{name: {value}} }

	for _, tt := range []struct {
		name     string
		client   *webpush.Client
		sub      *webpush.Subscription
		msg      webpush.Message
		services []webpush.Service
		want     []string // of warnings and errors; those that begin with "note" only if they are there
		text     string   // in the first
	}{
		{"good", good(), at(v2Endpoint), webpush.Message{Payload: hi}, nil, nil, ""},
		{"good everywhere", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Topic: webpush.HashTopic("x"), TTL: new(time.Minute), Urgency: webpush.High}, webpush.Services(), []string{"note urgency-ignored [mozilla unifiedpush]", "note topic-ignored [unifiedpush]"}, ""},
		{"no subscription", good(), nil, webpush.Message{}, nil, []string{"error subscription"}, "no subscription"},
		{"the zero subscription", good(), new(webpush.Subscription), webpush.Message{}, nil, []string{"error subscription"}, "no subscription"},
		{"no subscription, but a service", good(), nil, webpush.Message{Payload: hi}, []webpush.Service{webpush.Apple}, nil, ""},

		// The endpoint.
		{"removed", good(), at("https://permanently-removed.invalid/fcm/send/x"), webpush.Message{Payload: hi}, nil, []string{"error subscription-removed"}, "permanently removed this subscription"},
		{"http", good(), at("http://push.dev/x"), webpush.Message{Payload: hi}, nil, []string{"error endpoint-http"}, "plain http"},
		{"http allowed", with(func(c *webpush.Client) { c.AllowHTTP = true }), at("http://push.dev/x"), webpush.Message{Payload: hi}, nil, []string{"warning endpoint-http"}, "plain http"},
		{"loopback", good(), at("http://127.0.0.1:8080/x"), webpush.Message{Payload: hi}, nil, []string{"note endpoint-private"}, "on this machine"},
		{"localhost", good(), at("https://localhost:8080/x"), webpush.Message{Payload: hi}, nil, []string{"note endpoint-private"}, "on this machine"},
		{"private", good(), at("https://10.0.0.1/x"), webpush.Message{Payload: hi}, nil, []string{"warning endpoint-private"}, "10.0.0.1 is not public"},
		{"metadata", good(), at("https://[fe80::1]/x"), webpush.Message{Payload: hi}, nil, []string{"warning endpoint-private"}, "not public"},
		{"one label", good(), at("https://intranet/x"), webpush.Message{Payload: hi}, nil, []string{"note endpoint-private"}, "intranet"},
		{"documentation's domain", good(), at("https://push.example/x"), webpush.Message{Payload: hi}, nil, []string{"note endpoint-private"}, "push.example is not public"},
		{"localhost with a dot", good(), at("http://localhost.:8080/x"), webpush.Message{Payload: hi}, nil, []string{"note endpoint-private"}, "on this machine"},
		{"international path", good(), at("https://push.example.net/b\u00fcro"), webpush.Message{Payload: hi}, nil, []string{"warning endpoint-characters"}, "beyond ASCII"},
		{"GCM's host with a dot", good(), at("https://android.googleapis.com./gcm/send/abc"), webpush.Message{Payload: hi}, nil, []string{"error endpoint-dead [fcm]", "warning endpoint-characters"}, "Google Cloud Messaging"},
		{"reserved domain", good(), at("https://push.internal/x"), webpush.Message{Payload: hi}, nil, []string{"note endpoint-private"}, "push.internal"},
		{"expired", good(), beside(v2Endpoint, `"expirationTime":1700000000000`), webpush.Message{Payload: hi}, nil, []string{"warning subscription-expired"}, "expired on 2023-11-14"},
		{"not expired", good(), beside(v2Endpoint, `"expirationTime":99999999999999`), webpush.Message{Payload: hi}, nil, nil, ""},
		{"no keys", good(), parse(`{"endpoint":"` + v2Endpoint + `"}`), webpush.Message{Payload: hi}, nil, []string{"error keys"}, "no keys"},
		{"long UnifiedPush endpoint", good(), at("https://push.dev/up" + strings.Repeat("x", 1000) + "?up=1"), webpush.Message{Payload: hi}, nil, []string{"warning endpoint-length [unifiedpush]"}, "UnifiedPush allows 1000"},

		// The key that the subscription was made with.
		{"own key", good(), beside(v2Endpoint, spki), webpush.Message{Payload: hi}, nil, nil, ""},
		{"own key as bytes", good(), beside(v2Endpoint, `"options":{"applicationServerKey":`+bytesOf("array")+`}`), webpush.Message{Payload: hi}, nil, nil, ""},
		{"own key as an object", good(), beside(v2Endpoint, `"vapidKey":`+bytesOf("object")), webpush.Message{Payload: hi}, nil, nil, ""},
		{"other key", good(), beside(v2Endpoint, `"applicationServerKey":"`+foreign+`"`), webpush.Message{Payload: hi}, nil, []string{"error key-mismatch"}, foreign + ", but the signing key is " + own},
		{"other key in options", good(), beside(v2Endpoint, `"options":{"userVisibleOnly":true,"applicationServerKey":"`+foreign+`"}`), webpush.Message{Payload: hi}, nil, []string{"error key-mismatch"}, foreign},
		{"other key as vapidKey", good(), beside(v2Endpoint, `"vapidKey":"`+foreign+`"`), webpush.Message{Payload: hi}, nil, []string{"error key-mismatch"}, foreign},
		{"other key around", good(), parse(`{"vapid_public_key":"` + foreign + `","subscription":` + subscriptionJSON(v2Endpoint, rfcP256DH, rfcAuth) + `}`), webpush.Message{Payload: hi}, nil, []string{"error key-mismatch"}, foreign},
		{"null key", good(), beside(v2Endpoint, `"applicationServerKey":null,"options":{"applicationServerKey":{}}`), webpush.Message{Payload: hi}, nil, nil, ""},
		{"key is no key", good(), beside(v2Endpoint, `"applicationServerKey":"abc"`), webpush.Message{Payload: hi}, nil, []string{"note recorded-key"}, "not readable"},
		{"key is a number", good(), beside(v2Endpoint, `"applicationServerKey":7`), webpush.Message{Payload: hi}, nil, []string{"note recorded-key"}, "not readable"},

		// The signature.
		{"unsigned at Apple", &webpush.Client{}, at(appleEndpoint), webpush.Message{Payload: hi}, nil, []string{"error unsigned [apple]"}, "not signed, which Apple rejects"},
		{"unsigned at FCM", &webpush.Client{}, at(fcmEndpoint), webpush.Message{Payload: hi}, nil, []string{"error unsigned [fcm]"}, "not signed"},
		{"unsigned at Mozilla v2", &webpush.Client{}, at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"error unsigned [mozilla]"}, "not signed"},
		{"unsigned at Mozilla v1", &webpush.Client{}, at(v1Endpoint), webpush.Message{Payload: hi}, nil, []string{"note unsigned [mozilla]"}, "not signed"},
		{"unsigned at WNS", &webpush.Client{}, at(wnsEndpoint), webpush.Message{Payload: hi}, nil, []string{"warning unsigned [wns]"}, "not signed"},
		{"unsigned at another", &webpush.Client{}, at(otherEndpoint), webpush.Message{Payload: hi}, nil, []string{"warning unsigned [other]"}, "not signed"},
		{"unsigned at UnifiedPush", &webpush.Client{}, at(upEndpoint), webpush.Message{Payload: hi}, nil, []string{"note unsigned [unifiedpush]"}, "not signed"},
		{"unsigned everywhere", &webpush.Client{}, nil, webpush.Message{Payload: hi}, webpush.Services(), []string{"error unsigned [apple fcm]", "warning unsigned [mozilla]", "warning unsigned [wns]", "note unsigned [unifiedpush]"}, "which Apple and FCM reject"},
		{"GCM", good(), at(fcmEndpoint), webpush.Message{Payload: hi, GCM: &webpush.GCM{Key: "k"}}, nil, []string{"warning gcm"}, "shut down"},
		{"draft scheme", with(func(c *webpush.Client) { c.Scheme = vapid.SchemeWebPush }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"note scheme"}, "draft"},
		{"no subject at Apple", &webpush.Client{Key: key}, at(appleEndpoint), webpush.Message{Payload: hi}, nil, []string{"error sub [apple]"}, "sub is missing"},
		{"no subject at Mozilla", &webpush.Client{Key: key}, at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"warning sub"}, "sub is missing"},
		{"no subject, Mozilla alone", &webpush.Client{Key: key}, at(v2Endpoint), webpush.Message{Payload: hi}, []webpush.Service{webpush.Mozilla}, []string{"warning sub [mozilla]"}, "sub is missing"},
		{"no subject, FCM alone", &webpush.Client{Key: key}, at(fcmEndpoint), webpush.Message{Payload: hi}, []webpush.Service{webpush.FCM}, []string{"note sub"}, "sub is missing"},
		{"localhost at Apple", with(func(c *webpush.Client) { c.Subject = "mailto:a@localhost" }), at(appleEndpoint), webpush.Message{Payload: hi}, nil, []string{"error sub [apple]"}, "localhost"},
		{"localhost at FCM", with(func(c *webpush.Client) { c.Subject = "https://localhost" }), at(fcmEndpoint), webpush.Message{Payload: hi}, nil, []string{"warning sub"}, "localhost"},
		{"angle brackets at Apple", with(func(c *webpush.Client) { c.Subject = "mailto: <ops@push.dev>" }), at(fcmEndpoint), webpush.Message{Payload: hi}, []webpush.Service{webpush.FCM, webpush.Apple}, []string{"error sub [apple]"}, "angle brackets"},
		{"subject without scheme", with(func(c *webpush.Client) { c.Subject = "push.dev" }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"error sub"}, "expected a mailto: or https: URI"},
		{"the same, signed all the same", with(func(c *webpush.Client) { c.Subject, c.Lenient = "push.dev", true }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"warning sub"}, "expected a mailto: or https: URI"},
		{"other audience", with(func(c *webpush.Client) { c.Audience = "https://other.dev" }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"error aud"}, "but the push service is https://updates"},
		{"audience with a slash", with(func(c *webpush.Client) { c.Audience = "https://push.dev/" }), at(otherEndpoint), webpush.Message{Payload: hi}, nil, []string{"error aud", "error aud"}, "aud is"},
		{"past", with(func(c *webpush.Client) { c.Claims.Expires = time.Unix(1e9, 0) }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"error exp"}, "ago"},
		{"past, signed all the same", with(func(c *webpush.Client) { c.Claims.Expires, c.Lenient = time.Unix(1e9, 0), true }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"error exp"}, "ago"},
		{"too far", with(func(c *webpush.Client) { c.Lifetime = 25 * time.Hour }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"error exp"}, "at most 24 hours"},
		{"all of 24 hours", with(func(c *webpush.Client) { c.Lifetime = 24 * time.Hour }), at(v2Endpoint), webpush.Message{Payload: hi}, nil, []string{"warning exp"}, "more than 24 h"},

		// Headers.
		{"urgency", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Urgency: "urgent"}, nil, []string{"error urgency"}, `"urgent"`},
		{"urgency at Mozilla", good(), at(v2Endpoint), webpush.Message{Payload: hi, Urgency: webpush.High}, nil, []string{"note urgency-ignored [mozilla]"}, "is ignored"},
		{"topic alphabet", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Topic: "new event"}, nil, []string{"error topic"}, "' '"},
		{"topic length", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Topic: strings.Repeat("x", 33)}, nil, []string{"error topic"}, "33 characters"},
		{"topic at Apple", good(), at(appleEndpoint), webpush.Message{Payload: hi, Topic: "new_event"}, nil, []string{"error topic-apple [apple]"}, "one of 9 characters"},
		{"topic that also goes to Apple", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Topic: "new_event"}, nil, []string{"warning topic-apple"}, "rejects one of 9 characters"},
		{"topic for FCM alone", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Topic: "new_event"}, []webpush.Service{webpush.FCM}, nil, ""},
		{"topic at UnifiedPush", good(), at(upEndpoint), webpush.Message{Payload: hi, Topic: "abcd"}, nil, []string{"note topic-ignored [unifiedpush]"}, "is ignored"},
		{"TTL below 0", good(), at(fcmEndpoint), webpush.Message{Payload: hi, TTL: new(-time.Second)}, nil, []string{"error ttl"}, "-1s"},
		{"TTL 0 at Apple", good(), at(appleEndpoint), webpush.Message{Payload: hi, TTL: new(time.Duration)}, nil, []string{"warning ttl-zero-apple [apple]", "note ttl-zero"}, "TTL of 0"},
		{"TTL 0", good(), at(fcmEndpoint), webpush.Message{Payload: hi, TTL: new(time.Duration)}, nil, []string{"note ttl-zero"}, "immediately or not at all"},
		{"long TTL at FCM", good(), at(fcmEndpoint), webpush.Message{Payload: hi, TTL: new(29 * 24 * time.Hour)}, nil, []string{"warning ttl-fcm [fcm]"}, "the TTL is 29 days, FCM allows 28 days"},
		{"long TTL at Mozilla", good(), at(v2Endpoint), webpush.Message{Payload: hi, TTL: new(31*24*time.Hour + time.Second)}, nil, []string{"note ttl-mozilla [mozilla]"}, "the TTL is 2678401 seconds"},
		{"long TTL at Apple", good(), at(appleEndpoint), webpush.Message{Payload: hi, TTL: new(31 * 24 * time.Hour)}, nil, []string{"note ttl-apple [apple]"}, "30 days"},
		{"WNS policy", good(), at(wnsEndpoint), webpush.Message{Payload: hi, Header: header("X-Wns-Cache-Policy", "no-cache")}, nil, []string{"error wns-cache-policy [wns]"}, "contradicts the TTL of 2419200"},
		{"WNS policy with TTL 0", good(), at(wnsEndpoint), webpush.Message{Payload: hi, TTL: new(time.Duration), Header: header("X-Wns-Cache-Policy", "cache")}, nil, []string{"error wns-cache-policy [wns]", "note ttl-zero"}, "contradicts the TTL of 0"},
		{"WNS policy that is right", good(), at(wnsEndpoint), webpush.Message{Payload: hi, Header: header("X-Wns-Cache-Policy", "Cache")}, nil, nil, ""},
		{"WNS policy elsewhere", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Header: header("X-Wns-Cache-Policy", "no-cache")}, nil, nil, ""},
		{"reserved header", good(), at(fcmEndpoint), webpush.Message{Payload: hi, Header: header("ttl", "1")}, nil, []string{"error header"}, "cannot be set"},
		{"receipts", good(), at(v2Endpoint), webpush.Message{Payload: hi, Header: header("Prefer", "respond-async")}, nil, []string{"note receipts [mozilla]"}, "not supported"},

		// The body.
		{"no payload", good(), at(fcmEndpoint), webpush.Message{}, nil, []string{"note payload-missing"}, "no payload"},
		{"no payload at UnifiedPush", good(), at(upEndpoint), webpush.Message{}, nil, []string{"warning payload-missing [unifiedpush]", "note payload-missing"}, "1 to 4096"},
		{"an empty payload", good(), at(fcmEndpoint), webpush.Message{Payload: []byte{}}, nil, []string{"warning payload-empty [fcm]"}, "Chromium drops"},
		{"not UTF-8", good(), at(fcmEndpoint), webpush.Message{Payload: []byte{0xff, 0xfe}}, nil, []string{"warning payload-utf8 [fcm]"}, "event.data is null"},
		{"an empty payload in aesgcm", good(), at(fcmEndpoint), webpush.Message{Payload: []byte{}, Encoding: ece.AESGCM}, nil, []string{"note encoding-old [fcm]"}, ""},
		{"aesgcm at Apple", good(), at(appleEndpoint), webpush.Message{Payload: hi, Encoding: ece.AESGCM}, nil, []string{"error encoding [apple]"}, "aes128gcm only"},
		{"aesgcm at UnifiedPush", good(), at(upEndpoint), webpush.Message{Payload: hi, Encoding: ece.AESGCM}, nil, []string{"error encoding [unifiedpush]"}, "UnifiedPush"},
		{"aesgcm at Mozilla", good(), at(v2Endpoint), webpush.Message{Payload: hi, Encoding: ece.AESGCM}, nil, []string{"note encoding-old [mozilla]"}, "old draft"},
		{"no encoding", good(), at(v2Endpoint), webpush.Message{Payload: hi, Encoding: "aes128"}, nil, []string{"error encryption"}, "aes128"},
		{"the largest", good(), at(fcmEndpoint), webpush.Message{Payload: make([]byte, 3993)}, nil, nil, ""},
		{"one byte more", good(), at(fcmEndpoint), webpush.Message{Payload: make([]byte, 3994)}, nil, []string{"error size"}, "3994 bytes"},
		{"one byte more, wanted so", good(), at(fcmEndpoint), webpush.Message{Payload: make([]byte, 3994), MaxBody: 9000}, nil, []string{"error size [fcm]"}, "4097 bytes encrypted and padded, 1 more than the 4096 that FCM accepts"},
		{"more at WNS", good(), at(wnsEndpoint), webpush.Message{Payload: make([]byte, 3994), MaxBody: 9000}, nil, nil, ""},
		{"too much for WNS", good(), at(wnsEndpoint), webpush.Message{Payload: make([]byte, 5000), MaxBody: 9000}, nil, []string{"error size [wns]"}, "5000 that WNS accepts"},
		{"too much for Mozilla", good(), at(v2Endpoint), webpush.Message{Payload: make([]byte, 5600), MaxBody: 9000}, nil, []string{"error size [mozilla]"}, "5630 that Mozilla accepts"},
		{"too much for another", good(), at(otherEndpoint), webpush.Message{Payload: make([]byte, 5600), MaxBody: 9000}, nil, []string{"warning size [other]"}, "4096"},
		{"too much for all", good(), nil, webpush.Message{Payload: make([]byte, 5600), MaxBody: 9000}, webpush.Services(), []string{"error size [apple fcm unifiedpush]", "error size [wns]", "error size [mozilla]"}, "Apple, FCM and UnifiedPush accept"},
		{"Firefox for Android", good(), at(v2Endpoint), webpush.Message{Payload: make([]byte, 2642)}, nil, []string{"note size-android [mozilla]"}, "2745 bytes"},
		{"Firefox for Android, padded", good(), at(v2Endpoint), webpush.Message{Payload: hi, Pad: 3000}, nil, []string{"note size-android [mozilla]"}, "3103 bytes"},
		{"just right for Firefox for Android", good(), at(v2Endpoint), webpush.Message{Payload: make([]byte, 2641)}, nil, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			found := Check(tt.client, tt.sub, tt.msg, tt.services...)
			least := SeverityWarning
			if len(tt.want) > 0 && slices.ContainsFunc(tt.want, func(s string) bool { return strings.HasPrefix(s, "note") }) {
				least = SeverityNote
			}
			if got := finds(found, least); !slices.Equal(got, tt.want) && len(got)+len(tt.want) > 0 {
				t.Fatalf("%q, want %q: %+v", got, tt.want, found)
			}
			if tt.want != nil && !strings.Contains(found[0].Message, tt.text) {
				t.Errorf("%q, want %q", found[0].Message, tt.text)
			}
			for _, f := range found {
				noSecret(t, f.Rule, f.Message+f.Hint)
				if f.Rule == "" || f.Message == "" || f.Source == "" || f.Severity == SeverityError && f.Hint == "" && f.Err == nil {
					t.Errorf("%+v is not whole", f)
				}
				if _, err := json.Marshal(f); err != nil {
					t.Error(err)
				}
			}
			// What NewRequest refuses is found, and what is found to be so is refused.
			if tt.sub == nil || tt.sub.Origin() == "" {
				return
			}
			_, err := tt.client.NewRequest(t.Context(), tt.sub, tt.msg)
			refused := slices.ContainsFunc(found, func(f Finding) bool { return f.Err != nil })
			if (err != nil) != refused {
				t.Errorf("NewRequest: %v; found %+v", err, found)
			}
		})
	}
}

// Findings have no secret even where fmt is used on all of them.
func TestFindingJSON(t *testing.T) {
	b, err := json.Marshal(Check((&webpush.Client{}), nil, webpush.Message{Payload: []byte("x")}, webpush.Apple))
	if err != nil || !strings.HasPrefix(string(b), `[{"severity":"error","rule":"unsigned","services":["apple"],"message":"`) {
		t.Errorf("%s, %v", b, err)
	}
}

// What of a payload browsers do not read.
func TestCheckPayload(t *testing.T) {
	const declarative = `{"web_push":8030,"notification":{"title":"Hi","navigate":"https://push.dev/"`
	for _, tt := range []struct {
		payload string
		want    []string
		text    string // in the first
		fix     string // in the first
	}{
		// Not ours to judge.
		{"hi", nil, "", ""},
		{"", nil, "", ""},
		{"[1]", nil, "", ""},
		{"null", nil, "", ""},
		{`"title"`, nil, "", ""},
		{`{}`, nil, "", ""},
		{`{"type":"chat","id":7,"body":"text"}`, nil, "", ""},
		{`{not JSON`, nil, "", ""},
		{"\x00\xff{", nil, "", ""},
		{`{"title":"Hi"`, []string{"note payload-json"}, "unexpected end", ""},

		// For showNotification.
		{`{"title":"Hi","body":"B","icon":"/i.png","image":"/p.png","badge":"/b.png","tag":"t","renotify":true,"requireInteraction":true,"silent":null,"dir":"rtl","lang":"ar","timestamp":1,"vibrate":[1,2],"data":7,"navigate":"https://push.dev/","actions":[{"action":"a","title":"A","icon":"/a.png"}]}`, nil, "", ""},
		{`{"notification":{"title":"Hi"},"data":{"x":1}}`, nil, "", ""},
		{`{"title":"Hi","id":7}`, []string{"note payload-field"}, `"id" is not a field`, "put it into data"},
		{`{"title":"Hi","url":"https://push.dev"}`, []string{"note payload-field"}, `"url"`, "the nearest known name is navigate"},
		{`{"title":"Hi","Message":"x"}`, []string{"note payload-field"}, `"Message"`, "the nearest known name is body"},
		{`{"title":"Hi","date":"x"}`, []string{"note payload-field"}, `"date"`, "put it into data"},
		{`{"title":"Hi","require_interaction":true}`, []string{"warning payload-field"}, `"require_interaction"`, "the nearest known name is requireInteraction"},
		{`{"title":"Hi","action":[]}`, []string{"warning payload-field"}, `"action"`, "the nearest known name is actions"},
		{`{"title":"Hi","vibarte":1}`, []string{"warning payload-field"}, `"vibarte"`, "the nearest known name is vibrate"},
		{`{"titel":"Hi","body":"B"}`, []string{"warning payload-field", "warning payload-title"}, `"titel"`, "the nearest known name is title"},
		{`{"body":"B","icon":"/i.png"}`, []string{"warning payload-title"}, "no title", "add title"},
		{`{"silent":true}`, []string{"warning payload-title"}, "no title", "add title"},
		{`{"silent":true,"sync":7}`, nil, "", ""},
		{`{"silent":"sync"}`, nil, "", ""},
		{`{"title":""}`, []string{"warning payload-title"}, "is empty", "add title"},
		{`{"title":7}`, []string{"warning payload-type"}, "title is a number, expected a string", ""},
		{`{"title":"Hi","body":{"x":1}}`, []string{"warning payload-type"}, "body is an object, expected a string", ""},
		{`{"title":"Hi","silent":"yes"}`, []string{"warning payload-type"}, "silent is a string, expected a boolean", ""},
		{`{"title":"Hi","timestamp":"now"}`, []string{"warning payload-type"}, "timestamp is a string, expected a number", ""},
		{`{"title":"Hi","dir":"up"}`, []string{"warning payload-type"}, `dir is "up", expected auto, ltr or rtl`, ""},
		{`{"title":"Hi","icon":"http://[::1"}`, []string{"warning payload-url"}, "icon is not a URL", ""},
		{`{"title":"Hi","navigate":"/mail"}`, []string{"warning payload-navigate"}, `navigate is "/mail", which is not an absolute URL`, "https://"},
		{`{"title":"Hi","navigate":"https:mail"}`, []string{"warning payload-navigate"}, "not an absolute URL", ""},
		{`{"title":"Hi","silent":true,"vibrate":[100]}`, []string{"warning payload-silent"}, "TypeError", "omit one"},
		{`{"title":"Hi","silent":false,"vibrate":100}`, nil, "", ""},
		{`{"title":"Hi","renotify":true}`, []string{"warning payload-renotify"}, "renotify needs a tag", "add a tag"},
		{`{"title":"Hi","renotify":true,"tag":""}`, []string{"warning payload-renotify"}, "renotify needs a tag", "add a tag"},
		{`{"title":"Hi","actions":{}}`, []string{"warning payload-type"}, "actions is an object, expected an array", ""},
		{`{"title":"Hi","actions":["x"]}`, []string{"warning payload-actions"}, "actions[0] is a string, expected an object", ""},
		{`{"title":"Hi","actions":[{"action":"a"}]}`, []string{"warning payload-actions"}, "actions[0]: title is missing", "each action needs"},
		{`{"title":"Hi","actions":[{"action":"a","title":"A","navigate":"x"}]}`, []string{"warning payload-navigate"}, "actions[0]", "https://"},
		{`{"title":"Hi","actions":[{"action":"a","title":"A","titles":"x"}]}`, []string{"warning payload-field"}, `"actions[0].titles"`, "title"},
		{`{"title":"Hi","actions":[{"action":"a","title":"A"},{"action":"b","title":"B"},{"action":"c","title":"C"}]}`, []string{"note payload-actions"}, "3 actions", ""},
		{`{"webPush":8030,"notification":{"title":"Hi"}}`, []string{"warning payload-field"}, `"webPush"`, "web_push"},

		// Declarative.
		{declarative + `}}`, nil, "", ""},
		{declarative + `,"dir":"auto","lang":"de","body":"B","tag":"t","icon":"https://push.dev/i.png","silent":true,"data":{"x":1},"mutable":true,"app_badge":3,"requireInteraction":true,"actions":[{"action":"a","title":"A","navigate":"https://push.dev/a"}]},"app_badge":"3","mutable":false}`, nil, "", ""},
		{strings.Replace(declarative, "8030", `"8030"`, 1) + `}}`, []string{"error declarative-magic [apple]"}, `web_push is "8030", expected the number 8030`, "without quotes"},
		{strings.Replace(declarative, "8030", "9001", 1) + `}}`, []string{"error declarative-magic [apple]"}, "web_push is 9001", ""},
		{strings.Replace(declarative, "8030", "8030.0", 1) + `}}`, nil, "", ""},
		{`{"web_push":8030}`, []string{"error declarative-notification [apple]"}, "notification is missing", `"notification":`},
		{`{"web_push":8030,"title":"Hi","navigate":"https://push.dev/"}`, []string{"error declarative-notification [apple]", "warning payload-field", "warning payload-field"}, "notification is missing", ""},
		{`{"web_push":8030,"notification":null}`, []string{"error declarative-notification [apple]"}, "notification is null", ""},
		{`{"web_push":8030,"notification":{"navigate":"https://push.dev/"}}`, []string{"error payload-title [apple]"}, "no title", ""},
		{`{"web_push":8030,"notification":{"title":"","navigate":"https://push.dev/"}}`, []string{"error payload-title [apple]"}, "title is empty", ""},
		{`{"web_push":8030,"notification":{"title":"Hi"}}`, []string{"error payload-navigate [apple]"}, "no navigate", "absolute"},
		{`{"web_push":8030,"notification":{"title":"Hi","navigate":"/mail"}}`, []string{"error payload-navigate [apple]"}, `"/mail", which is not an absolute URL`, ""},
		{`{"web_push":8030,"notification":{"title":"Hi","navigate":7}}`, []string{"error payload-type [apple]"}, "notification.navigate is a number", ""},
		{declarative + `,"silent":"true"}}`, []string{"error payload-type [apple]"}, "notification.silent is a string, expected a boolean", ""},
		{declarative + `,"silent":null}}`, []string{"error payload-type [apple]"}, "silent is null", ""},
		{declarative + `,"mutable":1}}`, []string{"error payload-type [apple]"}, "mutable is a number, expected a boolean", ""},
		{declarative + `,"app_badge":-1}}`, []string{"error payload-type [apple]"}, "app_badge is -1, expected a whole number", ""},
		{declarative + `,"app_badge":"x"}}`, []string{"error payload-type [apple]"}, `app_badge is "x"`, ""},
		{declarative + `},"app_badge":1.5}`, []string{"error payload-type [apple]"}, "app_badge is 1.5", ""},
		{declarative + `,"dir":"up"}}`, []string{"error payload-type [apple]"}, "dir", ""},
		{declarative + `,"body":7}}`, []string{"error payload-type [apple]"}, "notification.body is a number", ""},
		{declarative + `,"icon":"http://[::1"}}`, []string{"error payload-url [apple]"}, "notification.icon is not a URL", ""},
		{declarative + `,"sound":"x"}}`, []string{"warning payload-field"}, `"notification.sound"`, "put it into data"},
		{declarative + `,"tags":"x"}}`, []string{"warning payload-field"}, `"notification.tags"`, "the nearest known name is tag"},
		{declarative + `,"url":"x"}}`, []string{"warning payload-field"}, `"notification.url"`, "the nearest known name is navigate"},
		{declarative + `},"notifications":1}`, []string{"warning payload-field"}, `"notifications"`, "the nearest known name is notification"},
		{declarative + `},"body":"B"}`, []string{"warning payload-field"}, "body is outside of notification", "move it into notification"},
	} {
		c := &webpush.Client{Key: testKey(t), Subject: "mailto:ops@push.dev"}
		found := Check(c, nil, webpush.Message{Payload: []byte(tt.payload)}, webpush.Apple)
		if got := finds(found, SeverityNote); !slices.Equal(got, tt.want) && len(got)+len(tt.want) > 0 {
			t.Errorf("%s: %q, want %q: %+v", tt.payload, got, tt.want, found)
			continue
		}
		if tt.want != nil && (!strings.Contains(found[0].Message, tt.text) || !strings.Contains(found[0].Hint, tt.fix)) {
			t.Errorf("%s: %q, %q", tt.payload, found[0].Message, found[0].Hint)
		}
		// Elsewhere the service worker gets it, whatever it is.
		if got := finds(Check(c, nil, webpush.Message{Payload: []byte(tt.payload)}, webpush.FCM), SeverityError); len(got) > 0 {
			t.Errorf("%s: %q at FCM", tt.payload, got)
		}
	}
}

// What this package makes itself is right.
func TestCheckOwnPayloads(t *testing.T) {
	n := webpush.Notification{Title: "T", Body: "B", Icon: "/i", Image: "/p", Badge: "/b", Tag: "t", Navigate: "https://push.dev/", Actions: []webpush.Action{{Action: "a", Title: "A"}}, Silent: true, RequireInteraction: true, Data: json.RawMessage(`{"x":1}`)}
	for _, f := range []func() ([]byte, error){n.Payload, n.Declarative} {
		payload, err := f()
		if err != nil {
			t.Fatal(err)
		}
		if found := Check((&webpush.Client{Key: testKey(t), Subject: "mailto:ops@push.dev"}), nil, webpush.Message{Payload: payload}, webpush.Services()...); len(finds(found, SeverityNote)) > 0 {
			t.Errorf("%s: %+v", payload, found)
		}
	}
}

// No payload, however hostile, gets control over a terminal or breaks the check.
func FuzzCheckPayload(f *testing.F) {
	f.Add([]byte(`{"web_push":8030,"notification":{"title":"Hi","navigate":"/","dir":"\u001b[31m","actions":[{"x\u202e":1},null]},"app_badge":"\u001b","a\u0007":1}`))
	f.Add([]byte(`{"titel\n":"x","body":1,"tag":2}`))
	f.Add([]byte(`{"title":"\ud800","navigate":"\u009b31m","actions":[[],{}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) > 3993 {
			return
		}
		for _, found := range Check((&webpush.Client{}), nil, webpush.Message{Payload: payload}, webpush.Apple) {
			if text.OneLine(found.Message, 1<<12) != found.Message || text.OneLine(found.Hint, 1<<12) != found.Hint || found.Source == "" {
				t.Fatalf("%+v", found)
			}
		}
	})
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{"titel": "title", "Title": "title", "require-interaction": "requireInteraction", "renotfy": "renotify", "tags": "tag", "x": "", "sound": "", "": "",
		"badges": "badge", strings.Repeat("title", 20): "", "dat": "data"} {
		if got := Nearest(name, notificationFields, 2); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestDotAfterHost: the service is recognized, but aud has the dot.
func TestDotAfterHost(t *testing.T) {
	sub, err := webpush.NewSubscription("https://fcm.googleapis.com./fcm/send/x", "", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Endpoint(sub) {
		if strings.Contains(f.Message, "ends with a dot") && f.Severity == SeverityWarning {
			return
		}
	}
	t.Error("nothing is found")
}
