package webpush

import (
	"bytes"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// otherNotation returns the error for a subscription that is not written in JSON, or
// nil if the notation is not known.
func otherNotation(data []byte) error {
	if name := notation.Foreign(data); name != "" {
		return badSubscription("subscription", "found "+name+", expected JSON", "export the subscriptions as JSON or CSV, uncompressed")
	}
	if !utf8.Valid(data) {
		return badSubscription("subscription", "found "+text.Count(len(data), "byte")+" of binary data, expected JSON", subscriptionHint)
	}
	name, hint := notation.Name(string(bytes.TrimSpace(data)))
	if name == "" {
		return nil
	}
	return badSubscription("subscription", "the subscription is "+name+", not plain JSON", hint)
}

// unusualKey names the form of a key that is text but not base64, or returns "".
// size is the number of bytes that the key has.
func unusualKey(value string, size int) string {
	runes, latin := 0, true
	for _, r := range value {
		runes++
		latin = latin && r < 0x100
	}
	switch {
	case value == "undefined", value == "null", value == "NaN", value == "None", value == "nil":
		return "the text " + value
	case strings.HasPrefix(value, "b'") && strings.HasSuffix(value, "'"), strings.HasPrefix(value, `b"`):
		return "the text of Python bytes"
	case strings.HasPrefix(value, `{"`), strings.HasPrefix(value, "["), strings.HasPrefix(value, "Uint8Array"), strings.HasPrefix(value, "ArrayBuffer"), strings.HasPrefix(value, "<Buffer"):
		return "the text of an object or array"
	case strings.Count(value, ",") == size-1:
		return "a list of bytes"
	case strings.HasPrefix(value, "-----BEGIN"):
		return "PEM"
	case runes == size && latin && len(value) > size:
		return "the raw bytes as text, as atob gives them"
	}
	return ""
}

// hexKey returns the bytes of a key in hexadecimal digits, as databases show binary
// columns, or nil if text is not size bytes in digits. No key in base64 has that
// length.
func hexKey(text string, size int) []byte {
	for _, prefix := range []string{`\x`, "0x", "0X"} {
		text = strings.TrimPrefix(text, prefix)
	}
	if b, err := hex.DecodeString(text); err == nil && len(b) == size {
		return b
	}
	return nil
}
