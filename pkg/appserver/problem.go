package appserver

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// problem is the response to a request that failed (RFC 9457).
type problem struct {
	Type   string        `json:"type"`
	Title  string        `json:"title"`
	Status int           `json:"status"`
	Code   string        `json:"code"` // stable, for programs
	Detail string        `json:"detail"`
	Hint   string        `json:"hint,omitempty"`
	Part   string        `json:"part,omitempty"`   // part of the request
	Answer *pushResponse `json:"answer,omitempty"` // response of the push service

	header map[string]string
	cause  error // logged, not shown
}

// pushResponse is the response of a push service.
type pushResponse struct {
	Service webpush.Service `json:"service"`
	Origin  string          `json:"origin"`
	Status  int             `json:"status"`
	Code    webpush.Code    `json:"code"`
	Reason  string          `json:"reason,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

func refuse(status int, code, format string, a ...any) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, a...)}
}

func (p *problem) hint(text string) *problem { p.Hint = text; return p }
func (p *problem) in(part string) *problem   { p.Part = part; return p }

func (p *problem) with(name, value string) *problem {
	if p.header == nil {
		p.header = make(map[string]string)
	}
	p.header[name] = value
	return p
}

// asProblem returns the problem for any error.
func asProblem(err error) *problem {
	var (
		p     *problem
		input *webpush.InputError
		long  *http.MaxBytesError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &input):
		return refuse(http.StatusBadRequest, "invalid-input", "%s", input.Problem).in(input.Part).hint(input.Hint())
	case errors.As(err, &long):
		return refuse(http.StatusRequestEntityTooLarge, "body-too-large", "the body has more than %d bytes", long.Limit).in("body")
	case errors.Is(err, ErrFull):
		p = refuse(http.StatusInsufficientStorage, "store-full", "the disk of the database is full").hint("try again later").with("Retry-After", "60")
		p.cause = err
		return p
	case errors.Is(err, ErrUnavailable):
		p = refuse(http.StatusServiceUnavailable, "store-unavailable", "%v", ErrUnavailable).hint("try again later").with("Retry-After", "5")
		p.cause = err
		return p
	case errors.Is(err, ErrNotFound):
		return refuse(http.StatusNotFound, "not-found", "%v", ErrNotFound)
	}
	p = refuse(http.StatusInternalServerError, "internal", "the server failed; its log has the cause").hint(webpush.HintOf(err))
	p.cause = err
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	writeBody(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	writeBody(w, status, "application/json", v)
	return nil
}

func writeBody(w http.ResponseWriter, status int, kind string, v any) {
	b, err := text.JSON(v)
	if err != nil { // no value of this package cannot be marshaled
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // an error means that the client went away
}

// contentType returns the media type of a request's body in lower case. It is empty if
// the request has no Content-Type, and the header's value if that is not a media type. Its
// parameters do not count, even if they are malformed.
func contentType(r *http.Request) string {
	text := r.Header.Get("Content-Type")
	if kind, _, err := mime.ParseMediaType(text); err == nil || errors.Is(err, mime.ErrInvalidMediaParameter) {
		return kind
	}
	return text
}

func isJSON(kind string) bool { return kind == "application/json" || strings.HasSuffix(kind, "+json") }

// readBody reads a JSON body of at most that many bytes.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if !isJSON(contentType(r)) {
		return nil, notJSON(r)
	}
	b, err := readAll(w, r, most)
	if err == nil && len(bytes.TrimSpace(b)) == 0 {
		return nil, refuse(http.StatusBadRequest, "invalid-json", "the body is empty, expected a JSON object").in("body")
	}
	return b, err
}

func notJSON(r *http.Request) *problem {
	return refuse(http.StatusUnsupportedMediaType, "not-json", "the Content-Type is %q, expected application/json", clip(r.Header.Get("Content-Type"))).
		in("Content-Type").hint("add the header Content-Type: application/json").with("Accept", "application/json")
}

// readAll reads a body of at most that many bytes of UTF-8, with unique names if it is JSON,
// except where a value is passed on unread.
func readAll(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if err := notCompressed(r); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return nil, err
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "body-incomplete", "the body is incomplete").in("body")
	}
	for i := 0; i < len(b); {
		c, size := utf8.DecodeRune(b[i:])
		if c == utf8.RuneError && size == 1 {
			return nil, refuse(http.StatusBadRequest, "invalid-utf8", "the body is not valid UTF-8 at byte %d", i+1).in("body")
		}
		i += size
	}
	if isJSON(contentType(r)) {
		if name, twice := text.DuplicateField(b, "payload", "notification.data"); twice { // one value would count, and not the other
			return nil, refuse(http.StatusBadRequest, "invalid-json", "the body has the name %q twice in one object", clip(name)).in("body").hint("write each name once; names that differ only in case are the same")
		}
	}
	return b, nil
}

// notCompressed refuses a body with a Content-Encoding (RFC 9110, section 15.5.16): its bytes
// would be read as they are.
func notCompressed(r *http.Request) error {
	encoding := r.Header.Get("Content-Encoding")
	if encoding == "" || strings.EqualFold(encoding, "identity") {
		return nil
	}
	return refuse(http.StatusUnsupportedMediaType, "unsupported-encoding", "the Content-Encoding is %q, expected none", clip(encoding)).
		in("Content-Encoding").hint("send the body without compression").with("Accept-Encoding", "identity")
}

// decode reads the JSON object b into v. If strict is true, it refuses fields that v does
// not have. path is the position of b in the body.
func decode(b []byte, v any, strict bool, path string) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if strict {
		d.DisallowUnknownFields()
	}
	bad := func(format string, a ...any) *problem {
		return refuse(http.StatusBadRequest, "invalid-json", format, a...).in(orBody(path))
	}
	if trimmed := bytes.TrimSpace(b); len(trimmed) > 0 && trimmed[0] != '{' {
		return bad("%s is not a JSON object", orBody(path))
	}
	err := d.Decode(v)
	var (
		kind   *json.UnmarshalTypeError
		syntax *json.SyntaxError
	)
	switch {
	case err == nil:
		if _, err := d.Token(); err != io.EOF {
			return bad("unexpected data after the JSON object")
		}
		return nil
	case errors.As(err, &kind):
		part := path
		if kind.Field != "" { // contains the name of an embedded struct, which is not in the JSON
			part = strings.TrimPrefix(path+"."+strings.ReplaceAll(kind.Field, "Notification.", ""), ".")
		}
		return bad("%s is a JSON %s, expected %s", orBody(part), kind.Value, text.JSONType(kind.Type)).in(orBody(part))
	case errors.As(err, &syntax):
		return bad("%s is not valid JSON: %v at byte %d", orBody(path), err, syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return bad("%s is truncated: its JSON is incomplete", orBody(path))
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = clip(strings.Trim(name, `"`))
		return bad("unknown field in %s: %q", orBody(path), name).in(strings.TrimPrefix(path+"."+name, ".")).hint(fieldHint(v, name))
	}
	return bad("%s cannot be read: %v", orBody(path), clip(err.Error()))
}

// fieldHint is the next step for a field that v does not have: many write the fields of an
// object one level too high.
func fieldHint(v any, name string) string {
	for _, outer := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		inner := outer.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct || outer.Anonymous {
			continue
		}
		for _, field := range reflect.VisibleFields(inner) {
			if !field.Anonymous && strings.EqualFold(jsonName(field), name) {
				return fmt.Sprintf(`write it in %[1]q: {%[1]q: {%[2]q: …}}; GET /openapi.json lists all fields`, jsonName(outer), jsonName(field))
			}
		}
	}
	return "GET /openapi.json lists all fields"
}

// jsonName returns the name of a field in JSON.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return cmp.Or(name, f.Name)
}

func orBody(path string) string {
	if path == "" {
		return "body"
	}
	return path
}

// clip shortens a quotation from a request.
func clip(s string) string { return clipTo(s, 64) }

func clipTo(s string, most int) string {
	return text.Clip(strings.ToValidUTF8(s, "\ufffd"), most)
}
