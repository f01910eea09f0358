package cmd

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/pushservice/sqlite"
)

type pushServiceOptions struct {
	listen  string
	origin  string
	data    string
	plain   bool
	tls     bool
	tlsCert string
	tlsKey  string
	caOut   string

	chromium       bool
	chromiumListen string
	chromiumCAOut  string

	as        enumFlag
	faults    []string
	maxTTL    durationFlag
	maxBody   int
	maxSubs   int
	maxStored int
	maxConns  int
	hosts     []string
	origins   []string
}

func newPushServiceCmd(s *streams) *cobra.Command {
	o := pushServiceOptions{as: newEnum("", pushservice.Personalities()...)}
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
	f.StringVar(&o.listen, "listen", "127.0.0.1:8090", "listen on `ADDRESS`, host:port; port 0 is any free port")
	f.StringVar(&o.origin, "origin", "", "announce this `URL` if others reach it there: scheme://host[:port]")
	f.StringArrayVar(&o.hosts, "host", nil, "also accept requests for the host `NAME`, such as a container's; repeatable")
	f.StringArrayVar(&o.origins, "allow-origin", nil, "let the web pages of `ORIGIN` use the WebSocket and the JSON API; repeatable")
	f.Var(&o.as, "as", "imitate this push service: "+strings.Join(o.as.allowed, ", ")+" (default: strict, with explanations)")
	completeEnum(c, "as", &o.as)
	f.StringVar(&o.data, "data", "", "keep subscriptions and messages in the directory `DIR`, across restarts")
	inGroup(f, "Flags")
	f.BoolVar(&o.tls, "tls", false, "serve https, with a certificate from its own CA")
	f.StringVar(&o.caOut, "ca-out", "", "with --tls: keep the certificate of its CA in `FILE` (default push-service-ca.pem, in --data)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "serve https with the certificate in `FILE`")
	f.StringVar(&o.tlsKey, "tls-key", "", "read the certificate's private key from `FILE`")
	f.BoolVar(&o.chromium, "chromium", false, "also serve Chromium and the browsers that are based on it")
	f.StringVar(&o.chromiumListen, "chromium-listen", "", "listen for Chromium and its senders on `ADDRESS`, host:port (default port 5228 of the host of --listen)")
	f.StringVar(&o.chromiumCAOut, "chromium-ca-out", "", "keep the certificate of the CA for Chromium in `FILE` (default push-service-chromium-ca.pem, in --data)")
	f.BoolVar(&o.plain, "allow-plain-http", false, "serve plain HTTP even if other machines can connect")
	inGroup(f, "Connection")
	f.StringArrayVar(&o.faults, "fault", nil, "inject the failures in `LIST`, such as status=503,share=10%,retry-after=5; repeatable")
	f.Var(&o.maxTTL, "max-ttl", "keep messages for at most this long (default 30d; 28d as fcm)")
	f.IntVar(&o.maxBody, "max-body", 0, "accept bodies of at most `BYTES` (default 4096; 5630 as mozilla, 5000 as wns)")
	f.IntVar(&o.maxSubs, "max-subscriptions", pushservice.DefaultMaxSubscriptions, "allow at most `N` subscriptions")
	f.IntVar(&o.maxStored, "max-messages", pushservice.DefaultMaxMessages, "keep at most `N` undelivered messages")
	f.IntVar(&o.maxConns, "max-connections", pushservice.DefaultMaxConnections, "allow at most `N` connected user agents")
	inGroup(f, "Faults and limits")
	return c
}

func runPushService(ctx context.Context, s *streams, o pushServiceOptions) (err error) {
	var faults []pushservice.Fault
	for _, text := range o.faults {
		f, err := pushservice.ParseFault(text)
		if err != nil {
			return faultProblem(err)
		}
		faults = append(faults, f)
	}
	so := pushservice.ServerOptions{
		Addr: o.listen,
		TLS:  o.tls || o.tlsCert != "",
		Options: pushservice.Options{
			Origin:           o.origin,
			Hosts:            o.hosts,
			HostHint:         "to accept it, use --host NAME",
			AllowOrigins:     o.origins,
			MaxBody:          o.maxBody,
			MaxTTL:           o.maxTTL.value,
			MaxSubscriptions: o.maxSubs,
			MaxMessages:      o.maxStored,
			MaxConnections:   o.maxConns,
			Log:              s.logger(),
			As:               pushservice.Personality(o.as.value),
			NewReceiver:      newReceiver,
		},
	}
	if o.tlsCert != "" {
		if so.CertificatePEM, err = s.input(o.tlsCert, "tls-cert"); err != nil {
			return err
		}
		if so.KeyPEM, err = s.input(o.tlsKey, "tls-key"); err != nil {
			return err
		}
	}
	if !o.tls || o.tlsCert != "" {
		o.caOut = ""
	}
	if so.AuthorityFile = o.caOut; o.caOut != "" {
		s.warnReadable(pushservice.AuthorityKeyFile(o.caOut))
	}
	if o.chromium {
		so.Chromium = &pushservice.ChromiumOptions{Addr: o.chromiumListen, AuthorityFile: o.chromiumCAOut}
		s.warnReadable(pushservice.AuthorityKeyFile(o.chromiumCAOut))
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
	for _, f := range faults {
		if err := server.Service.AddFault(f); err != nil {
			return faultProblem(err)
		}
	}
	if err := o.announce(s, server); err != nil {
		return err
	}
	<-ctx.Done()
	if !s.json {
		s.note("stopping")
	}
	return nil
}

// receiver holds the keys of a user agent for the routes of web-push-testing.
type receiver struct{ identity *ece.Identity }

func newReceiver() (pushservice.Receiver, error) {
	identity, err := ece.GenerateIdentity()
	if err != nil {
		return nil, err
	}
	return receiver{identity}, nil
}

func (r receiver) Recipient() (p256dh, auth []byte) {
	recipient := r.identity.Recipient()
	return recipient.P256DH(), recipient.Auth()
}

func (r receiver) Decrypt(m pushservice.AcceptedMessage) ([]byte, error) {
	encrypted, err := ece.ParseEncryptedMessage(ece.Encoding(m.Encoding), m.Encryption, m.CryptoKey, m.Body)
	if err != nil {
		return nil, err
	}
	return r.identity.Decrypt(encrypted)
}

// logger returns a logger that writes to standard error.
func (s *streams) logger() *slog.Logger {
	o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().Format("15:04:05.000"))
		}
		return a
	}}
	if s.json {
		return slog.New(slog.NewJSONHandler(s.err, nil))
	}
	return slog.New(slog.NewTextHandler(s.err, o))
}
