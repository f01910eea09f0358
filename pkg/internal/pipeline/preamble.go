package pipeline

import (
	"hash/maphash"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/http2/hpack"
)

// preamble is a request without its path and body. The next request to an origin usually
// has the same preamble.
type preamble struct {
	// The parts of the request that it was made from.
	urlHost, reqHost string
	header           []field

	host      string              // host and port that identify the origin
	authority string              // :authority
	fields    []hpack.HeaderField // pseudo-headers first; the value of :path is empty
	size      uint32              // size of fields (RFC 9113, section 10.5.1)
}

// pathAt is the index of :path in the fields of a request.
const pathAt = 3

var hostSeed = maphash.MakeSeed()

// preamble returns the preamble of a request, or nil if base has to send the request. It
// keeps the last one for each of a few hosts.
func (t *Transport) preamble(req *http.Request) *preamble {
	last := &t.preambles[maphash.String(hostSeed, req.URL.Host)%uint64(len(t.preambles))]
	if p := last.Load(); p != nil && p.fits(req) {
		return p
	}
	p := newPreamble(req)
	if p == nil {
		return nil
	}
	for name, values := range req.Header {
		if len(values) != 1 { // unusual, and not kept
			return p
		}
		p.header = append(p.header, field{name, values[0]})
	}
	last.Store(p)
	return p
}

// fits reports whether a request has this preamble.
func (p *preamble) fits(req *http.Request) bool {
	if req.URL.Host != p.urlHost || req.Host != p.reqHost || len(req.Header) != len(p.header) {
		return false
	}
	for _, f := range p.header {
		if values := req.Header[f.name]; len(values) != 1 || values[0] != f.value {
			return false
		}
	}
	return true
}

// newPreamble returns nil if net/http would change or reject the host or a header, or
// gives the header a meaning that this package does not support.
func newPreamble(req *http.Request) *preamble {
	p := &preamble{urlHost: req.URL.Host, reqHost: req.Host, host: plainHost(req.URL.Host), authority: req.Host}
	if p.authority == "" {
		p.authority = req.URL.Host
	}
	if p.authority = plainAuthority(p.authority); p.host == "" || p.authority == "" {
		return nil
	}
	p.fields = make([]hpack.HeaderField, 0, pathAt+2+len(req.Header))
	p.add(":method", http.MethodPost, false)
	p.add(":scheme", "https", false)
	p.add(":authority", p.authority, false)
	p.add(":path", "", true)
	if !p.addHeader(req.Header) {
		return nil
	}
	return p
}

// add appends a header.
func (p *preamble) add(name, value string, secret bool) {
	f := hpack.HeaderField{Name: name, Value: value, Sensitive: secret}
	p.fields = append(p.fields, f)
	p.size += f.Size()
}

// addHeader adds the header of a request. It reports false if base has to send the
// request.
func (p *preamble) addHeader(h http.Header) bool {
	agent := false
	for name, values := range h {
		lower, use := headerUse(name)
		switch use {
		case useBase:
			return false
		case useNone:
			continue
		case useAgent:
			agent = true
			if len(values) == 0 || values[0] == "" {
				continue
			}
			values = values[:1]
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return false
			}
			p.add(lower, v, use == useSecret)
		}
	}
	if !agent {
		p.add("user-agent", "Go-http-client/2.0", false)
	}
	return true
}

// headerUse returns the name of a header in HTTP/2, and the way to send it. Names that
// net/http rejects or treats specially although they are not canonical are useBase.
func headerUse(name string) (lower string, use int) {
	if n, ok := names[name]; ok {
		return n.lower, n.use
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return "", useBase
	}
	if canonical := http.CanonicalHeaderKey(name); canonical != name {
		if n := names[canonical]; n.use == useNone || n.use == useBase || n.use == useAgent {
			return "", useBase
		}
	}
	return strings.ToLower(name), usePlain
}

// Ways to send a header of a request.
const (
	usePlain  = iota // unchanged; a repeated value is indexed
	useSecret        // never indexed
	useAgent         // net/http's name if it is missing
	useNone          // omitted
	useBase          // base sends the request
)

// names are the headers that are common or special.
var names = map[string]struct {
	lower string
	use   int
}{
	"Accept":              {lower: "accept"},
	"Authorization":       {lower: "authorization"},
	"Content-Encoding":    {lower: "content-encoding"},
	"Content-Length":      {use: useNone},
	"Content-Type":        {lower: "content-type"},
	"Cookie":              {lower: "cookie", use: useSecret},
	"Connection":          {use: useBase},
	"Crypto-Key":          {lower: "crypto-key"},
	"Encryption":          {lower: "encryption", use: useSecret},
	"Expect":              {use: useBase},
	"Host":                {use: useNone},
	"Keep-Alive":          {use: useBase},
	"Proxy-Authorization": {lower: "proxy-authorization", use: useSecret},
	"Proxy-Connection":    {use: useBase},
	"Te":                  {use: useBase},
	"Topic":               {lower: "topic"},
	"Trailer":             {use: useBase},
	"Transfer-Encoding":   {use: useBase},
	"Ttl":                 {lower: "ttl"},
	"Upgrade":             {use: useBase},
	"Urgency":             {lower: "urgency"},
	"User-Agent":          {lower: "user-agent", use: useAgent},
}

// plainHost returns the host and port of a URL in a form that distinguishes origins, or
// "" if it is not plain ASCII.
func plainHost(host string) string {
	if host = plainAuthority(host); host == "" || host[0] == ':' || host[len(host)-1] == ':' {
		return ""
	}
	return strings.TrimSuffix(strings.ToLower(host), ":443")
}

// plainAuthority returns the host, or "" if net/http would change it.
func plainAuthority(host string) string {
	for i := range len(host) {
		if c := host[i]; c <= ' ' || c >= 0x7f || c == '%' || c == '@' || c == '/' {
			return ""
		}
	}
	if !httpguts.ValidHostHeader(host) {
		return ""
	}
	return host
}
