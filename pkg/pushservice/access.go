package pushservice

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// checkHost refuses a request for a host name that is not the service's. If the owner
// of a web page points its name at this machine (DNS rebinding), browsers consider
// the page and the service the same origin; only Host reveals the difference.
func (s *Service) checkHost(r *http.Request) error {
	host := hostName(r.Host)
	if host == "" || strings.ContainsAny(r.Host, "/?#@\\") {
		return refuse(http.StatusBadRequest, noErrno, "Invalid Host header", "%q is not a host", clip(r.Host))
	}
	if netaddr.Loopback(host) || slices.Contains(s.hosts, host) {
		return nil
	}
	if _, err := netip.ParseAddr(host); err == nil {
		// The address that the client has connected to.
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && hostName(local.String()) == host {
			return nil
		}
	}
	hint := s.hostHint
	if hint == "" {
		hint = "add it to the host names of the service if it is one"
	}
	s.logger.Warn("host refused", "host", clip(r.Host))
	return refuse(http.StatusMisdirectedRequest, noErrno, "Unknown host", "%q is not a host name of this push service; %s", clip(r.Host), hint)
}

// hostName returns the host without its port, in lower case, and an IPv6 address
// without brackets.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

// checkOrigin refuses a request from a web page, except for pages of the service's own
// origin and of [Options].AllowOrigins. Programs send no Origin header, and the push
// connection of Firefox sends one with ws or wss.
func (s *Service) checkOrigin(w http.ResponseWriter, r *http.Request) error {
	refused := func(format string, a ...any) error {
		return refuse(http.StatusForbidden, noErrno, "Invalid origin", format, a...)
	}
	value := r.Header.Get("Origin")
	if len(r.Header.Values("Origin")) > 1 {
		return refused("the request has several Origin headers")
	}
	scheme, _, _ := strings.Cut(strings.ToLower(value), ":")
	switch {
	case value == "":
		// Some requests of browsers have no Origin header; this header identifies them.
		switch r.Header.Get("Sec-Fetch-Site") {
		case "", "same-origin", "none":
			return nil
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return nil // changes nothing, and pages cannot read the response
		}
		return refused("a web page of another site sent the request")
	case value != "null" && scheme != "http" && scheme != "https":
		return nil
	}
	origin, err := vapid.Origin(value)
	if err != nil {
		return refused("%q is not an origin that this push service allows", clip(value))
	}
	if own, err := s.originOf(r); err == nil && origin == own {
		return nil
	}
	if u, err := url.Parse(origin); err == nil && s.origin != "" && strings.EqualFold(u.Host, r.Host) && (u.Scheme == "https") == (r.TLS != nil) {
		return nil // the service's own page, under another of its names
	}
	if !slices.Contains(s.allowOrigins, origin) {
		return refused("%q is not an origin that this push service allows", clip(value))
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", value)
	h.Add("Vary", "Origin")
	return nil
}

// preflight responds to r if it is a CORS preflight request, and reports whether it
// is.
func preflight(w http.ResponseWriter, r *http.Request, status int, methods string) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", methods)
	if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Set("Access-Control-Max-Age", "3600")
	writeEmpty(w, status)
	return true
}
