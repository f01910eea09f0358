package cmd

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/pushservice/receiver"
	"github.com/seed81da77dd/webpush/pkg/pushservice/sqlite"
)

type pushServiceOptions struct {
	pushservice.ServerOptions
	chromium     pushservice.ChromiumOptions
	withChromium bool

	certificateFiles

	data   string
	plain  bool
	as     string
	faults []string
}

func newPushServiceCmd(s *streams) *cobra.Command {
	var o pushServiceOptions
	c := &cobra.Command{
		Use:  "push-service",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return runPushService(c.Context(), s, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Addr, "listen", pushservice.DefaultAddr, "listen on `ADDRESS`, host:port; port 0 is any free port")
	f.StringVar(&o.Options.Origin, "origin", "", "announce this `URL` if others reach it there: scheme://host[:port]")
	f.StringArrayVar(&o.Options.Hosts, "host", nil, "also accept requests for the host `NAME`, such as a container's; repeatable")
	f.StringArrayVar(&o.Options.AllowOrigins, "allow-origin", nil, "let the web pages of `ORIGIN` use the WebSocket and the JSON API; repeatable")
	wordFlag(c, &o.as, "as", "", "imitate this push service: "+strings.Join(pushservice.Personalities(), ", ")+" (default: strict, with explanations)", pushservice.Personalities()...)
	f.StringVar(&o.data, "data", "", "keep subscriptions and messages in the directory `DIR`, across restarts")
	inGroup(f, "Flags")
	f.BoolVar(&o.TLS, "tls", false, "serve https, with a certificate from its own CA")
	f.StringVar(&o.AuthorityFile, "ca-out", "", "with --tls: keep the certificate of its CA in `FILE` (default push-service-ca.pem, in --data)")
	o.certificateFiles.addFlags(f)
	f.BoolVar(&o.withChromium, "chromium", false, "also serve Chromium and the browsers that are based on it")
	f.StringVar(&o.chromium.Addr, "chromium-listen", "", "listen for Chromium and its senders on `ADDRESS`, host:port (default port 5228 of the host of --listen)")
	f.StringVar(&o.chromium.AuthorityFile, "chromium-ca-out", "", "keep the certificate of the CA for Chromium in `FILE` (default push-service-chromium-ca.pem, in --data)")
	f.BoolVar(&o.plain, "allow-plain-http", false, "serve plain HTTP even if other machines can connect")
	inGroup(f, "Connection")
	o.limitFlags(c)
	return c
}

func (o *pushServiceOptions) limitFlags(c *cobra.Command) {
	f := c.Flags()
	o.Options.MaxSubscriptions, o.Options.MaxMessages, o.Options.MaxConnections = pushservice.DefaultMaxSubscriptions, pushservice.DefaultMaxMessages, pushservice.DefaultMaxConnections
	f.StringArrayVar(&o.faults, "fault", nil, "inject the failures in `LIST`, such as status=503,share=10%,retry-after=5; repeatable")
	f.Var(duration(&o.Options.MaxTTL, time.Second, 0), "max-ttl", "keep messages for at most this long (default 30d; 28d as fcm)")
	f.Var(number(&o.Options.MaxBody, 1, 0), "max-body", "accept bodies of at most `BYTES` (default 4096; 5630 as mozilla, 5000 as wns)")
	f.Var(number(&o.Options.MaxSubscriptions, 1, 0), "max-subscriptions", "allow at most `N` subscriptions")
	f.Var(number(&o.Options.MaxMessages, 1, 0), "max-messages", "keep at most `N` undelivered messages")
	f.Var(number(&o.Options.MaxConnections, 1, 0), "max-connections", "allow at most `N` connected user agents")
	inGroup(f, "Faults and limits")
}

func runPushService(ctx context.Context, s *streams, o pushServiceOptions) (err error) {
	so := o.ServerOptions
	so.Options.Log, so.Options.NewReceiver = s.serviceLog(false), receiver.New
	if so.CertificatePEM, so.KeyPEM, err = o.certificateFiles.read(s); err != nil {
		return err
	}
	for _, name := range o.authorityFiles() {
		s.warnReadable(pushservice.AuthorityKeyFile(name))
	}
	if o.data != "" {
		if so.Storage, err = sqlite.Open(o.data); err != nil {
			return err
		}
	}
	server, err := pushservice.Start(so)
	if err != nil {
		return startProblem(err)
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if err := o.announce(s, server); err != nil {
		return err
	}
	<-ctx.Done()
	if !s.json {
		s.note("stopping")
	}
	return nil
}

// authorityFiles returns the files of the certificates of its own CAs.
func (o *pushServiceOptions) authorityFiles() (all []string) {
	if o.AuthorityFile != "" {
		all = append(all, o.AuthorityFile)
	}
	if o.Chromium != nil {
		all = append(all, o.Chromium.AuthorityFile)
	}
	return all
}

// keptIn returns the name of a file that is kept, given or by default in a directory.
func keptIn(dir, given, name string) string {
	if given != "" {
		return given
	}
	return filepath.Join(dir, name)
}
