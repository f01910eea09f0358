package webpush

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// IsEndpointName reports whether a field of that name can have the endpoint of
// a subscription, and whether one of a row's other names can have a whole
// subscription.
func IsEndpointName(name string) bool {
	return notation.IsEndpoint(name) || notation.IsSubscription(name)
}

// field returns the value of the first of the names that an object has with a
// value, and the name in the object.
func field(fields map[string]json.RawMessage, names []string) (json.RawMessage, string) {
	found := make(map[string]string)
	for name, value := range fields {
		if string(value) == "null" {
			continue
		}
		c := notation.Canonical(name)
		if other, ok := found[c]; !ok || name < other {
			found[c] = name
		}
	}
	for _, c := range names {
		if name, ok := found[c]; ok {
			return fields[name], name
		}
	}
	return nil, ""
}

// objectOf returns the object that a value is, or that it has as text.
func objectOf(value json.RawMessage) map[string]json.RawMessage {
	value, _ = notation.Unwrap(value)
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return nil
	}
	if inner := fields["mapValue"]; len(fields) == 1 && inner != nil { // Firestore
		return objectOf(first(field(objectOf(inner), []string{"fields"})))
	}
	if inner := fields["M"]; len(fields) == 1 && inner != nil { // DynamoDB
		return objectOf(inner)
	}
	return fields
}

// row holds the parts of a subscription that is not written as browsers write
// it.
type row struct {
	endpoint, p256dh, auth string
	fields                 map[string]json.RawMessage // fields of the object that has the keys
	recorded               json.RawMessage
}

// readRow finds the parts of a subscription in the row of a database or in the
// data of a library. ok is false if it finds no endpoint, or no keys and
// nothing that could be a key. depth limits the nesting of subscriptions.
func readRow(fields map[string]json.RawMessage, depth int) (r row, ok bool, err error) {
	if depth > 3 {
		return r, false, nil
	}
	r.fields, r.recorded = fields, recordedKey(fields)
	value, name := field(fields, notation.Endpoints)
	value = typed(value)
	if value != nil && (json.Unmarshal(value, &r.endpoint) != nil || name != "endpoint" && !strings.Contains(r.endpoint, "://")) {
		if name == "endpoint" {
			return r, false, nil
		}
		r.endpoint = ""
	}
	if inner := objectOf(first(field(fields, notation.Subscriptions))); inner != nil {
		if wrapped, ok, err := readRow(inner, depth+1); ok || err != nil {
			if wrapped.recorded == nil {
				wrapped.recorded = r.recorded
			}
			return wrapped, ok, err
		}
	}
	if r.endpoint == "" && name != "endpoint" {
		if inner := objectOf(first(field(fields, notation.Wrappers))); inner != nil {
			if wrapped, ok, err := readRow(inner, depth+1); ok || err != nil {
				return wrapped, ok, err
			}
		}
	}
	if r.endpoint == "" {
		if inner, found := onlySubscription(fields, depth); found && name == "" {
			return inner, true, nil
		}
		return r, name == "endpoint", nil // the caller reports an empty endpoint
	}
	keys := fields
	if value, _ := field(fields, notation.Keys); value != nil {
		if inner := objectOf(value); inner != nil {
			keys = inner
		}
	}
	p256dh, p256dhName := field(keys, notation.P256DHs)
	auth, authName := field(keys, notation.Auths)
	if (p256dh == nil || auth == nil) && notation.Canonical(p256dhName) != "p256dh" && notation.Canonical(authName) != "auth" {
		return r, true, unnamedKeys(fields) // a publicKey alone is the application server's
	}
	if r.p256dh, err = keyText("keys.p256dh", p256dh); err != nil {
		return r, true, err
	}
	if r.auth, err = keyText("keys.auth", auth); err != nil {
		return r, true, err
	}
	return r, true, nil
}

// onlySubscription finds the only field that has a subscription with keys, whatever
// its name.
func onlySubscription(fields map[string]json.RawMessage, depth int) (r row, found bool) {
	for _, value := range fields {
		if inner := objectOf(value); inner != nil {
			if wrapped, ok, err := readRow(inner, depth+1); ok && err == nil && wrapped.p256dh != "" {
				if found {
					return row{}, false
				}
				r, found = wrapped, true
			}
		}
	}
	return r, found
}

// listField returns the name of a field that has a list of subscriptions, or "".
func listField(fields map[string]json.RawMessage) string {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var list []json.RawMessage
		if json.Unmarshal(fields[name], &list) == nil && len(list) > 0 {
			if r, ok, err := readRow(objectOf(list[0]), 0); ok && err == nil && r.p256dh != "" {
				return name
			}
		}
	}
	return ""
}

// typed returns the text of a value that a database writes with its type: {"S": …} of
// DynamoDB, {"stringValue": …} of Firestore, {"$binary": {"base64": …}} of MongoDB.
// Other values are returned unchanged.
func typed(value json.RawMessage) json.RawMessage {
	var object map[string]json.RawMessage
	if len(value) == 0 || value[0] != '{' || json.Unmarshal(value, &object) != nil || len(object) > 1 && object["$binary"] == nil && object["base64"] == nil {
		return value
	}
	for _, name := range []string{"S", "stringValue", "bytesValue", "$binary", "base64"} {
		switch inner := object[name]; {
		case len(inner) == 0:
		case inner[0] == '"':
			return inner
		case name == "$binary":
			return typed(inner)
		}
	}
	return value
}

func first(value json.RawMessage, _ string) json.RawMessage { return value }

// keyText returns the text of a key, or an error that says how a page has
// serialized it.
func keyText(part string, value json.RawMessage) (string, error) {
	var text string
	value = typed(value)
	if value == nil || json.Unmarshal(value, &text) == nil {
		return text, nil
	}
	what := "not a string"
	var fields map[string]json.RawMessage
	switch {
	case value[0] == '[':
		what = "an array of bytes"
	case json.Unmarshal(value, &fields) == nil && len(fields) == 0:
		what = "an empty object, which JSON makes of an ArrayBuffer"
	case fields["type"] != nil && fields["data"] != nil:
		what = "a Node Buffer"
	case fields["0"] != nil:
		what = "an object with numbered bytes, which JSON makes of a Uint8Array"
	}
	return "", badlySerialized(part, what)
}

// badlySerialized returns the error for a key that is not text, or is the text
// of another value.
func badlySerialized(part, what string) error {
	return badSubscription(part, part+" is "+what, "the page serialized the subscription incorrectly: send JSON.stringify(subscription), or subscription.toJSON(), without copying its keys")
}

// unnamedKeys is the error of a subscription without keys that has fields which
// could be keys of another name, or nil.
func unnamedKeys(fields map[string]json.RawMessage) error {
	could := false
	for name, value := range fields {
		var text string
		c := notation.Canonical(name)
		if slices.Contains(notation.Endpoints, c) || json.Unmarshal(value, &text) != nil {
			continue
		}
		b, err := b64.Decode(text)
		could = could || err == nil && len(b) == ece.AuthSize && len(text) < 25 || strings.Contains(c, "p256dh")
	}
	if !could {
		return nil
	}
	return badSubscription("keys", "found no keys under any known name; the fields are "+fieldList(fields),
		`rename them: {"endpoint": …, "keys": {"p256dh": …, "auth": …}}`)
}

// fieldList lists the names of an object's fields.
func fieldList(fields map[string]json.RawMessage) string {
	names := slices.Sorted(maps.Keys(fields))
	more := ""
	if len(names) > 12 {
		names, more = names[:12], ", …"
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%q", text.OneLine(name, 40))
	}
	return strings.Join(names, ", ") + more
}
