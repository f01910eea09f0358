package text

import (
	"bytes"
	"encoding/json"
)

// DuplicateName returns a name that occurs twice in an object of the JSON text data (RFC
// 8259, section 4), at any depth. Of a text that is not JSON, it reads what comes before the
// error.
func DuplicateName(data []byte) (name string, twice bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		value bool            // whether a value is next, not a name
	}
	var open []level
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
			if at.names[name] {
				return name, true
			}
			at.names[name], at.value = true, true
		}
	}
}
