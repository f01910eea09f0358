// Package b64 encodes and decodes base64. It writes base64url without padding
// (RFC 4648, section 5). It reads either alphabet, with or without padding, and
// is otherwise strict.
package b64

import (
	"encoding/base64"
	"fmt"
	"strings"
)

var strictURL, strictStd = base64.RawURLEncoding.Strict(), base64.RawStdEncoding.Strict()

// Encode returns b as base64url without padding.
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Decode returns the bytes that s encodes, in the standard or the URL alphabet,
// padded or not. It refuses white space, characters of neither alphabet, a mix
// of both, impossible lengths, and trailing bits that are not zero: each is a
// sign of text that was truncated or altered. The error says which, and never
// repeats more than one character of s, because s may be a secret.
func Decode(s string) ([]byte, error) {
	if strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 { // which package base64 ignores
		if b, err := strictURL.DecodeString(s); err == nil { // as nearly every input
			return b, nil
		}
	}
	body := strings.TrimRight(s, "=")
	std, url := -1, -1
	for i, c := range body {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '+' || c == '/':
			std = i
		case c == '-' || c == '_':
			url = i
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			return nil, fmt.Errorf("white space at position %d of base64 text", i+1)
		default:
			return nil, fmt.Errorf("character %q at position %d is not base64", c, i+1)
		}
	}
	if std >= 0 && url >= 0 {
		return nil, fmt.Errorf("mixes the standard and the URL alphabet of base64")
	}
	if len(body)%4 == 1 {
		return nil, fmt.Errorf("%d characters of base64 is a length that no encoding has; is it cut off?", len(body))
	}
	if pad := len(s) - len(body); pad > 2 || pad > 0 && len(s)%4 != 0 {
		return nil, fmt.Errorf("wrong number of '=' after %d characters of base64; is it cut off?", len(body))
	}
	enc := strictURL
	if std >= 0 {
		enc = strictStd
	}
	b, err := enc.DecodeString(body)
	if err != nil {
		return nil, fmt.Errorf("last character of base64 has stray bits; is it cut off or altered?")
	}
	return b, nil
}
