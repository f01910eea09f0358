package text

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// JSONProblem describes an error of package encoding/json without Go's types, such as "a
// JSON array, expected an object" or "server is a JSON number, expected a string". Other
// errors keep their text. It repeats no value, which may be a secret.
func JSONProblem(err error) string {
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		value, _, _ := strings.Cut(kind.Value, " ") // a number follows
		problem := fmt.Sprintf("a JSON %s, expected %s", value, JSONType(kind.Type))
		if kind.Field != "" {
			problem = kind.Field + " is " + problem
		}
		return problem
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset > 0 && !strings.Contains(err.Error(), "unexpected end") {
		return fmt.Sprintf("%v at byte %d", syntax, syntax.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "unexpected end of JSON") {
		return "the JSON is incomplete"
	}
	if strings.HasPrefix(err.Error(), "json: invalid use of ,string") {
		return "a value that is expected as a string does not have the right form"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

// JSONType returns the name of the JSON type that a type of Go is read from.
func JSONType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Bool:
		return "true or false"
	case reflect.Struct, reflect.Map, reflect.Pointer, reflect.Interface:
		return "an object"
	}
	return "a " + t.Kind().String()
}
