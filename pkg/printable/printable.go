// Package printable makes text of strangers safe to show: of push services, user agents,
// and input files. On a terminal, control characters could move the cursor, hide text,
// or run commands, and marks of direction could change the order of a line.
package printable

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Harmful reports whether a character can act on a terminal or change the order of a
// line: control characters (C0, C1, and DEL, but not line ends and tabs), marks of
// direction, and line and paragraph separators.
func Harmful(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7f
	case r == '\u2028', r == '\u2029':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// Text returns text with harmful characters spelled out. Bytes that are not UTF-8 become
// U+FFFD; line ends and tabs remain.
func Text(text string) string {
	return spellOut(text, func(r rune) string { return strings.Trim(strconv.QuoteRuneToASCII(r), "'") })
}

// Quoted returns text of one line unchanged, or in quotes if it has a character that is
// not graphic.
func Quoted(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(text)
	}
	return text
}

// JSON returns equivalent JSON that escapes all harmful characters, including those that
// encoding/json does not escape.
func JSON(b []byte) []byte {
	if !bytes.ContainsFunc(b, Harmful) {
		return b
	}
	return []byte(spellOut(string(b), func(r rune) string { return fmt.Sprintf(`\u%04x`, r) }))
}

// spellOut replaces harmful characters, and bytes that are not UTF-8.
func spellOut(text string, spell func(rune) string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, Harmful) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if Harmful(r) {
			b.WriteString(spell(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
