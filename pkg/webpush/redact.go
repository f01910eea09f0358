package webpush

import (
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
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
		if _, k, ok := strings.Cut(rest, "k="); ok && strings.EqualFold(scheme, "vapid") {
			k, _, _ = strings.Cut(k, ",") // t may follow
			return scheme + " t=…, k=" + k
		}
		return scheme + " …"
	case "Location", "Link", "Cookie", "Set-Cookie", "Proxy-Authorization":
		return "…"
	}
	return value
}

// RedactedHeaders yields the headers of a request or response by name, as
// [HeaderName] writes it, without their secrets.
func RedactedHeaders(h http.Header) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			for _, v := range h[name] {
				if !yield(HeaderName(name), RedactHeader(name, v)) {
					return
				}
			}
		}
	}
}
