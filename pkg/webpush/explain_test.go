package webpush

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// autopush writes an error as autopush-rs does; errno 0 is null.
func autopush(status, errno int, message string) string {
	var n *int
	if errno != 0 {
		n = &errno
	}
	b, err := json.Marshal(map[string]any{"code": status, "errno": n, "error": http.StatusText(status), "message": message,
		"more_info": "http://autopush.readthedocs.io/en/latest/http.html#error-codes"})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func appleReason(reason string) string { return `{"reason":"` + reason + `"}` }

// What becomes of a subscription and its message.
const (
	never = "" // the same message will be refused again
	gone  = "gone"
	later = "temporary"
)

// Every answer that is known of push services, from their source or from what
// their users saw.
func TestExplain(t *testing.T) {
	wns := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	fcmSender := "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions.\n"
	for _, tt := range []struct {
		service Service
		status  int
		header  http.Header
		body    string
		code    Code
		becomes string
	}{
		// autopush: the numbers of its documentation and source.
		{Mozilla, 400, nil, autopush(400, 101, "Missing crypto keys"), CodeEncryption, never},
		{Mozilla, 404, nil, autopush(404, 102, "Invalid token"), CodeGone, gone},
		{Mozilla, 404, nil, autopush(404, 102, "Invalid API version"), CodeGone, gone},
		{Mozilla, 404, nil, "", CodeGone, gone}, // its middleware empties every 404
		{Mozilla, 410, nil, autopush(410, 103, "UAID not found"), CodeGone, gone},
		{Mozilla, 413, nil, autopush(413, 104, "This message is intended for a constrained device and is limited in size. Converted buffer is too long by 120 bytes"), CodeTooLarge, never},
		{Mozilla, 413, nil, "", CodeTooLarge, never},
		{Mozilla, 410, nil, autopush(410, 105, "User was deleted during routing"), CodeGone, gone},
		{Mozilla, 410, nil, autopush(410, 106, "No such subscription"), CodeGone, gone},
		{Mozilla, 400, nil, autopush(400, 106, "Unknown app id"), CodeRejected, never},
		{Mozilla, 400, nil, autopush(400, 108, "Invalid router type"), CodeRejected, never},
		{Mozilla, 401, nil, autopush(401, 109, "Missing VAPID token"), CodeVAPIDMissing, never},
		{Mozilla, 401, nil, autopush(401, 109, "Missing VAPID public key"), CodeVAPIDMissing, never},
		{Mozilla, 401, nil, autopush(401, 109, "Invalid VAPID public key: not a point"), CodeVAPIDFormat, never},
		{Mozilla, 401, nil, autopush(401, 109, "Invalid VAPID public key: Invalid symbol 34, offset 88."), CodeVAPIDFormat, never},
		{Mozilla, 401, nil, autopush(401, 109, "Missing required aud"), CodeVAPIDAudience, never},
		{Mozilla, 401, nil, autopush(401, 109, "Missing required exp"), CodeVAPIDInvalid, never},
		{Mozilla, 400, nil, autopush(400, 0, "A payload reached EOF before completing: corrupt gzip stream, invalid gzip header"), CodeEncryption, never},
		{Mozilla, 413, nil, autopush(413, 104, "This payload reached size limit."), CodeTooLarge, never},
		{KaiOS, 410, nil, autopush(410, 103, "UAID not found"), CodeGone, gone},
		{KaiOS, 401, nil, autopush(401, 109, "VAPID public key mismatch"), CodeKeyMismatch, never},
		{Mozilla, 401, nil, autopush(401, 109, "Invalid VAPID audience"), CodeVAPIDAudience, never},
		{Mozilla, 401, nil, autopush(401, 109, "VAPID public key mismatch"), CodeKeyMismatch, never},
		{Mozilla, 401, nil, autopush(401, 109, "The VAPID token expiration is too long"), CodeVAPIDLifetime, never},
		{Mozilla, 401, nil, autopush(401, 109, "ExpiredSignature"), CodeVAPIDExpired, never},
		{Mozilla, 401, nil, autopush(401, 109, "Unknown auth scheme"), CodeVAPIDFormat, never},
		{Mozilla, 401, nil, autopush(401, 109, "Invalid VAPID token: InvalidSignature"), CodeVAPIDInvalid, never},
		{Mozilla, 401, nil, autopush(401, 109, "InvalidSignature"), CodeVAPIDInvalid, never},
		{Mozilla, 401, nil, autopush(401, 109, "A value in the vapid claims is either missing or incorrectly specified (e.g. \"exp\":\"12345\")"), CodeVAPIDInvalid, never},
		{Mozilla, 401, nil, autopush(401, 109, "Request did not validate missing authorization header"), CodeVAPIDInvalid, never},
		{Mozilla, 401, nil, autopush(401, 0, "Unauthorized"), CodeVAPIDInvalid, never},
		{Mozilla, 400, nil, autopush(400, 110, "Missing Content-Encoding header"), CodeEncryption, never},
		{Mozilla, 400, nil, autopush(400, 110, "Unknown Content-Encoding header"), CodeEncryption, never},
		{Mozilla, 400, nil, autopush(400, 110, "Missing salt value in Encryption header"), CodeEncryption, never},
		{Mozilla, 400, nil, autopush(400, 110, "Do not include 'dh' header in aes128gcm Crypto-Key header"), CodeEncryption, never},
		{Mozilla, 400, nil, autopush(400, 110, "Missing p256ecdsa in Crypto-Key header"), CodeVAPIDFormat, never},
		{Mozilla, 400, nil, autopush(400, 111, "Missing TTL value"), CodeTTL, never},
		{Mozilla, 400, nil, autopush(400, 0, "Missing TTL value"), CodeTTL, never},
		{Mozilla, 400, nil, autopush(400, 111, "Missing crypto headers"), CodeEncryption, never},
		{Mozilla, 400, nil, autopush(400, 112, "Invalid TTL value"), CodeTTL, never},
		{Mozilla, 400, nil, autopush(400, 113, "Topic must be no greater than 32 characters"), CodeTopic, never},
		{Mozilla, 400, nil, autopush(400, 114, "TTL must be greater than 0"), CodeTTL, never},
		{Mozilla, 503, http.Header{"Retry-After": {"120"}}, autopush(503, 201, "Database error"), CodeUnavailable, later},
		{Mozilla, 500, nil, autopush(500, 201, "Database error"), CodeUnavailable, later},
		{Mozilla, 503, nil, autopush(503, 202, "Use exponential back-off"), CodeUnavailable, later},
		{Mozilla, 502, nil, autopush(502, 900, "Bridge misconfigured"), CodeUnavailable, later},
		{Mozilla, 502, nil, autopush(502, 901, "Bridge authentication error"), CodeUnavailable, later},
		{Mozilla, 502, nil, autopush(502, 902, "Bridge connection error"), CodeUnavailable, later},
		{Mozilla, 502, nil, autopush(502, 903, "Bridge request timed out"), CodeUnavailable, later},
		{Mozilla, 502, nil, autopush(502, 0, "Bridge error"), CodeUnavailable, later},
		{Mozilla, 500, nil, autopush(500, 999, "Unknown error"), CodeUnavailable, later},
		{Mozilla, 418, nil, autopush(418, 999, "ERROR:Success"), CodeRejected, never},

		// FCM: plain text, each with a line end, as in Chromium's source; or pages.
		{FCM, 403, nil, "sender is not authenticated.\n", CodeVAPIDMissing, never},
		{FCM, 403, nil, "make sure the public key is base64url-encoded [RFC7515]\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "public key must be 65 bytes long\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "public key must be in uncompressed form. (First byte needs to be 0x04)\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "VAPID public key must be on the P-256 curve\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "invalid JWT provided\n", CodeVAPIDInvalid, never},
		{FCM, 403, nil, "invalid aud claim\n", CodeVAPIDAudience, never},
		{FCM, 403, nil, "aud claim in the token MUST include the origin of the push resource URL\n", CodeVAPIDAudience, never},
		{FCM, 403, nil, "exp claim MUST NOT be more than 24 hours from the time of the request\n", CodeVAPIDLifetime, never},
		{FCM, 403, nil, "token has expired\n", CodeVAPIDExpired, never},
		{FCM, 403, nil, "exp claim is missing\n", CodeVAPIDInvalid, never},
		{FCM, 403, nil, "crypto-key header had no public application server key specified. crypto-key header should have the following format: p256ecdsa=base64(publicApplicationServerKey)\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "authorization header had no public application server key specified. authorization header should have the following format: t=jwtToken; k=base64(publicApplicationServerKey)\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "the public application server key must be base64 encoded in URL and filename safe format.\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "crypto-key header had empty public application server key.\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "authorization header had empty public application server key.\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "crypto-key header had invalid format. crypto-key header should have the following format: p256ecdsa=base64(publicApplicationServerKey)\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, "authorization header had invalid format. authorization header should have the following format: t=jwtToken; k=base64(publicApplicationServerKey)\n", CodeVAPIDFormat, never},
		{FCM, 403, nil, fcmSender, CodeKeyMismatch, never},
		{FCM, 403, nil, strings.ToUpper(fcmSender), CodeKeyMismatch, never},
		{FCM, 400, nil, "the key in the authorization header does not correspond to the sender ID used to subscribe this user.", CodeKeyMismatch, never},
		{FCM, 403, nil, `{"error":{"code":403,"message":"SenderId mismatch","status":"MismatchSenderId"}}`, CodeKeyMismatch, never},
		{FCM, 400, nil, "<HTML>\n<HEAD>\n<TITLE>UnauthorizedRegistration</TITLE>\n</HEAD>\n<BODY><H1>UnauthorizedRegistration</H1>\n<H2>Error 400</H2></BODY></HTML>", CodeVAPIDMissing, never},
		{FCM, 400, nil, "<HTML>\n<HEAD>\n<TITLE>InvalidTokenFormat</TITLE>\n</HEAD></HTML>", CodeRejected, never},
		{FCM, 400, nil, "", CodeRejected, never},
		{FCM, 404, nil, "A valid push subscription endpoint should be specified in the URL as such: https://fcm.googleapis.com/wp/dHIoDxE7Hdg:APA91b", CodeGone, gone},
		{FCM, 404, nil, "", CodeGone, gone},
		{FCM, 410, nil, "push subscription has unsubscribed or expired.\n", CodeGone, gone},
		{FCM, 410, nil, "<TITLE>NotRegistered</TITLE>", CodeGone, gone},
		{FCM, 400, nil, "<TITLE>NotRegistered</TITLE>", CodeGone, gone},
		{FCM, 413, nil, "", CodeTooLarge, never},
		{FCM, 429, nil, `{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED"}}`, CodeRateLimited, later},
		{FCM, 500, nil, "<TITLE>NotRegistered</TITLE>", CodeUnavailable, later}, // a fault must not delete
		{FCM, 503, nil, "", CodeUnavailable, later},

		// Apple: a reason in JSON.
		{Apple, 400, nil, appleReason("BadTtl"), CodeTTL, never},
		{Apple, 400, nil, appleReason("BadUrgency"), CodeUrgency, never},
		{Apple, 400, nil, appleReason("BadWebPushTopic"), CodeTopic, never},
		{Apple, 400, nil, appleReason("BadWebPushRequest"), CodeEncryption, never},
		{Apple, 400, nil, appleReason("BadAuthorizationHeader"), CodeVAPIDFormat, never},
		{Apple, 400, nil, appleReason("VapidPkHashMismatch"), CodeKeyMismatch, never},
		{Apple, 400, nil, appleReason("BadVapidPublicKey"), CodeVAPIDFormat, never},
		{Apple, 403, nil, appleReason("BadJwtToken"), CodeVAPIDInvalid, never},
		{Apple, 403, nil, appleReason("Forbidden"), CodeVAPIDInvalid, never},
		{Apple, 404, nil, appleReason("BadPath"), CodeGone, gone},
		{Apple, 405, nil, appleReason("MethodNotAllowed"), CodeRejected, never},
		{Apple, 410, nil, appleReason("Unregistered"), CodeGone, gone},
		{Apple, 410, nil, appleReason("ExpiredToken"), CodeGone, gone},
		{Apple, 413, nil, appleReason("PayloadTooLarge"), CodeTooLarge, never},
		{Apple, 429, nil, appleReason("TooManyRequests"), CodeRateLimited, later},
		{Apple, 500, nil, appleReason("InternalServerError"), CodeUnavailable, later},
		{Apple, 503, nil, appleReason("ServiceUnavailable"), CodeUnavailable, later},
		{Apple, 503, nil, appleReason("Shutdown"), CodeUnavailable, later},
		{Apple, 400, nil, appleReason("IdleTimeout"), CodeUnavailable, later},
		{Apple, 400, nil, appleReason("SomethingNew"), CodeRejected, never},
		{Apple, 410, nil, "", CodeGone, gone},
		{Apple, 500, nil, appleReason("Unregistered"), CodeUnavailable, later}, // a fault must not delete

		// WNS: the body is empty, the reason in headers.
		{WNS, 400, wns("X-WNS-Error-Description", "Ttl value conflicts with X-WNS-Cache-Policy.", "X-WNS-Status", "dropped"), "", CodeTTL, never},
		{WNS, 400, nil, "", CodeRejected, never},
		{WNS, 401, nil, "", CodeVAPIDInvalid, never},
		{WNS, 403, nil, "", CodeKeyMismatch, never},
		{WNS, 404, nil, "", CodeGone, gone},
		{WNS, 405, nil, "", CodeRejected, never},
		{WNS, 406, wns("X-WNS-Status", "appthrottled"), "", CodeRateLimited, later},
		{WNS, 406, wns("X-WNS-NotificationStatus", "channelthrottled", "X-WNS-Continue-After", "30"), "", CodeRateLimited, later},
		{WNS, 410, wns("X-WNS-NotificationStatus", "dropped"), "", CodeGone, gone},
		{WNS, 413, nil, "", CodeTooLarge, never},
		{WNS, 500, nil, "", CodeUnavailable, later},
		{WNS, 503, nil, "", CodeUnavailable, later},

		// ntfy as a UnifiedPush server.
		{UnifiedPush, 507, nil, `{"code":50701,"http":507,"error":"cannot publish to UnifiedPush topic without previously active subscriber"}`, CodeUnavailable, later},
		{UnifiedPush, 429, nil, `{"code":42901,"http":429,"error":"limit reached: too many requests","link":"https://ntfy.sh/docs/publish/#limitations"}`, CodeRateLimited, later},
		{UnifiedPush, 429, nil, `{"code":42908,"http":429,"error":"limit reached: daily message quota reached"}`, CodeRateLimited, later},
		{UnifiedPush, 413, nil, `{"code":41301,"http":413,"error":"attachment too large"}`, CodeTooLarge, never},

		// Services that nobody knows, and what stands before services.
		{Other, 301, nil, "", CodeRedirect, never},
		{Other, 308, nil, "", CodeRedirect, never},
		{Other, 400, nil, "nope", CodeRejected, never},
		{Other, 401, nil, "", CodeVAPIDMissing, never},
		{Other, 403, nil, "", CodeVAPIDInvalid, never},
		{Other, 404, nil, "", CodeGone, gone},
		{Other, 405, nil, "", CodeRejected, never},
		{Other, 406, nil, "", CodeRejected, never}, // throttling at WNS alone
		{Other, 407, nil, "", CodeRejected, never},
		{Other, 408, nil, "", CodeUnavailable, later},
		{Other, 410, nil, "", CodeGone, gone},
		{Other, 413, nil, "", CodeTooLarge, never},
		{Other, 415, nil, "", CodeEncryption, never},
		{Other, 418, nil, "", CodeRejected, never},
		{Other, 429, nil, "", CodeRateLimited, later},
		{Other, 500, nil, "", CodeUnavailable, later},
		{Other, 502, nil, "<html><title>Bad\ngateway</title>", CodeUnavailable, later},
		{Other, 504, nil, "", CodeUnavailable, later},
		{Other, 507, nil, "", CodeUnavailable, later},
		{Other, 599, nil, "", CodeUnavailable, later},
		{Other, 600, nil, "", CodeRejected, never},
		{Other, 101, nil, "", CodeRejected, never},
		{"", 410, nil, "", CodeGone, gone},
		// Servers that speak like one of the known.
		{Other, 401, nil, autopush(401, 109, "VAPID public key mismatch"), CodeKeyMismatch, never},
		{Other, 401, nil, autopush(401, 109, "Invalid VAPID audience: aud is x"), CodeVAPIDAudience, never},
		{Other, 400, nil, autopush(400, 113, "Topic"), CodeTopic, never},
		{Other, 400, nil, autopush(400, 0, "Missing TTL value"), CodeTTL, never},
		{Other, 400, nil, appleReason("VapidPkHashMismatch"), CodeKeyMismatch, never},
		{Other, 403, nil, appleReason("BadJwtToken"), CodeVAPIDInvalid, never},
		// A known service is not read by the dictionary of another.
		{FCM, 400, nil, appleReason("VapidPkHashMismatch"), CodeRejected, never},
		{WNS, 400, nil, autopush(400, 113, "Topic"), CodeRejected, never},
		// JSON that is not as expected.
		{Mozilla, 400, nil, `{"errno":"113","code":"400","message":7}`, CodeRejected, never},
		{Mozilla, 400, nil, `{"errno":1.5}`, CodeRejected, never},
		{Mozilla, 410, nil, `[{"errno":106}]`, CodeGone, gone},
		{Mozilla, 400, nil, `{"errno":113`, CodeRejected, never},
		{Mozilla, 400, nil, `{"error":null}`, CodeRejected, never},
	} {
		t.Run(fmt.Sprintf("%s %d %.40s", tt.service, tt.status, tt.body), func(t *testing.T) {
			e := Explain(tt.service, tt.status, tt.header, []byte(tt.body))
			e.Origin = "https://push.example.net"
			if e.Code != tt.code || e.Gone() != (tt.becomes == gone) || e.Temporary() != (tt.becomes == later) {
				t.Errorf("%s, gone %t, temporary %t; want %s, %q: %v", e.Code, e.Gone(), e.Temporary(), tt.code, tt.becomes, e)
			}
			if e.Problem == "" || e.Hint() == "" || e.Service != tt.service || e.Status != tt.status || string(e.Body) != tt.body {
				t.Errorf("%+v, hint %q", e, e.Hint())
			}
			if strings.Contains(e.Error(), "  ") || strings.Contains(e.Error(), " :") || !printable(e.Error()) {
				t.Errorf("%q", e.Error())
			}
		})
	}
}

// TestAppleStatus asserts that each of Apple's reasons in the dictionary has a status, and
// the other way round, and that the two fit together.
func TestAppleStatus(t *testing.T) {
	reasons := 0
	for _, r := range dictionary {
		if r.service != Apple || r.text == "" {
			continue
		}
		reasons++
		status := AppleStatus(r.text)
		if status == 0 || r.status > 9 && status != r.status || r.status > 0 && r.status < 10 && status/100 != r.status {
			t.Errorf("%s has the status %d; its rule is for %d", r.text, status, r.status)
		}
	}
	if reasons != len(appleStatus) {
		t.Errorf("%d reasons in the dictionary, and %d with a status", reasons, len(appleStatus))
	}
}

// Each rule must be reached by some answer, or a rule before it hides it.
func TestDictionary(t *testing.T) {
	for i, r := range dictionary {
		if r.code == "" || r.meaning == "" || r.advice == "" || r.status > 9 && r.status < 300 {
			t.Errorf("rule %d is not whole: %+v", i, r)
		}
		statuses := []int{r.status}
		switch {
		case r.status == 0:
			statuses = []int{403}
		case r.status < 10 && r.text == "" && r.errno == 0: // what is left of the class
			statuses = []int{r.status*100 + 99}
		case r.status < 10:
			statuses = []int{r.status * 100, r.status*100 + 4, r.status*100 + 10, r.status*100 + 13, r.status*100 + 29}
		}
		service := r.service
		if service == "" {
			service = Other
		}
		for j, before := range dictionary[:i] {
			for _, status := range statuses {
				if before.matches(service, status, r.errno, strings.ToLower(r.text)) {
					t.Errorf("rule %d %+v is hidden for %d by rule %d %+v", i, r, status, j, before)
				}
			}
		}
	}
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) && r != ' ' })
}

func TestReason(t *testing.T) {
	for _, tt := range []struct {
		header http.Header
		body   string
		want   string
		errno  int
	}{
		{nil, "", "", 0},
		{nil, "  plain\r\ntext\t\n", "plain text", 0},
		{nil, autopush(413, 104, "too long by 12 bytes"), "errno 104: too long by 12 bytes", 104},
		{nil, autopush(404, 102, ""), "errno 102: Not Found", 102},
		{nil, `{"errno":102}`, "errno 102", 102},
		{nil, appleReason("BadJwtToken"), "BadJwtToken", 0},
		{nil, `{"code":42901,"http":429,"error":"limit reached"}`, "errno 42901: limit reached", 42901},
		{nil, `{"error":{"code":429,"message":"Quota exceeded.","status":"RESOURCE_EXHAUSTED"}}`, "RESOURCE_EXHAUSTED; Quota exceeded.", 0},
		{nil, `{"x":1}`, "", 0},
		{nil, `{broken`, "{broken", 0},
		{nil, "<html><head><TITLE>\n A &amp; B &#27;[31m</TITLE></head><body>more</body>", "A & B [31m", 0},
		{nil, "<p>no <b>title</b></p>", "no title", 0},
		{http.Header{"X-Wns-Error-Description": {"Ttl value"}, "X-Wns-Status": {"dropped"}}, "", "Ttl value; dropped", 0},
		{nil, "\x1b[2J\x1b]0;pwned\x07a\u202eb\u009bc\u2028d\x00e\x7ff", "[2J ]0;pwned a b c d e f", 0},
		{nil, `{"message":"\u001b[31mred\u202e\n"}`, "[31mred", 0},
		{nil, "bad \xff\xfe utf8", "bad ? utf8", 0},
		{nil, strings.Repeat("é", 400), strings.Repeat("é", 150) + "…", 0},
	} {
		e := Explain(Other, 400, tt.header, []byte(tt.body))
		if e.Reason != tt.want || e.Errno != tt.errno {
			t.Errorf("%q: %q, %d; want %q, %d", tt.body, e.Reason, e.Errno, tt.want, tt.errno)
		}
	}
	if e := Explain(Other, 400, nil, make([]byte, 1<<20)); len(e.Body) != maxBody {
		t.Errorf("%d bytes of body are kept", len(e.Body))
	}
}

// TestTemporaryStatuses: the statuses that are temporary by themselves are the named ones.
func TestTemporaryStatuses(t *testing.T) {
	for status := 300; status < 600; status++ {
		named := status >= 500 && strings.Contains(TemporaryStatuses, "5xx") || strings.Contains(TemporaryStatuses, strconv.Itoa(status))
		if got := Explain(Other, status, nil, nil).Temporary(); got != named {
			t.Errorf("%d is temporary: %v; the text says %q", status, got, TemporaryStatuses)
		}
	}
}

// The Date of the answer tells whether the clock here is wrong, where that may
// be the reason.
func TestSkew(t *testing.T) {
	sub := testSubscription(t, "https://fcm.googleapis.com/wp/"+testToken, nil)
	for _, tt := range []struct {
		name   string
		status int
		body   string
		ahead  time.Duration // of the clock here
		skew   time.Duration
		text   string // in the error, or "" for no mention of the clock
		hint   bool   // about the clock
	}{
		{"expired, far behind", 403, "token has expired", -13 * time.Hour, -13 * time.Hour, "the clock of this machine is 13h0m0s behind the service's", true},
		{"lifetime, ahead", 403, "exp claim MUST NOT be more than 24 hours", 13 * time.Hour, 13 * time.Hour, "the clock of this machine is 13h0m0s ahead of the service's", true},
		{"expired, two minutes", 401, "token has expired", 2 * time.Minute, 2 * time.Minute, "2m0s ahead", true},
		{"unknown reason, an hour", 403, "invalid JWT provided", time.Hour, time.Hour, "1h0m0s ahead", true},
		{"unknown reason, two minutes", 403, "invalid JWT provided", 2 * time.Minute, 2 * time.Minute, "2m0s ahead", false},
		{"another reason", 403, "invalid aud claim", time.Hour, time.Hour, "", false},
		{"another key", 403, "do not correspond to the credentials", time.Hour, time.Hour, "", false},
		{"less than a minute", 403, "token has expired", 30 * time.Second, 0, "", false},
		{"another status", 400, "token has expired", time.Hour, 0, "", false},
		{"gone", 410, "", time.Hour, 0, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) {
				return respond(tt.status, tt.body, "Date", time.Now().Add(-tt.ahead).UTC().Format(http.TimeFormat)), nil
			})}
			e := sendError(t, c, sub, Message{})
			if (e.Skew - tt.skew).Abs() > 2*time.Second {
				t.Errorf("skew %v, want %v", e.Skew, tt.skew)
			}
			// The clocks' seconds need not start together.
			text := strings.NewReplacer("12h59m59s", "13h0m0s", "13h0m1s", "13h0m0s", "2m1s", "2m0s", "1h0m1s", "1h0m0s").Replace(e.Error())
			if tt.text == "" && strings.Contains(text, "clock") || !strings.Contains(text, tt.text) {
				t.Errorf("%v; want %q", e, tt.text)
			}
			if strings.HasPrefix(e.Hint(), "set the clock") != tt.hint {
				t.Errorf("hint %q", e.Hint())
			}
		})
	}
	for _, date := range []string{"", "yesterday", "0"} {
		c := &Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) { return respond(401, "", "Date", date), nil })}
		if e := sendError(t, c, sub, Message{}); e.Skew != 0 {
			t.Errorf("Date %q: skew %v", date, e.Skew)
		}
	}
}

func TestErrorText(t *testing.T) {
	for want, e := range map[string]*Error{
		"FCM returned 410 Gone: the subscription was removed":                                     Explain(FCM, 410, nil, nil),
		"the push service at https://h returned 599: the service has an internal error":           {Service: Other, Origin: "https://h", Status: 599, Problem: "the service has an internal error"},
		"Apple returned 429 Too Many Requests (x): m; it asks to wait 1m30s, after 4 attempts":    {Service: Apple, Status: 429, Reason: "x", Problem: "m", RetryAfter: 90 * time.Second, Attempts: 4},
		"no response from https://h: connection refused, after 2 attempts":                        {Service: Mozilla, Origin: "https://h", Code: CodeNetwork, Problem: "connection refused", Attempts: 2},
		"Mozilla at https://h was not asked: forbidden":                                           {Service: Mozilla, Origin: "https://h", Code: CodeRefused, Problem: "forbidden", Attempts: 1},
		"Apple returned 403 Forbidden: m; the clock of this machine is 2m0s behind the service's": {Service: Apple, Status: 403, Problem: "m", Code: CodeVAPIDInvalid, Skew: -2 * time.Minute},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// No answer, however hostile, gets control over a terminal or makes the error
// long, and all are explained.
func FuzzExplain(f *testing.F) {
	f.Add("mozilla", 401, "", autopush(401, 109, "VAPID public key mismatch"))
	f.Add("fcm", 400, "", "<TITLE>UnauthorizedRegistration</TITLE>")
	f.Add("apple", 403, "", appleReason("BadJwtToken\\u001b[31m\\u202e"))
	f.Add("wns", 406, "\x1b]0;x\x07", "")
	f.Add("other", 0, "\xff", "{\"errno\":\"x\",\"error\":{\"status\":\"\\ud800\"}}")
	f.Add("", 999, "", "\x9b31m\u009b31m<title>&#155;31m&#x202e;</title>")
	f.Fuzz(func(t *testing.T, service string, status int, description, body string) {
		e := Explain(Service(service), status, http.Header{"X-Wns-Error-Description": {description}, "Retry-After": {description}, "Date": {description}}, []byte(body))
		e.Origin = "https://push.example.net"
		if !printable(e.Error()) || !printable(e.Reason) || len(e.Error()) > 700 {
			t.Fatalf("%q", e.Error())
		}
		if e.Code == "" || e.Problem == "" || e.Hint() == "" || e.Gone() && e.Temporary() || len(e.Body) > maxBody {
			t.Fatalf("%+v", e)
		}
		if e.Gone() && status/100 != 4 {
			t.Fatalf("%d deletes the subscription", status)
		}
		if d := retryAfter(e.Header, time.Now()); d < 0 || d > maxRetryAfter {
			t.Fatalf("Retry-After %q is %v", description, d)
		}
	})
}

func TestExplainAll(t *testing.T) {
	for _, tt := range []struct {
		status int
		header http.Header
		body   string
		want   string
	}{
		{403, nil, appleReason("BadJwtToken"), "apple vapid_invalid"},
		{401, nil, autopush(401, 109, "VAPID public key mismatch"), "mozilla vapid_key_mismatch"},
		{403, nil, "invalid JWT provided\n", "fcm vapid_invalid"},
		{400, http.Header{"X-Wns-Error-Description": {"Ttl value conflicts with X-WNS-Cache-Policy."}}, "", "wns ttl"},
		{410, nil, "", "wns gone, other gone"},
		{404, nil, "", "wns gone, other gone"},
		{406, nil, "", "wns rate_limited, other rejected"},
		{507, nil, "", "unifiedpush unavailable, other unavailable"},
		{401, nil, "", "mozilla vapid_invalid, wns vapid_invalid, other vapid_missing"},
		{503, nil, "", "other unavailable"},
		{301, nil, "", "other redirect"},
		{700, nil, "", "other rejected"},
	} {
		var got []string
		for _, e := range ExplainAll(tt.status, tt.header, []byte(tt.body)) {
			got = append(got, string(e.Service)+" "+string(e.Code))
		}
		if text := strings.Join(got, ", "); text != tt.want {
			t.Errorf("%d %s: %s, want %s", tt.status, tt.body, text, tt.want)
		}
	}
	if e := Explain(Mozilla, 503, http.Header{"Retry-After": {"120"}}, nil); e.RetryAfter != 2*time.Minute {
		t.Errorf("Retry-After is %v", e.RetryAfter)
	}
}

func TestExplainAccepted(t *testing.T) {
	for _, tt := range []struct {
		service Service
		status  int
		header  http.Header
		meaning string
		note    string
		check   string
	}{
		{Mozilla, 201, http.Header{"Ttl": {"60"}}, "as RFC 8030 has it", "", "showNotification"},
		{FCM, 202, nil, "report its delivery", "later processing", "aes128gcm"},
		{WNS, 200, http.Header{"X-Wns-Status": {"dropped"}}, "accepted the message", "dropped: it will not arrive", "X-WNS-Status"},
		{UnifiedPush, 200, nil, "accepted the message", "", "distributor"},
		{Apple, 204, nil, "without giving it an address", "", "Home Screen"},
		{Other, 299, nil, "accepted the message", "", "userVisibleOnly"},
	} {
		r := ExplainAccepted(tt.service, tt.status, tt.header)
		if !strings.Contains(r.Meaning(), tt.meaning) || !strings.Contains(r.Note, tt.note) || tt.note == "" && r.Note != "" || !strings.Contains(strings.Join(r.Checklist(), "\n"), tt.check) {
			t.Errorf("%s %d: %q, %q, %q", tt.service, tt.status, r.Meaning(), r.Note, r.Checklist())
		}
	}
}

// TestExplainMeanings: responses with the same code are not the same thing.
func TestExplainMeanings(t *testing.T) {
	for _, c := range []struct {
		service Service
		status  int
		body    string
		meaning string
		hint    string
	}{
		{Mozilla, 413, autopush(413, 104, "This payload reached size limit."), "for any user agent", "shorter payload"},
		{Mozilla, 413, autopush(413, 104, "This message is intended for a constrained device and is limited in size."), "Firefox for Android", "without padding"},
		{Mozilla, 401, autopush(401, 109, "Missing VAPID token"), "no parameter t", "vapid t=TOKEN, k=KEY"},
		{Mozilla, 401, autopush(401, 109, "Missing VAPID public key"), "not signed, or", "vapid t=TOKEN, k=KEY"},
		{Mozilla, 401, autopush(401, 109, "Missing required exp"), "exp is missing", "sign a new token"},
		{Mozilla, 401, autopush(401, 109, "Invalid VAPID public key: Invalid last symbol 53, offset 86."), "not base64url", "without quotation marks"},
		{Mozilla, 401, autopush(401, 109, "Invalid VAPID public key: not a point"), "point on P-256", "base64url"},
		{Mozilla, 401, "", "signature or claims", "check aud first"},
		{Mozilla, 400, autopush(400, 0, "invalid gzip header"), "gzip", "aes128gcm"},
		{WNS, 406, "", "an hour to a day", "wait for an hour to a day"},
	} {
		e := Explain(c.service, c.status, nil, []byte(c.body))
		if !strings.Contains(e.Problem, c.meaning) || !strings.Contains(e.Hint(), c.hint) {
			t.Errorf("%s %d %s: %q, %q", c.service, c.status, c.body, e.Problem, e.Hint())
		}
	}
}

// TestExplainReason reads words without a status.
func TestExplainReason(t *testing.T) {
	for _, c := range []struct {
		words   string
		service Service
		status  int
		code    Code
	}{
		{"BadJwtToken", Apple, 0, CodeVAPIDInvalid},
		{" vapidpkhashmismatch\n", Apple, 0, CodeKeyMismatch},
		{`{"reason":"BadWebPushTopic"}`, Apple, 0, CodeTopic},
		{"Failed to send: NotRegistered", FCM, 0, CodeGone},
		{"InvalidTokenFormat", FCM, 400, CodeRejected},
		{`{"code":410,"errno":105,"error":"Gone","message":"ExpiredSignature"}`, Mozilla, 401, CodeVAPIDExpired},
		{"correspond to the sender", FCM, 0, CodeKeyMismatch}, // a part
		{"VAPID public key mismatch", Mozilla, 401, CodeKeyMismatch},
		{"errno 109", Mozilla, 401, CodeVAPIDInvalid},
		{"errno: 110", Mozilla, 400, CodeEncryption},
		{"errno 109: Missing VAPID token", Mozilla, 401, CodeVAPIDMissing},
		{`{"errno":109}`, Mozilla, 401, CodeVAPIDInvalid},
		{"Invalid symbol 34, offset 88.", Mozilla, 401, CodeVAPIDFormat},
		{"Invalid last symbol 65, offset 86.", Mozilla, 401, CodeVAPIDFormat},
	} {
		list := ExplainReason(c.words)
		if len(list) != 1 || list[0].Service != c.service || list[0].Status != c.status || list[0].Code != c.code || list[0].Hint() == "" {
			t.Errorf("%q: %+v", c.words, list)
		}
	}
	for _, words := range []string{"", "invalid", "gone", "nothing that anybody says", "{}", "null", "\x00", "subscription", "[Errno 111] Connection refused", "errno 404", "errno -111"} {
		if list := ExplainReason(words); list != nil {
			t.Errorf("%q: %v", words, list[0])
		}
	}
}

// TestExplainErrno: an error number that comes with two statuses has both meanings.
func TestExplainErrno(t *testing.T) {
	var codes []Code
	for _, e := range ExplainReason("errno 106") {
		codes = append(codes, e.Code)
	}
	if !slices.Equal(codes, []Code{CodeRejected, CodeGone}) {
		t.Errorf("%q", codes)
	}
}

// TestServiceAt names services by host, or by the form of the endpoint.
func TestServiceAt(t *testing.T) {
	for endpoint, want := range map[string]Service{
		"https://cloud.example.org/index.php/apps/uppush/push/abc":     UnifiedPush,
		"https://cloud.example.org/apps/uppush/push/abc":               UnifiedPush,
		"https://fcm.distributor.unifiedpush.org/wpfcm?t=abc":          UnifiedPush,
		"https://push.kaiostech.com:8443/wpush/v2/gAAAAABf4QzE":        KaiOS,
		"https://push.kaiostech.com.example.org/wpush/v2/gAAAAABf4Q":   Other,
		"https://updates.push.services.mozilla.com/apps/uppush/push/a": Mozilla,
	} {
		s, err := NewSubscription(endpoint, "", "")
		if err != nil || s.Service() != want {
			t.Errorf("%s: %v, %v, want %s", endpoint, s, err, want)
		}
	}
}
