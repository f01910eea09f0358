package inspect

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// bodyThing recognizes the body of an aes128gcm message by its header, or
// returns nil.
func bodyThing(b []byte) *Thing {
	m := &ece.EncryptedMessage{Encoding: ece.AES128GCM, Body: b}
	h, err := m.Header()
	webPush := len(b) > 21+ece.KeySize-1 && b[20] == ece.KeySize && b[21] == 4
	switch {
	case err == nil && h.RecordSize <= 1<<20 && (len(h.KeyID) != ece.KeySize || !webPush):
		if h.RecordSize > 1<<16 || len(h.KeyID) > 64 {
			return nil // indistinguishable from random bytes
		}
		t := &Thing{Kind: KindBody, Title: "body in aes128gcm (RFC 8188), but not of Web Push"}
		t.addHeader(b, ece.AES128GCM, h)
		return t
	case err == nil && webPush:
		t := &Thing{Kind: KindBody, Title: "encrypted body of a push message, aes128gcm (RFC 8291)"}
		t.addHeader(b, ece.AES128GCM, h)
		return t
	case webPush || len(b) == 21+ece.KeySize && b[20] == ece.KeySize && b[21] == 4:
		t := &Thing{Kind: KindBody, Title: "encrypted body of a push message, aes128gcm, damaged"}
		t.add("size", len(b), text.Count(len(b), "byte"))
		t.failErr(err)
		return t
	}
	return nil
}

// addHeader shows the parts of a body that are readable without a key.
func (t *Thing) addHeader(body []byte, encoding ece.Encoding, h ece.Header) {
	t.add("coding", encoding, string(encoding))
	t.add("size", len(body), fmt.Sprintf("%d of %d bytes", len(body), ece.MaxBody))
	if len(body) > ece.MaxBody {
		t.warn(fmt.Sprintf("the body has %d bytes, %d more than every push service must accept", len(body), len(body)-ece.MaxBody), "send a shorter payload")
	} else if len(body) > webpush.AndroidBody {
		t.add("on Android", "maybe too large", fmt.Sprintf("Firefox for Android may refuse bodies above %d bytes", webpush.AndroidBody))
	}
	t.add("salt", b64.Encode(h.Salt))
	t.add("record size", h.RecordSize, text.Count(int(h.RecordSize), "byte"))
	t.add("records", h.Records)
	if h.Records == 1 {
		t.add("payload", h.MaxPlaintext, fmt.Sprintf("0 to %s, padding counts; %d fit in a body of %d", text.Count(h.MaxPlaintext, "byte"), encoding.MaxPayload(ece.MaxBody), ece.MaxBody))
	} else {
		t.add("payload", h.MaxPlaintext, fmt.Sprintf("0 to %s in all, padding counts", text.Count(h.MaxPlaintext, "byte")))
		t.warn(fmt.Sprintf("the message has %d records; Web Push allows one, and Chromium rejects more", h.Records), hintEncrypt)
	}
	if err := h.CheckSender(); err != nil {
		t.fail(err.Error(), "the key ID of a push message is the sender's public key of 65 bytes")
		if len(h.KeyID) > 0 && len(h.KeyID) != ece.KeySize {
			t.add("key id", b64.Encode(h.KeyID), fmt.Sprintf("%q, %s", text.Clip(string(h.KeyID), 60), text.Count(len(h.KeyID), "byte")))
		}
	} else {
		t.add("sender's key", b64.Encode(h.KeyID), b64.Encode(h.KeyID)+", made for this message")
	}
	if encoding == ece.AES128GCM && len(body) == encoding.Overhead() {
		t.warn("the payload is empty and not padded, which Chromium rejects", "send no body, or pad it by a byte")
	}
}

var (
	saltValue = pattern.New(`(?i)(?:^|[;,\s])salt\s*=\s*"?([A-Za-z0-9+/=_-]*)`)
	dhValue   = pattern.New(`(?i)(?:^|[;,\s])dh\s*=\s*"?([A-Za-z0-9+/=_-]*)`)
	keyIDPart = pattern.New(`(?i)(?:^|[;,\s])(keyid\s*=\s*(?:"[^"]*"|[^;,\s]+))`)
)

// addFields shows the values of the headers Encryption and Crypto-Key, either
// of which may be missing, and their body, if any. The VAPID key in Crypto-Key
// is omitted if it was already shown.
func (in inspector) addFields(t *Thing, encryption, cryptoKey string, body []byte, shown bool) {
	if m := p256Within.FindStringSubmatch(cryptoKey); m != nil && !shown {
		t.foundKey("p256ecdsa", m[1])
	}
	hasSalt, hasDH := encryption != "", dhValue.MatchString(cryptoKey)
	if !hasSalt && !hasDH {
		return
	}
	for name, m := range map[string][]string{"salt": saltValue.FindStringSubmatch(encryption), "dh": dhValue.FindStringSubmatch(cryptoKey)} {
		if m == nil {
			continue
		}
		if p := alphabetProblem(m[1]); p != "" {
			t.warn(name+" "+p+", which Firefox rejects", "write it in base64url without padding")
		}
		if name == "dh" && t.exposed("dh", m[1]) {
			hasDH = false
		}
	}
	if strings.Contains(cryptoKey, ",") && hasDH && p256Within.MatchString(cryptoKey) {
		t.warn("dh and p256ecdsa are joined by a comma, which some push services misread", "join them with a semicolon")
	}
	checkedEncryption, checkedKey := encryption, cryptoKey
	if !hasSalt {
		checkedEncryption = "salt=" + someSalt
	}
	if !hasDH {
		checkedKey = "dh=" + somePoint
		if m := keyIDPart.FindStringSubmatch(encryption); m != nil {
			checkedKey += ";" + m[1]
		}
	}
	m, err := ece.ParseEncryptedMessage(ece.AESGCM, checkedEncryption, checkedKey, body)
	if err != nil {
		t.failErr(err)
		return
	}
	if body != nil && hasSalt && hasDH {
		h, err := m.Header()
		if err == nil {
			t.addHeader(body, ece.AESGCM, h)
			return
		}
		t.failErr(err)
	}
	if hasSalt {
		t.add("salt", b64.Encode(m.Salt), b64.Encode(m.Salt)+", 16 bytes")
		rs := m.RecordSize
		if rs == 0 {
			rs = ece.DefaultRecordSize
		}
		t.add("record size", rs, text.Count(rs, "byte")+" of plaintext")
		if !hasDH && body == nil {
			t.add("belongs to", "Crypto-Key", "an aesgcm body and the header Crypto-Key: dh=…")
		}
	}
	if hasDH {
		point := b64.Encode(m.SenderKey)
		t.add("sender's key", point, point+" (dh), made for this message")
		if key, err := vapid.ParsePublicKey(m.SenderKey); err == nil {
			if v := p256Within.FindStringSubmatch(cryptoKey); v != nil {
				if k, err := vapid.ParsePublicKey([]byte(v[1])); err == nil && k == key {
					t.warn("dh and p256ecdsa are the same key, which RFC 8292 forbids", "a message needs a key pair of its own")
				}
			}
		}
	}
}

// addBody shows the body of a message whose Content-Encoding is known.
func (in inspector) addBody(t *Thing, encoding, encryption, cryptoKey string, body []byte, keyShown bool) {
	e, err := ece.ParseEncoding(encoding)
	if err != nil {
		t.failErr(err)
		return
	}
	if e == ece.AESGCM {
		if !hasFields(encryption, cryptoKey) {
			t.fail(fieldsMissing, "pass the headers of the message with its body")
		}
		in.addFields(t, encryption, cryptoKey, body, keyShown)
		return
	}
	if dhValue.MatchString(cryptoKey) || saltValue.MatchString(encryption) {
		t.warn("a body in aes128gcm came with the headers of aesgcm, dh or salt, which Mozilla rejects", "omit Encryption and the dh of Crypto-Key")
	}
	m := &ece.EncryptedMessage{Encoding: e, Body: body}
	h, err := m.Header()
	if err != nil {
		t.add("coding", e, string(e))
		t.add("size", len(body), text.Count(len(body), "byte"))
		t.failErr(err)
		return
	}
	t.addHeader(body, e, h)
}

// message describes the output of webpush encrypt --json.
func (in inspector) message(fields map[string]json.RawMessage) *Thing {
	t := &Thing{Kind: KindMessage, Title: "encrypted push message, JSON"}
	headers := headerMap(fields["headers"])
	body, err := bodyInBase64(str(fields["body"]))
	if err != nil || len(body) == 0 {
		t.fail("the body is not base64: it is damaged or truncated", hintEncrypt)
		return t
	}
	encoding := encodingOf(headers)
	if headers.Get("Content-Encoding") == "" {
		t.warn("Content-Encoding is missing; assumed to be "+encoding, "")
	}
	in.addBody(t, encoding, headers.Get("Encryption"), headers.Get("Crypto-Key"), body, false)
	return t
}
