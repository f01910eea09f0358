package inspect

import (
	"encoding/base64"
	"strings"
	"testing"
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
		h, body, err := ParseMessage([]byte(text))
		if err != nil || string(body) != string(want) || strings.Contains(text, "headers") != (h.Get("Content-Encoding") == "aes128gcm") {
			t.Errorf("%s: %v, %q, %v", name, h, body, err)
		}
	}
	if _, _, err := ParseMessage([]byte(`{"headers":{},"body":"*"}`)); err == nil {
		t.Error("a damaged body is read")
	}
}
