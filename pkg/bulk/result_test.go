package bulk

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/printable"
)

// TestHostileResult asserts that the name that a record has in its input does not act on
// the terminal to which its result is printed.
func TestHostileResult(t *testing.T) {
	id := json.RawMessage("\"a\u009b31m\x7f\u202eb\"")
	line, err := Result{ID: id}.line()
	if err != nil {
		t.Fatal(err)
	}
	var r Result
	if err := json.Unmarshal(line, &r); err != nil || bytes.ContainsFunc(line, printable.Harmful) {
		t.Errorf("%v: %q", err, line)
	}
	var before, after string
	if json.Unmarshal(id, &before) != nil || json.Unmarshal(r.ID, &after) != nil || before != after {
		t.Errorf("the ID is %q, expected %q", after, before)
	}
}
