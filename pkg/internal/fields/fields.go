// Package fields reads header fields that are lists of parameters, name=value,
// separated by semicolons, or by commas if a new element of the list begins
// (RFC 9110, sections 5.6.1 and 5.6.6): Authorization, Crypto-Key, Encryption.
//
// [List] reads a field strictly, for recipients that judge it. [Loose] reads text that a
// person pasted, if its meaning is clear.
package fields

import (
	"errors"
	"fmt"
	"strings"
)

// Parameter is one parameter of a field, and how it was written.
type Parameter struct {
	Name, Value string // without surrounding white space and quotes
	Quoted      bool   // whether the value was a quoted string
	Before      byte   // the separator before it: a comma, a semicolon, or 0
}

// Element is one element of a list: the values by the names in lower case.
type Element map[string]string

// List reads a field by its grammar: names are tokens, unique within an element
// whatever their case. Values are tokens that may also have / and =, the rest of
// base64, which senders do not quote; or quoted strings. None is empty. Empty
// elements are skipped. An error contains no value, because it may be a secret.
func List(s string) ([]Element, error) {
	var list []Element
	element := Element{}
	for s = trim(s); s != ""; s = trim(s) {
		switch s[0] {
		case ';':
			s = s[1:]
			continue
		case ',':
			s = s[1:]
			if len(element) > 0 {
				list, element = append(list, element), Element{}
			}
			continue
		}
		name, rest := while(s, isTokenChar)
		if name == "" {
			return nil, fmt.Errorf("found %q where the name of a parameter should start", s[0])
		}
		name = strings.ToLower(name)
		if rest = trim(rest); rest == "" || rest[0] != '=' {
			return nil, fmt.Errorf("%s has no value", called(name))
		}
		rest = trim(rest[1:])
		value, rest, quoted, ok := unquote(rest)
		if !quoted {
			value, rest = while(rest, isValueChar)
		}
		switch {
		case !ok:
			return nil, fmt.Errorf("%s has an unterminated quote", called(name))
		case value == "":
			return nil, fmt.Errorf("%s has no value", called(name))
		}
		if rest = trim(rest); rest != "" && rest[0] != ';' && rest[0] != ',' {
			return nil, fmt.Errorf("%s has %q after its value, expected a comma or semicolon", called(name), rest[0])
		}
		if _, twice := element[name]; twice {
			return nil, fmt.Errorf("%s is given twice", called(name))
		}
		element[name] = value
		s = rest
	}
	if len(element) > 0 {
		list = append(list, element)
	}
	return list, nil
}

// Loose reads the parameters of a field, of all its elements, in their order.
// Names and unquoted values are all that is between the separators; both may be
// empty, and names may be repeated. An error contains no part of s, because it may
// be a secret.
func Loose(s string) ([]Parameter, error) {
	var list []Parameter
	for {
		var p Parameter
		if rest := trim(s); len(list) > 0 && rest != "" && isSeparator(rest[0]) {
			p.Before = rest[0]
		}
		if s = strings.TrimLeft(s, " \t,;"); s == "" {
			return list, nil
		}
		end := strings.IndexAny(s, "=,;")
		if end < 0 || s[end] != '=' {
			return nil, errors.New("found a parameter without a value")
		}
		p.Name, s = strings.TrimSpace(s[:end]), trim(s[end+1:])
		var ok bool
		if p.Value, s, p.Quoted, ok = unquote(s); !ok {
			return nil, errors.New("found a quoted value without its end")
		}
		if !p.Quoted {
			p.Value, s = while(s, func(c byte) bool { return !isSeparator(c) })
			p.Value = strings.TrimSpace(p.Value)
		}
		list = append(list, p)
	}
}

// unquote splits s after the quoted string it starts with, if it starts with one,
// and removes the quotes and escapes (RFC 9110, section 5.6.4). It reports
// whether s starts with a quoted string, and whether that ends.
func unquote(s string) (value, rest string, quoted, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false, true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true, true
		case '\\':
			if i++; i == len(s) {
				return "", "", true, false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", true, false
}

// called returns a description of a parameter. A long name is not shown: it may be
// a token or a key without a name.
func called(name string) string {
	if len(name) > 16 {
		return "a parameter"
	}
	return fmt.Sprintf("parameter %q", name)
}

// while splits s before the first byte that in does not accept.
func while(s string, in func(byte) bool) (head, rest string) {
	i := 0
	for i < len(s) && in(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func trim(s string) string { return strings.TrimLeft(s, " \t") }

func isSeparator(c byte) bool { return c == ',' || c == ';' }

// isTokenChar reports whether c is a tchar (RFC 9110, section 5.6.2).
func isTokenChar(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// IsToken reports whether s is a token, such as the name of a header.
func IsToken(s string) bool {
	name, rest := while(s, isTokenChar)
	return name != "" && rest == ""
}

// isValueChar adds to a token the rest of base64.
func isValueChar(c byte) bool { return isTokenChar(c) || c == '/' || c == '=' }
