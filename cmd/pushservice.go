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
		Long: `Run a push service (RFC 8030) for development and tests. Firefox and webpush listen
connect over the WebSocket protocol of autopush, and tests in any language use its JSON
API. It is stricter than the push services of browsers: it checks the VAPID token, the
encryption headers, TTL, Topic, and Urgency, and explains each rejection in the
response. It runs until it is interrupted, and logs one line per message.

ACCESS. Anyone who can reach the push service can read and remove every subscription.
It listens only on this machine, unless --listen names another address, and serves
plain HTTP, unless you use --tls.

JSON API. POST /api/subscriptions creates a subscription, GET
/api/subscriptions/{id}/messages lists its messages, and DELETE expires it. GET
/api/requests lists the requests of senders, and POST /api/faults injects failures. The
routes of the npm package web-push-testing work as in that package.

DATA. By default, subscriptions and messages are kept in memory. With --data, they are
kept in a directory: every message acknowledged with 201 survives, even if the process
is killed. Endpoints remain valid as long as the port stays the same. Injected
failures, the list of requests, and subscriptions of the routes of web-push-testing
are not kept.

CERTIFICATES. With --tls, push-service creates a certificate authority (CA) once, valid
only for this machine's names, and uses it to sign a new certificate on each start.
Programs must trust push-service-ca.pem, in the directory --data if there is one. The
private key of the CA is in the file push-service-ca-key.pem in the same directory,
readable only by you. To create a new CA, remove both files. For the settings of
clients, see webpush help testing.

CHROMIUM. With --chromium, push-service also serves Chromium, Chrome, Edge, and Brave,
over the protocols that they use with Google; webpush browser chromium starts one.
Their endpoints stay at Google's host names, so senders must connect to port 5228
instead, or use it as an HTTPS proxy. push-service prints the flags and environment
variables for this. The certificate for these names is signed by a second CA,
push-service-chromium-ca.pem, which is limited to them. Give it only to the processes
that send in a test, and never install it in a system or in a browser that you use.

FAILURES. --fault has a list of name=value, separated by commas: status, share (of the
requests: 10% or 0.1), after (number of requests that succeed first), count (number of
requests in total), retry-after, delay, reset, body, and subscription. A fault stays
active until push-service exits, unless count is set. With on=registration,
unregistration, checkin, or login, it applies to this operation of user agents.
error=CODE then rejects a login with a number, or a registration of Chromium with a
code: ` + strings.Join(pushservice.RegistrationErrors()[:3], ", ") + ` …`,
		Example: `  webpush push-service
  # Keep the data across restarts, and serve https.
  webpush push-service --data push-data --tls
  # For Chromium and browsers based on it.
  webpush push-service --chromium
  # Respond like Apple's push service.
  webpush push-service --as apple
  # Inject failures.
  webpush push-service --fault status=503,share=10%,retry-after=5
  webpush push-service --fault status=410,after=3 --fault delay=2s,share=0.5
  webpush push-service --chromium --fault on=registration,error=PHONE_REGISTRATION_ERROR,count=3`,
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
