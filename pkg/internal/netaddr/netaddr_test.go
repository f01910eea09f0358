package netaddr

import (
	"net/netip"
	"testing"
)

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.15.255.255": true, "172.32.0.1": true, "100.63.255.255": true, "100.128.0.1": true,
		"192.167.0.1": true, "223.255.255.255": true, "2606:4700::1111": true, "2a00:1450::1": true, "::ffff:8.8.8.8": true,

		"0.0.0.0": false, "0.1.2.3": false, "10.0.0.1": false, "10.255.255.255": false, "127.0.0.1": false, "127.255.255.254": false,
		"100.64.0.1": false, "169.254.169.254": false, "172.16.0.1": false, "172.31.255.255": false, "192.0.0.8": false, "192.0.2.1": false,
		"192.88.99.1": false, "192.168.1.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false,
		"240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::127.0.0.1": false, "fe80::1": false, "fec0::1": false, "fc00::1": false, "fd12:3456::1": false,
		"ff02::1": false, "2001:db8::1": false, "2001::1": false, "3fff::1": false, "5f00::1": false, "100::1": false,
		// The same by other ways: mapped, NAT64, 6to4.
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false,
		"::ffff:0:10.0.0.1": false, "::ffff:0:8.8.8.8": false, "200::1": false, "4000::1": false, "3fff:1000::1": true,
		"64:ff9b::127.0.0.1": false, "64:ff9b::10.0.0.1": false, "64:ff9b:1::a00:1": false, "2002:7f00:1::": false,
	} {
		if got := Public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: public %t", address, got)
		}
	}
}

func TestPublicHost(t *testing.T) {
	for host, want := range map[string]bool{
		"push.example": true, "8.8.8.8": true, "2606:4700::1111": true, "[2606:4700::1111]": true, "::ffff:8.8.8.8": true,
		"localhost": false, "LOCALHOST.": false, "push.localhost": false, "": false, "127.0.0.1": false, "10.1.2.3": false, "192.168.0.1": false,
		"169.254.1.1": false, "0.0.0.0": false, "100.64.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "255.255.255.255": false, "224.0.0.1": false,
		"::1": false, "fe80::1": false, "fe80::1%eth0": false, "fd00::1": false, "2002:7f00:1::": false, "64:ff9b::7f00:1": false, "2001:db8::1": false,
		"::ffff:127.0.0.1": false, "::ffff:127.0.0.1%lo": false, "ff02::1": false, "3fff::1": false,
	} {
		if got := PublicHost(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "push.localhost": true, "127.0.0.1": true, "127.1.2.3": true, "::1": true, "::ffff:127.0.0.1": true,
		"localhost.": true, "push.localhost.": true, "127.0.0.1.": true,
		"": false, "localhost.example": false, "localhost..": false, "notlocalhost": false, "192.168.0.1": false, "0.0.0.0": false, "::": false, "::2": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}

// TestReserved: sub and endpoints at a reserved domain are judged by one list.
func TestReserved(t *testing.T) {
	for host, want := range map[string]string{
		"localhost": "localhost", "LOCALHOST.": "localhost", "push": "a host of a single label", "": "a host of a single label",
		"push.local": "the reserved domain .local", "push.Example.": "the reserved domain .example", "x.home.arpa": "the reserved domain .arpa", "x.onion": "the reserved domain .onion",
		"push.example.net": "", "example.com": "", "local.example.com.": "",
	} {
		if got := Reserved(host); got != want {
			t.Errorf("%q: %q, want %q", host, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for host, want := range map[string]bool{
		"2130706433": true, "127.1": true, "0x7f000001": true, "0x": true, "0177.0.0.1": true, "127.0.0.1.": true, "1.2.3.4.5": true, "a.0XF": true,
		"127.0.0.1": false, "::1": false, "push": false, "": false, ".": false, "1.example": false, "xn--1": false, "a.0x7g": false, "face": false,
	} {
		if got := Number(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
