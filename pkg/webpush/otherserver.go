package webpush

import (
	"bytes"
	"mime"
	"net/http"
	"strings"
)

// Explanation of a response that is not from a push service.
const (
	meaningOtherServer = "a web server responded, not the push service"
	adviceOtherServer  = "check the network between this machine and the push service, such as a firewall, a proxy, or a login page, and try again"
)

// routerPages are complete texts of responses from proxies and routers that
// have no server for an address. They say nothing about a subscription.
var routerPages = []string{"404 page not found", "default backend - 404", "no available server", "no healthy upstream"}

// fromOtherServer reports whether a response is the page of a web server, a
// firewall, a proxy, or a router in front of the push service. Push services
// respond in plain text, in JSON, with an empty body, or, as FCM does, with a
// page in the service's own words, which the dictionary knows.
func fromOtherServer(header http.Header, body []byte) bool {
	if len(body) == 0 {
		return false
	}
	text := strings.ToLower(string(bytes.TrimSpace(body[:min(len(body), maxBody)])))
	for _, page := range routerPages {
		if text == page {
			return true
		}
	}
	if !strings.HasPrefix(text, "<") { // true for nearly all, including every accepted message
		return false
	}
	if strings.HasPrefix(text, "<!doctype html") || strings.HasPrefix(text, "<html") {
		return true
	}
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	return (kind == "text/html" || kind == "application/xhtml+xml" || strings.Contains(text, "<html"))
}

// believable reports whether the status alone determines the meaning of a page,
// regardless of its sender: a redirect, a proxy that wants credentials, a body
// that is too long for a server on the way, too many requests, or a server
// error.
func believable(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return true
	}
	return status/100 == 3 || status/100 == 5
}

// otherServer turns e into the explanation of a response from another server.
// Such a response never ends a subscription, and a later attempt may reach the
// push service, also after a 2xx: a login page has delivered nothing.
func (e *Error) otherServer() {
	e.Code, e.Problem, e.hint = CodeOtherServer, meaningOtherServer, adviceOtherServer
}
