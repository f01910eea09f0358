package ece

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Identity is the receiver of messages: a P-256 private key and its
// authentication secret, both generated for one subscription (RFC 8291 sections
// 3.1 and 3.2). It is made by [GenerateIdentity], [NewIdentity] or from JSON,
// and is safe for concurrent use once made.
//
// It prints, by any verb of fmt and in slog, as its public key: the secrets stay
// hidden. They are written by [Identity.MarshalJSON], and so by anything that
// marshals a value which contains an Identity.
type Identity struct {
	key       *hidden[ecdh.PrivateKey]
	recipient *Recipient
}

// GenerateIdentity returns a new identity. It fails only if the system has no
// randomness.
func GenerateIdentity() (*Identity, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	auth := make([]byte, AuthSize)
	rand.Read(auth)
	return newIdentity(key, auth)
}

// NewIdentity returns the identity with the given private key, a scalar of 32
// bytes in network order, greater than zero and below the order of P-256, and
// the given authentication secret of 16 bytes. It copies both. For
// anything else, it returns an [*Error] with [CodePrivateKey] or [CodeAuth].
func NewIdentity(private, auth []byte) (*Identity, error) {
	if len(private) != privateSize {
		return nil, fail(CodePrivateKey, "private key is %s, want %d", text.Count(len(private), "byte"), privateSize)
	}
	key, err := ecdh.P256().NewPrivateKey(private)
	if err != nil {
		return nil, fail(CodePrivateKey, "private key is zero or not below the order of P-256")
	}
	return newIdentity(key, auth)
}

func newIdentity(key *ecdh.PrivateKey, auth []byte) (*Identity, error) {
	recipient, err := NewRecipient(key.PublicKey().Bytes(), auth)
	if err != nil {
		return nil, err
	}
	return &Identity{hide(key), recipient}, nil
}

// Recipient returns the half of the identity that a sender needs.
func (id *Identity) Recipient() *Recipient { return id.recipient }

// Private returns a copy of the private key, 32 bytes. It is a secret.
func (id *Identity) Private() []byte { return id.key.p.Bytes() }

// Decrypt returns the payload of m without its padding; it is empty, not nil,
// if the sender encrypted nothing. It accepts any record size, any number of
// records and any padding that RFC 8188 and draft-ietf-webpush-encryption-04
// allow, though a sender of Web Push makes one record only.
//
// Its time and memory are proportional to the length of the body, regardless of
// the sizes stated in the message. Its errors are [*Error] with
// [CodeEncoding], [CodeShortHeader], [CodeSalt], [CodeRecordSize], [CodeSenderKey],
// [CodeNoRecord], [CodeShortRecord], [CodeTruncated], [CodeDecrypt], [CodeDelimiter],
// or [CodePadding].
func (id *Identity) Decrypt(m *EncryptedMessage) ([]byte, error) {
	if id.key == nil {
		return nil, fail(CodePrivateKey, "identity has no private key")
	}
	f, err := m.frame()
	if err != nil {
		return nil, err
	}
	what := "key id"
	if f.encoding == AESGCM {
		what = "sender key"
	}
	sender, err := parsePoint(CodeSenderKey, what, f.keyID)
	if err != nil {
		return nil, err
	}
	secret, err := id.key.p.ECDH(sender)
	if err != nil {
		return nil, err
	}
	key, err := webPushKey(f.encoding, secret, id.recipient.auth.p[:], f.salt, id.recipient.point[:], f.keyID)
	if err != nil {
		return nil, err
	}
	return f.open(key)
}

// identityJSON is an identity in JSON, with the names that the PushSubscription
// of browsers uses for the parts it shows.
type identityJSON struct {
	PrivateKey string `json:"privateKey"`
	P256DH     string `json:"p256dh,omitempty"`
	Auth       string `json:"auth"`
}

// MarshalJSON returns the identity, secrets included, as an object with the
// fields privateKey (32 bytes), p256dh (65 bytes) and auth (16 bytes), each in
// base64url without padding.
func (id *Identity) MarshalJSON() ([]byte, error) {
	if id.key == nil {
		return nil, fail(CodePrivateKey, "identity has no private key")
	}
	return json.Marshal(identityJSON{
		PrivateKey: b64.Encode(id.key.p.Bytes()),
		P256DH:     b64.Encode(id.recipient.point[:]),
		Auth:       b64.Encode(id.recipient.auth.p[:]),
	})
}

// UnmarshalJSON sets the identity to the one in data, in the form of
// [Identity.MarshalJSON]. It accepts base64 of either alphabet, padded or not;
// p256dh may be missing. If it does not belong to privateKey, the error is an
// [*Error] with [CodePublicKey]; for a private key or secret that [NewIdentity]
// refuses, the code is [CodePrivateKey] or [CodeAuth]. Other fields are ignored. On error,
// the identity does not change.
func (id *Identity) UnmarshalJSON(data []byte) error {
	var v identityJSON
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("identity: %s", text.JSONProblem(err))
	}
	private, err := decodeMember(CodePrivateKey, "privateKey", v.PrivateKey)
	if err != nil {
		return err
	}
	auth, err := decodeMember(CodeAuth, "auth", v.Auth)
	if err != nil {
		return err
	}
	parsed, err := NewIdentity(private, auth)
	if err != nil {
		return err
	}
	if v.P256DH != "" {
		point, err := decodeMember(CodePublicKey, "p256dh", v.P256DH)
		if err != nil {
			return err
		}
		if _, err := parsePoint(CodePublicKey, "p256dh", point); err != nil {
			return err
		}
		if !bytes.Equal(point, parsed.recipient.point[:]) {
			return hinted(CodePublicKey, "omit p256dh to have it computed", "p256dh is not the public key of privateKey")
		}
	}
	*id = *parsed
	return nil
}

func decodeMember(code Code, name, text string) ([]byte, error) {
	if text == "" {
		return nil, fail(code, "%s is missing", name)
	}
	b, err := b64.Decode(text)
	if err != nil {
		return nil, fail(code, "%s: %v", name, err)
	}
	return b, nil
}

// String returns the public key in base64url; the secrets are redacted.
func (id Identity) String() string {
	return fmt.Sprintf("ece.Identity{p256dh: %s, privateKey: REDACTED, auth: REDACTED}", id.p256dh())
}

// GoString returns the same as String.
func (id Identity) GoString() string { return id.String() }

// Format writes String for every verb.
func (id Identity) Format(f fmt.State, _ rune) { io.WriteString(f, id.String()) }

// LogValue returns the public key, and the secrets redacted.
func (id Identity) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("p256dh", id.p256dh()),
		slog.String("privateKey", redacted),
		slog.String("auth", redacted))
}

func (id Identity) p256dh() string {
	if id.recipient == nil {
		return ""
	}
	return b64.Encode(id.recipient.point[:])
}
