package vapid

import (
	"errors"
	"testing"
)

// TestRecognize asserts that what every format writes is recognized for what
// it is, with the same fingerprint.
func TestRecognize(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public := key.PublicKey()
	for _, f := range []Format{FormatPEM, FormatSEC1, FormatDER, FormatRaw, FormatBase64URL, FormatHex, FormatJWK, FormatJSON, FormatUint8Array} {
		if b, err := key.Marshal(f); err == nil {
			got, err := Recognize(b)
			if err != nil || got.Key == nil || got.PublicKey != public || got.Form == "" {
				t.Errorf("private %s: %+v, %v", f, got, err)
			}
		}
		if b, err := public.Marshal(f); err == nil {
			got, err := Recognize(b)
			if err != nil || got.Key != nil || got.PublicKey.Fingerprint() != public.Fingerprint() || got.Form == "" {
				t.Errorf("public %s: %+v, %v", f, got, err)
			}
		}
	}
}

// TestNoKey asserts that text which is no key is told from a damaged key.
func TestNoKey(t *testing.T) {
	for text, want := range map[string]bool{
		"": true, "hello": true, "AAAAAAAAAAAAAAAAAAAAAA": true, "{}": true, "[1, 2, 3]": true,
		`{"kty":"RSA"}`: false, "-----BEGIN PRIVATE KEY-----": false, `{"endpoint":"x"}`: false,
	} {
		_, err := Recognize([]byte(text))
		e, ok := errors.AsType[*Error](err)
		if !ok || e.NoKey() != want {
			t.Errorf("%q: %v, want NoKey %v", text, err, want)
		}
	}
}

// TestFingerprint pins the form, with the key of RFC 8292 section 2.4.
func TestFingerprint(t *testing.T) {
	key, err := ParsePublicKey([]byte("BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := key.Fingerprint(), "SHA256:VeKk3pT6dvOO_b9oq04hL8ZAmaeuxEl5QfrvLikWTL0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestParseJWT asserts that a bare token shows its claims and never passes as
// signed.
func TestParseJWT(t *testing.T) {
	token, err := ParseJWT("eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA")
	if err != nil {
		t.Fatal(err)
	}
	claims, err := token.Claims()
	if err != nil || claims.Audience != "https://push.example.net" {
		t.Errorf("got %+v and %v", claims, err)
	}
	if problems := token.Check(""); len(problems) == 0 || problems[0].Part != "signature" {
		t.Errorf("a token without key passes: %v", problems)
	}
	if _, err := ParseJWT("a.b"); err == nil {
		t.Error("a token of two parts is taken")
	}
}
