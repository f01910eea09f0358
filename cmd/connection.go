package cmd

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// connection holds the options that say how push services are reached.
type connection struct {
	timeout     durationFlag
	retries     int
	proxy       string
	caFile      string
	insecure    bool
	connectTo   []string
	allowHTTP   bool
	denyPrivate bool
}

func (o *connection) addFlags(c *cobra.Command) {
	f := c.Flags()
	o.timeout, o.retries = positive(webpush.DefaultTimeout), webpush.DefaultAttempts-1
	f.Var(&o.timeout, "timeout", "time limit for each attempt")
	f.Var(number(&o.retries, 0, 100), "retries", "retry `N` times after 429, 5xx, and network failures")
	f.StringVar(&o.proxy, "proxy", "", "use the proxy at `URL`, or none (default: HTTPS_PROXY, HTTP_PROXY, NO_PROXY)")
	f.StringVar(&o.caFile, "ca-file", "", "also trust the certificate authorities in this PEM `FILE`")
	f.BoolVar(&o.insecure, "insecure", false, "do not check the push service's certificate")
	f.StringArrayVar(&o.connectTo, "connect-to", nil, "connect to `HOST:PORT` instead, as with curl (also HOST1:PORT1:HOST2:PORT2); repeatable")
	f.BoolVar(&o.allowHTTP, "allow-http", false, "allow plain http for an endpoint that is not on this machine")
	f.BoolVar(&o.denyPrivate, "deny-private", false, "refuse endpoints whose address is loopback, private, or link-local")
	inGroup(f, "Connection")
	asSetting(f, "timeout", "retries", "proxy", "ca-file", "allow-http", "deny-private")
}

// client returns a client with these options. It does not sign.
func (o *connection) client(c *cobra.Command, s *streams) (*webpush.Client, webpush.TransportOptions, error) {
	t := webpush.TransportOptions{Proxy: o.proxy, Insecure: o.insecure, ConnectTo: o.connectTo, DenyPrivate: o.denyPrivate}
	if o.caFile != "" {
		pem, err := s.file(o.caFile)
		if err != nil {
			return nil, t, err
		}
		t.CAs = pem
	}
	hc, err := webpush.NewHTTPClient(t)
	var input *webpush.InputError
	switch {
	case errors.As(err, &input) && c.Flags().Lookup(input.Part) != nil:
		return nil, t, wrongFlag(input.Part, err)
	case err != nil:
		return nil, t, &usageError{err: err}
	}
	if o.insecure {
		s.warn("--insecure: the service's certificate is not checked, anyone on the network path can read the request and impersonate the push service", "")
	}
	return &webpush.Client{HTTP: hc, AllowHTTP: o.allowHTTP, Timeout: o.timeout.value, Attempts: o.retries + 1,
		OnRetry: func(e *webpush.Error, wait time.Duration) {
			s.note("%v; trying again in %v", e, wait.Round(10*time.Millisecond))
		}}, t, nil
}
