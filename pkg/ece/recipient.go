package ece

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// Recipient holds the public key and the authentication secret of a
// subscription, for which messages are encrypted (RFC 8291, section 3). It is
// created by [NewRecipient] or [Identity.Recipient], never changes, and is safe
// for concurrent use. The zero value is not usable: Encrypt returns an error.
//
// It prints, by any verb of fmt and in slog, as its public key: the
// authentication secret stays hidden.
type Recipient struct {
	key   *ecdh.PublicKey
	point [KeySize]byte
	auth  *hidden[[AuthSize]byte]
}

// NewRecipient returns the recipient with the public key p256dh, an
// uncompressed point on P-256 of 65 bytes, and the secret auth of 16 bytes, the
// two fields of "keys" in a subscription, decoded. It copies both. For any
// other values, it returns an [*Error] with [CodePublicKey] or [CodeAuth]
// that describes the value.
func NewRecipient(p256dh, auth []byte) (*Recipient, error) {
	key, err := parsePoint(CodePublicKey, "p256dh", p256dh)
	if err != nil {
		return nil, err
	}
	if err := checkAuth(auth); err != nil {
		return nil, err
	}
	r := &struct { // allocated together
		Recipient
		hidden hidden[[AuthSize]byte]
		auth   [AuthSize]byte
	}{Recipient: Recipient{key: key, point: [KeySize]byte(p256dh)}, auth: [AuthSize]byte(auth)}
	r.hidden.p, r.Recipient.auth = &r.auth, &r.hidden
	return &r.Recipient, nil
}

// P256DH returns a copy of the public key, 65 bytes.
func (r *Recipient) P256DH() []byte { return bytes.Clone(r.point[:]) }

// Auth returns a copy of the authentication secret, 16 bytes.
func (r *Recipient) Auth() []byte { return bytes.Clone(r.auth.p[:]) }

// Encrypt encrypts plaintext for the recipient, with a key pair and a salt made
// for this message alone, into a single record (RFC 8291 section 4).
//
// The body is [Encoding.Overhead] bytes longer than plaintext and padding. An
// empty plaintext in aes128gcm always gets at least one byte of padding, as
// Chromium refuses a record of nothing but the delimiter.
//
// A plaintext that does not fit in [Options.MaxBody] is a [*TooLongError]; the
// other errors are [*Error] with [CodeEncoding] or [CodeOptions], which are about o.
func (r *Recipient) Encrypt(plaintext []byte, o Options) (*EncryptedMessage, error) {
	enc, pad, rs, err := o.plan(len(plaintext))
	if err != nil {
		return nil, err
	}
	if r.key == nil {
		return nil, fail(CodePublicKey, "recipient has no key")
	}
	sender, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return r.seal(enc, sender, salt, plaintext, pad, rs)
}

// seal is Encrypt with nothing left to choose.
func (r *Recipient) seal(enc Encoding, sender *ecdh.PrivateKey, salt, plaintext []byte, pad int, rs int64) (*EncryptedMessage, error) {
	secret, err := sender.ECDH(r.key)
	if err != nil {
		return nil, err
	}
	point := sender.PublicKey().Bytes()
	key, err := webPushKey(enc, secret, r.auth.p[:], salt, r.point[:], point)
	if err != nil {
		return nil, err
	}
	aead, err := key.aead()
	if err != nil {
		return nil, err
	}
	// The nonce of the first record is the base nonce itself.
	body := make([]byte, 0, len(plaintext)+pad+enc.Overhead())
	if enc == AES128GCM {
		body = appendHeader(body, salt, uint32(rs), point)
		body = appendAES128GCM(body, aead, key.nonce[:], plaintext, delimiterLast, pad)
		return &EncryptedMessage{Encoding: enc, Body: body}, nil
	}
	m := &EncryptedMessage{
		Encoding:  enc,
		Body:      appendAESGCM(body, aead, key.nonce[:], plaintext, pad),
		Salt:      salt,
		SenderKey: point,
	}
	if rs != DefaultRecordSize {
		m.RecordSize = int(rs)
	}
	return m, nil
}

// String returns the public key in base64url; the authentication secret is
// redacted.
func (r Recipient) String() string {
	return fmt.Sprintf("ece.Recipient{p256dh: %s, auth: REDACTED}", b64.Encode(r.point[:]))
}

// GoString returns the same as String.
func (r Recipient) GoString() string { return r.String() }

// Format writes the same as String for every verb: some, such as %d, would
// otherwise print the bytes of the authentication secret.
func (r Recipient) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// LogValue returns the public key, and the authentication secret redacted.
func (r Recipient) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("p256dh", b64.Encode(r.point[:])),
		slog.String("auth", redacted))
}

const redacted = "REDACTED"

// hidden keeps a secret two pointers away from the struct that has it. In an
// unexported field of another struct, fmt cannot call Format: it prints the
// value, and follows one pointer for some verbs.
type hidden[T any] struct{ p *T }

func hide[T any](p *T) *hidden[T] { return &hidden[T]{p} }
