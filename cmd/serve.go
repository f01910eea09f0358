package cmd

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type serveOptions struct {
	listen      string
	data        string
	database    databaseOptions
	tokenFile   string
	key         keyFlag
	subject     string
	origins     []string
	hosts       []string
	behindProxy bool
	userHeader  string
	siteName    string
	track       bool

	services     enumFlag
	allowPrivate bool
	ports        portsFlag
	caFile       string
	concurrency  int
	rates        webpush.Rates
	jobs         int
	maxSubs      int64
	goneAfter    durationFlag
	clientRate   float64

	tlsCert, tlsKey string
	plain           bool
	logFormat       enumFlag
}

func newServeCmd(s *streams) *cobra.Command {
	o := serveOptions{services: newEnum("any", "any", "known"), logFormat: newEnum("text", "text", "json")}
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
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8080", "listen on `ADDRESS`, host:port; port 0 is any free port")
	f.StringVar(&o.data, "data", "webpush-data", "keep the database and the token in `DIR`, which is created if necessary")
	f.StringVar(&o.tokenFile, "admin-token-file", "", "read the administrator's token from `FILE` (default admin-token in --data)")
	f.Var(&o.logFormat, "log-format", "text or json")
	completeEnum(c, "log-format", &o.logFormat)
	inGroup(f, "Flags")
	o.database.addFlags(f)
	inGroup(f, "Database")
	o.key.addRingFlags(c)
	f.StringVar(&o.subject, "subject", "", "set sub to a contact `URI`, mailto: or https: (default: the sub of claims.json)")
	inGroup(f, "Key and claims")
	f.StringArrayVar(&o.origins, "origin", nil, "let pages of `ORIGIN` subscribe, such as https://www.example.com; repeatable")
	f.StringArrayVar(&o.hosts, "host", nil, "serve the host `NAME`, in addition to the names of this machine when listening only there; repeatable")
	f.BoolVar(&o.behindProxy, "behind-proxy", false, "use the client address in X-Forwarded-For, which your proxy must set")
	f.StringVar(&o.userHeader, "user-header", "", "use the user in the header `NAME`, which your proxy must set, and not the one in the body")
	f.StringVar(&o.siteName, "site-name", "", "use the title `TEXT` for notifications without one (default: the host of the request)")
	f.BoolVar(&o.track, "track", false, "count the notifications that are shown, clicked, and closed, as service workers report")
	f.Float64Var(&o.clientRate, "client-rate", appserver.DefaultClientRate, "allow `N` requests per second from one address; 0 for no limit")
	f.Int64Var(&o.maxSubs, "max-subscriptions", 0, "keep at most `N` subscriptions; 0 for no limit")
	inGroup(f, "Visitors")
	f.Var(&o.services, "services", "accept subscriptions of any push service, or only of known ones: Apple, Google, Microsoft, Mozilla")
	completeEnum(c, "services", &o.services)
	f.BoolVar(&o.allowPrivate, "allow-private", false, "accept endpoints at private addresses, and plain http on this machine")
	o.ports.addFlag(f)
	f.StringVar(&o.caFile, "ca-file", "", "also trust the certificate authorities in this PEM `FILE`")
	f.IntVar(&o.concurrency, "concurrency", 0, "send `N` messages of a push at a time (default 32 for each processor)")
	addRatesFlag(f, &o.rates)
	f.Var(&o.goneAfter, "gone-after", "delete a subscription only after two responses that it is gone, this far apart (default: after the first one)")
	f.IntVar(&o.jobs, "jobs", appserver.DefaultJobs, "send `N` pushes at a time; others wait")
	inGroup(f, "Sending")
	f.StringVar(&o.tlsCert, "tls-cert", "", "serve https with the certificate in `FILE`")
	f.StringVar(&o.tlsKey, "tls-key", "", "read the certificate's private key from `FILE`")
	f.BoolVar(&o.plain, "allow-plain-http", false, "serve plain HTTP even if other machines can connect, such as behind a proxy")
	inGroup(f, "Connection")
	asSetting(f, "subject", "data", "ca-file", "log-format", "rate-per-origin")
}

// check finds options that contradict each other.
func (o *serveOptions) check() error {
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usage("pass both", "--tls-cert and --tls-key must be used together")
	}
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usage("write it as 127.0.0.1:8080", "--listen: %q is not an address: %v", o.listen, strings.TrimPrefix(err.Error(), "address "+o.listen+": "))
	}
	if !loopback(host) && o.tlsCert == "" && !o.plain {
		return usage("use --tls-cert, or --allow-plain-http behind a proxy that speaks https", "--listen: %q is reachable from other machines, and plain HTTP exposes the token and every endpoint", o.listen)
	}
	if o.concurrency < 0 || o.concurrency > 10_000 {
		return usage("", "--concurrency is %d, expected 1 to 10000", o.concurrency)
	}
	if o.jobs < 1 || o.jobs > 100 {
		return usage("", "--jobs is %d, expected 1 to 100", o.jobs)
	}
	if o.goneAfter.value < 0 {
		return usage("", "--gone-after is %s, expected 0 or more", o.goneAfter.String())
	}
	for name, n := range map[string]float64{"client-rate": o.clientRate, "max-subscriptions": float64(o.maxSubs)} {
		if !(n >= 0 && n <= 1e12) {
			return usage("use 0 for no limit", "--%s is %v, expected 0 to 1e12", name, n)
		}
	}
	if strings.ContainsFunc(o.userHeader, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) }) {
		return usage("write it as X-User", "--user-header: %q is not the name of a header", o.userHeader)
	}
	for _, file := range []string{o.database.file, o.tokenFile} {
		if dir := filepath.Dir(file); file != "" && dir != filepath.Clean(o.data) && !exists(dir) {
			return withHint(fmt.Errorf("%s: directory %s not found", file, dir), "create it with: mkdir -p "+shellWord(dir))
		}
	}
	return nil
}
