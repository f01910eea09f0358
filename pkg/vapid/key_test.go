package vapid

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

type keyVector struct {
	Name        string
	Private     string          `json:"private_raw_base64url"`
	Public      string          `json:"public_raw_base64url"`
	SEC1        string          `json:"private_sec1_pem"`
	ECParams    string          `json:"private_sec1_with_ec_parameters_pem"`
	PKCS8       string          `json:"private_pkcs8_pem"`
	SEC1DER     string          `json:"private_sec1_der_base64"`
	PKCS8DER    string          `json:"private_pkcs8_der_base64"`
	SPKI        string          `json:"public_spki_pem"`
	JWK         json.RawMessage `json:"jwk_private"`
	PublicJWK   json.RawMessage `json:"jwk_public"`
	Mislabelled string          `json:"mislabelled_pem"`
}

type vectors struct {
	VAPID []struct {
		Name          string
		JWT           string
		PublicKey     string `json:"public_key"`
		Authorization string
		Draft         string         `json:"draft01_authorization"`
		CryptoKey     string         `json:"draft01_crypto_key"`
		Claims        map[string]any `json:"claims"`
	}
	Keys []keyVector
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	var v vectors
	readJSON(t, "testdata/vectors.json", &v)
	if len(v.Keys) < 4 || len(v.VAPID) < 3 {
		t.Fatalf("testdata/vectors.json holds %d keys and %d tokens, expected more", len(v.Keys), len(v.VAPID))
	}
	return v
}

func readJSON(t testing.TB, name string, to any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, to); err != nil {
		t.Fatal(err)
	}
}

func TestFormatsRoundTrip(t *testing.T) {
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []Format{FormatPEM, FormatSEC1, FormatDER, FormatRaw, FormatBase64URL, FormatHex, FormatJWK, FormatJSON} {
		b, err := k.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKey(b)
		if err != nil || again.PublicKey() != k.PublicKey() {
			t.Errorf("%s: %v, %v", f, again, err)
		}
	}
	for _, f := range []Format{FormatPEM, FormatDER, FormatRaw, FormatBase64URL, FormatHex, FormatJWK, FormatJSON} {
		b, err := k.PublicKey().Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePublicKey(b)
		if err != nil || p != k.PublicKey() {
			t.Errorf("%s: %v, %v", f, p, err)
		}
	}
	if b, err := k.PublicKey().Marshal(FormatUint8Array); err != nil || !strings.HasPrefix(string(b), "new Uint8Array([4, ") || strings.Count(string(b), ",") != 64 {
		t.Errorf("uint8array: %s, %v", b, err)
	}
	if _, err := k.Marshal(FormatUint8Array); err == nil {
		t.Error("a private key was written as uint8array")
	}
	if _, err := k.PublicKey().Marshal(FormatSEC1); err == nil {
		t.Error("a public key was written as sec1")
	}
}

func mustDER(t *testing.T, text string) []byte {
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		t.Fatal("no PEM")
	}
	return b.Bytes
}

func TestKeyNeverPrintsItsPrivateHalf(t *testing.T) {
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	private, _ := k.Marshal(FormatBase64URL)
	hexed, _ := k.Marshal(FormatHex)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "deep", map[string]any{"key": k})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k)
	out := log.String() + fmt.Sprintf("%v %+v %#v %s %x %d %q", k, k, k, k, k, k, k) + fmt.Sprint(*k, []*Key{k}, struct{ K *Key }{k})
	d := k.private.D.String() //lint:ignore SA1019 the decimal form that %v of the struct would show
	for _, secret := range []string{string(private), string(hexed), d} {
		if strings.Contains(out, secret) {
			t.Errorf("the private half was printed: %s", out)
		}
	}
	if !strings.Contains(out, k.PublicKey().String()) {
		t.Errorf("the public half was not printed: %s", out)
	}
}

func FuzzParseKey(f *testing.F) {
	for _, v := range readVectors(f).Keys {
		for _, text := range privateForms(v) {
			f.Add([]byte(text))
		}
		f.Add([]byte(v.SPKI))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKey(data)
		if err == nil {
			b, err := k.Marshal(FormatPEM)
			if err != nil {
				t.Fatal(err)
			}
			again, err := ParseKey(b)
			if err != nil || again.PublicKey() != k.PublicKey() {
				t.Fatalf("%q was read as %v, which was written as %s and read as %v, %v", data, k, b, again, err)
			}
		}
		if p, err := ParsePublicKey(data); err == nil {
			if again, err := ParsePublicKey([]byte(p.String())); err != nil || again != p {
				t.Fatalf("%q was read as %v, then as %v, %v", data, p, again, err)
			}
		}
	})
}
