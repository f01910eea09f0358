package text

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// DuplicateName returns a name that occurs twice in an object of the JSON text data (RFC
// 8259, section 4), at any depth. If data is not valid JSON, only the part before the error
// is checked.
func DuplicateName(data []byte) (name string, twice bool) {
	return duplicate(data, func(name string) string { return name })
}

// DuplicateField is DuplicateName for a text that encoding/json reads into structs, and so
// matches names without regard to case. It does not look into the values of the fields in
// unread, which are written such as "notification.data".
func DuplicateField(data []byte, unread ...string) (name string, twice bool) {
	return duplicate(data, foldCase, unread...)
}

// foldCase returns the same text for all names that encoding/json matches with one field.
func foldCase(name string) string {
	return strings.Map(func(r rune) rune {
		for { // find the smallest of the runes that differ only in case
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}

// duplicate finds a name with the same key as another name in the same object.
func duplicate(data []byte, key func(name string) string, unread ...string) (name string, twice bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		key   string          // key of the last name
		value bool            // whether a value is next, not a name
	}
	var open []level
	skips := func() bool {
		path := make([]string, len(open))
		for i, l := range open {
			path[i] = l.key
		}
		here := strings.Join(path, ".")
		return slices.ContainsFunc(unread, func(field string) bool { return key(field) == here })
	}
	for {
		token, err := d.Token()
		if err != nil {
			return "", false
		}
		if delim, ok := token.(json.Delim); ok {
			switch delim {
			case '{':
				open = append(open, level{names: make(map[string]bool)})
				continue
			case '[':
				open = append(open, level{})
				continue
			}
			open = open[:len(open)-1]
		}
		if len(open) == 0 {
			return "", false
		}
		at := &open[len(open)-1]
		switch {
		case at.names == nil:
		case at.value:
			at.value = false
		default:
			name, _ := token.(string)
			if at.key = key(name); at.names[at.key] {
				return name, true
			}
			at.names[at.key], at.value = true, true
			if len(unread) > 0 && skips() {
				if d.Decode(new(json.RawMessage)) != nil {
					return "", false
				}
				at.value = false
			}
		}
	}
}
