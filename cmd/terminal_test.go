package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/printable"
)

// hostile is text of a stranger that acts on a terminal: ESC, a C1 control, DEL,
// bidirectional controls, and separators of lines.
const hostile = "a\x1b[31m\u009b31m\x7f\u202e\u2066\u2028\u2029\u0085b"

// TestTerminal asserts that no text from outside in JSON acts on the terminal, and that
// it still says what it was.
func TestTerminal(t *testing.T) {
	var out bytes.Buffer
	s := &streams{out: &out, err: &out}
	if err := s.printJSON(map[string]string{"x": hostile}); err != nil {
		t.Fatal(err)
	}
	var v map[string]string
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v["x"] != hostile || bytes.ContainsFunc(out.Bytes(), printable.Harmful) {
		t.Errorf("%v: %q", err, out.String())
	}
}

// TestServiceLog writes durations in JSON as seconds, not as nanoseconds.
func TestServiceLog(t *testing.T) {
	var out bytes.Buffer
	(&streams{err: &out}).serviceLog(true).Info("message accepted", "ttl", 90*time.Minute, "took", 1500*time.Microsecond)
	if got := out.String(); !strings.Contains(got, `"ttl":5400,"took":0.0015}`) {
		t.Errorf("the log is %s", got)
	}
}
