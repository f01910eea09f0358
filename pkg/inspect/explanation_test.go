package inspect

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestExplain returns one explanation, or one for each push service that may have sent
// the response.
func TestExplain(t *testing.T) {
	for name, c := range map[string]struct {
		r       Response
		service webpush.Service
		want    []webpush.Service
		code    webpush.Code
	}{
		"given":                  {r: Response{Status: 406}, service: webpush.WNS, want: []webpush.Service{webpush.WNS}, code: webpush.CodeRateLimited},
		"given as other":         {r: Response{Status: 406}, service: webpush.Other, want: []webpush.Service{webpush.Other}, code: webpush.CodeRejected},
		"unknown":                {r: Response{Status: 406}, want: []webpush.Service{webpush.WNS, webpush.Other}, code: webpush.CodeRateLimited},
		"by a header":            {r: Response{Status: 410, Header: http.Header{"Apns-Id": {"x"}}}, want: []webpush.Service{webpush.Apple}, code: webpush.CodeGone},
		"accepted":               {r: Response{Status: 201}, want: []webpush.Service{webpush.Other}},
		"another server":         {r: Response{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: []byte("<html><title>Login</title>")}, want: []webpush.Service{webpush.Other}, code: webpush.CodeOtherServer},
		"words":                  {r: Response{Body: []byte("Unregistered")}, want: []webpush.Service{webpush.Apple}, code: webpush.CodeGone},
		"words of another":       {r: Response{Body: []byte("Unregistered")}, service: webpush.FCM},
		"words that nobody says": {r: Response{Body: []byte("hello")}},
	} {
		list := c.r.Explain(c.service)
		var services []webpush.Service
		for _, e := range list {
			services = append(services, e.Service)
		}
		if !slices.Equal(services, c.want) || list != nil && (list[0].Code != c.code || list[0].Meaning == "" || list[0].Hint == "" || list[0].Accepted() != (c.code == "")) {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// TestPasted reads responses as people copy them, and never shows the path of an endpoint.
func TestPasted(t *testing.T) {
	const body = `{"reason":"BadJwtToken"}`
	for name, text := range map[string]string{
		"with the command":        "user@host:~$ curl -si https://web.push.apple.com/QSECRET -d @x\nHTTP/2 403 \r\ncontent-type: application/json\r\n\r\n" + body,
		"and with the prompt":     "$ curl -si https://web.push.apple.com/QSECRET\nHTTP/1.1 403 Forbidden\n\n" + body + "\nuser@host:~$ ",
		"status after the body":   body + "403",
		"status in the next line": body + "\nHTTP 403\n",
		"status before the body":  "403 " + body,
	} {
		r, ok := ParseResponse(text)
		if !ok || r.Status != 403 || string(r.Body) != body {
			t.Errorf("%s: %d %q", name, r.Status, r.Body)
		}
	}
	for _, text := range []string{
		`{"endpoint":"https://push.example.net/x","expirationTime":null}403`, // a subscription
		`{"reason":"BadJwtToken"}4030`,
		`{"reason":"BadJwtToken"`,
	} {
		if r, ok := ParseResponse(text); ok {
			t.Errorf("%q is a response with status %d", text, r.Status)
		}
	}
	list := Response{Body: []byte("POST https://web.push.apple.com/QSECRET failed: BadJwtToken")}.Explain("")
	if len(list) != 1 || list[0].Reason != "POST https://web.push.apple.com/… failed: BadJwtToken" {
		t.Errorf("words with an endpoint: %+v", list)
	}
}

// TestTokenProblems checks the token of a request that was copied with its response.
func TestTokenProblems(t *testing.T) {
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	sign := func(aud, sub string) string {
		token, err := key.Sign(vapid.Claims{Audience: aud, Subject: sub, Expires: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		return token.Authorization()
	}
	const apple, good = "https://web.push.apple.com", "mailto:ops@example.com"
	expired := "vapid t=" + expiredToken + ", k=" + expiredKey
	for name, c := range map[string]struct{ request, header, want string }{
		"good":                     {"> Host: web.push.apple.com\n> authorization: " + sign(apple, good), "", ""},
		"sub":                      {"> Host: web.push.apple.com\n> authorization: " + sign(apple, "mailto:me@localhost"), "", "localhost"},
		"aud":                      {"> Host: web.push.apple.com\n> authorization: " + sign("https://fcm.googleapis.com", good), "", "aud is"},
		"aud, of a command":        {"$ curl -i https://web.push.apple.com/Q -H 'Authorization: " + sign("https://fcm.googleapis.com", good) + "'", "", "aud is"},
		"plain http, this machine": {"> Host: 127.0.0.1:8090\n> authorization: " + sign("http://127.0.0.1:8090", good), "", ""},
		"plain http":               {"> Host: push.example.net\n> authorization: " + sign("http://push.example.net", good), "", "aud is"},
		"the service is unknown":   {"> authorization: " + sign("https://fcm.googleapis.com", good), "", ""},
		"two tokens":               {"> a: " + sign(apple, "mailto:me@localhost") + "\n> b: " + sign(apple, good), "", ""},
		"expired since":            {"> authorization: " + expired, "< Date: Thu, 01 Jan 2015 00:00:00 GMT\n", ""},
		"expired then":             {"> authorization: " + expired, "< Date: Wed, 01 Jan 2025 00:00:00 GMT\n", "exp"},
		"exp in a string, expired": {"> authorization: vapid t=" + strings.Join([]string{strings.Split(expiredToken, ".")[0], base64.RawURLEncoding.EncodeToString([]byte(`{"aud":"https://push.example.net","exp":"1453523768","sub":"mailto:push@example.com"}`)), strings.Split(expiredToken, ".")[2]}, ".") + ", k=" + expiredKey, "", "exp is the string"},
		"expired, perhaps before":  {"> authorization: " + expired, "", "was valid until"},
	} {
		r, ok := ParseResponse(c.request + "\n>\n< HTTP/2 403\n" + c.header + "<\n{\"reason\":\"BadJwtToken\"}")
		if strings.HasPrefix(c.request, "$") {
			r, ok = ParseResponse(c.request + "\nHTTP/2 403\n\n{\"reason\":\"BadJwtToken\"}")
		}
		if !ok || r.Status != 403 {
			t.Errorf("%s: not a response: %+v", name, r)
		}
		var all []string
		for _, p := range r.TokenProblems() {
			if p.Severity == vapid.SeverityError {
				t.Errorf("%s: %q is an error", name, p.Message)
			}
			all = append(all, p.Message)
		}
		if got := strings.Join(all, "\n"); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A token for https://push.example.net that expired on January 23, 2016, from RFC 8292.
const (
	expiredToken = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA"
	expiredKey   = "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"
)
