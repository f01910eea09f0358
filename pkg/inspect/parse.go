package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/ece"
)

// ParseHeaders reads the headers of a request from pasted text: header lines, options of
// curl, the output of curl -v, a JSON object, perhaps within the field "headers", or the
// value of an Authorization header alone. Lines that are not headers are ignored.
func ParseHeaders(text string) (http.Header, error) {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		var fields map[string]json.RawMessage
		if json.Unmarshal([]byte(text), &fields) != nil {
			return nil, errors.New("the headers' JSON is damaged or truncated")
		}
		if raw := fields["headers"]; len(raw) > 0 && raw[0] == '{' {
			return headerMap(raw), nil
		}
		return headerMap(json.RawMessage(text)), nil
	}
	h := make(http.Header)
	for line := range strings.Lines(text) {
		if m := anyHeader.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			h.Set(m[2], strings.TrimSuffix(m[3], m[1]))
		}
	}
	if h.Get("Authorization") == "" {
		h.Set("Authorization", strings.Join(strings.Fields(text), " "))
	}
	return h, nil
}

// ParseMessage reads a captured message: its body as bytes or in base64 of either
// alphabet, or a JSON object with the headers and the body in base64, such as the event
// of a cloud function. header is nil without headers.
func ParseMessage(data []byte) (header http.Header, body []byte, err error) {
	trimmed := strings.TrimSpace(string(UTF8(data)))
	if strings.HasPrefix(trimmed, "{") {
		var m struct {
			Headers json.RawMessage `json:"headers"`
			Body    string          `json:"body"`
		}
		if json.Unmarshal([]byte(trimmed), &m) != nil || m.Headers == nil {
			return nil, data, nil
		}
		body, err := bodyInBase64(m.Body)
		if err != nil {
			return nil, nil, fmt.Errorf("the body is not valid base64: %w", err)
		}
		return headerMap(m.Headers), body, nil
	}
	if decoded, err := bodyInBase64(trimmed); err == nil && len(decoded) >= ece.AESGCM.Overhead() { // no encrypted body is text
		return nil, decoded, nil
	}
	return nil, data, nil
}
