package vapid

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// found holds the content of a text or file: a private key, a public key, or
// both.
type found struct {
	private *ecdsa.PrivateKey
	public  *PublicKey // the stored public key, or nil
	form    string     // "PKCS#8 PEM"
	note    string     // anything unusual
}

func (f found) what() string {
	if f.private != nil {
		return "a private key (" + f.form + ")"
	}
	return "a public key (" + f.form + ")"
}

// key returns the private key that was found.
func (f found) key() (*Key, error) {
	if f.private == nil {
		return nil, refuse("found "+f.what()+", expected a private key",
			"use the other file or value of the key pair; a private key cannot be derived from a public key")
	}
	k, err := newKey(f.private)
	if err != nil {
		return nil, err
	}
	if f.public != nil && *f.public != k.public {
		return nil, refuse(fmt.Sprintf("the public key next to the private key in this %s (%s) does not match it (%s)", f.form, f.public.Fingerprint(), k.public.Fingerprint()),
			"one of the two is from another key pair; if the private key is the right one, pass it alone")
	}
	k.found, k.note = f.form, f.note
	return k, nil
}

func refuse(problem, hint string) *Error { return &Error{Part: "key", Problem: problem, hint: hint} }

// noKey returns the error for data that is not a key of any kind.
func noKey(problem, hint string) *Error {
	return &Error{Part: "key", Problem: problem, hint: hint, noKey: true}
}

// Hints about keys of the wrong kind do not suggest generating a new key: that
// would lose every subscription created with the intended one.
const (
	adviceForms = "pass a P-256 private key: PEM, DER, a JSON Web Key, or its 32 bytes in base64 or hex"
	adviceOther = "use the P-256 key that the subscriptions were created with"
	// adviceFirebase is for keys of native apps.
	adviceFirebase = "Web Push needs no Firebase account, but a VAPID key pair"
)

// apiKey matches the keys of Google's APIs.
var apiKey = pattern.New(`^AIza[\w-]{35}$`)

const expectedPrivate = "expected a P-256 private key: PEM, DER, JWK, or its 32 bytes in base64 or hex"

// ParseKey recognizes a private signing key by its content, in any of the
// forms that tools for Web Push write:
//
//   - PEM, PKCS#8 or SEC1 regardless of the label, with other blocks and any
//     text around it, even with "\n" or spaces as line ends, as in environment
//     variables;
//   - DER, PKCS#8 or SEC1, as bytes or in base64;
//   - the 32-byte scalar in base64 or hex, also 31 bytes (a leading zero was
//     dropped) and 33 (a zero was put in front), or as 32 bytes;
//   - a JSON Web Key;
//   - JSON with privateKey and publicKey, or lines like "Private Key: …";
//   - a list of bytes, as new Uint8Array([4, …]) or [4, …].
//
// Base64 may be in either alphabet, padded or not. The error is an [*Error]: it
// describes what was found if that is not a P-256 private key (another curve,
// RSA, an encrypted key, a public key, a point off the curve, a scalar out of
// range, or a public key that does not match the private key).
func ParseKey(data []byte) (*Key, error) {
	f, err := recognize(data, 0)
	if err != nil {
		return nil, err
	}
	return f.key()
}

// ParsePublicKey recognizes an application server key by its content, in the
// forms listed at [ParseKey]: the 65-byte point (even without its first byte
// 0x04, or compressed to 33 bytes) in base64, in hex, or as bytes, SPKI in PEM
// or DER, a JSON Web Key, JSON with publicKey; or any private key, whose public
// key it returns. The error is an [*Error].
func ParsePublicKey(data []byte) (PublicKey, error) {
	f, err := recognize(data, 0)
	if err != nil {
		return PublicKey{}, err
	}
	if f.private == nil {
		return *f.public, nil
	}
	k, err := f.key()
	if err != nil {
		return PublicKey{}, err
	}
	return k.public, nil
}

// recognize finds a key in data. depth counts the layers that were unwrapped.
func recognize(data []byte, depth int) (found, error) {
	if depth > 3 {
		return found{}, refuse("found a key wrapped in too many layers of JSON or base64", "pass the key itself")
	}
	data = text.TrimBOM(data)
	text := strings.TrimSpace(string(data))
	switch {
	case len(text) == 0:
		return found{}, noKey("found nothing, "+expectedPrivate, adviceForms)
	case strings.HasPrefix(text, "-----BEGIN "):
		return fromPEM(text)
	case !isText(data): // before JSON: the first byte of a raw key may be a brace
		return fromBytes(data)
	case strings.HasPrefix(text, "{"), strings.HasPrefix(text, "[{"):
		return fromJSON(text, depth)
	}
	if f, ok, err := fromLabels(text, depth); ok {
		if err == nil && f.private == nil {
			if pair, ok := matchingPair(text); ok {
				return pair, nil
			}
		}
		return f, err
	}
	switch {
	case strings.Contains(text, "-----BEGIN "):
		return fromPEM(text)
	case strings.Contains(text, "-----END "):
		return found{}, refuse("found the end of a PEM block without its beginning", "copy the whole file, from its -----BEGIN line")
	case apiKey.MatchString(text), notation.FirebaseToken.MatchString(text):
		return found{}, refuse("found a server key or token of Firebase, not a VAPID key", adviceFirebase)
	}
	if b, ok := fromByteList(text); ok {
		f, err := fromBytes(b)
		f.form += " as a list of bytes"
		return f, err
	}
	f, err := fromText(text, depth)
	if err != nil {
		if pair, ok := matchingPair(text); ok {
			return pair, nil
		}
	}
	return f, err
}

// isText reports whether data could be a key in letters: no DER and no raw
// bytes. A raw key of 32 printable characters does not occur by chance.
func isText(data []byte) bool {
	if !utf8.Valid(data) {
		return false
	}
	return bytes.IndexFunc(data, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f }) < 0
}

var pemBlock = pattern.New(`(?s)-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END ([A-Z0-9 ]+)-----`)

func fromPEM(text string) (found, error) {
	text = strings.NewReplacer(`\\r\\n`, "\n", `\\n`, "\n", `\r\n`, "\n", `\n`, "\n", "\r", "\n").Replace(text)
	blocks := pemBlock.FindAllStringSubmatch(text, -1)
	if blocks == nil {
		return found{}, refuse("found the beginning of a PEM block without its end", "copy the whole file, up to and including its -----END line")
	}
	var private, public *found
	for _, b := range blocks {
		label, body := b[1], b[2]
		if label != b[3] {
			return found{}, refuse(fmt.Sprintf("found a PEM block that begins as %q and ends as %q", label, b[3]), "")
		}
		switch {
		case label == "EC PARAMETERS":
			continue // openssl ecparam -genkey writes it in front
		case label == "ENCRYPTED PRIVATE KEY" || strings.Contains(body, "Proc-Type:"):
			return found{}, encryptedKey("PEM")
		case label == "OPENSSH PRIVATE KEY":
			return found{}, refuse("found an OpenSSH key, "+expectedPrivate, adviceOther)
		}
		der, err := b64.Decode(strings.Join(strings.Fields(body), ""))
		if err != nil {
			return found{}, refuse(fmt.Sprintf("found a damaged PEM block %q: %v", label, err), "copy the complete file again")
		}
		f, err := fromDER(der)
		if err != nil {
			return found{}, err
		}
		f.form += " PEM"
		if f.private != nil && private == nil {
			private = &f
		} else if f.private == nil && public == nil {
			public = &f
		}
	}
	switch {
	case private == nil && public == nil:
		return found{}, refuse("found a PEM file with EC PARAMETERS alone, "+expectedPrivate, adviceOther)
	case private == nil:
		return *public, nil
	case public != nil:
		private.public = public.public
	}
	return *private, nil
}

// encryptedKey returns the error for a key with a passphrase, in a form such as PEM.
func encryptedKey(form string) error {
	return refuse("found an encrypted "+form+", expected one without a passphrase",
		"decrypt it with: openssl pkcs8 -topk8 -nocrypt -in encrypted.pem -out private_key.pem")
}

// fromDER reads the three DER structures that hold such keys and names the
// others that are commonly given by mistake.
func fromDER(der []byte) (found, error) {
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		var inner struct {
			Version    int
			Algorithm  asn1.RawValue
			PrivateKey []byte
		}
		if _, err := asn1.Unmarshal(der, &inner); err != nil {
			return found{}, refuse("found a PKCS#8 key that cannot be read again: "+err.Error(), "")
		}
		return fromAny(k, inner.PrivateKey, "PKCS#8")
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return fromAny(k, der, "SEC1")
	}
	if k, err := x509.ParsePKIXPublicKey(der); err == nil {
		return fromAny(k, nil, "SPKI")
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return fromAny(k, nil, "PKCS#1")
	}
	if k, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return fromAny(k, nil, "PKCS#1")
	}
	if _, err := x509.ParseCertificate(der); err == nil {
		return found{}, refuse("found an X.509 certificate, "+expectedPrivate, "Web Push does not use certificates; "+adviceOther)
	}
	return found{}, unreadableDER(der)
}

// unreadableDER explains DER that all parsers of crypto/x509 reject.
func unreadableDER(der []byte) error {
	var seq asn1.RawValue
	if _, err := asn1.Unmarshal(der, &seq); err != nil {
		return refuse("found truncated or damaged DER", "copy the complete key again")
	}
	var encrypted struct {
		Algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Data []byte
	}
	if _, err := asn1.Unmarshal(der, &encrypted); err == nil {
		return encryptedKey("key")
	}
	for _, c := range []struct{ oid, name string }{
		{"\x06\x05\x2b\x81\x04\x00\x0a", "secp256k1"},
		{"\x06\x09\x2b\x24\x03\x03\x02\x08\x01\x01\x07", "brainpoolP256r1"},
	} {
		if bytes.Contains(der, []byte(c.oid)) {
			return refuse("found a key on the curve "+c.name+", expected P-256 (prime256v1)", adviceOther)
		}
	}
	if bytes.Contains(der, []byte("\x06\x07\x2a\x86\x48\xce\x3d\x01\x01")) { // prime-field
		return refuse("found an EC key with explicit curve parameters, expected the name of the curve",
			"write it again with: openssl ec -in key.pem -param_enc named_curve -out private_key.pem")
	}
	if bytes.Contains(der, []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07")) {
		return refuse("found a P-256 key whose numbers are out of range: a zero or too large scalar, or a point off the curve", adviceOther)
	}
	return noKey("found DER that is not a known key, "+expectedPrivate, adviceForms)
}

// fromAny converts a key that crypto/x509 read. sec1 is the ECPrivateKey
// structure it was read from, or nil: crypto/x509 computes the public key again
// and does not compare it with the stored one.
func fromAny(k any, sec1 []byte, form string) (found, error) {
	switch k := k.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return found{}, otherCurve(k.Curve)
		}
		var stored struct {
			Version    int
			PrivateKey []byte
			OID        asn1.ObjectIdentifier `asn1:"optional,explicit,tag:0"`
			PublicKey  asn1.BitString        `asn1:"optional,explicit,tag:1"`
		}
		f := found{private: k, form: form}
		if _, err := asn1.Unmarshal(sec1, &stored); err == nil && len(stored.PublicKey.Bytes) > 0 {
			p, err := fromPoint(stored.PublicKey.Bytes)
			if err != nil {
				return found{}, err
			}
			f.public = p.public
			if _, err := f.key(); err != nil {
				return found{}, err
			}
		}
		return f, nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() {
			return found{}, otherCurve(k.Curve)
		}
		p, err := newPublicKey(k)
		return found{public: &p, form: form}, err
	case *rsa.PrivateKey, *rsa.PublicKey:
		return found{}, refuse("found an RSA key, "+expectedPrivate, "Web Push signs only with ES256; "+adviceOther)
	case ed25519.PrivateKey, ed25519.PublicKey:
		return found{}, refuse("found an Ed25519 key, "+expectedPrivate, "Web Push signs only with ES256; "+adviceOther)
	case *ecdh.PrivateKey, *ecdh.PublicKey:
		return found{}, refuse("found an X25519 key, "+expectedPrivate, adviceOther)
	}
	return found{}, refuse(fmt.Sprintf("found a key of another kind (%T), %s", k, expectedPrivate), adviceOther)
}

func otherCurve(c elliptic.Curve) error {
	return refuse("found a key on the curve "+c.Params().Name+", expected P-256 (prime256v1)", adviceOther)
}

func fromJSON(text string, depth int) (found, error) {
	var v struct {
		Kty        string
		Crv        string
		X, Y, D    string
		PrivateKey string
		PublicKey  string
		// snake_case, as configuration files have it
		PrivateKey2 string `json:"private_key"`
		PublicKey2  string `json:"public_key"`
		Type        string // of a Google service account
		Endpoint    string
		P256DH      string
		Auth        string
		Keys        json.RawMessage // keys of a JSON Web Key Set
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return found{}, refuse(fmt.Sprintf("found JSON that is damaged or truncated at byte %d", syntax.Offset), "copy the complete key again")
		}
		if f, ok, err := fromNested(text, depth); ok {
			return f, err
		}
		return found{}, refuse("found JSON whose fields are not strings, expected a JSON Web Key or privateKey and publicKey", "")
	}
	switch {
	case v.Type == "service_account":
		return found{}, refuse("found the key of a Google service account, not a VAPID key", adviceFirebase)
	case v.Kty != "":
		return fromJWK(v.Kty, v.Crv, v.X, v.Y, v.D)
	case v.Endpoint != "":
		return found{}, refuse("found a push subscription, expected a key", "the signing key is the private key of the application server")
	}
	if v.P256DH != "" || v.Auth != "" {
		return found{}, recipientKeys()
	}
	var set []json.RawMessage
	if v.PrivateKey == "" && json.Unmarshal(v.Keys, &set) == nil && len(set) == 1 {
		return recognize(set[0], depth+1)
	}
	private, public := v.PrivateKey, v.PublicKey
	if private == "" {
		private = v.PrivateKey2
	}
	if public == "" {
		public = v.PublicKey2
	}
	if private == "" {
		if f, ok, err := fromNested(text, depth); ok {
			return f, err
		}
	}
	return fromPair(private, public, "JSON", depth)
}

func recipientKeys() error {
	return refuse("found the keys of a message recipient, expected a signing key", "the signing key is the private key of the application server; a recipient's keys decrypt")
}

// fromPair reads a private and a public key as text; either may be empty.
func fromPair(private, public, form string, depth int) (found, error) {
	var f found
	if private == "" && public == "" {
		return f, noKey("found "+form+" without a key, expected privateKey and publicKey or a JSON Web Key", adviceForms)
	}
	if private != "" {
		p, err := recognize([]byte(private), depth+1)
		if err != nil {
			return f, within("privateKey", err)
		}
		if p.private == nil {
			return f, refuse("found a public key as the privateKey of "+form, "the two values may have been swapped")
		}
		f = p
	}
	if public != "" {
		p, err := recognize([]byte(public), depth+1)
		if err != nil {
			return f, within("publicKey", err)
		}
		if p.private != nil {
			return f, refuse("found a private key as the publicKey of "+form, "the two values may have been swapped; a private key that was published must be replaced")
		}
		f.public = p.public
	}
	f.form = form
	return f, nil
}

func within(field string, err error) error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return refuse(field+": "+e.Problem, e.hint)
	}
	return fmt.Errorf("%s: %w", field, err)
}

func fromJWK(kty, crv, x, y, d string) (found, error) {
	if kty != "EC" || crv != "P-256" {
		if kty == "EC" {
			kty = fmt.Sprintf("EC with crv %q", crv)
		}
		return found{}, refuse("found a JSON Web Key of kty "+kty+", expected EC with crv P-256", adviceOther)
	}
	var f found
	if d != "" {
		scalar, err := b64.Decode(d)
		if err != nil {
			return f, refuse("found a JSON Web Key with a damaged d: "+err.Error(), "")
		}
		if f, err = fromScalar(scalar); err != nil {
			return f, err
		}
	}
	if x != "" || y != "" || d == "" {
		point := make([]byte, PublicKeySize)
		point[0] = 4
		for _, c := range []struct {
			name, value string
			to          []byte
		}{{"x", x, point[1:33]}, {"y", y, point[33:]}} {
			b, err := b64.Decode(c.value)
			if err != nil {
				return f, refuse("found a JSON Web Key with a damaged "+c.name+": "+err.Error(), "")
			}
			if len(b) == 0 || len(b) > 32 {
				return f, refuse(fmt.Sprintf("found a JSON Web Key with %d bytes of %s, expected 32", len(b), c.name), "")
			}
			copy(c.to[32-len(b):], b)
		}
		p, err := fromPoint(point)
		if err != nil {
			return f, err
		}
		f.public = p.public
	}
	f.form = "JWK"
	return f, nil
}

// characters counts the bytes of a text that is not a key.
func characters(s string) string { return text.Count(len(s), "character") }

func fromText(text string, depth int) (found, error) {
	text = strings.Join(strings.Fields(strings.Trim(text, `"'`)), "")
	if colonHex.MatchString(text) {
		text = strings.ReplaceAll(text, ":", "")
	}
	digits := strings.TrimPrefix(strings.ToLower(text), "0x")
	if n := len(digits); n == 62 || n == 64 || n == 66 || n == 128 || n == 130 {
		if b, err := hex.DecodeString(digits); err == nil {
			f, err := fromBytes(b)
			f.form += " in hex"
			return f, err
		}
	}
	b, err := b64.Decode(text)
	if err != nil {
		if len(text) < 40 {
			return found{}, noKey(fmt.Sprintf("found %s of text, not a key; %s", characters(text), expectedPrivate), adviceForms)
		}
		return found{}, noKey(fmt.Sprintf("found %s of text, not a key: %v", characters(text), err), "copy the complete key again")
	}
	if bytes.Contains(b, []byte("-----BEGIN ")) {
		f, err := recognize(b, depth+1)
		f.form += " in base64"
		return f, err
	}
	if isText(b) && len(b) > PrivateKeySize+1 {
		if _, err := recognize(b, depth+1); err == nil {
			return found{}, refuse("found a key that was encoded in base64 twice", "decode it once and pass the result")
		}
	}
	f, err := fromBytes(b)
	f.form += " in base64"
	return f, err
}

// fromBytes reads a key from bytes and detects its form by their length.
func fromBytes(b []byte) (found, error) {
	switch n := len(b); {
	case n == PrivateKeySize:
		return fromScalar(b)
	case n == PrivateKeySize-1 || n == PrivateKeySize+1 && b[0] == 0:
		return fromScalar(b)
	case n == PublicKeySize && b[0] == 4, n == PublicKeySize-1, n == 33 && (b[0] == 2 || b[0] == 3):
		return fromPoint(b)
	case n > 33 && b[0] == 0x30 && n != PublicKeySize:
		f, err := fromDER(b)
		f.form += " DER"
		return f, err
	}
	return found{}, noKey(fmt.Sprintf("found %d bytes, not a key: a private key has %d bytes, a public key %d starting with 04", len(b), PrivateKeySize, PublicKeySize),
		"a key of another length is truncated or for another curve")
}

// fromScalar reads a scalar of 31 to 33 bytes, or any shorter one from a JSON
// Web Key.
func fromScalar(b []byte) (found, error) {
	f := found{form: "raw scalar"}
	switch {
	case len(b) == PrivateKeySize+1 && b[0] == 0:
		f.note = "the private key has 33 bytes, the first of them zero, as Java's BigInteger writes it; the zero was dropped"
		b = b[1:]
	case len(b) < PrivateKeySize && len(b) > 0:
		f.note = fmt.Sprintf("the private key has %d bytes; read as a key whose leading zeros were dropped, unless it was truncated", len(b))
		b = append(make([]byte, PrivateKeySize-len(b)), b...)
	case len(b) != PrivateKeySize:
		return f, refuse(fmt.Sprintf("found a private key of %d bytes, expected %d", len(b), PrivateKeySize), adviceOther)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	if err != nil {
		what := "larger than the order of P-256"
		if len(bytes.Trim(b, "\x00")) == 0 {
			what = "zero"
		}
		return f, refuse("found a private key that is "+what+", expected a number from 1 to the order of P-256", adviceOther)
	}
	f.private = private
	return f, nil
}

// fromPoint reads a point of 65, 64, or 33 bytes.
func fromPoint(b []byte) (found, error) {
	f := found{form: "raw point"}
	switch {
	case len(b) == PublicKeySize-1:
		f.note = "the public key has 64 bytes; read as X and Y without the first byte 04"
		b = append([]byte{4}, b...)
	case len(b) == 33 && (b[0] == 2 || b[0] == 3):
		f.note = "the public key is compressed to 33 bytes; Web Push needs all 65"
		x, y := elliptic.UnmarshalCompressed(elliptic.P256(), b)
		if x == nil {
			return f, offCurve()
		}
		b = make([]byte, PublicKeySize)
		b[0] = 4
		x.FillBytes(b[1:33])
		y.FillBytes(b[33:])
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b); err != nil {
		return f, offCurve()
	}
	f.public = new(PublicKey)
	copy(f.public.point[:], b)
	return f, nil
}

func offCurve() error {
	return refuse("found a public key that is not a point on P-256", "copy it again completely; the key of another curve cannot be used")
}
