package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// adminTokenEnv is the environment variable with the administrator's token, if it is
// not in a file.
const adminTokenEnv = "WEBPUSH_ADMIN_TOKEN"

func runServe(ctx context.Context, s *streams, o serveOptions) (err error) {
	log := s.serviceLog(&o.logFormat)
	bo := appserver.Options{
		Subject:          o.subject,
		Origins:          o.origins,
		SiteName:         o.siteName,
		Track:            o.track,
		BehindProxy:      o.behindProxy,
		AllowPrivate:     o.allowPrivate,
		Ports:            o.ports.list,
		KnownServices:    o.services.String() == "known",
		MaxSubscriptions: o.maxSubs,
		GoneAfter:        o.goneAfter.value,
		Jobs:             o.jobs,
		Bulk:             webpush.BulkOptions{Concurrency: o.concurrency, Rates: o.rates},
		ClientRate:       o.clientRate,
		Log:              log,
	}
	if o.clientRate == 0 {
		bo.ClientRate = -1
	}
	if o.userHeader != "" {
		bo.User = func(r *http.Request) (string, error) { return r.Header.Get(o.userHeader), nil }
	}
	host, _, _ := net.SplitHostPort(o.listen)
	if loopback(host) {
		bo.Hosts = append(append(appserver.LoopbackHosts(), host), o.hosts...)
	} else if len(o.hosts) > 0 {
		bo.Hosts = o.hosts
	}
	if o.caFile != "" {
		if bo.Transport.CAs, err = readFile(o.caFile); err != nil {
			return err
		}
	}
	if o.tlsCert != "" {
		if bo.CertificatePEM, err = s.input(o.tlsCert, "tls-cert"); err != nil {
			return err
		}
		if bo.KeyPEM, err = s.input(o.tlsKey, "tls-key"); err != nil {
			return err
		}
	}
	ring, err := o.key.loadRing(s)
	if err != nil {
		return err
	}
	bo.Key, bo.OldKeys = ring.Current(), ring[1:]
	if bo.Subject == "" {
		if bo.Subject, err = claimsSubject(s); err != nil {
			return err
		}
	}
	address, err := o.database.address(s, o.data)
	if err != nil {
		return err
	}
	var tokenFile string
	if bo.Token, tokenFile, err = o.token(address.Shared()); err != nil {
		return err
	}
	database, err := o.database.open(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Store.Close()) }()
	bo.Store = database.Store
	if bo.Bulk.Limiter, err = database.Limiter(log); err != nil {
		return err
	}
	server, err := appserver.New(bo)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.listen)
	if err != nil {
		err = fmt.Errorf("cannot listen: %w", err)
		if strings.Contains(err.Error(), "address already in use") {
			err = withHint(err, "another program listens there; choose another port with --listen, or 0 for any free port")
		}
		return err
	}
	link := "" // the token for a link to the page, only if it is the server's own
	if tokenFile != "" && o.tokenFile == "" {
		link = bo.Token
	}
	if err := o.announce(s, l.Addr(), host, tokenFile, link, database.Name); err != nil {
		l.Close()
		return err
	}
	return server.Serve(ctx, l)
}

// token returns the administrator's token, and its file if it does not come from the
// environment. Servers that share a database also share the token, so none of them
// creates its own.
func (o *serveOptions) token(shared bool) (token, file string, err error) {
	file = o.tokenFile // overrides the environment, as all flags do
	if file == "" {
		// A variable that was set from a file often ends with a newline.
		token = strings.TrimSpace(os.Getenv(adminTokenEnv))
	}
	if token != "" && shared {
		return token, "", nil
	}
	if shared {
		if file == "" {
			return "", "", usage("set "+adminTokenEnv+", or use --admin-token-file", "servers that share a database need the same administrator's token")
		}
		if !exists(file) {
			return "", "", fmt.Errorf("%s: no such file", file)
		}
	} else if err := os.MkdirAll(o.data, 0o700); err != nil {
		return "", "", fileProblem(o.data, err)
	}
	if token != "" {
		return token, "", nil
	}
	if file == "" {
		file = filepath.Join(o.data, "admin-token")
	}
	if token, _, err = appserver.LoadToken(file); err != nil {
		return "", "", withinFile(file, err)
	}
	return token, file, nil
}

// announce prints the address of the server. On a terminal, it also prints a link with
// the token in the fragment, which browsers do not send.
func (o *serveOptions) announce(s *streams, at net.Addr, host, tokenFile, token, database string) error {
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return err
	}
	if host == "127.0.0.1" || host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost" // browsers allow push there without https
	}
	url := "http://" + net.JoinHostPort(host, port)
	if o.tlsCert != "" {
		url = "https" + strings.TrimPrefix(url, "http")
	}
	if s.json {
		return s.printJSON(struct {
			URL       string `json:"url"`
			TokenFile string `json:"tokenFile,omitempty"`
			Database  string `json:"database"`
		}{url, tokenFile, database})
	}
	fmt.Fprintln(s.out, url)
	s.note("listening at %s, until it is interrupted; open it in a browser", url)
	if tokenFile != "" {
		s.note("the administrator's token is in %s", tokenFile)
	}
	if token != "" && s.errTTY {
		s.note("to open the page as the administrator: %s/#token=%s", url, token)
	}
	if o.allowPrivate {
		s.warn("--allow-private: anyone who can add a subscription can make this server call any address that it can reach", "omit --allow-private if others can reach the server")
	}
	return nil
}

// claimsSubject returns sub of claims.json, if the file exists.
func claimsSubject(s *streams) (string, error) {
	c, err := readClaims(s, "")
	switch {
	case err != nil || c.Subject != "":
		return c.Subject, err
	case exists(defaultClaims):
		return "", usage("pass one: --subject mailto:you@your.domain", "serve needs a contact for the push services, and %s has no sub", defaultClaims)
	}
	return "", usage("pass one: --subject mailto:you@your.domain", "serve needs a contact for the push services")
}

// withinFile words an error about a file, which may be an error of the file system.
func withinFile(name string, err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return fileProblem(name, err)
	}
	return err
}
