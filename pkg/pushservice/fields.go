package pushservice

import (
	"fmt"
	"net/http"
	"strings"
)

// parameters is one entry of a header: names in lower case and values.
type parameters map[string]string

// parseList reads a header with entries separated by commas. Each entry has
// parameters name=value separated by semicolons; values may be quoted. Errors quote
// only names, because values may be secret.
func parseList(s string) ([]parameters, error) {
	var list []parameters
	entry := make(parameters)
	end := func() {
		if len(entry) > 0 {
			list = append(list, entry)
			entry = make(parameters)
		}
	}
	for {
		s = strings.TrimLeft(s, " \t;")
		switch {
		case s == "":
			end()
			return list, nil
		case s[0] == ',':
			end()
			s = s[1:]
			continue
		}
		n := 0
		for n < len(s) && isTokenChar(s[n]) {
			n++
		}
		name := strings.ToLower(s[:n])
		if s = strings.TrimLeft(s[n:], " \t"); name == "" || s == "" || s[0] != '=' {
			return nil, fmt.Errorf("expected name=value")
		}
		value, rest, err := parseValue(strings.TrimLeft(s[1:], " \t"))
		if err != nil {
			return nil, fmt.Errorf("parameter %q %w", clip(name), err)
		}
		if _, twice := entry[name]; twice {
			return nil, fmt.Errorf("parameter %q is given twice", clip(name))
		}
		entry[name] = value
		s = rest
	}
}

// parseValue reads a value and returns the rest of s.
func parseValue(s string) (value, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		i := 1
		for ; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteByte(s[i])
		}
		if i >= len(s) {
			return "", "", fmt.Errorf("has an unterminated quote")
		}
		value, s = b.String(), s[i+1:]
	} else {
		n := 0
		for n < len(s) && (isTokenChar(s[n]) || s[n] == '/' || s[n] == '=') {
			n++
		}
		value, s = s[:n], s[n:]
	}
	if s = strings.TrimLeft(s, " \t"); s != "" && s[0] != ',' && s[0] != ';' {
		return "", "", fmt.Errorf("has %q after its value, expected a comma or semicolon", s[0])
	}
	if value == "" {
		return "", "", fmt.Errorf("has no value")
	}
	return value, s, nil
}

// all returns the values of the parameters with that name in the list.
func all(list []parameters, name string) []string {
	var values []string
	for _, entry := range list {
		if v, ok := entry[name]; ok {
			values = append(values, v)
		}
	}
	return values
}

// isTokenChar reports whether c is a tchar (RFC 9110, section 5.6.2).
func isTokenChar(c byte) bool { return isBase64URL(c) || strings.IndexByte("!#$%&'*+.^`|~", c) >= 0 }

func isBase64URL(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '-' || c == '_'
}

// joined returns the value of a header that is a list and can occur several times
// (RFC 9110, section 5.3).
func joined(h http.Header, name string) string { return strings.Join(h.Values(name), ", ") }
