package cmd

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// check reports invalid flags and flags that contradict each other.
func (o *pushServiceOptions) check(c *cobra.Command) error {
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usage("pass both", "--tls-cert and --tls-key must be used together")
	}
	if o.caOut != "" && (!o.tls || o.tlsCert != "") {
		return usage("add --tls, without --tls-cert", "--ca-out requires --tls")
	}
	if c.Flags().Changed("data") && o.data == "" {
		return usage("name a directory, or omit --data", "--data is empty")
	}
	if o.caOut == "-" {
		return usage("name a file, or omit --ca-out for push-service-ca.pem", "--ca-out is -, expected a file that is kept")
	}
	if o.caOut == "" {
		o.caOut = filepath.Join(o.data, "push-service-ca.pem")
	}
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usage("write it as 127.0.0.1:8090", "--listen: %q is not an address: %v", o.listen, strings.TrimPrefix(err.Error(), "address "+o.listen+": "))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usage("write it as 127.0.0.1:8090", "--listen: %q has the port %q, expected 0 to 65535", o.listen, port)
	}
	if !o.chromium && (o.chromiumListen != "" || o.chromiumCAOut != "") {
		return usage("add --chromium", "--chromium-listen and --chromium-ca-out require --chromium")
	}
	if o.chromiumListen == "" {
		o.chromiumListen = net.JoinHostPort(host, "5228")
	} else if h, port, err := net.SplitHostPort(o.chromiumListen); err != nil || h == "" {
		return usage("write it as 127.0.0.1:5228", "--chromium-listen: %q is not an address", o.chromiumListen)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usage("write it as 127.0.0.1:5228", "--chromium-listen: %q has the port %q, expected 0 to 65535", o.chromiumListen, port)
	}
	if o.chromiumCAOut == "-" {
		return usage("name a file, or omit --chromium-ca-out for push-service-chromium-ca.pem", "--chromium-ca-out is -, expected a file that is kept")
	}
	if o.chromiumCAOut == "" {
		o.chromiumCAOut = filepath.Join(o.data, "push-service-chromium-ca.pem")
	}
	if o.chromiumCAOut == o.caOut {
		return usage("name another file", "--chromium-ca-out and --ca-out are the same file, %s", o.caOut)
	}
	if o.origin != "" {
		if origin, err := vapid.Origin(o.origin); err != nil || origin != o.origin {
			return usage("write it as https://push.example.net, without a path", "--origin: %q is not an origin", o.origin)
		}
	}
	for _, name := range o.hosts {
		if name == "" || strings.ContainsAny(name, "/:@?# ") && !strings.HasPrefix(name, "[") {
			return usage("write it as push.example.net, without scheme and port", "--host: %q is not a host name", name)
		}
	}
	for _, page := range o.origins {
		if origin, err := vapid.Origin(page); err != nil || origin != page {
			return usage("write it as http://localhost:3000, without a path", "--allow-origin: %q is not an origin", page)
		}
	}
	if !loopback(host) && !o.tls && o.tlsCert == "" && !o.plain {
		return usage("use --tls, or --allow-plain-http in a network that you trust", "--listen: other machines can reach %q, and plain HTTP exposes every endpoint", o.listen)
	}
	for name, n := range map[string]int{"max-subscriptions": o.maxSubs, "max-messages": o.maxStored, "max-connections": o.maxConns} {
		if n < 1 {
			return usage("", "--%s: %d is less than 1", name, n)
		}
	}
	if c.Flags().Changed("max-body") && o.maxBody < 1 {
		return usage("", "--max-body: %d is less than 1", o.maxBody)
	}
	if o.maxTTL.set && o.maxTTL.value < time.Second {
		return usage("", "--max-ttl: %s is less than a second", shortDuration(o.maxTTL.value))
	}
	return nil
}

// loopback reports whether only this machine can reach the host.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
