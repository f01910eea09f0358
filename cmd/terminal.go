package cmd

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// harmful reports whether a character can act on a terminal or change the order
// of a line: control characters (C0, C1, and DEL, but line ends and tabs), marks
// of direction, and line and paragraph separators.
func harmful(r rune) bool {
	switch {
	case r == '\n', r == '\t':
		return false
	case r == '\u2028', r == '\u2029':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}

// safe returns text for a terminal, with harmful characters spelled out. All
// text on standard error goes through it.
func safe(text string) string {
	return spellOut(text, func(r rune) string { return strings.Trim(strconv.QuoteRuneToASCII(r), "'") })
}

// spellOut replaces harmful characters, and bytes that are not UTF-8.
func spellOut(text string, spell func(rune) string) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, harmful) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if harmful(r) {
			b.WriteString(spell(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// safeJSON spells out harmful characters in JSON, where encoding/json leaves
// them as they are.
func safeJSON(b []byte) []byte {
	if !bytes.ContainsFunc(b, harmful) {
		return b
	}
	return []byte(spellOut(string(b), func(r rune) string { return fmt.Sprintf(`\u%04x`, r) }))
}

// visible quotes a stranger's text that could act on the terminal.
func visible(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(s)
	}
	return s
}
