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
		Use:   "push-service",
		Short: "Run a push service on this machine",
		Long: `push-service is a push service (RFC 8030) for development and tests. Firefox
registers with it by autopush's WebSocket protocol, so does webpush listen, and
tests in any language use its JSON API: POST /api/subscriptions makes a
subscription, GET /api/subscriptions/{id}/messages lists what arrived, DELETE
expires it; GET /api/requests shows what senders sent, POST /api/faults makes it
misbehave. The routes of the npm package web-push-testing work as they do there.

It is stricter than the services of browsers: it checks the VAPID token and that
its aud is this service, the encryption's headers, TTL, Topic and Urgency, and
says in its answer what is wrong. Each message is a line of log.

Whoever reaches it can read and expire every subscription. It listens on this
machine only unless --listen says otherwise, and speaks plain HTTP there unless
--tls is given. It runs until it is interrupted.

Subscriptions and messages are in memory, and gone when it stops. With --data
they are kept in a folder, and what was answered with 201 is there again even
when the process was killed; endpoints stay good as long as the port is the same.
Faults, the list of requests, and what the routes of web-push-testing made are
not kept.

--tls makes an authority once, which signs a new certificate at each start. Its
certificate is push-service-ca.pem, in the folder of --data if there is one, and
its private key is beside it, push-service-ca-key.pem, readable by you alone; it
is good for this machine's names only. Programs trust it with --ca-file (webpush
send, webpush listen), NODE_EXTRA_CA_CERTS, SSL_CERT_FILE or curl --cacert, and
Firefox by Settings, Certificates, Authorities, Import. Remove both files to have
another made.

--chromium also serves Chromium, Chrome, Edge, and Brave, by the protocols that
they speak with Google: webpush browser chromium starts one that uses this push
service. Their endpoints stay at Google's host names, so senders are made to
connect to port 5228 instead, or use it as a proxy for HTTPS; push-service prints
the flags and environment variables for that. The certificate for these names is
signed by a second CA, push-service-chromium-ca.pem, which is limited to them.
Give it only to the processes that send in a test, and never install it in a system
or a browser that you use.

A fault is a list of name=value with commas: status, share (10% or 0.1: of the
requests), after (requests that are answered first), count (requests in all),
retry-after, delay, reset, body, subscription. It lasts until the end unless
count is given. With on=registration, unregistration, checkin, or login it
concerns these operations of user agents instead; error=CODE then refuses a
registration of Chromium with that code (` + strings.Join(pushservice.RegistrationErrors()[:3], ", ") + `,
…) or its login with that number.`,
		Example: `  webpush push-service
  webpush push-service --data push-data --tls
  webpush push-service --tls --ca-out ca.pem
  webpush push-service --chromium
  webpush push-service --fault status=503,share=10%,retry-after=5
  webpush push-service --as apple
  webpush push-service --chromium --fault on=registration,error=PHONE_REGISTRATION_ERROR,count=3
  webpush push-service --fault status=410,after=3 --fault delay=2s,share=0.5`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c); err != nil {
				return err
			}
			return runPushService(c.Context(), s, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8090", "the `ADDRESS` to listen at, host:port; port 0 is any that is free")
	f.StringVar(&o.origin, "origin", "", "the `URL` under which others reach it, if that differs: scheme://host[:port]")
	f.StringArrayVar(&o.hosts, "host", nil, "also answer requests for the host `NAME`, such as a container's; repeatable")
	f.StringArrayVar(&o.origins, "allow-origin", nil, "let the web pages of this `ORIGIN` use the WebSocket and the JSON API; repeatable")
	f.Var(&o.as, "as", "take the ways of a push service: "+strings.Join(o.as.allowed, ", ")+" (default strict, with answers that explain)")
	completeEnum(c, "as", &o.as)
	f.StringVar(&o.data, "data", "", "keep subscriptions and messages in the folder `DIR`, over restarts")
	inGroup(f, "Flags")
	f.BoolVar(&o.tls, "tls", false, "serve https, with a certificate of an authority of its own")
	f.StringVar(&o.caOut, "ca-out", "", "keep that authority's certificate in `FILE` (with --tls; default push-service-ca.pem, in the folder of --data)")
	f.StringVar(&o.tlsCert, "tls-cert", "", "serve https with the certificate in `FILE`")
	f.StringVar(&o.tlsKey, "tls-key", "", "the certificate's private key, a `FILE`")
	f.BoolVar(&o.chromium, "chromium", false, "also serve Chromium and the browsers that are based on it")
	f.StringVar(&o.chromiumListen, "chromium-listen", "", "listen for Chromium and its senders on `ADDRESS`, host:port (default port 5228 of the host of --listen)")
	f.StringVar(&o.chromiumCAOut, "chromium-ca-out", "", "keep the certificate of the CA for Chromium in `FILE` (default push-service-chromium-ca.pem, in the folder of --data)")
	f.BoolVar(&o.plain, "allow-plain-http", false, "serve plain HTTP also where others than this machine can listen")
	inGroup(f, "Connection")
	f.StringArrayVar(&o.faults, "fault", nil, "misbehave so: a `LIST`, such as status=503,share=10%,retry-after=5; can be given again")
	f.Var(&o.maxTTL, "max-ttl", "keep messages at most so long (default 30d; 28d as fcm)")
	f.IntVar(&o.maxBody, "max-body", 0, "the largest body in `BYTES` (default 4096; 5630 as mozilla, 5000 as wns)")
	f.IntVar(&o.maxSubs, "max-subscriptions", pushservice.DefaultMaxSubscriptions, "the most subscriptions, a `NUMBER`")
	f.IntVar(&o.maxStored, "max-messages", pushservice.DefaultMaxMessages, "the most messages that wait, a `NUMBER`")
	f.IntVar(&o.maxConns, "max-connections", pushservice.DefaultMaxConnections, "the most user agents that are connected, a `NUMBER`")
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
			HostHint:         "allow it with --host NAME if it is one",
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

// receiver is a user agent's part for the routes of web-push-testing.
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

// logger writes a line to standard error for each thing that happens.
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
