package cmd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// listenHost returns the host of the address to listen on that a flag names. example is
// an address for the hint.
func listenHost(flag, address, example string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", usage("write it as "+example, "--%s: %q is not an address: %v", flag, address, strings.TrimPrefix(err.Error(), "address "+address+": "))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", usage("write it as "+example, "--%s: %q has the port %q, expected 0 to 65535", flag, address, port)
	}
	return host, nil
}

// listen opens the address that a flag names.
func listen(flag, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		err = listenProblem(flag, fmt.Errorf("cannot listen: %w", err))
	}
	return l, err
}

// listenProblem adds a hint to the error of a server that cannot listen at the address
// that a flag names.
func listenProblem(flag string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "address already in use"):
		return withHint(err, "another program listens there; choose another port with --"+flag+", or 0 for any free port")
	case strings.Contains(text, "cannot assign requested address"):
		return withHint(err, "this machine does not have the address; use one of its own with --"+flag+", 127.0.0.1 for programs on this machine, or 0.0.0.0 for all networks")
	case strings.Contains(text, "permission denied"):
		return withHint(err, "choose a port above 1023 with --"+flag)
	}
	return err
}

// makeDir creates a directory, readable only by its owner, if it does not exist.
func makeDir(name string) error {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return fileProblem(name, err)
	}
	return nil
}

// urlOf returns the URL of a server at an address, with the host by which others reach it.
func urlOf(scheme, host string, at net.Addr) string {
	_, port, _ := net.SplitHostPort(at.String()) // of a listener, so it has one
	return scheme + "://" + net.JoinHostPort(host, port)
}
