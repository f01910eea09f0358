package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type sendOptions struct {
	cmd *cobra.Command

	subscription string
	parts        subscriptionParts
	inputs       []string // values of -f, where it may be repeated
	bulk         bulkFlags
	enqueue      enqueueOptions
	many         bool // the subscriptions come from elsewhere, such as a queue
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

	connection

	dryRun      bool
	showSecrets bool
	verbose     int

	curl     bool
	bodyFile string
	inline   bool

	check bool
	empty bool
}

// defaultBodyFile is the file with the body for curl, named as in pywebpush.
const defaultBodyFile = "encrypted.data"

// urgencyWords returns the values of --urgency.
func urgencyWords() []string { return words(webpush.Urgencies()) }

func newSendCmd(s *streams) *cobra.Command {
	var o sendOptions
	c := &cobra.Command{
		Use:  "send [subscription.json …]",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 && o.inputs != nil {
				return usage("give all subscriptions with -f, and the payload with -p", "webpush send accepts no arguments with -f, found %q", shown(args[0]))
			}
			o.inputs = append(o.inputs, args...)
			if !o.curl {
				for _, name := range []string{"inline", "body-file"} {
					if c.Flags().Changed(name) {
						return usage("add --curl", "--%s requires --curl", name)
					}
				}
			}
			if o.enqueue.asked(c) {
				return runEnqueue(c.Context(), s, &o)
			}
			return runSend(c.Context(), s, o)
		},
		ValidArgsFunction: completeJSON,
	}
	f := c.Flags()
	f.StringArrayVarP(&o.inputs, "subscription", "f", nil, "read subscriptions from `FILE`, a directory, or - (standard input); repeatable")
	o.addFlags(c)
	o.bulk.addFlags(c)
	o.enqueue.addFlags(c)
	f.BoolVar(&o.check, "check", false, "run webpush check first, and send nothing if it finds an error")
	f.BoolVar(&o.empty, "empty", false, "send a message without a payload even to database rows that have keys")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the request without its secrets, and send nothing")
	f.BoolVar(&o.showSecrets, "show-secrets", false, "show endpoint and token in --dry-run and -vv")
	f.CountVarP(&o.verbose, "verbose", "v", "explain each decision; -vv also prints headers and timing")
	inGroup(f, "Flags")
	f.BoolVar(&o.curl, "curl", false, "print a curl command that sends the message, and send nothing")
	o.addCurlFlags(c)
	return c
}

func newCurlCmd(s *streams) *cobra.Command {
	o := sendOptions{curl: true}
	c := &cobra.Command{
		Use:  "curl [subscription.json]",
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if err := subscriptionArgument(&o.subscription, args); err != nil {
				return err
			}
			return runSend(c.Context(), s, o)
		},
		ValidArgsFunction: completeJSON,
	}
	o.addFlags(c)
	o.addCurlFlags(c)
	return c
}

func (o *sendOptions) addCurlFlags(c *cobra.Command) {
	if c.Flags().Lookup("force") == nil {
		c.Flags().BoolVar(&o.bulk.force, "force", false, "replace a file even if it has a key")
	}
	c.Flags().StringVar(&o.bodyFile, "body-file", defaultBodyFile, "write the body for curl to `FILE`")
	c.Flags().BoolVar(&o.inline, "inline", false, "put the body into the curl command, in base64")
	inGroup(c.Flags(), "curl")
}

func (o *sendOptions) addFlags(c *cobra.Command) {
	o.cmd = c
	f := c.Flags()
	if f.Lookup("subscription") == nil {
		f.StringVarP(&o.subscription, "subscription", "f", "", "read the subscription from `FILE`; - for standard input")
	}
	f.StringVar(&o.parts.endpoint, "endpoint", "", "send to the endpoint `URL`, instead of a subscription file")
	f.StringVar(&o.parts.p256dh, "key", "", "with --endpoint: use the p256dh `KEY`, in base64")
	f.StringVar(&o.parts.auth, "auth", "", "with --endpoint: use the auth `SECRET`, in base64 or as env:NAME")
	inGroup(f, "Flags")
	o.addKeyFlags(c)
	o.payload.addFlags(c)
	o.addMessageFlags(c)
	f.StringVar(&o.topic, "topic", "", "replace an undelivered message of the same `TOPIC`: 1 to 32 of A-Z a-z 0-9 - _")
	f.StringVar(&o.topicHash, "topic-hash", "", "like --topic, but derive the topic from any `TEXT`")
	f.StringVar(&o.gcmKey, "gcm-key", "", "send the legacy request with the GCM server `KEY`: a file, env:NAME, or the key")
	f.StringVar(&o.gcmRegID, "gcm-reg-id", "", "with --gcm-key: send to the registration `ID` (default: the end of the endpoint)")
	inGroup(f, "Message")

	o.connection.addFlags(c)
	asSetting(f, "gcm-key")
}

// addKeyFlags adds the flags for the key and the claims.
func (o *sendOptions) addKeyFlags(c *cobra.Command) {
	o.key.addRingFlags(c)
	o.claims.addFlags(c)
	c.Flags().StringVar(&o.claimsFile, "claims", "", "read the claims from `FILE`; - for standard input")
	inGroup(c.Flags(), "Key and claims")
	asSetting(c.Flags(), "claims")
}

// addMessageFlags adds the flags of a message that send and worker share.
func (o *sendOptions) addMessageFlags(c *cobra.Command) {
	f := c.Flags()
	o.ttl.value = webpush.DefaultTTL
	f.Var(&o.ttl, "ttl", "how long the push service keeps the message; 0 means now or never")
	o.urgency = newEnum("", urgencyWords()...)
	f.Var(&o.urgency, "urgency", "very-low, low, normal, or high")
	f.StringArrayVar(&o.headers, "header", nil, "add a header, `'Name: value'`; repeatable")
	f.StringVar(&o.wnsType, "wns-type", "", "add X-WNS-Type, such as `wns/raw`")
	asSetting(f, "ttl", "urgency", "wns-type")
	completeEnum(c, "urgency", &o.urgency)
}

func runSend(ctx context.Context, s *streams, o sendOptions) error {
	d, err := o.prepare(s, false)
	if err != nil {
		return err
	}
	if err := d.firstFlaw(); err != nil && (!o.check || d.source != nil) {
		return err
	}
	if d.source != nil {
		return runBulk(ctx, s, &o, d)
	}
	client, sub, m := d.client, d.sub, d.message
	if err := o.reportFindings(s, d.findings(client)); err != nil {
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
	return printReceipt(s, receipt, client)
}

// printCurl prints the curl command and writes its body.
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
		if err := s.mayWrite(outputFile{"body-file", o.bodyFile, o.bulk.force}); err != nil {
			return err
		}
		if err := replaceFile(o.bodyFile, body, 0o644); err != nil {
			return err
		}
		s.note("wrote the body to %s", o.bodyFile)
	}
	if o.denyPrivate {
		s.warn("curl does not check addresses as --deny-private does", "")
	}
	if s.json {
		return s.printJSON(map[string]string{"command": command})
	}
	_, err = s.out.Write([]byte(command))
	return err
}
