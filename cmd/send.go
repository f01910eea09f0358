package cmd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type sendOptions struct {
	cmd *cobra.Command

	subscription string
	parts        subscriptionParts
	inputs       []string // of send, which takes several
	bulk         bulkFlags
	key          keyFlag
	claims       claimsFlags
	claimsFile   string
	payload      payloadFlags

	ttl       durationFlag
	urgency   enumFlag
	topic     string
	topicHash string
	headers   []string
	wnsType   string
	gcmKey    string
	gcmRegID  string

	timeout     durationFlag
	retries     int
	proxy       string
	caFile      string
	insecure    bool
	connectTo   []string
	allowHTTP   bool
	denyPrivate bool

	dryRun      bool
	showSecrets bool
	verbose     int

	curl     bool
	bodyFile string
	inline   bool

	check    bool
	empty    bool
	tolerant bool              // what a check finds is no error of prepare's
	found    []webpush.Finding // of prepare, when it is tolerant
	services []webpush.Service // to check for, where they are not the endpoint's own
}

// defaultBodyFile is where a curl command finds the body, as with pywebpush.
const defaultBodyFile = "encrypted.data"

// urgencyWords are what --urgency takes.
func urgencyWords() []string { return words(webpush.Urgencies()) }

func newSendCmd(s *streams) *cobra.Command {
	var o sendOptions
	c := &cobra.Command{
		Use:   "send [subscription.json …]",
		Short: "Encrypt, sign and deliver a message, to one or many",
		Long: `send delivers a message to one subscription or many and says what the push
service answered and what that means. It needs nothing but the subscription: the
key is private_key.pem if that is there, and the claims come from --claims, else
from --subject or the settings, else from claims.json in the current folder.

Without -p, --payload-file or a notification's fields it sends a push without
payload. Faults that may pass are tried again; redirects are never followed.

The exit code tells what to do: 0 accepted, 4 the subscription is gone and can
be deleted, 5 rejected, 6 try again later.

Of many subscriptions each has a result of its own, and a bad one stops no
other. -f takes NDJSON, JSON arrays, values over several lines, folders of
*.json and pipes, recognised by their content and read as a stream. A record is
a subscription alone, or
  {"id": …, "subscription": {…}, "payload": …, "ttl": …, "urgency": …,
   "topic": …, "vapidKey": …}
whose id is echoed and whose other members count before the options. Results
are objects of JSON, one a line. Their class is delivered, gone (delete it),
rejected, temporary (worth another run), invalid or skipped; endpointHash is the
first 16 bytes of the SHA-256 of the endpoint, in hex.

With --resume a run that was killed goes on when the same command is repeated:
what is delivered, gone, invalid or rejected is not sent again, but for what was
rejected for the token or by this side's own rules; and only what was in flight
can arrive twice. A record is known again by its text, wherever it stands: the
same subscription written in another way is another record. --results and --gone
are then added to, so that the last line of a record counts, and --retry-later is
that of the last run. Ctrl-C lets what is in flight finish; a second one stops
at once. The exit code is 0 when all were delivered, 3 when some were not, 6 when
nothing could be delivered for now.`,
		Example: `  webpush send -f subscription.json -p "hi"
  webpush send -f subs.ndjson -p "hi" --results results.ndjson --gone gone.ndjson --retry-later later.ndjson
  webpush send -f subs.ndjson -p "hi" --resume journal --rate 500/s
  webpush send -f subscription.json --title Hello --body "You have mail" --url https://example.com/mail --ttl 1h --urgency high
  webpush send -f subscription.json -p "hi" --check
  webpush send -f subscription.json -p "hi" --dry-run
  webpush send -f subscription.json -p "hi" --curl`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && o.inputs != nil {
				return usage("give all subscriptions with -f, and the payload with -p", "webpush send takes no argument, found %q next to -f", shown(args[0]))
			}
			o.inputs = append(o.inputs, args...)
			if !o.curl {
				for _, name := range []string{"inline", "body-file"} {
					if c.Flags().Changed(name) {
						return usage("add --curl", "--%s goes with --curl", name)
					}
				}
			}
			o.tolerant = o.check
			return runSend(c.Context(), s, o)
		},
		ValidArgsFunction: completeJSON,
	}
	f := c.Flags()
	f.StringArrayVarP(&o.inputs, "subscription", "f", nil, "a `FILE` or folder of subscriptions; - for standard input; repeatable")
	o.addFlags(c)
	o.bulk.addFlags(c)
	f.BoolVar(&o.check, "check", false, "do what webpush check does first, and send nothing if it finds an error")
	f.BoolVar(&o.empty, "empty", false, "also send a push without payload to the row of a database")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the request that would be sent, without its secrets")
	f.BoolVar(&o.showSecrets, "show-secrets", false, "show endpoint and token in --dry-run and -vv")
	f.CountVarP(&o.verbose, "verbose", "v", "tell what is decided; -vv also the headers sent and received, and timing")
	inGroup(f, "Flags")
	f.BoolVar(&o.curl, "curl", false, "print a curl command that sends the message, instead of sending it")
	o.addCurlFlags(c)
	return c
}

func newCurlCmd(s *streams) *cobra.Command {
	o := sendOptions{curl: true}
	c := &cobra.Command{
		Use:   "curl",
		Short: "Print a curl command that sends a message",
		Long: `curl encrypts and signs a message as send does and prints a command for sh, bash
or zsh that delivers it. Everything in it is quoted, whatever the subscription
holds. The encrypted body goes to encrypted.data or --body-file, or with
--inline into the command itself. The command is good until its token expires.`,
		Example: `  webpush curl -f subscription.json -p "hi"
  webpush curl -f subscription.json -p "hi" --inline | sh`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runSend(c.Context(), s, o) },
	}
	o.addFlags(c)
	o.addCurlFlags(c)
	return c
}

func (o *sendOptions) addCurlFlags(c *cobra.Command) {
	if c.Flags().Lookup("force") == nil {
		c.Flags().BoolVar(&o.bulk.force, "force", false, "replace a file that has a key")
	}
	c.Flags().StringVar(&o.bodyFile, "body-file", defaultBodyFile, "write the body for curl to `FILE`")
	c.Flags().BoolVar(&o.inline, "inline", false, "put the body into the curl command, in base64")
	inGroup(c.Flags(), "curl")
}

func (o *sendOptions) addFlags(c *cobra.Command) {
	o.cmd = c
	f := c.Flags()
	if f.Lookup("subscription") == nil {
		f.StringVarP(&o.subscription, "subscription", "f", "", "the subscription's `FILE`; - for standard input")
	}
	f.StringVar(&o.parts.endpoint, "endpoint", "", "the subscription's endpoint, a `URL`, in place of a file")
	f.StringVar(&o.parts.p256dh, "key", "", "with --endpoint: the subscription's p256dh, a `KEY` in base64")
	f.StringVar(&o.parts.auth, "auth", "", "with --endpoint: its auth, a `SECRET` in base64, or env:NAME")
	inGroup(f, "Flags")
	o.key.addFlags(c)
	o.claims.addFlags(c)
	f.StringVar(&o.claimsFile, "claims", "", "the claims' `FILE`; - for standard input")
	inGroup(f, "Key and claims")
	o.payload.addFlags(c)

	o.ttl.value = webpush.DefaultTTL
	f.Var(&o.ttl, "ttl", "how long the service keeps the message: 0 is now or never")
	o.urgency = newEnum("", urgencyWords()...)
	f.Var(&o.urgency, "urgency", "very-low, low, normal or high")
	f.StringVar(&o.topic, "topic", "", "replace an undelivered message of the same `TOPIC`: 1 to 32 of A-Z a-z 0-9 - _")
	f.StringVar(&o.topicHash, "topic-hash", "", "the same with any `TEXT`, of which a topic is made")
	f.StringArrayVar(&o.headers, "header", nil, "add a header, `'Name: value'`; repeatable")
	f.StringVar(&o.wnsType, "wns-type", "", "add X-WNS-Type, such as `wns/raw`")
	f.StringVar(&o.gcmKey, "gcm-key", "", "send the legacy request with this GCM server key: a `FILE`, env:NAME or the key")
	f.StringVar(&o.gcmRegID, "gcm-reg-id", "", "with --gcm-key: the registration `ID` (default: the end of the endpoint)")
	inGroup(f, "Message")

	o.timeout.value = webpush.DefaultTimeout
	f.Var(&o.timeout, "timeout", "of one attempt")
	f.IntVar(&o.retries, "retries", webpush.DefaultAttempts-1, "try again `N` times after 429, 5xx and network faults")
	f.StringVar(&o.proxy, "proxy", "", "a proxy's `URL`, or none (default: HTTPS_PROXY, HTTP_PROXY, NO_PROXY)")
	f.StringVar(&o.caFile, "ca-file", "", "trust the authorities in this PEM `FILE` too")
	f.BoolVar(&o.insecure, "insecure", false, "do not check the service's certificate")
	f.StringArrayVar(&o.connectTo, "connect-to", nil, "connect to `HOST:PORT` instead, as curl's option (also HOST1:PORT1:HOST2:PORT2); repeatable")
	f.BoolVar(&o.allowHTTP, "allow-http", false, "allow an endpoint with plain http that is not on this machine")
	f.BoolVar(&o.denyPrivate, "deny-private", false, "refuse endpoints whose address is loopback, private or link-local")
	inGroup(f, "Connection")
	asSetting(f, "claims", "ttl", "urgency", "timeout", "retries", "proxy", "ca-file", "allow-http", "deny-private", "gcm-key", "wns-type")
	completeEnum(c, "urgency", &o.urgency)
}

// delivery is what the options of send come to.
type delivery struct {
	client    *webpush.Client
	sub       *webpush.Subscription // nil for a check without one, and for many
	source    *bulk.Reader          // of many
	message   webpush.Message
	transport webpush.TransportOptions
}

// prepare reads everything that the options name. After it nothing is read any
// more.
func (o *sendOptions) prepare(s *streams) (*delivery, error) {
	d := new(delivery)
	if o.subscription == "" && o.inputs == nil && o.services == nil && o.parts == (subscriptionParts{}) {
		return nil, usage("-f subscription.json; for a first try: webpush demo", "%s needs a subscription", o.cmd.Name())
	}
	for _, pair := range [][2]string{{"curl", "dry-run"}, {"inline", "body-file"}, {"topic", "topic-hash"}} {
		if err := exclusive(o.cmd, pair[0], pair[1]); err != nil {
			return nil, err
		}
	}
	if err := o.fillMessage(s, &d.message); err != nil {
		return nil, err
	}
	d.transport = webpush.TransportOptions{Proxy: o.proxy, Insecure: o.insecure, ConnectTo: o.connectTo, DenyPrivate: o.denyPrivate}
	if o.caFile != "" {
		pem, err := readFile(o.caFile)
		if err != nil {
			return nil, err
		}
		d.transport.CAs = pem
	}
	if o.timeout.value <= 0 {
		return nil, usage("", "--timeout is %s, expected more than 0", o.timeout.String())
	}
	if o.retries < 0 || o.retries > 100 {
		return nil, usage("0 is no retry", "--retries is %d, expected 0 to 100", o.retries)
	}
	hc, err := webpush.NewHTTPClient(d.transport)
	if err != nil {
		return nil, &usageError{err: err}
	}
	if o.insecure {
		s.warn("--insecure: the service's certificate is not checked, anybody in between can take the message", "")
	}
	var alone []byte
	if o.inputs != nil {
		if alone, err = o.openInputs(s, d); err != nil {
			return nil, err
		}
	}
	if o.subscription != "" {
		d.sub, err = loadSubscription(s, o.subscription)
		if err = o.excuse("subscription", "Push API, PushSubscription.toJSON", err); err != nil {
			return nil, err
		}
	}
	if o.parts != (subscriptionParts{}) {
		if o.subscription != "" || o.inputs != nil {
			return nil, usage("give one of them", "-f and --endpoint are both the subscription")
		}
		d.sub, err = o.parts.subscription(s)
		if err = o.excuse("subscription", "Push API, PushSubscription.toJSON", err); err != nil {
			return nil, err
		}
	}
	d.client = &webpush.Client{HTTP: hc, AllowHTTP: o.allowHTTP, Timeout: o.timeout.value, Attempts: o.retries + 1,
		Scheme: vapid.Scheme(o.claims.scheme.String()), SignUnchecked: o.claims.noStrict,
		OnRetry: func(e *webpush.Error, wait time.Duration) {
			s.note("%v; trying again in %v", e, wait.Round(10*time.Millisecond))
		}}
	if err := o.sign(s, d); err != nil {
		return nil, err
	}
	if alone != nil {
		return d, o.applyRecord(s, d, alone)
	}
	return d, nil
}

// openInputs looks at what -f names: one subscription alone, whose text it
// returns, or many.
func (o *sendOptions) openInputs(s *streams, d *delivery) (alone []byte, err error) {
	if err := o.bulk.check(o.cmd); err != nil {
		return nil, err
	}
	sources, err := inputs(s, o.inputs)
	if err != nil {
		return nil, err
	}
	source, err := bulk.Open(sources...)
	if err != nil {
		return nil, o.noInput(s, err)
	}
	columns, err := o.bulk.readColumns()
	if err != nil {
		return nil, err
	}
	if columns != nil {
		source.SetColumns(*columns)
	}
	if !slices.ContainsFunc(bulkOnly, o.cmd.Flags().Changed) {
		if alone, err = source.Alone(); err != nil {
			return nil, wrongFile(err)
		}
	}
	if alone == nil {
		d.source = source
		return nil, nil
	}
	d.sub, err = webpush.ParseSubscription(alone)
	return alone, o.excuse("subscription", "Push API, PushSubscription.toJSON", within(inputName(o.inputs[0]), err))
}

// noInput words why an input cannot be read.
func (o *sendOptions) noInput(s *streams, err error) error {
	var e *bulk.Error
	if errors.As(err, &e) && e.Err != nil {
		_, err = loadSubscription(s, e.Path) // words it
		return err
	}
	return wrongFile(err)
}

// applyRecord gives a single message what its record has beside the subscription.
func (o *sendOptions) applyRecord(s *streams, d *delivery, text []byte) error {
	record := bulk.NewRecord(inputName(o.inputs[0]), text)
	job, err := record.Job(d.message, &bulk.Keys{Own: d.client.Key})
	if err != nil && d.sub != nil { // else it is told already
		return within(record.File, err)
	}
	o.warnMembers(s, record.Misplaced, nil)
	if err := bulk.CheckEmpty(job); err != nil && !o.empty {
		return within(record.File, withHint(err, "give a payload with -p, or --empty if you mean an empty push"))
	}
	d.message = job.Message
	if job.Key != nil {
		d.client.Key = job.Key
	}
	return nil
}

// files are those that the options name, apart from the subscriptions.
func (o *sendOptions) files() []string {
	names := []string{o.claimsFile, o.payload.file, o.caFile, o.key.value, o.gcmKey}
	if o.claimsFile == "" {
		names = append(names, defaultClaims)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" || !exists(name) })
}

// excuse makes a finding of an error about the content of a file, for a check.
func (o *sendOptions) excuse(rule, source string, err error) error {
	var key *vapid.Error
	var input *webpush.InputError
	if !o.tolerant || !errors.As(err, &key) && !errors.As(err, &input) {
		return err
	}
	o.found = append(o.found, webpush.Finding{Severity: webpush.SeverityError, Rule: rule, Message: err.Error(), Source: source, Fix: hintOf(err), Err: err})
	return nil
}

// anyOrigin stands for the origins of many subscriptions where claims are
// checked.
const anyOrigin = "https://push.example.net"

// sign gives the client its key and claims.
func (o *sendOptions) sign(s *streams, d *delivery) error {
	client := d.client
	if o.gcmKey != "" {
		return nil
	}
	if !given(o.cmd, "private-key") && !exists(defaultPrivateKey) {
		for _, name := range []string{"claims", "subject", "audience", "expires-in"} {
			if o.cmd.Flags().Changed(name) && !o.tolerant {
				return withHint(fmt.Errorf("--%s is given, but there is no private key to sign with: %s is missing", name, defaultPrivateKey),
					"make a key pair with webpush gen, or give one with -k")
			}
		}
		return nil // the findings tell of it
	}
	var err error
	client.Key, err = o.key.load(s)
	if err = o.excuse("vapid-key", "RFC 8292 section 3.2", err); err != nil {
		return err
	}
	claims, err := o.claims.load(s, o.claimsFile)
	if err = o.excuse("claims", "RFC 8292 section 2", err); err != nil {
		return err
	}
	origin := ""
	switch {
	case d.source != nil:
		origin = anyOrigin
	case d.sub != nil:
		origin = d.sub.Origin()
	}
	stated := claims
	o.claims.complete(&claims, origin)
	for _, p := range claims.Check() { // the rest is among the findings
		if !o.tolerant && (p.Severity == vapid.Fatal || p.Severity == vapid.Lenient && !o.claims.noStrict) {
			return o.claims.check(s, claims)
		}
	}
	client.Claims = claims
	if d.source != nil { // the client completes them for each origin, and renews them
		stated.Audience = o.claims.audience
		client.Claims, client.Lifetime = stated, o.claims.expiresIn.value
	}
	return nil
}

func (o *sendOptions) fillMessage(s *streams, m *webpush.Message) error {
	if err := o.payload.fill(m); err != nil {
		return err
	}
	if !o.tolerant && (o.ttl.value < 0 || o.ttl.value > webpush.MaxTTL) {
		return usage("0 is now or never", "--ttl is %s, expected 0 to 2147483648 seconds", o.ttl.String())
	}
	m.TTL = new(o.ttl.value)
	m.Urgency = webpush.Urgency(o.urgency.String())
	m.Topic = o.topic
	if o.cmd.Flags().Changed("topic") && (!o.tolerant || o.topic == "") {
		if err := webpush.CheckTopic(o.topic); err != nil {
			return wrongFlag("topic", err)
		}
	}
	if o.topicHash != "" {
		m.Topic = webpush.HashTopic(o.topicHash)
	}
	m.Header = make(http.Header)
	for _, h := range o.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return usage("write it as --header 'Name: value'", "--header: %q has no colon", h)
		}
		name, value = strings.TrimSpace(name), strings.Trim(value, " \t")
		if err := webpush.CheckHeader(name, value); err != nil && !o.tolerant {
			return wrongFlag("header", err)
		}
		m.Header.Add(name, value)
	}
	if o.wnsType != "" {
		if err := webpush.CheckHeader("X-WNS-Type", o.wnsType); err != nil {
			return wrongFlag("wns-type", err)
		}
		m.Header.Set("X-WNS-Type", o.wnsType)
	}
	if o.gcmRegID != "" && o.gcmKey == "" {
		return usage("", "--gcm-reg-id goes with --gcm-key")
	}
	if o.gcmKey != "" {
		key, err := o.readGCMKey(s)
		if err != nil {
			return err
		}
		m.GCM = &webpush.GCM{Key: key, RegistrationID: o.gcmRegID}
	}
	payload, err := o.payload.load(s)
	m.Payload = payload
	return err
}

// readGCMKey reads the key from a file or the environment; it takes the key
// itself, too, as pywebpush's users have it.
func (o *sendOptions) readGCMKey(s *streams) (string, error) {
	key := o.gcmKey
	if variable, ok := strings.CutPrefix(key, "env:"); ok {
		if key = os.Getenv(variable); key == "" {
			return "", usage("set it to the key", "--gcm-key: the environment has no variable %s", variable)
		}
	} else if exists(key) {
		b, err := readFile(key)
		if err != nil {
			return "", err
		}
		key = string(b)
	} else if source(o.cmd, "gcm-key") == "--gcm-key" {
		s.warn("the GCM key stands in the command line, where other users of this machine can see it", "give a file, or --gcm-key env:NAME")
	}
	return strings.TrimSpace(key), nil
}

func runSend(ctx context.Context, s *streams, o sendOptions) error {
	d, err := o.prepare(s)
	if err != nil {
		return err
	}
	if d.source != nil {
		return runBulk(ctx, s, &o, d)
	}
	client, sub, m := d.client, d.sub, d.message
	if err := o.tellFindings(s, o.findings(client, sub, m)); err != nil {
		return err
	}
	switch {
	case o.curl:
		return o.printCurl(ctx, s, d)
	case o.dryRun:
		req, err := client.NewRequest(ctx, sub, m)
		if err != nil {
			return err
		}
		return o.printRequest(s, req)
	}
	if o.verbose > 0 {
		o.tellDecisions(s, client, sub, m)
	}
	if o.verbose > 1 {
		client.HTTP = &tracer{next: client.HTTP, s: s, showSecrets: o.showSecrets}
	}
	receipt, err := client.Send(ctx, sub, m)
	if err != nil {
		return err
	}
	return printReceipt(s, receipt)
}

func printReceipt(s *streams, r *webpush.Receipt) error {
	if s.json {
		out := map[string]any{"status": r.Status, "service": r.Service, "origin": r.Origin, "attempts": r.Attempts,
			"latencyMs": r.Latency.Milliseconds()}
		for name, v := range map[string]string{"location": r.Location, "receiptSubscription": r.ReceiptSubscription, "note": r.Note} {
			if v != "" {
				out[name] = v
			}
		}
		if r.TTL != nil {
			out["ttl"] = int64(r.TTL.Seconds())
		}
		return s.printJSON(out)
	}
	service := r.Service.String()
	if r.Service == webpush.Other {
		service += " at " + r.Origin
	}
	fmt.Fprintf(s.out, "%s by %s: %d %s\n", s.paint(s.outTTY, "accepted", color.FgGreen), service, r.Status, http.StatusText(r.Status))
	if r.Location != "" {
		fmt.Fprintf(s.out, "location: %s\n", r.Location)
	}
	if r.TTL != nil {
		fmt.Fprintf(s.out, "ttl: %d (%s)\n", int64(r.TTL.Seconds()), shortDuration(*r.TTL))
	}
	if r.ReceiptSubscription != "" {
		fmt.Fprintf(s.out, "receipts: %s\n", r.ReceiptSubscription)
	}
	if r.Note != "" {
		s.warn(r.Note, "")
	}
	return nil
}

func (o *sendOptions) tellDecisions(s *streams, client *webpush.Client, sub *webpush.Subscription, m webpush.Message) {
	s.note("subscription: %s, service %s", sub.Origin(), sub.Service())
	if client.Key != nil {
		from := source(o.cmd, "private-key")
		if from == "default" {
			from = defaultPrivateKey
		}
		s.note("key: %s, from %s", client.Key.PublicKey(), from)
		s.note("claims: aud %s, exp %s, sub %s", client.Claims.Audience, showExpires(client.Claims.Expires), orDash(client.Claims.Subject))
	}
	if m.Payload == nil {
		s.note("payload: none")
	} else {
		s.note("payload: %d bytes, %s", len(m.Payload), m.Encoding)
	}
	urgency := m.Urgency
	if urgency == "" {
		urgency = webpush.Normal
	}
	s.note("ttl %s, urgency %s, topic %s, timeout %s, %d attempts at most", shortDuration(*m.TTL), urgency, orDash(m.Topic), shortDuration(client.Timeout), client.Attempts)
}

// printCurl prints the command and writes its body.
func (o *sendOptions) printCurl(ctx context.Context, s *streams, d *delivery) error {
	req, err := d.client.NewRequest(ctx, d.sub, d.message)
	if err != nil {
		return err
	}
	command, body, err := webpush.Curl(req, webpush.CurlOptions{BodyFile: o.bodyFile, Inline: o.inline, CAFile: o.caFile, Transport: d.transport, Timeout: o.timeout.value})
	if err != nil {
		return wrongFlag("body-file", err)
	}
	if body != nil && !o.inline {
		for _, name := range o.files() {
			s.reads(name)
		}
		if err := s.mayReplace(o.bodyFile, o.bulk.force); err != nil {
			return err
		}
		if err := replaceFile(o.bodyFile, body, 0o644); err != nil {
			return err
		}
		s.note("wrote the body to %s", o.bodyFile)
	}
	if o.denyPrivate {
		s.warn("curl does not look at addresses as --deny-private does", "")
	}
	if s.json {
		return s.printJSON(map[string]string{"command": command})
	}
	_, err = s.out.Write([]byte(command))
	return err
}

// printRequest is what --dry-run prints.
func (o *sendOptions) printRequest(s *streams, req *http.Request) error {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return err
		}
	}
	endpoint := showURL(req, o.showSecrets)
	if s.json {
		return s.printJSON(struct {
			Method  string            `json:"method"`
			URL     string            `json:"url"`
			Headers map[string]string `json:"headers"`
			Body    string            `json:"body,omitempty"`
		}{req.Method, endpoint, maps.Collect(headersOf(req.Header, o.showSecrets)), base64.RawURLEncoding.EncodeToString(body)})
	}
	fmt.Fprintf(s.out, "%s %s\n", req.Method, endpoint)
	for name, v := range headersOf(req.Header, o.showSecrets) {
		fmt.Fprintf(s.out, "%s: %s\n", name, v)
	}
	fmt.Fprintf(s.out, "Content-Length: %d\n", len(body))
	if !o.showSecrets {
		s.hint("--show-secrets shows the endpoint and the token")
	}
	return nil
}

func showURL(req *http.Request, secrets bool) string {
	if secrets {
		return req.URL.Scheme + "://" + req.URL.Host + req.URL.RequestURI()
	}
	return req.URL.Scheme + "://" + req.URL.Host + "/…"
}

// headersOf ranges over headers by name, without their secrets.
func headersOf(h http.Header, secrets bool) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		for _, name := range slices.Sorted(maps.Keys(h)) {
			for _, v := range h[name] {
				if !secrets {
					v = redactHeader(name, v)
				}
				if !yield(webpush.HeaderName(name), v) {
					return
				}
			}
		}
	}
}

// redactHeader hides tokens, keys and capability URLs in a header's value.
func redactHeader(name, v string) string {
	switch http.CanonicalHeaderKey(name) {
	case "Authorization":
		scheme, rest, _ := strings.Cut(v, " ")
		if strings.EqualFold(scheme, "vapid") {
			if _, k, ok := strings.Cut(rest, "k="); ok {
				return scheme + " t=…, k=" + k
			}
		}
		if scheme == v {
			return "key=…"
		}
		return scheme + " …"
	case "Location", "Link":
		return "…"
	case "Cookie", "Set-Cookie", "Proxy-Authorization":
		return "…"
	}
	return v
}

// tracer tells what goes over the network, for -vv.
type tracer struct {
	next        webpush.Doer
	s           *streams
	showSecrets bool
}

func (t *tracer) Do(req *http.Request) (*http.Response, error) {
	t.s.note("> %s %s", req.Method, showURL(req, t.showSecrets))
	for name, v := range headersOf(req.Header, t.showSecrets) {
		t.s.note("> %s: %s", name, v)
	}
	t.s.note("> %d bytes of body", req.ContentLength)
	start := time.Now()
	resp, err := t.next.Do(req)
	if err != nil {
		t.s.note("< no answer after %v", time.Since(start).Round(time.Microsecond))
		return nil, err
	}
	t.s.note("< %s %s, after %v", resp.Proto, resp.Status, time.Since(start).Round(time.Microsecond))
	for name, v := range headersOf(resp.Header, t.showSecrets) {
		t.s.note("< %s: %s", name, v)
	}
	return resp, nil
}
