// Package text prepares text that came from outside for people: short, on one
// line, and without characters that act on a terminal.
package text

import (
	"strings"
	"unicode"
)

// Clip returns s cut to at most max bytes, marked with an ellipsis if anything
// was cut. Bytes that are not UTF-8 at the cut are dropped.
func Clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	return strings.ToValidUTF8(s[:max], "") + "…"
}

// OneLine returns s on one line of at most max bytes. Spaces are joined, and
// control characters, characters that change the direction of writing, and
// invalid UTF-8 are removed, which makes the result safe for a terminal.
func OneLine(s string, max int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }), " ")
	return strings.ToValidUTF8(Clip(s, max), "?")
}
