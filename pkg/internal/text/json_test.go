package text

import "testing"

func TestJSON(t *testing.T) {
	if b, err := JSON(map[string]string{"a": "<b>&\n"}); string(b) != `{"a":"<b>&\n"}` || err != nil {
		t.Errorf("%s, %v", b, err)
	}
	if b, err := JSON(func() {}); err == nil {
		t.Errorf("a function became %s", b)
	}
}
