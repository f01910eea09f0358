package queue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// DialOptions configures the connection to a server or cluster, as in nats.go. The zero
// value connects without credentials.
type DialOptions struct {
	// Creds is the name of a file with a JWT and a key, as nsc writes it. NKey is the
	// name of a file with the seed of an nkey.
	Creds, NKey string
	// User and Password, or Token, are credentials. They can also be in the address.
	User, Password, Token string
	// CAFile is the name of a PEM file with the CAs to trust for the server's
	// certificate. CertFile and KeyFile are the names of PEM files with a client
	// certificate and its key.
	CAFile, CertFile, KeyFile string
	// TLS requires an encrypted connection, as tls:// and certificate files do.
	TLS bool
	// Name identifies the connection to the server's operator.
	Name string
	// Log, if set, is called when the connection is lost and when it is restored.
	Log func(message string)
}

// Dial connects to the servers at address, a URL such as nats://host:4222 or several
// separated by commas, and returns their queue, as [Open] does. The error is an
// [*Error] without the secrets in the address.
func Dial(ctx context.Context, address string, o DialOptions, c Config) (*Queue, error) {
	var servers []string
	for server := range strings.SplitSeq(address, ",") {
		server = strings.TrimSpace(server)
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(server)
		if err != nil || u.Host == "" {
			return nil, &Error{Problem: "the address of the NATS server is not a URL", hint: "use the form nats://HOST:4222; escape special characters in a password, such as @ as %40"}
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return nil, &Error{Problem: fmt.Sprintf("the address of the NATS server has the scheme %q, expected nats, tls, ws, or wss", u.Scheme), hint: "use the form nats://HOST:4222"}
		}
		servers = append(servers, server)
	}
	log := o.Log
	if log == nil {
		log = func(string) {}
	}
	options := []nats.Option{nats.Name(o.Name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(500 * time.Millisecond), nats.Timeout(5 * time.Second), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log("the connection to the NATS server is lost; reconnecting")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log("connected again to " + nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if o.Creds != "" {
		options = append(options, nats.UserCredentials(o.Creds))
	}
	if o.NKey != "" {
		option, err := nats.NkeyOptionFromSeed(o.NKey)
		if err != nil {
			return nil, &Error{Problem: fmt.Sprintf("the file %q does not contain the seed of an nkey", o.NKey), Err: fileCause(err), hint: "use a file with one line that begins with SU, as nk and nsc write it"}
		}
		options = append(options, option)
	}
	if o.User != "" || o.Password != "" {
		options = append(options, nats.UserInfo(o.User, o.Password))
	}
	if o.Token != "" {
		options = append(options, nats.Token(o.Token))
	}
	if o.TLS {
		options = append(options, nats.Secure(&tls.Config{MinVersion: tls.VersionTLS12}))
	}
	if o.CAFile != "" {
		options = append(options, nats.RootCAs(o.CAFile))
	}
	if o.CertFile != "" || o.KeyFile != "" {
		options = append(options, nats.ClientCert(o.CertFile, o.KeyFile))
	}
	nc, err := nats.Connect(strings.Join(servers, ","), options...)
	if err != nil {
		return nil, dialError(servers, o, err)
	}
	q, err := Open(ctx, nc, c)
	if err != nil {
		nc.Close()
		return nil, err
	}
	q.own = true
	return q, nil
}

// fileCause returns the error of a file if its text reveals nothing about the content.
func fileCause(err error) error {
	if strings.Contains(err.Error(), "no such file") {
		return errors.New("no such file or directory")
	}
	return nil
}

// dialError returns the error for a connection that failed.
func dialError(servers []string, o DialOptions, err error) *Error {
	hosts := make([]string, len(servers))
	for i, server := range servers {
		hosts[i] = Redact(server)
	}
	e := &Error{Problem: "no connection to " + strings.Join(hosts, ", "), Err: err}
	var op *net.OpError
	switch {
	case errors.Is(err, nats.ErrAuthorization), strings.Contains(strings.ToLower(err.Error()), "authorization"):
		e.hint = "check the user and password, the token, the nkey, or the creds file"
	case errors.Is(err, nats.ErrSecureConnRequired):
		e.hint = "use tls:// instead of nats://"
	case strings.Contains(err.Error(), "after TLS handshake"), strings.Contains(err.Error(), "certificate required"), strings.Contains(err.Error(), "reset by peer"):
		e.hint = "check whether the server requires a client certificate"
	case strings.Contains(err.Error(), "root certificate"):
		e = &Error{Problem: fmt.Sprintf("the file %q has no certificate in PEM", o.CAFile), hint: "use a file that begins with -----BEGIN CERTIFICATE-----"}
	case strings.Contains(err.Error(), "client certificate"):
		e = &Error{Problem: fmt.Sprintf("the files %q and %q are not a certificate and its private key in PEM", o.CertFile, o.KeyFile),
			hint: "use the certificate first, and the private key that belongs to it"}
	case o.Creds != "" && strings.Contains(err.Error(), o.Creds):
		e.hint = "use a file with a JWT and a seed, as nsc writes it"
	case strings.Contains(err.Error(), "x509:"):
		e.hint = "trust the CA of the server's certificate"
	case errors.Is(err, nats.ErrNoServers), errors.As(err, &op):
		e.hint = "check that nats-server is running there with -js"
	}
	var parse *url.Error
	if errors.As(err, &parse) {
		e.Err = parse.Err // omits the address, which may have a password
	}
	return e
}

// Redact returns the address of servers without users, passwords, and tokens.
func Redact(address string) string {
	list := strings.Split(address, ",")
	for i, server := range list {
		scheme, rest, found := strings.Cut(strings.TrimSpace(server), "://")
		if !found {
			scheme, rest = "nats", scheme
		}
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			rest = rest[at+1:]
		}
		rest, _, _ = strings.Cut(rest, "?")
		list[i] = scheme + "://" + rest
	}
	return strings.Join(list, ",")
}

// HasPassword reports whether the address of servers contains a password or token.
func HasPassword(address string) bool {
	for server := range strings.SplitSeq(address, ",") {
		if strings.Contains(server, "@") {
			return true
		}
	}
	return false
}
