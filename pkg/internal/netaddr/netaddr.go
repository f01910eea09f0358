// Package netaddr says which addresses and hosts are on the public internet, and
// which are this machine.
package netaddr

import (
	"net/netip"
	"slices"
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
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return Public(a)
	}
	return host != "" && !Loopback(host)
}

// Loopback reports whether host, the host of a URL without port and brackets, is this
// machine: a loopback address, localhost, or a name below it (RFC 6761, section 6.3). A
// dot at the end does not count.
func Loopback(host string) bool {
	host = strings.TrimSuffix(host, ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// reservedTLDs are the top-level domains that are never on the public internet (RFC 2606,
// RFC 6761, RFC 6762, RFC 7686, RFC 8375, and ICANN's reservation of internal).
var reservedTLDs = []string{"local", "localhost", "test", "example", "invalid", "internal", "lan", "home", "corp", "onion", "arpa"}

// Reserved says why a host name, the host of a URL or of a mail address, is never on the
// public internet, such as "the reserved domain .local", or returns "". host must not be an
// address.
func Reserved(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch last := host[strings.LastIndexByte(host, '.')+1:]; {
	case host == "localhost":
		return "localhost"
	case last == host:
		return "a host of a single label"
	case slices.Contains(reservedTLDs, last):
		return "the reserved domain ." + last
	}
	return ""
}

// Number reports whether a host without brackets is an IPv4 address in a form that browsers
// never write, such as 127.1 or 0x7f000001: its last label is a number, but it is not four
// decimal numbers (WHATWG URL, "ends in a number"). Some resolvers read it as an address.
func Number(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if digits, hex := strings.CutPrefix(last, "0x"); hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}
