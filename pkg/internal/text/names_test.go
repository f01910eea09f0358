package text

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzDuplicateName: a decoder into maps loses a member exactly where a name is
// found twice.
func FuzzDuplicateName(f *testing.F) {
	for _, s := range []string{`{"a":1,"a":2}`, `{"a":{"b":[{"c":1,"c":2}]}}`, `{"a":"a:","b":"a"}`, `["a","a"]`, `{"":1,"":2}`, "{}", `{"a":[],"b":{}}`, `"\":"`, `{"\u0061":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if !utf8.Valid(data) || json.Unmarshal(data, &v) != nil {
			t.Skip()
		}
		colons, quoted := 0, false
		for i := 0; i < len(data); i++ {
			switch {
			case quoted && data[i] == '\\':
				i++
			case data[i] == '"':
				quoted = !quoted
			case data[i] == ':' && !quoted:
				colons++
			}
		}
		if _, twice := DuplicateName(data); twice != (colons != members(v)) {
			t.Errorf("%q: twice is %v; %d members written, %d read", data, twice, colons, members(v))
		}
	})
}

func members(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		n = len(v)
		for _, v := range v {
			n += members(v)
		}
	case []any:
		for _, v := range v {
			n += members(v)
		}
	}
	return n
}
