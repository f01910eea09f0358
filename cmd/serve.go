package cmd

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type serveOptions struct {
	cmd *cobra.Command

	server    appserver.Options // the part that flags fill
	listen    string
	data      string
	database  databaseOptions
	tokenFile string
	key       keyFlag
	user      string // header
	services  string
	caFile    string

	certificateFiles
	plain     bool
	logFormat string
}

func newServeCmd(s *streams) *cobra.Command {
	o := serveOptions{services: "any", logFormat: "text"}
	c := &cobra.Command{
		Use:  "serve",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return runServe(c.Context(), s, o)
		},
	}
	o.addFlags(c)
	c.AddCommand(newServeImportCmd(s), newServeExportCmd(s), newServeCopyCmd(s))
	return c
}

func (o *serveOptions) addFlags(c *cobra.Command) {
	o.cmd = c
	f, server := c.Flags(), &o.server
	server.Jobs = appserver.DefaultJobs
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "listen on `ADDRESS`, host:port; port 0 is any free port")
	f.StringVar(&o.data, "data", "webpush-data", "keep the database and the token in `DIR`, which is created if necessary")
	f.StringVar(&o.tokenFile, "admin-token-file", "", "read the administrator's token from `FILE` (default admin-token in --data)")
	wordFlag(c, &o.logFormat, "log-format", "", "text or json", "text", "json")
	inGroup(f, "Flags")
	o.database.addFlags(f)
	inGroup(f, "Database")
	o.key.addRingFlags(c)
	f.StringVar(&server.Subject, "subject", "", "set sub to a contact `URI`, mailto: or https: (default: the sub of claims.json)")
	inGroup(f, "Key and claims")
	f.StringArrayVar(&server.Origins, "origin", nil, "let pages of `ORIGIN` subscribe, such as https://www.example.com; repeatable")
	f.StringArrayVar(&server.Hosts, "host", nil, "serve the host `NAME`, in addition to the names of this machine when listening only there; repeatable")
	f.BoolVar(&server.BehindProxy, "behind-proxy", false, "use the client address in X-Forwarded-For, which your proxy must set")
	f.StringVar(&o.user, "user-header", "", "use the user in the header `NAME`, which your proxy must set, and not the one in the body")
	f.StringVar(&server.SiteName, "site-name", "", "use the title `TEXT` for notifications without one (default: the host of the request)")
	f.BoolVar(&server.Track, "track", false, "count the notifications that are shown, clicked, and closed, as service workers report")
	f.Var(parsed(&server.ClientRate, strconv.Itoa(appserver.DefaultClientRate)+"/s", "RATE", clientRate), "client-rate", "allow this many requests from one address: 5/s, 100/m, or 5000/h; 0 for no limit")
	f.Var(number(&server.MaxSubscriptions, 0, 1e12), "max-subscriptions", "keep at most `N` subscriptions; 0 for no limit")
	inGroup(f, "Visitors")
	wordFlag(c, &o.services, "services", "", "accept subscriptions of any push service, or only of known ones: Apple, Google, Microsoft, Mozilla", "any", "known")
	f.BoolVar(&server.AllowPrivate, "allow-private", false, "accept endpoints at private addresses, and plain http on this machine")
	addPortsFlag(f, &server.Ports)
	f.StringVar(&o.caFile, "ca-file", "", "also trust the certificate authorities in this PEM `FILE`")
	f.Var(number(&server.Bulk.Concurrency, 0, 10_000), "concurrency", "send `N` messages of a push at a time (default 32 for each processor)")
	addRatesFlag(f, &server.Bulk.Rates)
	f.Var(parsed(&server.GoneAfter, "", "TIME", zeroOrMore), "gone-after", "delete a subscription only after two responses that it is gone, this far apart (default: after the first one)")
	f.Var(number(&server.Jobs, 1, 100), "jobs", "send `N` pushes at a time; others wait")
	inGroup(f, "Sending")
	o.certificateFiles.addFlags(f)
	f.BoolVar(&o.plain, "allow-plain-http", false, "serve plain HTTP even if other machines can connect, such as behind a proxy")
	inGroup(f, "Connection")
	asSetting(f, "subject", "data", "ca-file", "log-format", "rate-per-origin")
}

// zeroOrMore parses a duration that is not negative.
func zeroOrMore(text string) (time.Duration, error) {
	d, err := bulk.ParseDuration(text)
	if err == nil && d < 0 {
		err = fmt.Errorf("expected 0 or more, found %s", text)
	}
	return d, err
}

// clientRate parses a rate of requests, in the syntax of all rates, or 0 for no limit.
func clientRate(text string) (perSecond float64, err error) {
	number, unit, slash := strings.Cut(text, "/")
	if n, err := strconv.ParseFloat(number, 64); err == nil && n == 0 && (!slash || unit == "s" || unit == "m" || unit == "h") {
		return -1, nil
	}
	if perSecond, err = webpush.ParseRate(text); err != nil {
		err = fmt.Errorf("%w; use 0 for no limit", err)
	}
	return perSecond, err
}

// addPortsFlag adds --allow-port, which can be repeated.
func addPortsFlag(f *pflag.FlagSet, ports *[]int) {
	f.Func("allow-port", "also accept endpoints at port `N`; repeatable (default: only 443, or any with --allow-private)", func(text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%q is not a port, expected 1 to 65535", text)
		}
		*ports = append(*ports, n)
		return nil
	})
}

// check finds options that contradict each other.
func (o *serveOptions) check() error {
	if err := o.certificateFiles.check(); err != nil {
		return err
	}
	host, err := listenHost("listen", o.listen, "127.0.0.1:8080")
	if err != nil {
		return err
	}
	if !webpush.Loopback(host) && o.tlsCert == "" && !o.plain {
		return usage("use --tls-cert, or --allow-plain-http behind a proxy that speaks https", "--listen: %q is reachable from other machines, and plain HTTP exposes the token and every endpoint", o.listen)
	}
	if base := filepath.Base(o.tokenFile); o.tokenFile != "" && shown(base) != base && !exists(o.tokenFile) {
		return within("--admin-token-file", fileProblem(o.tokenFile, fs.ErrNotExist)) // more likely the token itself
	}
	return mayCreate(o.data, outputFile{flag: "db", name: o.database.file}, outputFile{flag: "admin-token-file", name: o.tokenFile})
}
