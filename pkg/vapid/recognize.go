package vapid

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

// Recognized is the result of [Recognize]: a private or public key, and the
// form in which it was written.
type Recognized struct {
	// Key is the private key, or nil if only a public key was found.
	Key *Key
	// PublicKey is the public key, computed from the private key if necessary.
	PublicKey PublicKey
	// Form is the form of the key, such as "PKCS#8 PEM".
	Form string
	// Note describes anything unusual about the form, or is empty.
	Note string
}

// Recognize detects the key in data, in any form that [ParseKey] or
// [ParsePublicKey] accepts. The error is an [*Error] that says what was found
// instead.
func Recognize(data []byte) (Recognized, error) {
	f, err := recognize(data, 0)
	if err != nil {
		return Recognized{}, err
	}
	r := Recognized{Form: f.form, Note: f.note}
	if f.private == nil {
		r.PublicKey = *f.public
		return r, nil
	}
	if r.Key, err = f.key(); err != nil {
		return Recognized{}, err
	}
	r.PublicKey = r.Key.PublicKey()
	return r, nil
}

// Fingerprint returns a short name of the key, for comparing keys: "SHA256:"
// and the SHA-256 of its 65 bytes in base64url without padding.
func (p PublicKey) Fingerprint() string {
	sum := sha256.Sum256(p.point[:])
	return "SHA256:" + b64.Encode(sum[:])
}

// byteList is a JavaScript or JSON list of bytes: [4, 12, …], also as
// new Uint8Array([…]), which [FormatUint8Array] is.
var byteList = pattern.New(`^(?:(?:new\s+)?[A-Za-z0-9]*Array(?:\.(?:of|from))?\s*\(\s*)?\[?\s*(\d{1,3}(?:\s*,\s*\d{1,3})+)\s*,?\s*\]?\s*\)?\s*;?$`)

// fromByteList returns the bytes of such a list, of 31 to 201: a key may be bare,
// or in DER.
func fromByteList(text string) ([]byte, bool) {
	m := byteList.FindStringSubmatch(text)
	if m == nil {
		return nil, false
	}
	var out []byte
	for number := range strings.SplitSeq(m[1], ",") {
		n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 8)
		if err != nil {
			return nil, false
		}
		out = append(out, byte(n))
	}
	return out, len(out) > 30 && len(out) <= 201
}
