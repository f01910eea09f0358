package vapid

import (
	"crypto/sha256"
	"regexp"
	"strconv"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// Recognized is what [Recognize] found in a text or file: a private key or a
// public one, and how it was written.
type Recognized struct {
	// Key is the private key, or nil where there is a public one only.
	Key *Key
	// PublicKey is the public half.
	PublicKey PublicKey
	// Form is how it was written, such as "PKCS#8 PEM".
	Form string
	// Note says what was unusual about the form, or is empty.
	Note string
}

// Recognize tells what kind of key data holds: all that [ParseKey] and
// [ParsePublicKey] read. The error is an [*Error] that says what else it is.
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

// Fingerprint returns a short name of the key that can be compared and told:
// "SHA256:" and the SHA-256 of its 65 bytes in base64url without padding.
func (p PublicKey) Fingerprint() string {
	sum := sha256.Sum256(p.point[:])
	return "SHA256:" + b64.Encode(sum[:])
}

// byteList is a JavaScript or JSON list of bytes: [4, 12, …], also as
// new Uint8Array([…]), which [FormatUint8Array] is.
var byteList = regexp.MustCompile(`^(?:(?:new\s+)?[A-Za-z0-9]*Array(?:\.(?:of|from))?\s*\(\s*)?\[?\s*(\d{1,3}(?:\s*,\s*\d{1,3})+)\s*,?\s*\]?\s*\)?\s*;?$`)

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
