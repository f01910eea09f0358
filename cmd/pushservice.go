package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/pushservice/sqlite"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

type pushServiceOptions struct {
	listen    string
	origin    string
	data      string
	plain     bool
	tls       bool
	tlsCert   string
	tlsKey    string
	caOut     string
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

A fault is a list of name=value with commas: status, share (10% or 0.1: of the
requests), after (requests that are answered first), count (requests in all),
retry-after, delay, reset, body, subscription. It lasts until the end unless
count is given.`,
		Example: `  webpush push-service
  webpush push-service --data push-data --tls
  webpush push-service --tls --ca-out ca.pem
  webpush push-service --fault status=503,share=10%,retry-after=5
  webpush push-service --as apple
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

// check finds options that contradict each other.
func (o *pushServiceOptions) check(c *cobra.Command) error {
	if (o.tlsCert == "") != (o.tlsKey == "") {
		return usage("give both", "--tls-cert and --tls-key go together")
	}
	if o.caOut != "" && (!o.tls || o.tlsCert != "") {
		return usage("add --tls, without --tls-cert", "--ca-out goes with --tls")
	}
	if c.Flags().Changed("data") && o.data == "" {
		return usage("name a folder, or leave it out", "--data is empty")
	}
	if o.caOut == "-" {
		return usage("it is a file that stays, beside its private key; leave it out for push-service-ca.pem", "--ca-out is -, expected a file")
	}
	if o.caOut == "" {
		o.caOut = filepath.Join(o.data, "push-service-ca.pem")
	}
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usage("write it as 127.0.0.1:8090", "--listen: %q is no address: %v", o.listen, strings.TrimPrefix(err.Error(), "address "+o.listen+": "))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usage("write it as 127.0.0.1:8090", "--listen: %q has the port %q, expected 0 to 65535", o.listen, port)
	}
	if o.origin != "" {
		if origin, err := vapid.Origin(o.origin); err != nil || origin != o.origin {
			return usage("write it as https://push.example.net, without a path", "--origin: %q is no origin", o.origin)
		}
	}
	for _, name := range o.hosts {
		if name == "" || strings.ContainsAny(name, "/:@?# ") && !strings.HasPrefix(name, "[") {
			return usage("write it as push.example.net, without scheme and port", "--host: %q is not a host name", name)
		}
	}
	for _, page := range o.origins {
		if origin, err := vapid.Origin(page); err != nil || origin != page {
			return usage("write it as http://localhost:3000, without a path", "--allow-origin: %q is not an origin", page)
		}
	}
	if !loopback(host) && !o.tls && o.tlsCert == "" && !o.plain {
		return usage("use --tls, or --allow-plain-http in a network that you trust", "--listen: %q is reached from other machines, and plain HTTP shows them every endpoint", o.listen)
	}
	for name, n := range map[string]int{"max-subscriptions": o.maxSubs, "max-messages": o.maxStored, "max-connections": o.maxConns} {
		if n < 1 {
			return usage("", "--%s: %d is less than 1", name, n)
		}
	}
	if c.Flags().Changed("max-body") && o.maxBody < 1 {
		return usage("", "--max-body: %d is less than 1", o.maxBody)
	}
	if o.maxTTL.set && o.maxTTL.value < time.Second {
		return usage("", "--max-ttl: %s is less than a second", shortDuration(o.maxTTL.value))
	}
	return nil
}

// loopback reports whether only this machine reaches the host.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func runPushService(ctx context.Context, s *streams, o pushServiceOptions) (err error) {
	var faults []pushservice.Fault
	for _, text := range o.faults {
		f, err := parseFault(text)
		if err != nil {
			return wrongFlag("fault", withHint(err, "write it as status=503,share=10%,retry-after=5"))
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
	ownCA := o.tls && o.tlsCert == ""
	if ownCA {
		if so.AuthorityPEM, err = o.loadAuthority(s); err != nil {
			return err
		}
	}
	if o.data != "" {
		if so.Storage, err = sqlite.Open(o.data); err != nil {
			return err
		}
	}
	server, err := pushservice.Start(so)
	if errors.As(err, new(*pushservice.AuthorityError)) {
		return withHint(within(o.caOut, err), o.otherAuthority())
	}
	if err != nil {
		if strings.Contains(err.Error(), "address already in use") {
			err = withHint(err, "another program listens there; choose another port with --listen, 0 for any that is free")
		}
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	for _, f := range faults {
		if err := server.Service.AddFault(f); err != nil {
			return wrongFlag("fault", err)
		}
	}
	socket := "ws" + strings.TrimPrefix(server.URL, "http")
	ca := ""
	if ownCA {
		if len(so.AuthorityPEM) == 0 {
			// The key first: a certificate without one would be in the way.
			if err := createFile(o.caKey(), server.AuthorityPEM(), 0o600); err != nil {
				return err
			}
			if err := createFile(o.caOut, server.CA(), 0o644); err != nil {
				return err
			}
		}
		ca = o.caOut
	}
	if s.json {
		v := struct {
			URL       string `json:"url"`
			WebSocket string `json:"webSocket"`
			CAFile    string `json:"caFile,omitempty"`
		}{server.URL, socket, ca}
		if err := s.printJSON(v); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(s.out, server.URL)
		s.note("listening at %s, until it is interrupted", server.URL)
		if o.data != "" {
			subscriptions, messages := server.Service.Subscriptions(), 0
			for _, sub := range subscriptions {
				messages += sub.Messages
			}
			s.note("it keeps its data in %s, which has %s and %s", o.data, plural(len(subscriptions), "subscription"), plural(messages, "message"))
		}
		s.note("a user agent in a terminal: webpush listen --server %s", socket)
		s.note("Firefox, in about:config: dom.push.serverURL = %s/", socket)
		if ca == "" {
			s.note("  and dom.push.testing.allowInsecureServerURL = true")
		} else {
			s.note("  and, in its settings, %s among the certificates' authorities", ca)
			s.note("trust it for sending with: webpush send --ca-file %s", shellWord(ca))
		}
	}
	host, port, _ := net.SplitHostPort(o.listen)
	if o.data != "" && o.origin == "" && port == "0" {
		s.warn("endpoints of earlier runs have another port, and are of no use now", "give it a port that stays, such as --listen 127.0.0.1:8090")
	}
	if !loopback(host) {
		s.warn("anyone who can reach "+o.listen+" can read and expire every subscription", "listen on 127.0.0.1 unless others have to reach it")
		if len(o.hosts) == 0 && o.origin == "" {
			s.note("requests for other host names are refused; from containers, start it with --host host.docker.internal, or with the name that they use")
		}
	}
	<-ctx.Done()
	if !s.json {
		s.note("stopping")
	}
	return nil
}

// caKey is the file of the authority's private key.
func (o *pushServiceOptions) caKey() string {
	extension := filepath.Ext(o.caOut)
	return strings.TrimSuffix(o.caOut, extension) + "-key" + extension
}

// otherAuthority is the way out when the authority's files are of no use.
func (o *pushServiceOptions) otherAuthority() string {
	return "--ca-out names other files; to have another authority made, which must be trusted anew: rm " + shellWord(o.caOut) + " " + shellWord(o.caKey())
}

// loadAuthority reads the authority of an earlier run, if there is one.
func (o *pushServiceOptions) loadAuthority(s *streams) ([]byte, error) {
	var pem []byte
	for _, name := range []string{o.caOut, o.caKey()} {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return nil, withHint(fmt.Errorf("%s is no file that could keep an authority", name), "--ca-out names another")
		}
	}
	certificate, err := readFile(o.caOut)
	key, keyErr := readFile(o.caKey())
	switch none, noKey := errors.Is(err, fs.ErrNotExist), errors.Is(keyErr, fs.ErrNotExist); {
	case none && noKey:
		return nil, nil
	case none && keyErr == nil:
		return nil, withHint(fmt.Errorf("%s is missing, the certificate of %s", o.caOut, o.caKey()), "--ca-out names other files; to have another authority made: rm "+shellWord(o.caKey()))
	case err == nil && noKey:
		return nil, withHint(fmt.Errorf("%s exists, and %s, its private key, is missing", o.caOut, o.caKey()),
			"--ca-out names other files; to have another authority made, which must be trusted anew: rm "+shellWord(o.caOut))
	case err != nil:
		return nil, err
	case keyErr != nil:
		return nil, keyErr
	}
	if info, err := os.Stat(o.caKey()); err == nil && groupReadable(info) {
		s.warn(fmt.Sprintf("%s can be read by other users of this machine", o.caKey()), "chmod 600 "+shellWord(o.caKey()))
	}
	// The key's file has the certificate, too; that of the other file counts.
	pem = append(append(pem, key...), '\n')
	return append(pem, certificate...), nil
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

func (r receiver) Decrypt(m pushservice.Message) ([]byte, error) {
	encrypted, err := ece.ParseMessage(ece.Encoding(m.Encoding), m.Encryption, m.CryptoKey, m.Body)
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

// parseFault reads what --fault takes.
func parseFault(text string) (pushservice.Fault, error) {
	f := pushservice.Fault{Always: true}
	for item := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		whole := func(to *int, least int) error {
			n, err := strconv.Atoi(value)
			if err != nil || n < least {
				return fmt.Errorf("%s is %q, expected a whole number, %d or more", name, value, least)
			}
			*to = n
			return nil
		}
		var err error
		switch name {
		case "status":
			err = whole(&f.Status, 200)
		case "count":
			f.Always = false
			err = whole(&f.Count, 1)
		case "after":
			err = whole(&f.After, 0)
		case "share":
			number, percent := strings.CutSuffix(value, "%")
			f.Share, err = strconv.ParseFloat(number, 64)
			if percent {
				f.Share /= 100
			}
			if err != nil || !(f.Share > 0 && f.Share <= 1) {
				err = fmt.Errorf("share is %q, expected 10%% or 0.1", value)
			}
		case "delay":
			f.Delay, err = parseDuration(value)
		case "retry-after":
			if _, number := strconv.ParseUint(value, 10, 31); number != nil {
				if _, date := http.ParseTime(value); date != nil {
					err = fmt.Errorf("retry-after is %q, expected seconds", value)
				}
			}
			f.Header = map[string]string{"Retry-After": value}
		case "reset":
			f.Reset = true
			if value != "" {
				err = fmt.Errorf("reset takes no value")
			}
		case "body":
			f.Body = []byte(value)
		case "subscription":
			f.Subscription = value
		default:
			err = fmt.Errorf("%q is none of status, share, after, count, retry-after, delay, reset, body, subscription", name)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}
