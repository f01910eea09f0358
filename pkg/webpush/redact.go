package webpush

import (
	"encoding/base64"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/fields"
)

// RedactHeader returns the value of a header of a request or response without its
// secrets, to be shown or logged: tokens, keys, cookies, and capability URLs. The public
// key in a VAPID header (k) remains.
func RedactHeader(name, value string) string {
	switch http.CanonicalHeaderKey(name) {
	case "Authorization":
		scheme, rest, found := strings.Cut(value, " ")
		if !found { // a key of GCM, which has no scheme
			return "key=…"
		}
		if strings.EqualFold(scheme, "vapid") {
			params, _ := fields.Loose(rest)
			for _, p := range params {
				if strings.EqualFold(p.Name, "k") {
					return scheme + " t=…, k=" + p.Value
				}
			}
		}
		return scheme + " …"
	case "Location", "Link", "Cookie", "Set-Cookie", "Proxy-Authorization":
		return "…"
	}
	return value
}

// ShownHeaders yields the headers of a request or response by name, as [HeaderName]
// writes it, without their secrets unless secrets is set.
func ShownHeaders(h http.Header, secrets bool) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			for _, v := range h[name] {
				if !secrets {
					v = RedactHeader(name, v)
				}
				if !yield(HeaderName(name), v) {
					return
				}
			}
		}
	}
}

// ShownURL returns the URL of a message request. Unless secrets is set, only its origin
// is shown: the rest is the endpoint's secret.
func ShownURL(r *http.Request, secrets bool) string {
	origin := r.URL.Scheme + "://" + r.URL.Host
	if secrets {
		return origin + r.URL.RequestURI()
	}
	return origin + "/…"
}

// ShownRequest is a message request for people and logs: a dry run. As JSON, it is an
// object with method, url, headers, and body (base64url without padding).
type ShownRequest struct {
	Method  string            `json:"method"`         // always POST
	URL     string            `json:"url"`            // see [ShownURL]
	Headers map[string]string `json:"headers"`        // values by name; see [ShownHeaders]
	Body    string            `json:"body,omitempty"` // base64url without padding

	text string
}

// ShowRequest returns a request of [Client.NewRequest] for people, without the secrets in
// its URL and headers unless secrets is set. It reads the body of the request.
func ShowRequest(r *http.Request, secrets bool) (*ShownRequest, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	shown := &ShownRequest{Method: r.Method, URL: ShownURL(r, secrets), Headers: make(map[string]string), Body: base64.RawURLEncoding.EncodeToString(body)}
	shown.text = shown.Method + " " + shown.URL + "\n"
	for name, v := range ShownHeaders(r.Header, secrets) {
		shown.Headers[name] = v
		shown.text += name + ": " + v + "\n"
	}
	shown.text += fmt.Sprintf("Content-Length: %d\n", len(body))
	return shown, nil
}

// String returns the lines of the request, as HTTP/1.1 writes them, without the body.
func (r *ShownRequest) String() string { return r.text }

// Trace returns a Doer that calls log with the lines of each request and response of
// next, as curl -v shows them, without their secrets unless secrets is set. A client
// whose HTTP it is does not pipeline requests (see [Client.NotPipelined]). log is called
// by the goroutines that send.
func Trace(next Doer, secrets bool, log func(line string)) Doer { return &trace{next, secrets, log} }

type trace struct {
	next    Doer
	secrets bool
	log     func(string)
}

// Do sends a request, and logs it and its response.
func (t *trace) Do(r *http.Request) (*http.Response, error) {
	t.lines(">", r.Method+" "+ShownURL(r, t.secrets), r.Header)
	t.log(fmt.Sprintf("> %d bytes of body", r.ContentLength))
	start := time.Now()
	resp, err := t.next.Do(r)
	took := time.Since(start).Round(time.Microsecond)
	if err != nil {
		t.log(fmt.Sprintf("< no response after %v", took))
		return nil, err
	}
	t.lines("<", fmt.Sprintf("%s %s, after %v", resp.Proto, resp.Status, took), resp.Header)
	return resp, nil
}

func (t *trace) lines(mark, first string, h http.Header) {
	t.log(mark + " " + first)
	for name, v := range ShownHeaders(h, t.secrets) {
		t.log(mark + " " + name + ": " + v)
	}
}
