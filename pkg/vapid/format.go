package vapid

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// Format is a way to write a key.
type Format string

// The formats that Marshal writes. [ParseKey] and [ParsePublicKey] read them
// all and many more.
const (
	// FormatPEM is PKCS#8 for a private key (RFC 5958) and SPKI for a public
	// key (RFC 5280), in PEM (RFC 7468).
	FormatPEM Format = "pem"
	// FormatSEC1 is the "EC PRIVATE KEY" PEM of RFC 5915, private keys only.
	FormatSEC1 Format = "sec1"
	// FormatDER is the content of FormatPEM, as DER bytes.
	FormatDER Format = "der"
	// FormatRaw is the bare 32 bytes of the scalar or the 65 of the point.
	FormatRaw Format = "raw"
	// FormatBase64URL is FormatRaw as base64url without padding.
	FormatBase64URL Format = "base64url"
	// FormatHex is FormatRaw in lower-case hexadecimal digits.
	FormatHex Format = "hex"
	// FormatJWK is a JSON Web Key (RFC 7517, RFC 7518 section 6.2).
	FormatJWK Format = "jwk"
	// FormatJSON is an object with publicKey and, for a private key,
	// privateKey, both as FormatBase64URL.
	FormatJSON Format = "json"
	// FormatUint8Array is a JavaScript expression, public keys only.
	FormatUint8Array Format = "uint8array"
)

// Extension returns the usual ending of a file's name, such as ".pem", with a dot.
func (f Format) Extension() string {
	switch f {
	case FormatBase64URL, FormatHex:
		return ".txt"
	case FormatSEC1:
		return ".pem"
	case FormatUint8Array:
		return ".js"
	}
	return "." + string(f)
}

// adviceWritePublic is the hint for a private key that cannot be written.
const adviceWritePublic = "write the public key instead"

type jwk struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	D   string `json:"d,omitempty"`
}

type jsonPair struct {
	PublicKey  string `json:"publicKey"`
	PrivateKey string `json:"privateKey,omitempty"`
}

func (p PublicKey) jwk() jwk {
	return jwk{Kty: "EC", Crv: "P-256", X: b64.Encode(p.point[1:33]), Y: b64.Encode(p.point[33:])}
}

// Marshal writes the private key in the format f. The text formats PEM, SEC1,
// JWK, and JSON end with a newline; the others do not. The scalar is always 32
// bytes long. It returns an [*Error] if f cannot hold a private key, or if the key
// was created by [NewKey].
func (k *Key) Marshal(f Format) ([]byte, error) {
	if k.private == nil {
		return nil, &Error{Part: "key", Problem: "the private key is held by a signer and cannot be written", hint: adviceWritePublic}
	}
	scalar, err := k.private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding the private key: %w", err)
	}
	switch f {
	case FormatPEM, FormatDER:
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return nil, fmt.Errorf("encoding the private key: %w", err)
		}
		if f == FormatDER {
			return der, nil
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	case FormatSEC1:
		der, err := x509.MarshalECPrivateKey(k.private)
		if err != nil {
			return nil, fmt.Errorf("encoding the private key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
	case FormatRaw:
		return scalar, nil
	case FormatBase64URL:
		return []byte(b64.Encode(scalar)), nil
	case FormatHex:
		return []byte(hex.EncodeToString(scalar)), nil
	case FormatJWK:
		j := k.public.jwk()
		j.D = b64.Encode(scalar)
		return marshalLine(j)
	case FormatJSON:
		return marshalLine(jsonPair{k.public.String(), b64.Encode(scalar)})
	}
	return nil, refuse(fmt.Sprintf("a private key cannot be written as %q", string(f)), adviceWritePublic)
}

// Marshal writes the public key in the format f. The text formats PEM, JWK, and
// JSON end with a newline; the others do not. It returns an [*Error] if f cannot
// hold a public key.
func (p PublicKey) Marshal(f Format) ([]byte, error) {
	switch f {
	case FormatPEM, FormatDER:
		public, err := p.ecdsa()
		if err != nil {
			return nil, fmt.Errorf("encoding the public key: %w", err)
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return nil, fmt.Errorf("encoding the public key: %w", err)
		}
		if f == FormatDER {
			return der, nil
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
	case FormatRaw:
		return p.Bytes(), nil
	case FormatBase64URL:
		return []byte(p.String()), nil
	case FormatHex:
		return []byte(hex.EncodeToString(p.point[:])), nil
	case FormatJWK:
		return marshalLine(p.jwk())
	case FormatJSON:
		return marshalLine(jsonPair{PublicKey: p.String()})
	case FormatUint8Array:
		var s strings.Builder
		s.WriteString("new Uint8Array([")
		for i, b := range p.point {
			if i > 0 {
				s.WriteString(", ")
			}
			fmt.Fprintf(&s, "%d", b)
		}
		s.WriteString("])")
		return []byte(s.String()), nil
	}
	return nil, refuse(fmt.Sprintf("a public key cannot be written as %q", string(f)), "write the private key instead")
}

func marshalLine(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}
