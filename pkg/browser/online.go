package browser

import "net"

// Online reports whether this machine has a network interface that is up and has an
// address, except for loopback. Otherwise, Chromium considers itself offline and
// does not connect to a push service, even on this machine. Online is true if the
// interfaces cannot be read.
func Online() bool {
	interfaces, err := net.Interfaces()
	if err != nil {
		return true
	}
	for _, i := range interfaces {
		if addresses, err := i.Addrs(); err != nil || online(i.Flags, len(addresses)) {
			return true
		}
	}
	return false
}

// online reports whether an interface makes Chromium consider itself online.
func online(flags net.Flags, addresses int) bool {
	const up = net.FlagUp | net.FlagRunning
	return flags&up == up && flags&net.FlagLoopback == 0 && addresses > 0
}
