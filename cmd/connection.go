package cmd

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// connection holds the options that say how push services are reached.
type connection struct {
	webpush.TransportOptions
	timeout   time.Duration
	retries   int
	caFile    string
	allowHTTP bool
}

func (o *connection) addFlags(c *cobra.Command) {
	f := c.Flags()
	o.timeout, o.retries = webpush.DefaultTimeout, webpush.DefaultAttempts-1
	f.Var(positive(&o.timeout), "timeout", "time limit for each attempt")
	f.Var(number(&o.retries, 0, 100), "retries", "retry `N` times after "+webpush.TemporaryStatuses+", and network failures")
	f.StringVar(&o.Proxy, "proxy", "", "use the proxy at `URL`, or none (default: HTTPS_PROXY, HTTP_PROXY, NO_PROXY)")
	f.StringVar(&o.caFile, "ca-file", "", "also trust the certificate authorities in this PEM `FILE`")
	f.BoolVar(&o.Insecure, "insecure", false, "do not check the push service's certificate")
	f.StringArrayVar(&o.ConnectTo, "connect-to", nil, "connect to `HOST:PORT` instead, as with curl (also HOST1:PORT1:HOST2:PORT2); repeatable")
	f.BoolVar(&o.allowHTTP, "allow-http", false, "allow plain http for an endpoint that is not on this machine")
	f.BoolVar(&o.DenyPrivate, "deny-private", false, "refuse endpoints whose address is loopback, private, or link-local")
	inGroup(f, "Connection")
	asSetting(f, "timeout", "retries", "proxy", "ca-file", "allow-http", "deny-private")
}

// client returns a client with these options, which it completes. It does not sign.
func (o *connection) client(c *cobra.Command, s *streams) (*webpush.Client, error) {
	var err error
	if o.CAs, err = s.authorities(o.caFile); err != nil {
		return nil, err
	}
	hc, err := webpush.NewHTTPClient(o.TransportOptions)
	if err != nil {
		return nil, &usageError{err: wrongOption(c, err)}
	}
	if o.Insecure {
		s.warn("--insecure: the service's certificate is not checked, anyone on the network path can read the request and impersonate the push service", "")
	}
	return &webpush.Client{HTTP: hc, AllowHTTP: o.allowHTTP, Timeout: o.timeout, Attempts: o.retries + 1,
		OnRetry: func(e *webpush.Error, wait time.Duration) {
			s.note("%v; trying again in %v", e, wait.Round(10*time.Millisecond))
		}}, nil
}

// authorities returns the content of the file that --ca-file names, if it is given.
func (s *streams) authorities(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	return s.file(name)
}
