package vapid

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log/slog"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// Sizes of a key, in bytes. Both are fixed: shorter values are padded with
// leading zeros when they are written, whatever tool wrote them before.
const (
	// PrivateKeySize is the length of the private scalar.
	PrivateKeySize = 32
	// PublicKeySize is the length of an uncompressed P-256 point: 0x04, X, Y.
	PublicKeySize = 65
)

// Key is the signing key of an application server: an ECDSA key on P-256 (RFC
// 8292 section 2). It is immutable, safe for concurrent use, and prints only
// its public key.
type Key struct {
	private *ecdsa.PrivateKey // nil if signer has it
	signer  crypto.Signer
	public  PublicKey
	found   string
	note    string
}

// GenerateKey generates a new key. It fails only if the system's random number
// generator fails.
func GenerateKey() (*Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a P-256 key: %w", err)
	}
	return newKey(private)
}

func newKey(private *ecdsa.PrivateKey) (*Key, error) {
	public, err := newPublicKey(&private.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Key{private: private, public: public}, nil
}

// PublicKey returns the public key: the application server key.
func (k *Key) PublicKey() PublicKey { return k.public }

// Found returns the form in which [ParseKey] found the key, such as "PKCS#8
// PEM". It returns "" for a generated key.
func (k *Key) Found() string { return k.found }

// Note describes anything unusual about the form, such as a scalar of 31 bytes
// that was padded. It returns "" if nothing was unusual.
func (k *Key) Note() string { return k.note }

// String describes the key by its public key.
func (k *Key) String() string {
	if k == nil {
		return "no VAPID key"
	}
	return "VAPID key with public half " + k.public.String()
}

// GoString returns String, to keep the private key out of %#v.
func (k *Key) GoString() string { return k.String() }

// Format writes String for every verb, to keep the private key out of all of
// them.
func (k *Key) Format(s fmt.State, _ rune) { fmt.Fprint(s, k.String()) }

// LogValue returns String, to keep the private key out of log/slog.
func (k *Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// PublicKey is the public key of a signing key, the application server key of
// the Push API: a point on P-256. It is comparable. The zero value is not a
// valid key and is useful only in comparisons.
type PublicKey struct {
	point [PublicKeySize]byte
}

func newPublicKey(public *ecdsa.PublicKey) (PublicKey, error) {
	var p PublicKey
	b, err := public.Bytes()
	if err != nil {
		return p, fmt.Errorf("encoding the public key: %w", err)
	}
	copy(p.point[:], b)
	return p, nil
}

// IsZero reports whether p is the zero value, which is not a valid key.
func (p PublicKey) IsZero() bool { return p == PublicKey{} }

// Bytes returns the 65 bytes of the uncompressed point.
func (p PublicKey) Bytes() []byte { return p.point[:] }

// String returns the point as 87 characters of base64url without padding: the
// applicationServerKey of PushManager.subscribe and the k of RFC 8292 section 3.2.
func (p PublicKey) String() string { return b64.Encode(p.point[:]) }

// ecdsa returns p for checking signatures.
func (p PublicKey) ecdsa() (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), p.point[:])
}
