package vapid

import (
	"strings"
	"unicode"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

var (
	keyParts  = pattern.New(`[^A-Za-z0-9+_=-]+`)
	hexDigits = pattern.New(`[0-9A-Fa-f]{16,}`)
)

// MayBeKey reports whether a word may be a key, whole or damaged, instead of the name of
// a file or a variable. A program should not show such a word.
func MayBeKey(word string) bool {
	if KeyText(word) || strings.ContainsAny(word, "\r\n") {
		return true
	}
	if len(word) < 16 { // too short for each of the following rules; the default of a flag is such a word
		return false
	}
	if _, err := ParsePublicKey([]byte(word)); err == nil {
		return true
	}
	mixed := func(s string) bool { // as base64 is
		return strings.ContainsFunc(s, unicode.IsUpper) && strings.ContainsFunc(s, unicode.IsLower) && strings.ContainsFunc(s, unicode.IsDigit)
	}
	for _, part := range keyParts.Split(word, -1) {
		if hexDigits.MatchString(part) || len(part) >= 16 && mixed(part) {
			return true
		}
	}
	return len(word) >= 32 && !strings.Contains(word, ".") && mixed(word)
}

// KeyText reports whether text begins like a key in PEM or JSON, even a damaged one: it
// is not the name of a file.
func KeyText(text string) bool {
	return strings.Contains(text, "-----BEGIN ") || strings.HasPrefix(strings.TrimSpace(text), "{")
}
