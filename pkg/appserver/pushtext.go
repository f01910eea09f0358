package appserver

import (
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// textHeaders are the header fields that complete a text body.
var textHeaders = []string{"Title", "TTL", "Urgency", "Topic", "Click", "Tag", "To-User", "To-Tag"}

// readPush reads the body of POST /push. JSON has all fields. A text becomes the body of
// a notification and header fields set the rest, so curl -d "backup done" sends a
// complete message.
func (s *Server) readPush(w http.ResponseWriter, r *http.Request) (*pushRequest, error) {
	kind := contentType(r)
	if isJSON(kind) {
		for _, name := range textHeaders {
			if r.Header.Get(name) != "" {
				return nil, refuse(http.StatusBadRequest, "invalid-input", "the header field %s requires a text body, but the body is JSON", name).in(name).hint("put the value into the JSON body")
			}
		}
		b, err := readBody(w, r, maxPush)
		if err != nil {
			return nil, err
		}
		var p pushRequest
		return &p, decode(b, &p, true, "")
	}
	switch kind {
	case "", "text/plain", "application/x-www-form-urlencoded": // curl's default is the last one
	default:
		return nil, refuse(http.StatusUnsupportedMediaType, "unsupported-type", "the Content-Type is %q, expected application/json or text/plain", clip(r.Header.Get("Content-Type"))).
			in("Content-Type").hint("send JSON as application/json, or the text of a notification as text/plain").with("Accept", "application/json, text/plain")
	}
	b, err := readAll(w, r, maxPush)
	if err != nil {
		return nil, err
	}
	if kind != "text/plain" && isObject(b) {
		return nil, refuse(http.StatusBadRequest, "invalid-input", "the body is a JSON object, but the Content-Type is not JSON").
			in("Content-Type").hint("add the header Content-Type: application/json, or text/plain to send the JSON as the text of a notification")
	}
	return s.textPush(r, string(b))
}

// isObject reports whether b is a JSON object, which was meant to be sent with another
// Content-Type.
func isObject(b []byte) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal(b, &fields) == nil && fields != nil
}

// textPush returns a push with a text and the header fields of the request.
func (s *Server) textPush(r *http.Request, body string) (*pushRequest, error) {
	text := make(map[string]string)
	for _, name := range textHeaders {
		v, err := headerText(r, name)
		if err != nil {
			return nil, err
		}
		text[name] = v
	}
	n := webpush.Notification{Title: text["Title"], Body: strings.TrimRight(body, "\r\n"), Tag: text["Tag"], Navigate: text["Click"]}
	if n.Title == "" && n.Body == "" {
		return nil, refuse(http.StatusBadRequest, "invalid-input", "the body is empty and Title is missing").
			in("body").hint("send a text as the body, or a Title")
	}
	if n.Title == "" {
		n.Title = s.siteName(r)
	}
	if click := n.Navigate; click != "" {
		u, err := url.Parse(click)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, refuse(http.StatusBadRequest, "invalid-input", "Click is %q, expected a URL with http or https", clip(click)).in("Click")
		}
	}
	p := &pushRequest{Notification: &pushNotification{Notification: n}, Urgency: text["Urgency"], Topic: text["Topic"]}
	if ttl := text["TTL"]; ttl != "" {
		seconds, err := strconv.ParseInt(ttl, 10, 64)
		if err != nil {
			return nil, refuse(http.StatusBadRequest, "invalid-input", "TTL is %q, expected a number of seconds", clip(ttl)).in("TTL")
		}
		p.TTL = &seconds
	}
	if text["To-User"] != "" || text["To-Tag"] != "" {
		p.To = &recipients{User: text["To-User"], Tag: text["To-Tag"]}
	}
	return p, nil
}

// headerText returns the text of a header field, in UTF-8 or as encoded words
// (RFC 2047).
func headerText(r *http.Request, name string) (string, error) {
	bad := func(format string, a ...any) (string, error) {
		return "", refuse(http.StatusBadRequest, "invalid-input", format, a...).in(name)
	}
	values := r.Header.Values(name)
	if len(values) > 1 {
		return bad("there are %d fields %s, expected one", len(values), name)
	}
	v := strings.TrimSpace(strings.Join(values, ""))
	if strings.Contains(v, "=?") {
		decoded, err := new(mime.WordDecoder).DecodeHeader(v)
		if err != nil {
			return bad("%s cannot be decoded: %v", name, clip(err.Error()))
		}
		v = decoded
	}
	if !utf8.ValidString(v) {
		return bad("%s is not valid UTF-8", name)
	}
	if strings.ContainsFunc(v, unicode.IsControl) {
		return bad("%s has a control character", name)
	}
	return v, nil
}

// siteName returns the title of notifications that have none: the name of the site in
// the options, or the host of the request.
func (s *Server) siteName(r *http.Request) string {
	if s.o.SiteName != "" {
		return s.o.SiteName
	}
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}
