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
// invalid UTF-8 are removed, so that the result is fit for a terminal.
func OneLine(s string, max int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) }), " ")
	return strings.ToValidUTF8(Clip(s, max), "?")
}

// Printable reports whether every character of s is graphic: OneLine would
// remove nothing but spaces.
func Printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// Distance returns the number of bytes to insert, delete, replace, or swap with
// their neighbor that turn a into b.
func Distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
