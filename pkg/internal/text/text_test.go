package text

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	for _, tt := range []struct {
		in   string
		max  int
		want string
	}{{"short", 5, "short"}, {"longer", 5, "longe…"}, {"ää", 3, "ä…"}, {"", 0, ""}, {"x", 0, "…"}} {
		if got := Clip(tt.in, tt.max); got != tt.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tt.in, tt.max, got, tt.want)
		}
	}
}

// No text, however hostile, acts on a terminal or gets longer than it may.
func FuzzOneLine(f *testing.F) {
	for _, seed := range []string{"plain", "a\x1b[31mb", "a\u202eb\u2028c\u009b1m\x7f", "\xff\xfe", strings.Repeat("é", 40)} {
		f.Add(seed, 20)
	}
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max = max & 0xff; len(s) > 1<<16 {
			return
		}
		got := OneLine(s, max)
		printable := !strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) })
		if !printable || !utf8.ValidString(got) || len(got) > 3*max+len("…") {
			t.Fatalf("OneLine(%q, %d) = %q", s, max, got)
		}
	})
}
