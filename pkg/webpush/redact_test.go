package webpush

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func TestRedactHeader(t *testing.T) {
	for _, row := range [][3]string{
		{"authorization", "vapid t=SECRET.SECRET.SECRET, k=BPublic", "vapid t=…, k=BPublic"},
		{"Authorization", "vapid k=BPublic, t=SECRET.SECRET.SECRET", "vapid t=…, k=BPublic"},
		{"Authorization", "vapid t=SECRET", "vapid …"},
		{"Authorization", "vapid k=BPublic; t=SECRET", "vapid t=…, k=BPublic"},
		{"Authorization", `vapid t="SECRET", k="BPublic"`, "vapid t=…, k=BPublic"},
		{"Authorization", "vapid SECRETk=SECRET", "vapid …"},
		{"Authorization", "WebPush SECRET.SECRET.SECRET", "WebPush …"},
		{"Authorization", "Basic U0VDUkVU", "Basic …"},
		{"Authorization", "key=SECRET", "key=…"},
		{"Location", "https://push.example/m/SECRET", "…"},
		{"Link", "</s/SECRET>; rel=x", "…"},
		{"Set-Cookie", "a=SECRET", "…"},
		{"Cookie", "a=SECRET", "…"},
		{"Proxy-Authorization", "Basic SECRET", "…"},
		{"Crypto-Key", "p256ecdsa=BPublic", "p256ecdsa=BPublic"},
		{"TTL", "60", "60"},
	} {
		if got := RedactHeader(row[0], row[1]); got != row[2] {
			t.Errorf("%s: %s is shown as %q, want %q", row[0], row[1], got, row[2])
		}
	}
	got := maps.Collect(ShownHeaders(http.Header{"Ttl": {"60"}, "Location": {"https://push.example/m/SECRET"}}, false))
	if want := map[string]string{"TTL": "60", "Location": "…"}; !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestTrace asserts the lines of a request, and that secrets are in them only when asked
// for.
func TestTrace(t *testing.T) {
	for secrets, want := range map[bool][]string{
		false: {"> POST https://push.example/…", "> Authorization: vapid t=…, k=K", "> TTL: 60", "> 2 bytes of body", "< HTTP/2.0 201 Created, after ", "< Location: …"},
		true:  {"> POST https://push.example/SECRET?a=b", "> Authorization: vapid t=SECRET, k=K", "> TTL: 60", "> 2 bytes of body", "< HTTP/2.0 201 Created, after ", "< Location: https://push.example/m"},
	} {
		var lines []string
		answer := doerFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{Status: "201 Created", Proto: "HTTP/2.0", Header: http.Header{"Location": {"https://push.example/m"}}}, nil
		})
		r, err := http.NewRequest("POST", "https://push.example/SECRET?a=b", strings.NewReader("hi"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Ttl": {"60"}, "Authorization": {"vapid t=SECRET, k=K"}}
		if _, err := Trace(answer, secrets, func(line string) { lines = append(lines, line) }).Do(r); err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(lines, want, strings.HasPrefix) {
			t.Errorf("%q, expected %q", lines, want)
		}
	}
	var last string
	fails := doerFunc(func(*http.Request) (*http.Response, error) { return nil, errors.New("no") })
	r, err := http.NewRequest("POST", "https://push.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Trace(fails, false, func(line string) { last = line }).Do(r); err == nil || !strings.HasPrefix(last, "< no response after ") {
		t.Errorf("%v, %q", err, last)
	}
}

// TestShowRequest shows a request with and without its secrets, as text and JSON.
func TestShowRequest(t *testing.T) {
	for _, secrets := range []bool{false, true} {
		r, err := http.NewRequest("POST", "https://push.example.net/secret?a=b", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Ttl": {"60"}, "Authorization": {"vapid t=token, k=public"}}
		shown, err := ShowRequest(r, secrets)
		if err != nil {
			t.Fatal(err)
		}
		shownURL, authorization := "https://push.example.net/…", "vapid t=…, k=public"
		if secrets {
			shownURL, authorization = "https://push.example.net/secret?a=b", "vapid t=token, k=public"
		}
		if want := "POST " + shownURL + "\nAuthorization: " + authorization + "\nTTL: 60\nContent-Length: 4\n"; shown.String() != want {
			t.Errorf("%s\nwant %s", shown, want)
		}
		b, err := json.Marshal(shown)
		if want := `{"method":"POST","url":"` + shownURL + `","headers":{"Authorization":"` + authorization + `","TTL":"60"},"body":"Ym9keQ"}`; err != nil || string(b) != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
	}
	r := &http.Request{Method: "POST", URL: &url.URL{Scheme: "https", Host: "push.example.net"}, Body: io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF))}
	if _, err := ShowRequest(r, false); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a body that cannot be read: %v", err)
	}
}
