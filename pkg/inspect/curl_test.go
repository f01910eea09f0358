package inspect

import (
	"strings"
	"testing"
)

// TestShellWords asserts that quoting is undone as a shell does it.
func TestShellWords(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{`curl -H 'a: b'`, []string{"curl", "-H", "a: b"}},
		{`'it'\''s' "a \"b\" $c \z"`, []string{"it's", `a "b" $c \z`}},
		{"a \\\n  b | c", []string{"a", "b", "c"}},
		{`curl ''`, []string{"curl", ""}},
		{`https://a.example/?x=1&y=2`, []string{"https://a.example/?x=1&y=2"}},
	} {
		got, err := shellWords(c.in)
		if err != nil || strings.Join(got, "\x00") != strings.Join(c.want, "\x00") {
			t.Errorf("%q: got %q and %v, want %q", c.in, got, err, c.want)
		}
	}
	for _, bad := range []string{"curl 'x", `curl "x`, `curl "x\`} {
		if _, err := shellWords(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
