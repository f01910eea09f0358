package vapid

import (
	"encoding/json"
	"fmt"
	"testing"
)

// TestNestingDepth asserts how deep a key may be nested in the text of other keys: a
// file from a stranger is not unwrapped without bound.
func TestNestingDepth(t *testing.T) {
	key, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := key.Marshal(FormatPEM)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for depth := range 8 {
		_, err := ParseKey([]byte(text))
		if want := depth <= 3; (err == nil) != want {
			t.Errorf("nested %d deep: %v", depth, err)
		}
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		text = fmt.Sprintf(`{"privateKey":%s}`, quoted)
	}
}
