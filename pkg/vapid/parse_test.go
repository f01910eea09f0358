package vapid

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// privateForms lists every way in which the vectors' keys are seen in the wild.
func privateForms(v keyVector) map[string]string {
	raw, _ := b64.Decode(v.Private)
	forms := map[string]string{
		"raw":               v.Private,
		"raw std":           base64.StdEncoding.EncodeToString(raw),
		"raw padded url":    base64.URLEncoding.EncodeToString(raw),
		"raw with newline":  v.Private + "\r\n",
		"raw quoted":        `"` + v.Private + `"`,
		"raw BOM":           "\xef\xbb\xbf" + v.Private,
		"33 bytes":          b64.Encode(append([]byte{0}, raw...)),
		"bytes":             string(raw),
		"hex":               hex.EncodeToString(raw),
		"hex upper":         strings.ToUpper(hex.EncodeToString(raw)),
		"hex 0x":            "0x" + hex.EncodeToString(raw),
		"hex 33 bytes":      "00" + hex.EncodeToString(raw),
		"pair":              fmt.Sprintf(`{"publicKey":%q,"privateKey":%q}`, v.Public, v.Private),
		"pair snake":        fmt.Sprintf(`{"public_key":%q,"private_key":%q}`, v.Public, v.Private),
		"private alone":     fmt.Sprintf(`{"privateKey":%q}`, v.Private),
		"PEM in JSON":       fmt.Sprintf(`{"privateKey":%q}`, v.PKCS8),
		"generator's text":  "=====\n\nPublic Key:\n" + v.Public + "\n\nPrivate Key:\n" + v.Private + "\n\n=====\n",
		"settings file":     "# keys\nVAPID_PUBLIC_KEY=" + v.Public + "\nVAPID_PRIVATE_KEY=\"" + v.Private + "\"\n",
		"PKCS8":             v.PKCS8,
		"SEC1":              v.SEC1,
		"CRLF":              strings.ReplaceAll(v.PKCS8, "\n", "\r\n"),
		"escaped newlines":  strings.ReplaceAll(v.PKCS8, "\n", `\n`),
		"spaces for lines":  strings.ReplaceAll(strings.TrimSpace(v.PKCS8), "\n", " "),
		"text around":       "Bag Attributes\n    friendlyName: push\n" + v.PKCS8 + "trailing text\n",
		"public, private":   v.SPKI + v.PKCS8,
		"base64 of PEM":     base64.StdEncoding.EncodeToString([]byte(v.PKCS8)),
		"SEC1 DER base64":   v.SEC1DER,
		"PKCS8 DER base64":  v.PKCS8DER,
		"DER url base64":    strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(v.PKCS8DER),
		"DER in many lines": v.PKCS8DER[:64] + "\n" + v.PKCS8DER[64:128] + "\n" + v.PKCS8DER[128:] + "\n",
		"JWK":               string(v.JWK),
	}
	for name, text := range map[string]string{"EC PARAMETERS first": v.ECParams, "mislabelled": v.Mislabelled} {
		if text != "" {
			forms[name] = text
		}
	}
	for name, s := range map[string]string{"SEC1 DER": v.SEC1DER, "PKCS8 DER": v.PKCS8DER} {
		der, _ := b64.Decode(s)
		forms[name] = string(der)
	}
	for name, text := range forms {
		if text == "" || text == "null" {
			delete(forms, name)
		}
	}
	return forms
}

func TestParseKeyEveryForm(t *testing.T) {
	for _, v := range readVectors(t).Keys {
		for name, text := range privateForms(v) {
			k, err := ParseKey([]byte(text))
			if err != nil {
				t.Errorf("%s, %s: %v", v.Name, name, err)
				continue
			}
			raw, err := k.Marshal(FormatBase64URL)
			if err != nil || string(raw) != v.Private {
				t.Errorf("%s, %s: private half is %s, %v; want %s", v.Name, name, raw, err, v.Private)
			}
			if got := k.PublicKey().String(); got != v.Public {
				t.Errorf("%s, %s: public half is %s, want %s", v.Name, name, got, v.Public)
			}
			if k.Found() == "" {
				t.Errorf("%s, %s: the form is not named", v.Name, name)
			}
			p, err := ParsePublicKey([]byte(text))
			if err != nil || p != k.PublicKey() {
				t.Errorf("%s, %s: ParsePublicKey = %v, %v", v.Name, name, p, err)
			}
		}
	}
}

func TestParsePublicKeyEveryForm(t *testing.T) {
	for _, v := range readVectors(t).Keys {
		point, _ := b64.Decode(v.Public)
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			t.Fatal(err)
		}
		der, _ := x509.MarshalPKIXPublicKey(public)
		forms := map[string]string{
			"base64url":  v.Public,
			"std padded": base64.StdEncoding.EncodeToString(point),
			"bytes":      string(point),
			"hex":        hex.EncodeToString(point),
			"64 bytes":   b64.Encode(point[1:]),
			"compressed": b64.Encode(append([]byte{2 + point[64]&1}, point[1:33]...)),
			"PEM":        v.SPKI,
			"DER":        string(der),
			"DER base64": base64.StdEncoding.EncodeToString(der),
			"JWK":        string(v.PublicJWK),
			"JSON":       fmt.Sprintf(`{"publicKey":%q}`, v.Public),
		}
		for name, text := range forms {
			if text == "" {
				continue
			}
			p, err := ParsePublicKey([]byte(text))
			if err != nil || p.String() != v.Public {
				t.Errorf("%s, %s: %v, %v", v.Name, name, p, err)
			}
			if _, err := ParseKey([]byte(text)); err == nil || !strings.Contains(err.Error(), "found a public key") {
				t.Errorf("%s, %s: ParseKey of a public key: %v", v.Name, name, err)
			}
		}
	}
}

func TestShortScalar(t *testing.T) {
	// A scalar with two leading zeros, as a tool writes it that drops one.
	raw := append(make([]byte, 2), bytes.Repeat([]byte{7}, 30)...)
	k, err := ParseKey([]byte(b64.Encode(raw[1:])))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(k.Note(), "31 bytes") {
		t.Errorf("the note is %q", k.Note())
	}
	for _, f := range []Format{FormatPEM, FormatSEC1, FormatDER, FormatRaw, FormatBase64URL, FormatHex, FormatJWK, FormatJSON} {
		b, err := k.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKey(b)
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if got, _ := again.Marshal(FormatRaw); !bytes.Equal(got, raw) {
			t.Errorf("%s: %x after a round trip, want %x", f, got, raw)
		}
		if again.Note() != "" {
			t.Errorf("%s was written in an unusual width: %s", f, again.Note())
		}
	}
}

func TestRawKeyBeginsLikeText(t *testing.T) {
	for _, first := range []byte{'{', '"', ' ', '\n', '0', '-', 0xff, 0xfe, 0xef} {
		raw := append([]byte{first}, bytes.Repeat([]byte{0x81}, 30)...)
		for _, last := range []byte{' ', '\n', '}', 0x81} {
			raw := append(bytes.Clone(raw), last)
			k, err := ParseKey(raw)
			if err != nil {
				if first != 0xff { // above the order of the curve
					t.Errorf("%x: %v", raw, err)
				}
				continue
			}
			if got, err := k.Marshal(FormatRaw); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%x was read as %x, %v", raw, got, err)
			}
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	v := readVectors(t).Keys
	pemOf := func(label string, der []byte, err error) string {
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: label, Bytes: der}))
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p384sec1, err := x509.MarshalECPrivateKey(p384)
	if err != nil {
		t.Fatal(err)
	}
	p384pkcs8, err := x509.MarshalPKCS8PrivateKey(p384)
	rsaKey, _ := rsa.GenerateKey(rand.Reader, 1024)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	edDER, _ := x509.MarshalPKCS8PrivateKey(edKey)
	xKey, _ := ecdh.X25519().GenerateKey(rand.Reader)
	xDER, _ := x509.MarshalPKCS8PrivateKey(xKey)
	rsaDER, _ := x509.MarshalPKCS8PrivateKey(rsaKey)
	off, _ := b64.Decode(v[0].Public)
	off[64] ^= 1
	order, _ := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	mismatched := mustDER(t, v[0].SEC1)
	// The stored public half is the end of the structure: exchange it.
	other, _ := b64.Decode(v[1].Public)
	copy(mismatched[len(mismatched)-65:], other)

	for name, c := range map[string]struct{ text, want string }{
		"empty":            {"", "found nothing"},
		"blank":            {" \n\t", "found nothing"},
		"words":            {"hello", "not a key"},
		"P-384 PEM":        {pemOf("PRIVATE KEY", p384pkcs8, err), "P-384"},
		"P-384 SEC1":       {pemOf("EC PRIVATE KEY", p384sec1, nil), "P-384"},
		"P-384 DER":        {string(p384sec1), "P-384"},
		"RSA PKCS1":        {pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), "RSA"},
		"RSA PKCS8":        {pemOf("PRIVATE KEY", rsaDER, nil), "RSA"},
		"RSA public":       {pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&rsaKey.PublicKey), nil), "RSA"},
		"Ed25519":          {pemOf("PRIVATE KEY", edDER, nil), "Ed25519"},
		"X25519":           {pemOf("PRIVATE KEY", xDER, nil), "X25519"},
		"encrypted":        {"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"},
		"encrypted SEC1":   {"-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB\n-----END EC PRIVATE KEY-----\n", "encrypted"},
		"OpenSSH":          {"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n", "OpenSSH"},
		"parameters alone": {"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", "EC PARAMETERS alone"},
		"cut PEM":          {v[0].PKCS8[:150], "without its end"},
		"PEM without head": {v[0].PKCS8[30:], "without its beginning"},
		"Google API key":   {"AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", "Firebase"},
		"FCM server key":   {"AAAAxxxxxxx:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ", "Firebase"},
		"service account":  {`{"type":"service_account","private_key":"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"}`, "Google service account"},
		"damaged PEM":      {strings.Replace(v[0].PKCS8, "MIGH", "MI*H", 1), "damaged"},
		"cut DER":          {string(mustDER(t, v[0].PKCS8)[:100]), "truncated"},
		"zero":             {b64.Encode(make([]byte, 32)), "zero"},
		"order":            {b64.Encode(order), "larger than the order"},
		"zero JWK":         {`{"kty":"EC","crv":"P-256","d":"` + b64.Encode(make([]byte, 32)) + `"}`, "zero"},
		"off the curve":    {b64.Encode(off), "not a point on P-256"},
		"off, PEM":         {strings.Replace(v[0].SPKI, "EJwJ", "EJwK", 1), "off the curve"},
		"mismatched JSON":  {fmt.Sprintf(`{"publicKey":%q,"privateKey":%q}`, v[1].Public, v[0].Private), "does not match it"},
		"mismatched SEC1":  {pemOf("EC PRIVATE KEY", mismatched, nil), "does not match it"},
		"mismatched PEM":   {v[0].SPKI + v[3].SEC1, "does not match it"},
		"mismatched after": {v[3].SEC1 + v[0].SPKI, "does not match it"},
		"swapped":          {fmt.Sprintf(`{"publicKey":%q,"privateKey":%q}`, v[0].Private, v[0].Public), "as the privateKey"},
		"JWK RSA":          {`{"kty":"RSA","n":"AQAB","e":"AQAB"}`, "kty RSA"},
		"JWK P-384":        {`{"kty":"EC","crv":"P-384","x":"","y":"","d":"AQ"}`, "P-384"},
		"JWK long d":       {`{"kty":"EC","crv":"P-256","d":"` + b64.Encode(make([]byte, 40)) + `"}`, "40 bytes"},
		"subscription":     {`{"endpoint":"https://push.example.net/x","keys":{}}`, "push subscription"},
		"receiver":         {fmt.Sprintf(`{"privateKey":%q,"p256dh":%q,"auth":"BTBZMqHH6r4Tts7J_aSIgg"}`, v[0].Private, v[0].Public), "message recipient"},
		"other JSON":       {`{"hello":"world"}`, "without a key"},
		"broken JSON":      {`{"privateKey":`, "damaged or truncated"},
		"base64 twice":     {base64.StdEncoding.EncodeToString([]byte(v[0].Private)), "base64 twice"},
		"cut raw":          {v[0].Private[:40], "30 bytes"},
		"48 bytes":         {b64.Encode(bytes.Repeat([]byte{0xfb}, 48)), "48 bytes"},
		"garbage in raw":   {v[0].Private[:20] + "!" + v[0].Private[21:], "not base64"},
		"binary":           {"\x00\x01\x02", "3 bytes"},
	} {
		k, err := ParseKey([]byte(c.text))
		if err == nil {
			t.Errorf("%s: accepted as %v", name, k)
			continue
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, want it to say %q", name, err, c.want)
		}
		if _, ok := err.(*Error); !ok {
			t.Errorf("%s: the error is a %T", name, err)
		}
		for _, secret := range []string{v[0].Private, v[0].Private[4:30], v[1].Private} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error repeats the key: %v", name, err)
			}
		}
	}
}

func TestOtherCurvesByOID(t *testing.T) {
	// An SPKI of secp256k1, which crypto/x509 does not know.
	der, _ := hex.DecodeString("3056301006072a8648ce3d020106052b8104000a034200" + "04" +
		"79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798" +
		"483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8")
	if _, err := ParsePublicKey(der); err == nil || !strings.Contains(err.Error(), "secp256k1") {
		t.Errorf("secp256k1: %v", err)
	}
}
