package pushservice

import (
	"net/http"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/fields"
)

// all returns the values of the parameters with that name in the list.
func all(list []fields.Element, name string) []string {
	var values []string
	for _, entry := range list {
		if v, ok := entry[name]; ok {
			values = append(values, v)
		}
	}
	return values
}

func isBase64URL(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '-' || c == '_'
}

// joined returns the value of a header that is a list and can occur several times
// (RFC 9110, section 5.3).
func joined(h http.Header, name string) string { return strings.Join(h.Values(name), ", ") }
