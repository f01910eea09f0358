package vapid

import "testing"

func TestMayBeKey(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []Format{FormatPEM, FormatBase64URL, FormatHex, FormatJWK, FormatJSON} {
		b, err := key.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{string(b), string(b[:len(b)-5]), "keys/" + string(b[5:])} {
			if !MayBeKey(word) {
				t.Errorf("%s: %d characters of a key are not recognized", f, len(word))
			}
		}
	}
	for _, name := range []string{"private_key.pem", "/etc/webpush/keys/2024-01-31/private_key.next.pem", "VAPID_PRIVATE_KEY", "-", "", "C:\\Users\\Ada\\vapid.pem", "subscription-of-my-second-phone.json"} {
		if MayBeKey(name) {
			t.Errorf("%q is not a key", name)
		}
	}
}
