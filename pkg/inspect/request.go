package inspect

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// request recognizes a request as text, such as the output of webpush send --dry-run.
func (in inspector) request(s string) *Thing {
	first, rest, _ := strings.Cut(s, "\n")
	m := requestLine.FindStringSubmatch(strings.TrimSpace(strings.TrimPrefix(first, "> ")))
	if m == nil || !strings.Contains(m[2], "/") {
		return nil
	}
	head, body, separate := strings.Cut(strings.ReplaceAll(rest, "\r\n", "\n"), "\n\n")
	h := headerLines(head)
	if h == nil {
		return nil
	}
	target := m[2]
	if host := h.Get("Host"); strings.HasPrefix(target, "/") && host != "" {
		target = "https://" + host + target
	}
	t := &Thing{Kind: KindRequest, Title: "request of a push message"}
	in.addRequest(t, m[1], target, h, nil, separate && body != "")
	return t
}

// addRequest shows a whole request. body is nil if it is missing.
func (in inspector) addRequest(t *Thing, method, target string, h http.Header, body []byte, complete bool) {
	audience := ""
	if strings.HasSuffix(target, "/…") { // printed by a dry run
		t.add("endpoint", target)
		if sub, err := webpush.NewSubscription(strings.TrimSuffix(target, "/…")+"/", "", ""); err == nil {
			audience = sub.Origin()
			t.addService(sub.Service())
		}
	} else if sub := in.addEndpoint(t, target); sub != nil {
		audience = sub.Origin()
	}
	if method != "" && method != http.MethodPost {
		t.add("method", method)
		if method != http.MethodDelete {
			t.warn("the method is "+method+", but push messages are sent with POST", "")
		}
	}
	in.addHeaders(t, h, body, true, audience)
	if body == nil && h.Get("Content-Encoding") == "" && !complete {
		t.add("payload", nil, "none: a push without payload")
	}
}

// requestJSON describes the output of webpush send --dry-run --json.
func (in inspector) requestJSON(fields map[string]json.RawMessage) *Thing {
	t := &Thing{Kind: KindRequest, Title: "request of a push message, JSON"}
	var body []byte
	if s := str(fields["body"]); s != "" {
		b, err := bodyInBase64(s)
		if err != nil {
			t.fail("the body is not base64: it is damaged or truncated", "")
		}
		body = b
	}
	in.addRequest(t, str(fields["method"]), str(fields["url"]), headerMap(fields["headers"]), body, false)
	return t
}
