package cmd

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/database"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// adminTokenEnv is the environment variable with the administrator's token, if it is
// not in a file.
const adminTokenEnv = "WEBPUSH_ADMIN_TOKEN"

func runServe(ctx context.Context, s *streams, o serveOptions) (err error) {
	options, err := o.options(s)
	if err != nil {
		return err
	}
	address, err := o.database.address(s, o.data)
	if err == nil {
		err = o.database.check(address)
	}
	if err != nil {
		return err
	}
	if !address.Shared() {
		if err := makeDir(o.data); err != nil {
			return err
		}
	}
	token, tokenFile, err := o.token(address.Shared())
	if err != nil {
		return err
	}
	database, err := o.database.open(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Store.Close()) }()
	options.Token, options.Store = token, database.Store
	if options.Bulk.Limiter, err = database.Limiter(options.Log); err != nil {
		return err
	}
	server, err := appserver.New(options)
	if err != nil {
		return wrongOption(o.cmd, err)
	}
	l, err := listen("listen", o.listen)
	if err != nil {
		return err
	}
	if tokenFile == "" || o.tokenFile != "" {
		token = "" // not the server's own, so not in a link to the page
	}
	if err := o.announce(s, l.Addr(), tokenFile, token, database); err != nil {
		l.Close()
		return err
	}
	return server.Serve(ctx, l)
}

// options returns the options of the server except those of its database, and reads the
// files that flags name.
func (o *serveOptions) options(s *streams) (options appserver.Options, err error) {
	options = o.server
	options.KnownServices, options.Log = o.services == "known", s.serviceLog(o.logFormat == "json")
	if o.user != "" {
		if options.User, err = appserver.UserHeader(o.user); err != nil {
			return options, wrongOption(o.cmd, err)
		}
	}
	if host := o.host(); webpush.Loopback(host) {
		options.Hosts = append(append(appserver.LoopbackHosts(), host), options.Hosts...)
	}
	if options.Transport.CAs, err = s.authorities(o.caFile); err != nil {
		return options, err
	}
	if options.CertificatePEM, options.KeyPEM, err = o.certificateFiles.read(s); err != nil {
		return options, err
	}
	ring, err := o.key.loadRing(s)
	if err != nil {
		return options, err
	}
	options.Key, options.OldKeys = ring.Current(), ring[1:]
	if options.Subject == "" {
		options.Subject, err = claimsSubject(s)
	}
	return options, err
}

// host returns the host of --listen.
func (o *serveOptions) host() string {
	host, _, _ := net.SplitHostPort(o.listen) // already checked
	return host
}

// token returns the administrator's token, and its file if it does not come from the
// environment. Servers that share a database also share the token, so none of them
// creates its own.
func (o *serveOptions) token(shared bool) (token, file string, err error) {
	file = o.tokenFile // overrides the environment, as all flags do
	if file == "" {
		// A variable that was set from a file often ends with a newline.
		if token = strings.TrimSpace(os.Getenv(adminTokenEnv)); token != "" {
			return token, "", nil
		}
		if shared {
			return "", "", usage("use --admin-token-file with the token of the first server, such as its "+filepath.Join(o.data, "admin-token")+", or set "+adminTokenEnv, "servers that share a database need the same administrator's token")
		}
		file = filepath.Join(o.data, "admin-token")
	} else if shared && !exists(file) {
		return "", "", fileProblem(file, fs.ErrNotExist)
	}
	token, _, err = appserver.LoadToken(file)
	return token, file, unshown(err)
}

// announce prints the address of the server. On a terminal, it also prints a link with
// the token in the fragment, which browsers do not send.
func (o *serveOptions) announce(s *streams, at net.Addr, tokenFile, token string, d *database.Database) error {
	scheme, host := "http", o.host()
	if o.tlsCert != "" {
		scheme = "https"
	}
	if host == "127.0.0.1" || host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost" // browsers allow push there without https
	}
	url := urlOf(scheme, host, at)
	if err := s.printURL(url, struct {
		URL       string `json:"url"`
		TokenFile string `json:"tokenFile,omitempty"`
		Database  string `json:"database"`
	}{url, tokenFile, d.Name}); err != nil || s.json {
		return err
	}
	s.note("listening at %s, until it is interrupted; open it in a browser", url)
	if tokenFile != "" {
		s.note("the administrator's token is in %s", tokenFile)
	}
	if token != "" && s.errTTY {
		s.note("to open the page as the administrator: %s/#token=%s", url, token)
	}
	if o.server.AllowPrivate {
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
