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

// TestDuplicateField: two names that encoding/json would read into one field are found,
// except where nobody reads them.
func TestDuplicateField(t *testing.T) {
	for data, want := range map[string]string{
		`{"to":{"user":"a"},"To":{"user":"b"}}`:                           "To",
		`{"to":1,"to":2}`:                                                 "to",
		`{"to":{"user":1,"uſer":2}}`:                                      "uſer",
		`{"k":1,"\u212a":2}`:                                              "\u212a",
		`{"notification":{"data":{"a":1,"a":2},"DATA":{}}}`:               "DATA",
		`{"notification":{"data":[{"a":1,"a":2}],"title":"","Title":""}}`: "Title",
		`{"payload":{"a":1,"a":2},"to":1,"TO":2}`:                         "TO",
		`{"Payload":{"a":1,"A":[{"b":1,"b":2}]},"ttl":1}`:                 "",
		`{"notification":{"data":{"a":1,"a":{"b":1,"B":2}},"title":"x"}}`: "",
		`{"notification":[{"data":{"a":1,"a":2}}]}`:                       "a",
		`{"data":{"a":1,"a":2}}`:                                          "a",
		`{"payload":"x","other":{"payload":{"a":1,"a":2}}}`:               "a",
		`{"payload":{"a":`:                                                "",
		`{"a":{"b":1},"b":{"a":1}}`:                                       "",
	} {
		if name, twice := DuplicateField([]byte(data), "payload", "notification.data"); name != want || twice != (want != "") {
			t.Errorf("%s: %q, %v; want %q", data, name, twice, want)
		}
	}
	if name, twice := DuplicateName([]byte(`{"a":1,"A":2}`)); twice {
		t.Errorf("%q is found twice", name)
	}
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
