package pushservice

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
)

// ChromiumAccess describes the listener for Chromium's channel to browsers and
// senders. It is the response to GET /api/chromium.
type ChromiumAccess struct {
	// Address is the host:port that it listens on.
	Address string `json:"address"`
	// Hosts are the hosts of Google that it stands in for.
	Hosts []string `json:"hosts"`
	// PublicKeyHash is as in [ChromiumServer].
	PublicKeyHash string `json:"publicKeyHash"`
	// CA is the certificate of its certificate authority, in PEM.
	CA string `json:"ca"`
}

// ConnectTo returns HOST:443:ADDRESS for each host of the endpoints that Chromium
// reports: senders that connect to ADDRESS instead of HOST, port 443, reach these
// endpoints. It is the form of curl's option of that name.
func (a ChromiumAccess) ConnectTo() []string {
	list := make([]string, len(chromiumHosts))
	for i, host := range chromiumHosts {
		list[i] = host + ":443:" + a.Address
	}
	return list
}

// Proxy returns the URL of the listener as a proxy for HTTPS, for senders that
// cannot be made to connect elsewhere. It is a proxy to [ChromiumAccess].Hosts
// only.
func (a ChromiumAccess) Proxy() string { return "http://" + a.Address }

// Access describes the listener.
func (c *ChromiumServer) Access() ChromiumAccess {
	return ChromiumAccess{c.Addr, c.Hosts(), c.PublicKeyHash, string(c.CA())}
}

// Running is a push service of this package in another process, or in this one,
// as [Lookup] finds it.
type Running struct {
	// URL is its URL, scheme://host[:port].
	URL string
	// Certificate is its certificate in DER, or nil with plain HTTP.
	Certificate []byte
	// Chromium is its listener for Chromium's channel, or nil.
	Chromium *ChromiumAccess
}

// Running describes the server, as [Lookup] does.
func (s *Server) Running() *Running {
	r := &Running{URL: s.URL, Certificate: s.leaf}
	if s.Chromium != nil {
		access := s.Chromium.Access()
		r.Chromium = &access
	}
	return r
}

// WebSocket returns the URL for user agents that connect by WebSocket.
func (r *Running) WebSocket() string { return webSocketURL(r.URL) }

func webSocketURL(url string) string { return "ws" + strings.TrimPrefix(url, "http") }

// lookupTimeout is the time limit for one request of [Lookup].
const lookupTimeout = 5 * time.Second

// Lookup finds the push service at an address: scheme://host[:port], or host:port
// for https or http, whichever it serves. The certificate of a push service on
// this machine is not verified, since its certificate authority is its own; see
// [Running].Certificate. The error reports that nothing listens there, or
// something else does.
func Lookup(ctx context.Context, address string) (*Running, error) {
	if strings.Contains(address, "://") {
		return lookup(ctx, address)
	}
	running, err := lookup(ctx, "http://"+address)
	if err != nil && !errors.As(err, new(*net.OpError)) { // something listens
		if secure, err := lookup(ctx, "https://"+address); err == nil {
			return secure, nil
		}
	}
	return running, err
}

func lookup(ctx context.Context, service string) (*Running, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	service = strings.TrimRight(service, "/")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, service+"/api/chromium", nil)
	if err != nil {
		return nil, err
	}
	client := &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: netaddr.Loopback(r.URL.Hostname())},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, lookupProblem(r.URL.Hostname(), err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxFrame))
	if err != nil {
		return nil, err
	}
	found := &Running{URL: service}
	if response.TLS != nil {
		found.Certificate = response.TLS.PeerCertificates[0].Raw
	}
	var access ChromiumAccess
	var missing struct {
		Code  int    `json:"code"`
		Error string `json:"error"`
		More  string `json:"more_info"`
	}
	switch {
	case response.StatusCode == http.StatusOK && json.Unmarshal(b, &access) == nil && access.Address != "" && access.PublicKeyHash != "":
		found.Chromium = &access
		return found, nil
	case response.StatusCode == http.StatusNotFound && json.Unmarshal(b, &missing) == nil && missing.Code == http.StatusNotFound && missing.More == moreInfo:
		return found, nil
	}
	return nil, fmt.Errorf("it is not a push service of this kind: it responded with %s", response.Status)
}

// lookupProblem returns the error for a host that did not respond.
func lookupProblem(host string, err error) error {
	var untrusted *tls.CertificateVerificationError
	var wrapped *url.Error
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("its certificate is not trusted, and %s is not an address of this machine: %w", host, untrusted.Err)
	case errors.As(err, &wrapped):
		return wrapped.Err
	}
	return err
}

// getChromium describes the listener for Chromium.
func (s *Service) getChromium(w http.ResponseWriter) error {
	if s.chromium == nil {
		return notFound("Not available", "this push service was started without the listener for Chromium")
	}
	writeJSON(w, http.StatusOK, s.chromium.Access())
	return nil
}

// Hosts returns the hosts of Google that the listener stands in for: the only ones
// that its certificate has, and that it lets clients CONNECT to.
func (c *ChromiumServer) Hosts() []string { return slices.Clone(googleHosts) }
