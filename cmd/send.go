package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type sendOptions struct {
	cmd *cobra.Command

	inputs []string // arguments, and values of -f
	parts  subscriptionParts
	signing
	messageFlags
	connection
	bulk    bulkFlags
	enqueue enqueueOptions

	check       bool
	dryRun      bool
	showSecrets bool
	verbose     int

	curl     bool
	bodyFile string
	inline   bool
}

// defaultBodyFile is the file with the body for curl, named as in pywebpush.
const defaultBodyFile = "encrypted.data"

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
			if b := &o.bulk; b.Overwrite && !o.curl && b.Results == "" && b.Gone == "" && b.RetryLater == "" {
				return usage("add the file to overwrite", "--force requires --results, --gone, or --retry-later")
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
	f.BoolVar(&o.bulk.Empty, "empty", false, "send a message without a payload even to database rows that have keys")
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
	o.bulk.Empty = true
	var file string
	c := &cobra.Command{
		Use:  "curl [subscription.json]",
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.inputs, err = oneSubscription(file, args); err != nil {
				return err
			}
			return runSend(c.Context(), s, o)
		},
		ValidArgsFunction: completeJSON,
	}
	addSubscriptionFlag(c, &file)
	o.addFlags(c)
	c.Flags().BoolVar(&o.bulk.Overwrite, "force", false, "replace a file even if it has a key")
	o.addCurlFlags(c)
	return c
}

func (o *sendOptions) addCurlFlags(c *cobra.Command) {
	c.Flags().StringVar(&o.bodyFile, "body-file", defaultBodyFile, "write the body for curl to `FILE`")
	c.Flags().BoolVar(&o.inline, "inline", false, "put the body into the curl command, in base64")
	inGroup(c.Flags(), "curl")
}

// addFlags adds the flags that send, curl, and check share.
func (o *sendOptions) addFlags(c *cobra.Command) {
	o.cmd = c
	f := c.Flags()
	f.StringVar(&o.parts.endpoint, "endpoint", "", "send to the endpoint `URL`, instead of a subscription file")
	f.StringVar(&o.parts.p256dh, "key", "", "with --endpoint: use the p256dh `KEY`, in base64")
	f.StringVar(&o.parts.auth, "auth", "", "with --endpoint: use the auth `SECRET`, in base64 or as env:NAME")
	inGroup(f, "Flags")
	o.signing.addFlags(c)
	o.messageFlags.addFlags(c)
	o.connection.addFlags(c)
}

func runSend(ctx context.Context, s *streams, o sendOptions) error {
	d, err := o.prepare(s, false)
	if err != nil {
		return err
	}
	if err := d.firstFlaw(); err != nil && (!o.check || d.source != nil) {
		return err
	}
	switch {
	case d.source != nil && o.curl:
		return usage("pass a single subscription", "a curl command requires a single subscription, but there are many")
	case d.source != nil:
		return runBulk(ctx, s, &o, d)
	}
	client, sub, m := d.client, d.sub, d.message
	if err := s.reportFindings(d.findings(client), o.check, o.verbose); err != nil {
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
		client.HTTP = o.trace(s, client.HTTP)
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
	command, body, err := webpush.Curl(req, webpush.CurlOptions{BodyFile: o.bodyFile, Inline: o.inline, CAFile: o.caFile, Transport: o.TransportOptions, Timeout: o.timeout})
	if err != nil {
		return wrongFlag("body-file", err)
	}
	if body != nil && !o.inline {
		if err := s.mayWrite(outputFile{"body-file", o.bodyFile, o.bulk.Overwrite}); err != nil {
			return err
		}
		if err := fileio.Replace(o.bodyFile, body, 0o644); err != nil {
			return err
		}
		s.note("wrote the body to %s", o.bodyFile)
	}
	if o.DenyPrivate {
		s.warn("curl does not check addresses as --deny-private does", "")
	}
	if s.json {
		return s.printJSON(map[string]string{"command": command})
	}
	_, err = s.out.Write([]byte(command))
	return err
}
