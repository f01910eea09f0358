package netaddr

import "testing"

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
		"": false, "localhost.example": false, "notlocalhost": false, "192.168.0.1": false, "0.0.0.0": false, "::": false, "::2": false,
	} {
		if got := Loopback(host); got != want {
			t.Errorf("%q: %v", host, got)
		}
	}
}
