package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// hostile is text of a stranger that acts on a terminal: ESC, a C1 control, DEL,
// bidirectional controls, and separators of lines.
const hostile = "a\x1b[31m\u009b31m\x7f\u202e\u2066\u2028\u2029\u0085b"

// TestTerminal: no text from outside acts on the terminal, and JSON still says
// what it was.
func TestTerminal(t *testing.T) {
	if got := safe("plain\tä 👋\n"); got != "plain\tä 👋\n" {
		t.Errorf("%q", got)
	}
	for _, text := range []string{safe(hostile), string(safeJSON([]byte(`{"x":"` + hostile + `"}`)))} {
		if strings.ContainsFunc(text, harmful) {
			t.Errorf("%q", text)
		}
	}
	var out bytes.Buffer
	s := &streams{out: &out, err: &out}
	if err := s.printJSON(map[string]string{"x": hostile}); err != nil {
		t.Fatal(err)
	}
	var v map[string]string
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v["x"] != hostile || bytes.ContainsFunc(out.Bytes(), harmful) {
		t.Errorf("%v: %q", err, out.String())
	}
}
