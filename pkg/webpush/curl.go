package webpush

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
)

// CurlOptions are the options of [Curl].
type CurlOptions struct {
	// BodyFile is the file that holds the request's body; the caller writes it.
	BodyFile string
	// Inline puts the body into the command itself, in base64, instead.
	Inline bool
	// CAFile, Transport and Timeout become curl's options of that meaning.
	CAFile    string
	Transport TransportOptions
	Timeout   time.Duration // 0 is no limit
}

// Curl returns a command for sh, bash and zsh that sends the request with curl,
// and the request's body. Everything from the request is quoted, so the shell
// never interprets any part of an endpoint. The command holds the token and the
// endpoint: it is a secret.
func Curl(req *http.Request, o CurlOptions) (command string, body []byte, err error) {
	if req.GetBody != nil {
		r, err := req.GetBody()
		if err != nil {
			return "", nil, fmt.Errorf("reading the request's body: %w", err)
		}
		if body, err = io.ReadAll(r); err != nil {
			return "", nil, fmt.Errorf("reading the request's body: %w", err)
		}
	}
	endpoint := req.URL.RequestURI()
	if strings.HasPrefix(endpoint, "/") {
		endpoint = req.URL.Scheme + "://" + req.URL.Host + endpoint
	}
	var s strings.Builder
	if body != nil && o.Inline {
		fmt.Fprintf(&s, "printf %%s %s \\\n  | base64 -d \\\n  | ", shellQuote(base64.StdEncoding.EncodeToString(body)))
	}
	s.WriteString("curl --include --globoff --path-as-is --request POST")
	option := func(name string, value ...string) {
		s.WriteString(" \\\n  " + name)
		for _, v := range value {
			s.WriteString(" " + shellQuote(v))
		}
	}
	if o.CAFile != "" {
		option("--cacert", o.CAFile)
	}
	if o.Transport.Insecure {
		option("--insecure")
	}
	switch t := o.Transport; {
	case t.Proxy == "none", t.Proxy == "" && (t.withoutProxy() || netaddr.Loopback(req.URL.Hostname())):
		option("--noproxy", "*")
	case t.Proxy != "":
		option("--proxy", t.Proxy)
	}
	for _, c := range o.Transport.ConnectTo {
		if parts, err := splitColons(c); err == nil && len(parts) == 2 {
			c = "::" + c
		}
		option("--connect-to", c)
	}
	if o.Timeout > 0 {
		option("--max-time", strings.TrimSuffix(fmt.Sprintf("%.3f", o.Timeout.Seconds()), ".000"))
	}
	names := make([]string, 0, len(req.Header))
	for name := range req.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, v := range req.Header[name] {
			if v == "" { // curl omits the header for "Name:"
				option("--header", HeaderName(name)+";")
				continue
			}
			option("--header", HeaderName(name)+": "+v)
		}
	}
	switch {
	case body == nil:
		option("--header", "Content-Length: 0")
	case o.Inline:
		option("--data-binary", "@-")
	case o.BodyFile == "" || o.BodyFile == "-":
		return "", nil, errors.New("the body of a curl command needs a file, or to be inline")
	default:
		option("--data-binary", "@"+o.BodyFile)
	}
	option("--url", endpoint)
	s.WriteString("\n")
	return s.String(), body, nil
}

// shellQuote quotes a word for POSIX shells: nothing acts within single quotes.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// HeaderName writes the name of a header as its RFC does, where Go's canonical
// form looks different: TTL, X-WNS-….
func HeaderName(name string) string {
	name = http.CanonicalHeaderKey(name)
	if name == "Ttl" {
		return "TTL"
	}
	if rest, ok := strings.CutPrefix(name, "X-Wns-"); ok {
		return "X-WNS-" + rest
	}
	return name
}
