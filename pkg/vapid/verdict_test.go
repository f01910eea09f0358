package vapid

import (
	"strings"
	"testing"
	"time"
)

// TestJudge: an error that push services overlook is a warning if asked for; others stay
// errors.
func TestJudge(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	token := func(c Claims) *Token {
		signer := &Signer{Key: key, Claims: c, Lenient: true}
		signed, err := signer.Sign("https://push.example.net")
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	unusual := token(Claims{Subject: "tel:+15555550100", Expires: time.Now().Add(time.Hour)}) // neither mailto: nor https:
	if v := unusual.Judge("", false); v.Valid || !v.Signature {
		t.Errorf("strict: %+v", v)
	}
	if v := unusual.Judge("", true); !v.Valid || v.Problems[0].Severity != SeverityWarning || v.Claims.Subject != "tel:+15555550100" {
		t.Errorf("lenient: %+v", v)
	}
	if v := unusual.Judge("https://other.example", true); v.Valid {
		t.Errorf("another audience: %+v", v)
	}
	other, err := ParseJWT(unusual.JWT()) // without a key
	if err != nil {
		t.Fatal(err)
	}
	if v := other.Judge("", true); v.Valid || v.Signature {
		t.Errorf("without a key: %+v", v)
	}
	good := token(Claims{Subject: "https://example.com/?a&b", Expires: time.Now().Add(time.Hour)}).Judge("https://push.example.net", false)
	b, err := good.MarshalJSON()
	if err != nil || !good.Valid || !strings.HasPrefix(string(b), `{"valid":true,"applicationServerKey":"`+key.PublicKey().String()+`","claims":{"aud":`) || !strings.Contains(string(b), "?a&b") || !strings.HasSuffix(string(b), `"problems":[]}`) {
		t.Errorf("%s, %v", b, err)
	}
}
