package inspect

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestParseHeaders reads the two headers that matter for a token from each form in
// which they are pasted.
func TestParseHeaders(t *testing.T) {
	for name, text := range map[string]string{
		"the value":        "vapid t=a.b.c, k=B",
		"on two lines":     "vapid t=a.b.c,\n  k=B",
		"lines":            "POST /x HTTP/1.1\r\nAuthorization: vapid t=a.b.c, k=B\r\ncrypto-key: dh=x\r\n",
		"options of curl":  "curl -X POST \\\n  -H 'Authorization: vapid t=a.b.c, k=B' \\\n  --header \"Crypto-Key: dh=x\" \\\n",
		"curl -v":          "> POST /x HTTP/2\n> Authorization: vapid t=a.b.c, k=B\n> Crypto-Key: dh=x\n>",
		"JSON":             `{"authorization":"vapid t=a.b.c, k=B","Crypto-Key":["dh=x"]}`,
		"JSON with a body": `{"headers":{"Authorization":"vapid t=a.b.c, k=B"},"body":"AA"}`,
	} {
		h, err := ParseHeaders(text)
		if err != nil || h.Get("Authorization") != "vapid t=a.b.c, k=B" || h.Get("Crypto-Key") != "" && h.Get("Crypto-Key") != "dh=x" {
			t.Errorf("%s: %v, %v", name, h, err)
		}
		if strings.Contains(text, "dh=x") && h.Get("Crypto-Key") == "" {
			t.Errorf("%s: no Crypto-Key", name)
		}
	}
	if _, err := ParseHeaders(`{"Authorization":`); err == nil {
		t.Error("damaged JSON is read")
	}
}

// TestParseMessage reads a body in each form in which it is captured.
func TestParseMessage(t *testing.T) {
	want := []byte("\xfb\xff" + strings.Repeat("\x00\x01", 60))
	std, url := base64.StdEncoding.EncodeToString(want), base64.RawURLEncoding.EncodeToString(want)
	for name, text := range map[string]string{
		"bytes": string(want), "standard": std, "base64url": url, "lines": std[:40] + "\r\n" + std[40:] + "\n",
		"JSON": `{"headers":{"content-encoding":"aes128gcm"},"body":"` + url + `"}`, "Lambda": `{"httpMethod":"POST","headers":{"content-encoding":"aes128gcm"},"body":"` + std + `","isBase64Encoded":true}`,
	} {
		m, err := ParseMessage([]byte(text), nil)
		if err != nil || string(m.Body) != string(want) || m.Encoding != ece.AES128GCM {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	for _, damaged := range []string{`{"headers":{},"body":"*"}`, ""} {
		if _, err := ParseMessage([]byte(damaged), nil); err == nil {
			t.Errorf("%q is read", damaged)
		}
	}
	salt, dh := "salt=AAAAAAAAAAAAAAAAAAAAAA", "dh="+somePoint
	message := `{"headers":{"Encryption":"` + salt + `","Crypto-Key":"` + dh + `"},"body":"` + url + `"}`
	for name, c := range map[string]struct {
		text     string
		header   http.Header
		encoding ece.Encoding
		code     ece.Code
	}{
		"its headers":        {text: message, encoding: ece.AESGCM},
		"given headers":      {text: url, header: http.Header{"Encryption": {salt}, "Crypto-Key": {dh}}, encoding: ece.AESGCM},
		"given first":        {text: message, header: http.Header{"Content-Encoding": {"aes128gcm"}}, encoding: ece.AES128GCM},
		"without Crypto-Key": {text: url, header: http.Header{"Encryption": {salt}}, code: ece.CodeField},
		"without both":       {text: url, header: http.Header{"Content-Encoding": {"aesgcm"}}, code: ece.CodeField},
		"another encoding":   {text: url, header: http.Header{"Content-Encoding": {"gzip"}}, code: ece.CodeEncoding},
	} {
		m, err := ParseMessage([]byte(c.text), c.header)
		e, _ := errors.AsType[*ece.Error](err)
		if e == nil && (err != nil || c.code != "" || m.Encoding != c.encoding) || e != nil && e.Code != c.code {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

// TestParseReceiver reads the keys of a receiver, and says what other data is.
func TestParseReceiver(t *testing.T) {
	id, err := ece.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseReceiver(append([]byte("\xef\xbb\xbf"), whole...)); err != nil || got.String() != id.String() {
		t.Errorf("%v, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                                  "it is empty, expected the keys of a receiver",
		string(whole[:len(whole)-3]):        "it is truncated: its JSON does not end",
		`{"privateKey":"AA","auth":"AA"}`:   "private key is 1 byte, want 32",
		`{"endpoint":"https://push.dev/x"}`: "it is a subscription, which has no private key",
		somePoint:                           "it is a VAPID key, expected the keys of a receiver",
		"-----BEGIN PRIVATE KEY-----\nx":    "found the beginning of a PEM block without its end; expected the keys of a receiver",
		"hello":                             "expected the keys of a receiver, found 5 characters of text",
	} {
		_, err := ParseReceiver([]byte(text))
		if err == nil || err.Error() != want || webpush.HintOf(err) == "" && !strings.HasPrefix(want, "private key is") {
			t.Errorf("%q: %v, hint %q", text, err, webpush.HintOf(err))
		}
	}
}

// TestSameRules asserts that Inspect judges parts by the rules of the functions that read
// them.
func TestSameRules(t *testing.T) {
	id, err := ece.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	m, err := id.Recipient().Encrypt([]byte("hi"), ece.Options{})
	if err != nil {
		t.Fatal(err)
	}
	body := base64.StdEncoding.EncodeToString(m.Body)
	message := `{"headers":{"Content-Encoding":"aes128gcm"},"body":"` + body[:76] + `\r\n` + body[76:] + `"}`
	if _, err := ParseMessage([]byte(message), nil); err != nil {
		t.Error(err)
	}
	keyAlone := `{"headers":{"Encryption":"salt=AAAAAAAAAAAAAAAAAAAAAA","Crypto-Key":"p256ecdsa=` + somePoint + `"},"body":"` + body + `"}`
	if _, err := ParseMessage([]byte(keyAlone), nil); err == nil || err.Error() != fieldsMissing {
		t.Errorf("Crypto-Key without dh: %v", err)
	}
	for name, c := range map[string]struct {
		text    string
		broken  bool
		problem string // or ""
		field   string // or ""
	}{
		"body on lines":        {text: message, field: "records"},
		"Crypto-Key alone":     {text: keyAlone, broken: true, problem: fieldsMissing},
		"upper case":           {text: "HTTPS://Updates.Push.Services.Mozilla.com:443/wpush/v1/" + strings.Repeat("A", 140), field: "token version"},
		"long TTL":             {text: "TTL: 99999999999\nTopic: a", problem: `the TTL is "99999999999", expected 0 to 2147483648 seconds`},
		"TTL with a sign":      {text: "TTL: +60\nTopic: a", problem: `the TTL is "+60", expected 0 to 2147483648 seconds`},
		"long payload":         {text: `{"title":"` + strings.Repeat("x", 4000) + `"}`, problem: "payload of 4012 bytes is 19 bytes too long: at most 3993 fit in aes128gcm"},
		"mail address":         {text: `{"sub":"you@push.dev"}`},
		"mailto twice":         {text: `{"sub":"mailto:mailto:you@push.dev"}`, broken: true, problem: `sub is "mailto:mailto:you@push.dev", with mailto: twice`},
		"aud to be replaced":   {text: `{"sub":"mailto:you@push.dev","aud":"https://push.dev/"}`, problem: `aud is "https://push.dev/", which is not a bare origin`},
		"exp that has passed":  {text: `{"sub":"mailto:you@push.dev","exp":1}`, broken: true},
		"unreadable other key": {text: `{"endpoint":"https://push.dev/x","keys":{"p256dh":"` + somePoint + `","auth":"` + someAuth + `"},"vapidKey":7}`, field: "auth"},
	} {
		thing := Inspect([]byte(c.text), Options{})
		found := c.problem == ""
		for _, p := range thing.Problems {
			found = found || p.Message == c.problem
		}
		if thing.Broken() != c.broken || !found || c.field != "" && !thing.has(c.field) {
			t.Errorf("%s: %+v", name, thing)
		}
	}
}
