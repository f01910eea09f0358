package text

import (
	"bytes"
	"encoding/json"
)

// JSON returns v as JSON on one line. Unlike [json.Marshal], it does not escape
// <, >, and & in strings.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
