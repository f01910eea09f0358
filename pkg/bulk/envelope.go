package bulk

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// listNames are the usual fields that contain the list of records in an object from an
// API or a database export. A field of any other name contains one if its first
// element is a subscription with keys.
var listNames = []string{"data", "subscriptions", "push_subscriptions", "rows", "items", "result", "results", "records", "subscribers", "devices", "docs", "hits", "edges", "nodes", "documents", "pushsubscriptions", "webpush_subscriptions", "webpushsubscriptions", "push_devices", "tokens"}

// envelopeNames are the usual fields whose object can have such a list.
var envelopeNames = []string{"data", "hits", "result", "results", "response", "body", "payload", "pushsubscriptions", "push_subscriptions", "subscriptions"}

// container is the kind of an input object that is not a subscription.
type container int

const (
	noContainer container = iota
	listOf                // {"data": [record, …]}
	mapOf                 // {"name": record, …}
)

// enter reports whether the object at the beginning of b contains records, the number of
// bytes before the first record, and the number of objects around a list.
func enter(b []byte) (kind container, n, depth int) {
	kind, n, depth, named := enterAt(b, 1)
	if kind == listOf && !named && isRegistration(b) { // a subscription, with a list of others
		return noContainer, 0, 0
	}
	return kind, n, depth
}

// maxDepth is the maximum number of objects around a list.
const maxDepth = 5

// enterAt is enter for an object within depth-1 others. named reports that the names of
// all fields on the way are usual ones.
func enterAt(b []byte, depth int) (kind container, n, inner int, named bool) {
	at := 1
	skip := func() {
		for at < len(b) && strings.IndexByte(" \t\r\n,", b[at]) >= 0 {
			at++
		}
	}
	for n := 0; ; n++ {
		skip()
		if at >= len(b) || b[at] != '"' {
			return noContainer, 0, 0, false
		}
		begin := at
		name, ok := fieldName(b, &at)
		if !ok || webpush.IsEndpointName(name) || name == "fields" || name == "sub" {
			return noContainer, 0, 0, false
		}
		skip()
		if at >= len(b) {
			return noContainer, 0, 0, false
		}
		switch {
		case b[at] == '[':
			named := slices.Contains(listNames, strings.ToLower(name)) && mayHoldRecords(b[at:])
			if named || beginsWithSubscription(b[at:]) {
				return listOf, at + 1, depth, named
			}
		case b[at] == '{' && n == 0 && !notation.IsWrapper(name) && isRegistration(b[at:]):
			return mapOf, begin, depth, true
		case b[at] == '{' && depth < maxDepth:
			usual := slices.Contains(envelopeNames, strings.ToLower(name))
			kind, inner, depth, named := enterAt(b[at:], depth+1)
			if kind == listOf && (usual && named || beginsWithSubscription(b[at+inner-1:])) || kind == mapOf && usual && strings.Contains(strings.ToLower(name), "subscriptions") {
				return kind, at + inner, depth, usual && named
			}
		}
		var s valueScanner
		end := s.scan(b[at:])
		if end == 0 {
			return noContainer, 0, 0, false
		}
		at += end
	}
}

// mayHoldRecords reports whether an array is empty or begins with an object, which may
// be written as a string.
func mayHoldRecords(array []byte) bool {
	first := bytes.TrimLeft(array[1:], " \t\r\n")
	return len(first) > 0 && (first[0] == '{' || first[0] == ']' || isWrapped(first))
}

// beginsWithSubscription reports whether the first element of an array is a
// subscription with keys, perhaps in a record or in the row of a database.
func beginsWithSubscription(array []byte) bool {
	first := bytes.TrimLeft(array[1:], " \t\r\n")
	var s valueScanner
	end := s.scan(first)
	if end == 0 || first[0] != '{' {
		return false
	}
	sub, err := webpush.ParseSubscription(first[:end])
	return err == nil && sub.Recipient() != nil
}

// fieldName reads the name of a field and the colon after it.
func fieldName(b []byte, at *int) (string, bool) {
	var s valueScanner
	end := s.scan(b[*at:])
	var name string
	if end == 0 || json.Unmarshal(b[*at:*at+end], &name) != nil {
		return "", false
	}
	rest := bytes.TrimLeft(b[*at+end:], " \t\r\n")
	if len(rest) == 0 || rest[0] != ':' {
		return "", false
	}
	*at = len(b) - len(rest) + 1
	return name, true
}

// isWrapped reports whether a value is a string with an object.
func isWrapped(b []byte) bool {
	var s valueScanner
	end := s.scan(b)
	return b[0] == '"' && end > 0 && notation.Wrapped(b[:end])
}

// isRegistration reports whether an object has a subscription, or is one.
func isRegistration(b []byte) bool {
	var s valueScanner
	end := s.scan(b)
	var fields map[string]json.RawMessage
	if end == 0 || json.Unmarshal(b[:end], &fields) != nil {
		return false
	}
	for name := range fields {
		if webpush.IsEndpointName(name) {
			return true
		}
	}
	return false
}

// isExportHeader reports whether a value is the header that phpMyAdmin writes before a
// table.
func isExportHeader(raw []byte) bool {
	if !bytes.HasPrefix(raw, []byte(`{"type":"`)) {
		return false
	}
	var head struct {
		Type     string          `json:"type"`
		Endpoint json.RawMessage `json:"endpoint"`
	}
	return json.Unmarshal(raw, &head) == nil && head.Endpoint == nil && (head.Type == "header" || head.Type == "database")
}
