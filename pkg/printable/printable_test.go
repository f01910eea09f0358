package printable_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/printable"
)

// hostile is text of a stranger that acts on a terminal: ESC, a C1 control, DEL,
// bidirectional controls, and separators of lines.
const hostile = "a\x1b[31m\u009b31m\x7f\u202e\u2066\u2028\u2029\u0085b"

// TestText asserts that nothing harmful remains, and other text is unchanged.
func TestText(t *testing.T) {
	for _, plain := range []string{"", "plain\tä 👋\n", "עברית"} {
		if got := printable.Text(plain); got != plain {
			t.Errorf("%q became %q", plain, got)
		}
	}
	if got := printable.Text(hostile); strings.ContainsFunc(got, printable.Harmful) || !strings.HasPrefix(got, `a\x1b[31m\u009b31m\x7f\u202e`) {
		t.Errorf("%q", got)
	}
	if got := printable.Text("a\xffb"); got != "a\ufffdb" {
		t.Errorf("a byte that is not UTF-8 became %q", got)
	}
}

// TestQuoted asserts that text of several lines and hostile text are quoted.
func TestQuoted(t *testing.T) {
	for text, want := range map[string]string{"plain ä": "plain ä", "a\nb": `"a\nb"`, "a\x1bb": `"a\x1bb"`, "a\u202eb": `"a\u202eb"`, "a\xffb": `"a\xffb"`} {
		if got := printable.Quoted(text); got != want {
			t.Errorf("%q became %s, want %s", text, got, want)
		}
	}
}

// TestJSON asserts that the meaning stays.
func TestJSON(t *testing.T) {
	b, err := json.Marshal(map[string]string{"x": hostile})
	if err != nil {
		t.Fatal(err)
	}
	got := printable.JSON(b)
	var v map[string]string
	if err := json.Unmarshal(got, &v); err != nil || v["x"] != hostile || bytes.ContainsFunc(got, printable.Harmful) {
		t.Errorf("%v: %q", err, got)
	}
	if clean := []byte(`{"x":"ä"}`); &printable.JSON(clean)[0] != &clean[0] {
		t.Error("clean JSON is copied")
	}
}

// The name that a stranger gave a record cannot act on the terminal.
func ExampleText() {
	fmt.Println(printable.Text("invoice\x1b[2J"))
	// Output: invoice\x1b[2J
}
