package inspect

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// HintExposed is the next step if a private key is where others may have read it.
const HintExposed = "if it was published, it is exposed: anyone who has it can send in your name; generate a new key pair, and have every user agent subscribe again"

// keyThing describes a VAPID key. Only the public half is shown.
func (in inspector) keyThing(found vapid.Recognized) *Thing {
	t := &Thing{Kind: KindPublicKey, Title: "VAPID public key, " + found.Form}
	if found.Key != nil {
		t.Kind, t.Title, t.Secret = KindPrivateKey, "VAPID private key, "+found.Form, true
		t.add("private key", "not shown", "P-256, 32 bytes, not shown")
	}
	t.addPublicKey("application server key", found.PublicKey)
	t.add("form", found.Form)
	if found.Note != "" {
		t.warn(found.Note, "write the key with its full width")
	}
	if strings.HasPrefix(found.Form, "raw scalar") {
		t.add("note", "any 32 bytes", "any 32 bytes have this form; compare the application server key with the one that you use")
	}
	return t
}

// addPublicKey shows a public key and its fingerprint.
func (t *Thing) addPublicKey(name string, key vapid.PublicKey) {
	t.add(name, key.String(), key.String())
	t.add("fingerprint", key.Fingerprint())
}

// otherKey describes a key that is not for VAPID.
func otherKey(err error) *Thing {
	t := &Thing{Kind: KindOtherKey, Title: "not a VAPID key: " + strings.TrimSuffix(strings.TrimPrefix(err.Error(), "found "), ", not a VAPID key")}
	t.failErr(err)
	return t
}

// pem describes the PEM blocks anywhere in a text.
func (in inspector) pem(s string) *Thing {
	if !strings.Contains(s, "-----BEGIN ") && !strings.Contains(s, "-----END ") {
		return nil
	}
	found, err := vapid.Recognize([]byte(s))
	if err != nil {
		t := otherKey(err)
		t.Secret = strings.Contains(s, "PRIVATE KEY")
		return t
	}
	return in.keyThing(found)
}

// key recognizes all other forms of a VAPID key as text.
func (in inspector) key(s string) *Thing {
	found, err := vapid.Recognize([]byte(s))
	if err == nil {
		t := in.keyThing(found)
		if compact := strings.Join(strings.Fields(strings.Trim(s, `"'`)), ""); alphabetProblem(compact) != "" && strings.HasPrefix(found.Form, "raw ") && strings.HasSuffix(found.Form, "in base64") {
			t.warn("the key "+alphabetProblem(compact)+"; browsers and many libraries require base64url without padding", "write the key in base64url without padding")
		}
		return t
	}
	e := (*vapid.Error)(nil)
	if !errors.As(err, &e) || e.NoKey() || len(s) < 32 {
		return nil
	}
	if b, form, ok := decodeBase64(strings.Join(strings.Fields(s), "")); ok && in.depth < maxLayers && len(b) > 30 { // no other error is about fewer bytes
		if inner, err2 := vapid.Recognize(b); err2 == nil && IsText(b) {
			t := in.keyThing(inner)
			t.add("encoded in", form)
			t.failErr(err) // the error says that it was encoded twice
			return t
		}
		if b[0] == 0x30 && !derLength(b) {
			return nil
		}
		if b[0] != 0x30 && len(b) != 65 && len(b) != 64 && len(b) != 32 {
			return nil
		}
	}
	return otherKey(err)
}

// privateValue reports whether a value that should be public is a private key.
func privateValue(value string) bool {
	found, err := vapid.Recognize([]byte(value))
	return err == nil && found.Key != nil
}

// exposed adds the warning about a private key where a public one belongs.
func (t *Thing) exposed(where, value string) bool {
	if value == "" || !privateValue(value) {
		return false
	}
	t.Secret = true
	t.fail("a private key is in "+where+", where a public key belongs", HintExposed)
	return true
}

// keyJSON describes a JSON Web Key or a pair in JSON.
func (in inspector) keyJSON(s string, fields map[string]json.RawMessage) *Thing {
	found, err := vapid.Recognize([]byte(s))
	if err == nil {
		return in.keyThing(found)
	}
	t := otherKey(err)
	if account := str(fields["client_email"]); account != "" { // of a Google service account
		t.add("account", text.Clip(account, 100))
	}
	t.Secret = fields["privateKey"] != nil || fields["private_key"] != nil || fields["d"] != nil
	for _, name := range []string{"publicKey", "public_key"} {
		t.exposed(name, str(fields[name]))
	}
	return t
}

// receiver describes the keys that webpush gen --receiver makes.
func (in inspector) receiver(s string, fields map[string]json.RawMessage) *Thing {
	t := &Thing{Kind: KindReceiver, Title: "keys of a test receiver", Secret: true}
	var id ece.Identity
	if err := json.Unmarshal([]byte(s), &id); err != nil {
		t.failErr(err)
		return t
	}
	r := id.Recipient()
	t.add("private key", "not shown", "P-256, 32 bytes, not shown")
	t.add("p256dh", b64.Encode(r.P256DH()))
	t.add("auth", "not shown", "16 bytes, not shown")
	if key, err := vapid.ParsePublicKey(r.P256DH()); err == nil {
		t.add("fingerprint", key.Fingerprint())
	}
	if str(fields["p256dh"]) == "" {
		t.add("note", "p256dh computed", "p256dh was missing and has been computed")
	}
	return t
}

var wordKey = pattern.New(`^[A-Za-z0-9+/=_-]+$`)

// foundKey adds a public key that is a value of something else, and anything
// unusual about it.
func (t *Thing) foundKey(name, value string) {
	if value == "" || t.exposed(name, value) {
		return
	}
	key, err := vapid.ParsePublicKey([]byte(value))
	if err != nil {
		t.fail(name+": "+err.Error(), webpush.HintOf(err))
		return
	}
	t.addPublicKey(name, key)
	if p := alphabetProblem(value); p != "" && wordKey.MatchString(value) {
		t.warn(name+" "+p+", which some push services reject", "write it as "+key.String())
	}
}
