// Package netaddr says which addresses and hosts are on the public internet, and
// which are this machine.
package netaddr

import (
	"net/netip"
	"strings"
)

// special are the ranges beyond those that the methods of netip name, from the
// IANA special-purpose registries.
var special = func() []netip.Prefix {
	var out []netip.Prefix
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
	} {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}()

// globalUnicast holds all IPv6 addresses that are assigned for use in the
// internet (RFC 4291 section 2.4 and IANA's registry). What translates to IPv4
// is outside of it, or in special.
var globalUnicast = netip.MustParsePrefix("2000::/3")

// Public reports whether a is an address on the public internet. A zone does not
// count.
func Public(a netip.Addr) bool {
	a = a.WithZone("").Unmap()
	if !a.IsValid() || a.Is6() && !globalUnicast.Contains(a) || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// PublicHost reports whether host, the host of a URL without port, can be on the
// public internet: false for an address that is not [Public] and for the names
// of this machine (RFC 6761 section 6.3). Where other names lead is known only
// after they are resolved.
func PublicHost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if a, err := netip.ParseAddr(host); err == nil {
		return Public(a)
	}
	return host != "" && !Loopback(host)
}

// Loopback reports whether host, the host of a URL without port and brackets, is this
// machine: a loopback address, localhost, or a name below it (RFC 6761, section 6.3).
func Loopback(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
