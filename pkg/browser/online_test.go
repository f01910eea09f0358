package browser

import (
	"net"
	"testing"
)

func TestOnline(t *testing.T) {
	const up = net.FlagUp | net.FlagRunning
	for _, c := range []struct {
		name      string
		flags     net.Flags
		addresses int
		want      bool
	}{
		{"Ethernet", up | net.FlagBroadcast, 2, true},
		{"VPN", up | net.FlagPointToPoint, 1, true},
		{"loopback", up | net.FlagLoopback, 2, false},
		{"without an address", up | net.FlagBroadcast, 0, false},
		{"without a cable", net.FlagUp | net.FlagBroadcast, 1, false},
		{"switched off", net.FlagBroadcast, 1, false},
	} {
		if got := online(c.flags, c.addresses); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
