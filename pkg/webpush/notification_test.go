package webpush

import "testing"

func TestIsDeclarative(t *testing.T) {
	for value, want := range map[string]bool{"8030": true, "8030.0": true, "803e1": true, `"8030"`: false, "8031": false, "null": false, "": false, "[8030]": false} {
		if got := IsDeclarative([]byte(value)); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
