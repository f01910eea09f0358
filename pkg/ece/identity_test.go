package ece

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

func mustIdentity(t testing.TB) *Identity {
	t.Helper()
	id, err := GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestNewRecipientRefuses(t *testing.T) {
	r := mustIdentity(t).Recipient()
	point, auth := r.P256DH(), r.Auth()
	off := bytes.Clone(point)
	off[64] ^= 1
	hybrid := bytes.Clone(point)
	hybrid[0] = 6
	beyond := append([]byte{4}, bytes.Repeat([]byte{0xff}, 64)...)
	compressed := append([]byte{2}, point[1:33]...)
	der := append([]byte{0x30}, make([]byte, 90)...)

	for _, tt := range []struct {
		name         string
		p256dh, auth []byte
		code         Code
		text         string
		hint         bool
	}{
		{"nothing", nil, auth, CodePublicKey, "p256dh is 0 bytes, want 65", false},
		{"one byte", []byte{0}, auth, CodePublicKey, "p256dh is 1 byte, want 65", false},
		{"compressed", compressed, auth, CodePublicKey, "p256dh is a compressed point of 33 bytes, want an uncompressed one of 65", true},
		{"no prefix", point[1:], auth, CodePublicKey, "p256dh is 64 bytes, want 65: the leading 0x04 of an uncompressed point is missing", true},
		{"hybrid", hybrid, auth, CodePublicKey, "p256dh starts with 0x06, want 0x04 of an uncompressed point", false},
		{"off the curve", off, auth, CodePublicKey, "p256dh is not a point on the curve P-256", false},
		{"beyond the field", beyond, auth, CodePublicKey, "p256dh is not a point on the curve P-256", false},
		{"zeros", append([]byte{4}, make([]byte, 64)...), auth, CodePublicKey, "p256dh is not a point on the curve P-256", false},
		{"DER", der, auth, CodePublicKey, "p256dh is 91 bytes that look like DER, want a point of 65", true},
		{"no auth", point, nil, CodeAuth, "auth is 0 bytes, want 16", false},
		{"short auth", point, auth[:15], CodeAuth, "auth is 15 bytes, want 16", false},
		{"long auth", point, append(auth, 0), CodeAuth, "auth is 17 bytes, want 16", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := NewRecipient(tt.p256dh, tt.auth)
			if r != nil || codeOf(err) != tt.code || err.Error() != tt.text {
				t.Errorf("NewRecipient = %v, %v; want %q", r, err, tt.text)
			}
			if e := err.(*Error); (e.Hint() != "") != tt.hint {
				t.Errorf("the hint is %q, want one: %t", e.Hint(), tt.hint)
			}
		})
	}
}

func TestNewIdentityRefuses(t *testing.T) {
	order, _ := hex.DecodeString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
	auth := make([]byte, AuthSize)
	for _, tt := range []struct {
		name          string
		private, auth []byte
		code          Code
		text          string
	}{
		{"nothing", nil, auth, CodePrivateKey, "private key is 0 bytes, want 32"},
		{"short", order[:31], auth, CodePrivateKey, "private key is 31 bytes, want 32"},
		{"zero", make([]byte, 32), auth, CodePrivateKey, "private key is zero or not below the order of P-256"},
		{"order", order, auth, CodePrivateKey, "private key is zero or not below the order of P-256"},
		{"auth", append(make([]byte, 31), 1), auth[1:], CodeAuth, "auth is 15 bytes, want 16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := NewIdentity(tt.private, tt.auth)
			if id != nil || codeOf(err) != tt.code || err.Error() != tt.text {
				t.Errorf("NewIdentity = %v, %v; want %q", id, err, tt.text)
			}
		})
	}
}

func TestAccessorsCopy(t *testing.T) {
	id := mustIdentity(t)
	r := id.Recipient()
	for name, get := range map[string]func() []byte{"Private": id.Private, "P256DH": r.P256DH, "Auth": r.Auth} {
		first := get()
		clear(first)
		if bytes.Equal(get(), first) {
			t.Errorf("%s gives out the bytes it keeps", name)
		}
	}
	point, auth := r.P256DH(), r.Auth()
	copied, err := NewRecipient(point, auth)
	if err != nil {
		t.Fatal(err)
	}
	clear(point)
	clear(auth)
	if !bytes.Equal(copied.P256DH(), r.P256DH()) || !bytes.Equal(copied.Auth(), r.Auth()) {
		t.Error("NewRecipient keeps the bytes it is given")
	}
	if a, b := mustIdentity(t), mustIdentity(t); bytes.Equal(a.Private(), b.Private()) || bytes.Equal(a.Recipient().Auth(), b.Recipient().Auth()) {
		t.Error("two identities are the same")
	}
}

func TestZeroValues(t *testing.T) {
	if _, err := new(Identity).Decrypt(&EncryptedMessage{Encoding: AES128GCM}); codeOf(err) != CodePrivateKey {
		t.Errorf("Decrypt: %v", err)
	}
	if _, err := json.Marshal(new(Identity)); codeOf(err) != CodePrivateKey {
		t.Errorf("MarshalJSON: %v", err)
	}
	if _, err := new(Recipient).Encrypt(nil, Options{}); codeOf(err) != CodePublicKey {
		t.Errorf("Encrypt: %v", err)
	}
	_ = fmt.Sprint(new(Identity), Identity{}, (*Identity)(nil), new(Recipient), (*Recipient)(nil))
}

func TestIdentityJSON(t *testing.T) {
	v := readVectors(t)[0]
	id, err := NewIdentity(v.ReceiverPrivate, v.AuthSecret)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(id)
	want := `{"privateKey":"q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94",` +
		`"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",` +
		`"auth":"BTBZMqHH6r4Tts7J_aSIgg"}`
	if err != nil || string(text) != want {
		t.Fatalf("Marshal = %s, %v; want %s", text, err, want)
	}
	for name, in := range map[string]string{
		"own form":          want,
		"without p256dh":    `{"privateKey":"q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94","auth":"BTBZMqHH6r4Tts7J_aSIgg"}`,
		"standard alphabet": `{"privateKey":"q1dXpw3UpT5VOmu/cf/v6ih07Aems3njxI+JWgLcM94=","auth":"BTBZMqHH6r4Tts7J/aSIgg=="}`,
		"other members":     `{"endpoint":1,"privateKey":"q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94=","auth":"BTBZMqHH6r4Tts7J_aSIgg"}`,
	} {
		var got Identity
		if err := json.Unmarshal([]byte(in), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again, err := json.Marshal(&got); err != nil || string(again) != want {
			t.Errorf("%s: comes back as %s, %v", name, again, err)
		}
	}

	const private, auth = `"privateKey":"q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"`, `"auth":"BTBZMqHH6r4Tts7J_aSIgg"`
	for in, want := range map[string]struct {
		code Code
		text string
	}{
		`null`:                               {CodePrivateKey, "privateKey is missing"},
		`{` + auth + `}`:                     {CodePrivateKey, "privateKey is missing"},
		`{` + private + `}`:                  {CodeAuth, "auth is missing"},
		`{` + private + `,"auth":"BTBZ"}`:    {CodeAuth, "auth is 3 bytes, want 16"},
		`{` + private + `,"auth":"B!"}`:      {CodeAuth, "auth: character '!' at position 2 is not base64"},
		`{"privateKey":"BTBZ",` + auth + `}`: {CodePrivateKey, "private key is 3 bytes, want 32"},
		`{` + private + `,` + auth + `,"p256dh":"` + b64.Encode(mustIdentity(t).Recipient().P256DH()) + `"}`: {CodePublicKey, "p256dh is not the public key of privateKey"},
		`{` + private + `,` + auth + `,"p256dh":"BTBZ"}`:                                                     {CodePublicKey, "p256dh is 3 bytes, want 65"},
	} {
		got := *id
		err := got.UnmarshalJSON([]byte(in))
		if codeOf(err) != want.code || err.Error() != want.text {
			t.Errorf("%s: %v; want %q", in, err, want.text)
		}
		if got != *id {
			t.Errorf("%s: changes the identity", in)
		}
	}
	for _, in := range []string{`[]`, `{"privateKey":7}`, `{`} {
		if err := new(Identity).UnmarshalJSON([]byte(in)); err == nil {
			t.Errorf("%s is accepted", in)
		}
	}
}

// Neither fmt nor slog shows a secret, however the value is reached.
func TestRedaction(t *testing.T) {
	id := mustIdentity(t)
	r := id.Recipient()
	var forbidden []string
	for _, secret := range [][]byte{id.Private(), r.Auth()} {
		decimal := strings.Trim(fmt.Sprint(secret[4:9]), "[]")
		forbidden = append(forbidden,
			b64.Encode(secret)[:8], hex.EncodeToString(secret[:6]), strings.ToUpper(hex.EncodeToString(secret[:6])),
			decimal, strings.ReplaceAll(decimal, " ", ", "), string(secret[:6]),
			strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", secret[4:9]), "[]byte{"), "}"))
	}
	check := func(how, out string, readable bool) {
		t.Helper()
		for _, s := range forbidden {
			if strings.Contains(out, s) {
				t.Errorf("%s shows a secret: %s", how, out)
			}
		}
		if readable && (!strings.Contains(out, "REDACTED") || !strings.Contains(out, b64.Encode(r.P256DH()))) {
			t.Errorf("%s = %s, want the public key and REDACTED", how, out)
		}
	}
	direct := []any{id, *id, r, *r}
	nested := []any{
		struct{ ID *Identity }{id}, struct{ id *Identity }{id}, struct{ id Identity }{*id},
		struct{ r *Recipient }{r}, struct{ r Recipient }{*r}, map[string]any{"k": id}, []Recipient{*r},
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%o", "%t", "%100.3v"} {
		for _, v := range direct {
			check(fmt.Sprintf("%s of %T", verb, v), fmt.Sprintf(verb, v), true)
		}
		for _, v := range nested {
			check(fmt.Sprintf("%s of %T", verb, v), fmt.Sprintf(verb, v), false)
		}
	}
	for _, v := range direct {
		check("String", v.(fmt.Stringer).String(), true)
		check("GoString", v.(fmt.GoStringer).GoString(), true)
		for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
			"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
		} {
			var b bytes.Buffer
			slog.New(handler(&b)).Info("made", "value", v)
			check(fmt.Sprintf("slog %s of %T", name, v), b.String(), true)
		}
	}
	for _, v := range []any{r, *r, *id} { // not id itself, whose JSON is the way to keep it
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("JSON of %T", v), string(text), false)
	}
}
