package webpush

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
)

// TransportOptions says how [NewHTTPClient] reaches push services. The zero
// value uses the system's trusted authorities and the proxy of the
// environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY).
type TransportOptions struct {
	// Proxy is a proxy's URL (http, https, or socks5), or "none" to use no
	// proxy even if the environment sets one.
	Proxy string
	// CAs are certificates in PEM, trusted in addition to the system's.
	CAs []byte
	// Insecure does not check certificates at all.
	Insecure bool
	// ConnectTo redirects connections, like curl's --connect-to: each is
	// "HOST:PORT" for all connections, or "HOST1:PORT1:HOST2:PORT2", where an
	// empty HOST1 or PORT1 means any and an empty HOST2 or PORT2 means no
	// change. Names in requests and certificates do not change. Proxies of the
	// environment are not used.
	ConnectTo []string
	// DenyPrivate refuses addresses that are not public. They are checked when
	// connecting, so a host name cannot hide one. Proxies of the environment
	// are not used.
	DenyPrivate bool
}

// NewHTTPClient returns an HTTP client for push services. It uses HTTP/2 if the service
// offers it, keeps connections, and does not follow redirects. It has no timeout; use
// that of [Client] or of contexts.
func NewHTTPClient(o TransportOptions) (*http.Client, error) {
	dialer := &net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}
	if o.DenyPrivate {
		dialer.Control = denyPrivate
	}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        100,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 20 * time.Second,
		// A connection that died without a word would swallow every attempt.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
	t.OnProxyConnectResponse = func(_ context.Context, proxy *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode != http.StatusOK {
			return &proxyError{proxy.Host, resp.StatusCode}
		}
		return nil
	}
	if o.withoutProxy() {
		t.Proxy = nil
	}
	if o.Proxy != "" && o.Proxy != "none" {
		if o.withoutProxy() {
			return nil, &InputError{Part: "proxy", Problem: "a proxy makes the connections itself, so it cannot be combined with refusing private addresses or with other addresses to connect to"}
		}
		u, err := url.Parse(o.Proxy)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "socks5" && u.Scheme != "socks5h" {
			return nil, &InputError{Part: "proxy", Problem: "the proxy is not an http, https, or socks5 URL", hint: "write it as http://host:port"}
		}
		t.Proxy = http.ProxyURL(u)
	}
	if len(o.ConnectTo) > 0 {
		rules, err := parseConnectTo(o.ConnectTo)
		if err != nil {
			return nil, err
		}
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, rules.target(address))
		}
	}
	if len(o.CAs) > 0 || o.Insecure {
		t.TLSClientConfig = &tls.Config{InsecureSkipVerify: o.Insecure}
		if len(o.CAs) > 0 {
			pool, err := x509.SystemCertPool()
			if err != nil {
				pool = x509.NewCertPool()
			}
			if !pool.AppendCertsFromPEM(o.CAs) {
				return nil, &InputError{Part: "ca-file", Problem: "found no certificate in PEM among the authorities to trust",
					hint: "use a file that begins with -----BEGIN CERTIFICATE-----"}
			}
			t.TLSClientConfig.RootCAs = pool
		}
	}
	return &http.Client{Transport: t, CheckRedirect: refuseRedirect}, nil
}

// proxyError is a proxy's refusal to connect.
type proxyError struct {
	host   string
	status int
}

func (e *proxyError) Error() string {
	return fmt.Sprintf("the proxy %s responded with %d %s", e.host, e.status, http.StatusText(e.status))
}

// withoutProxy reports whether no proxy of the environment is used.
func (o *TransportOptions) withoutProxy() bool {
	return o.DenyPrivate || len(o.ConnectTo) > 0 || o.Proxy == "none"
}

// connectTo maps addresses; an empty part means any, or no change.
type connectTo []struct{ fromHost, fromPort, toHost, toPort string }

func parseConnectTo(rules []string) (connectTo, error) {
	var out connectTo
	for _, r := range rules {
		parts, err := splitColons(r)
		if err == nil && len(parts) == 2 {
			parts = append([]string{"", ""}, parts...)
		}
		if err != nil || len(parts) != 4 || parts[2] == "" && parts[3] == "" || !isPort(parts[1]) || !isPort(parts[3]) {
			return nil, &InputError{Part: "connect-to", Problem: fmt.Sprintf("the address to connect to is %q, expected HOST:PORT or HOST1:PORT1:HOST2:PORT2", r),
				hint: "write an IPv6 address in brackets"}
		}
		out = append(out, struct{ fromHost, fromPort, toHost, toPort string }{parts[0], parts[1], parts[2], parts[3]})
	}
	return out, nil
}

func isPort(s string) bool {
	if s == "" {
		return true
	}
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// splitColons splits at colons outside of brackets, and removes the brackets.
func splitColons(s string) ([]string, error) {
	var parts []string
	for {
		end := strings.IndexByte(s, ':')
		part := s
		if strings.HasPrefix(s, "[") {
			close := strings.IndexByte(s, ']')
			if close < 0 {
				return nil, errors.New("a bracket is not closed")
			}
			part, end = s[1:close], -1
			if rest := s[close+1:]; rest != "" {
				if rest[0] != ':' {
					return nil, errors.New("text after a bracket")
				}
				end = close + 1
			}
		} else if end >= 0 {
			part = s[:end]
		}
		parts = append(parts, part)
		if end < 0 {
			return parts, nil
		}
		s = s[end+1:]
	}
}

func (c connectTo) target(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	for _, r := range c {
		if r.fromHost != "" && !strings.EqualFold(r.fromHost, host) || r.fromPort != "" && r.fromPort != port {
			continue
		}
		if r.toHost != "" {
			host = r.toHost
		}
		if r.toPort != "" {
			port = r.toPort
		}
		break
	}
	return net.JoinHostPort(host, port)
}

type privateAddressError struct{ address netip.Addr }

func (e *privateAddressError) Error() string {
	return fmt.Sprintf("the endpoint's address %s is not public", e.address)
}

// denyPrivate checks the address being dialed, after name resolution.
func denyPrivate(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return &privateAddressError{}
	}
	if !netaddr.Public(a.Addr()) {
		return &privateAddressError{a.Addr()}
	}
	return nil
}
