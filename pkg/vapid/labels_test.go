package vapid_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func generate(t testing.TB) (key *vapid.Key, private, public string) {
	t.Helper()
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := key.Marshal(vapid.FormatBase64URL)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(b), key.PublicKey().String()
}

// TestConfigurationFiles reads keys from the files that people keep them in.
func TestConfigurationFiles(t *testing.T) {
	key, private, public := generate(t)
	other, otherPrivate, otherPublic := generate(t)
	pemOf := func(k *vapid.Key) string {
		b, err := k.Marshal(vapid.FormatPEM)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	scalar, err := base64.RawURLEncoding.DecodeString(private)
	if err != nil {
		t.Fatal(err)
	}
	point, err := base64.RawURLEncoding.DecodeString(public)
	if err != nil {
		t.Fatal(err)
	}
	colons := func(b []byte) string {
		var parts []string
		for _, c := range b {
			parts = append(parts, hex.EncodeToString([]byte{c}))
		}
		return strings.Join(parts, ":")
	}
	rsa := "-----BEGIN RSA PRIVATE KEY-----\\nMIIBTEST\\n-----END RSA PRIVATE KEY-----"
	for name, text := range map[string]string{
		"names without key":     "export VAPID_PRIVATE='" + private + "' # prod\nexport VAPID_PUBLIC='" + public + "'\n",
		"fish":                  "set -x VAPID_PRIVATE_KEY " + private + "\n",
		"JavaScript":            "module.exports = { publicVapidKey: '" + public + "', privateVapidKey: '" + private + "' };\n",
		".NET's XML":            `<appSettings><add key="VapidPublicKey" value="` + public + `"/><add key="VapidPrivateKey" value="` + private + `"/></appSettings>`,
		"XML":                   "<vapid><privateKey>" + private + "</privateKey></vapid>",
		"INI":                   "[vapid]\npublic=" + public + "\nprivate=" + private + "\n",
		"YAML without key":      "vapid:\n  public: " + public + "\n  private: " + private + "\n",
		"AWS":                   `{"Parameter":{"Name":"/prod/VAPID_PRIVATE_KEY","Type":"SecureString","Value":"` + private + `"}}`,
		"a container":           `{"environment":[{"name":"JWT_PRIVATE_KEY","value":"` + otherPrivate + `"},{"name":"VAPID_PRIVATE_KEY","value":"` + private + `"}]}`,
		"properties":            "vapid.public.key=" + public + "\nvapid.private.key=" + private + "\n",
		"nested JSON":           `{"Push":{"Subject":"mailto:a@b.example","PublicKey":"` + public + `","PrivateKey":"` + private + `"}}`,
		"JSON in a list":        `[{"name":"x"},{"vapid_private_key":"` + private + `"}]`,
		"JSON with a number":    `{"privateKey":7,"vapid":{"privateKey":"` + private + `"}}`,
		"upper-case JSON":       `{"VAPID_PUBLIC_KEY":"` + public + `","VAPID_PRIVATE_KEY":"` + private + `"}`,
		"PHP":                   `<?php return ['VAPID' => ['publicKey' => '` + public + `', 'privateKey' => '` + private + `']];`,
		"PHP comment":           "<?php\n  // 'privateKey' => '" + otherPrivate + "'\n// VAPID_PRIVATE_KEY=" + otherPrivate + "\nreturn ['privateKey' => '" + private + "'];",
		"YAML":                  "vapid_pub_key: " + public + "\nvapid_prv_key: " + private + "\n",
		"two names, VAPID last": "SESSION_PRIVATE_KEY=" + otherPrivate + "\nVAPID_PRIVATE_KEY=" + private + "\n",
		"two names, VAPID first": "VAPID_PRIVATE_KEY=" + private + "\nSESSION_PRIVATE_KEY=" + otherPrivate +
			"\nSESSION_PUBLIC_KEY=" + otherPublic + "\n",
		"comment":           "# VAPID_PRIVATE_KEY=" + otherPrivate + "\nVAPID_PRIVATE_KEY=" + private,
		"the same twice":    "VAPID_PRIVATE_KEY=" + private + "\nPUSH_PRIVATE_KEY=" + private,
		"RSA beside":        "VAPID_PRIVATE_KEY=" + private + "\nJWT_PRIVATE_KEY=\"" + rsa + "\"\n",
		"RSA before":        "JWT_PRIVATE_KEY=\"" + rsa + "\"\nPRIVATE_KEY=" + private + "\n",
		"PEM in a value":    "VAPID_PRIVATE_KEY=\"" + strings.ReplaceAll(pemOf(key), "\n", `\n`) + "\"\n",
		"escaped twice":     strings.ReplaceAll(pemOf(key), "\n", `\\n`),
		"openssl ec -text":  "Private-Key: (256 bit)\npriv:\n    " + colons(scalar) + "\npub:\n    " + colons(point) + "\nASN1 OID: prime256v1\n",
		"hex with colons":   colons(scalar),
		"a call":            "webpush.setVapidDetails('mailto:a@b.example', '" + public + "', '" + private + "');\n",
		"PHP with env":      "<?php\nreturn ['public_key' => env('VAPID_PUBLIC_KEY', '" + public + "'), 'private_key' => env('VAPID_PRIVATE_KEY', '" + private + "')];\n",
		"PHP's serialize":   `a:2:{s:9:"publicKey";s:87:"` + public + `";s:10:"privateKey";s:43:"` + private + `";}`,
		"a JWK set":         `{"keys":[{"kty":"EC","crv":"P-256","d":"` + private + `","x":"` + base64.RawURLEncoding.EncodeToString(point[1:33]) + `","y":"` + base64.RawURLEncoding.EncodeToString(point[33:]) + `"}]}`,
		"beside a receiver": `{"receiver":{"privateKey":"` + otherPrivate + `","p256dh":"` + otherPublic + `","auth":"AAAAAAAAAAAAAAAAAAAAAA"},"vapid":{"privateKey":"` + private + `"}}`,
		"Java":              "EC Private Key [8a:9f]\n            S:  " + hex.EncodeToString(scalar) + "\n",
	} {
		got, err := vapid.ParseKey([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got.PublicKey() != key.PublicKey() {
			t.Errorf("%s: another key", name)
		}
	}
	for name, tt := range map[string]struct{ text, want string }{
		"two VAPID keys":    {"VAPID_PRIVATE_KEY=" + private + "\nOLD_VAPID_PRIVATE_KEY=" + otherPrivate, "found two different private keys"},
		"two keys in JSON":  {`{"a":{"privateKey":"` + private + `"},"b":{"privateKey":"` + otherPrivate + `"}}`, "found two different private keys"},
		"damaged VAPID key": {"VAPID_PRIVATE_KEY=" + private + "AAAA\nSESSION_PRIVATE_KEY=" + otherPrivate, "VAPID_PRIVATE_KEY: "},
		"a recipient":       {`{"receiver":{"privateKey":"` + private + `","p256dh":"` + public + `","auth":"AAAAAAAAAAAAAAAAAAAAAA"},"subscription":{"endpoint":"https://x/"}}`, "the keys of a message recipient"},
		"two pairs":         {"set('" + public + "', '" + private + "'); set('" + otherPublic + "', '" + otherPrivate + "')", "not a key"},
		"RSA alone":         {"JWT_PRIVATE_KEY=\"" + rsa + "\"\n", "found"},
		"another pair":      {"VAPID_PRIVATE_KEY=" + private + "\nVAPID_PUBLIC_KEY=" + otherPublic, "does not match it"},
		"explicit parameters": {string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte(
			"\x30\x1b\x02\x01\x01\x04\x04abcd\xa0\x10\x30\x0e\x02\x01\x01\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x01\x01")})), "found an EC key with explicit curve parameters"},
	} {
		_, err := vapid.ParseKey([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
			continue
		}
		for _, secret := range []string{private, otherPrivate} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error shows the key: %v", name, err)
			}
		}
	}
	if got, err := vapid.ParsePublicKey([]byte("vapid_pub_key: " + otherPublic)); err != nil || got != other.PublicKey() {
		t.Errorf("a public key alone: %v", err)
	}
}

// FuzzConfigurationFiles: whatever stands around it, a key is found as it is or
// not at all.
func FuzzConfigurationFiles(f *testing.F) {
	key, private, _ := generate(f)
	f.Add("# a comment\n", "\nOTHER=1\n")
	f.Add(`{"a":{"b":1},"vapid":`, `}`)
	f.Add("<?php return [", "];")
	f.Fuzz(func(t *testing.T, before, after string) {
		got, err := vapid.ParseKey([]byte(before + "VAPID_PRIVATE_KEY=" + private + "\n" + after))
		if err == nil && got.PublicKey() != key.PublicKey() && !strings.Contains(strings.ToLower(before+after), "key") && !strings.Contains(before+after, "S:") && !strings.Contains(strings.ToLower(before+after), "priv") {
			t.Errorf("another key was found in %q, %q", before, after)
		}
	})
}
