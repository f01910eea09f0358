package cmd

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/keyfile"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type genOptions struct {
	pair             keyPair
	privateSet       bool
	publicSet        bool
	format           vapid.Format
	formatSet        bool
	force            bool
	next             bool
	receiver         string
	subscriptionFile string
	endpoint         string
}

func newGenCmd(s *streams) *cobra.Command {
	o := genOptions{format: vapid.FormatPEM}
	c := &cobra.Command{
		Use: "gen",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 1 && c.Flags().Changed("receiver") {
				return usage("write it as --receiver="+shellWord(args[0]), "webpush gen accepts no arguments, found %q", args[0])
			}
			return noArgs(c, args)
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(c.Flags().Changed); err != nil {
				return err
			}
			if o.receiver != "" {
				return runGenReceiver(s, o)
			}
			return runGen(s, o)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.pair.private, "private-key", "k", "", "write the private key to `FILE` (default private_key.pem; .der, .jwk and so on in other formats)")
	f.StringVar(&o.pair.public, "public-key", "", "write the public key to `FILE` (default public_key.pem)")
	wordFlag(c, &o.format, "format", "", "format of the files: pem, der, raw (bare bytes), base64url, or jwk",
		vapid.FormatPEM, vapid.FormatDER, vapid.FormatRaw, vapid.FormatBase64URL, vapid.FormatJWK)
	f.BoolVar(&o.force, "force", false, "overwrite existing files")
	f.BoolVar(&o.next, "next", false, "generate the pair that will replace the current one, in private_key.next.pem and public_key.next.pem")
	f.StringVar(&o.receiver, "receiver", "", "write the keys of a test receiver to `FILE` (receiver.json)")
	f.Lookup("receiver").NoOptDefVal = "receiver.json"
	f.StringVar(&o.subscriptionFile, "subscription", "subscription.json", "with --receiver: write its subscription to `FILE`")
	f.StringVar(&o.endpoint, "endpoint", "https://push.example.net/test", "with --receiver: use `URL` as the subscription's endpoint")
	return c
}

// check refuses flags that contradict each other.
func (o *genOptions) check(set func(flag string) bool) error {
	o.privateSet, o.publicSet, o.formatSet = set("private-key"), set("public-key"), set("format")
	switch {
	case o.receiver == "" && set("subscription"):
		return usage("add --receiver", "--subscription requires --receiver")
	case o.receiver == "" && set("endpoint"):
		return usage("add --receiver", "--endpoint requires --receiver")
	case o.receiver != "" && o.next:
		return usage("omit one of them", "--receiver and --next cannot be combined")
	case o.receiver != "" && (o.privateSet || o.publicSet || o.formatSet):
		return usage("a receiver file is JSON: name it with --receiver=FILE", "--private-key, --public-key and --format cannot be combined with --receiver")
	case o.next && o.force:
		return usage("move the files", "--next never overwrites a key, so it cannot be combined with --force")
	}
	return nil
}

func runGen(s *streams, o genOptions) error {
	format := o.format
	if !o.privateSet {
		o.pair.private = "private_key" + format.Extension()
	}
	if !o.publicSet {
		o.pair.public = "public_key" + format.Extension()
	}
	present := o.pair.private
	if o.next {
		o.pair.private, o.pair.public = nextName(o.pair.private), nextName(o.pair.public)
	}
	write := !s.json || o.next || o.privateSet || o.publicSet
	if !write && (o.formatSet || o.force) {
		return usage("add --private-key FILE to write files too", "--json prints the pair as base64url and writes no files, so --format and --force cannot be used")
	}
	if !write {
		if err := s.needsReader("the key pair", "without --json it is written to two files"); err != nil {
			return err
		}
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		return err
	}
	if write {
		err := s.createPair(o.pair, key, format, o.force)
		if o.next && err != nil && exists(o.pair.private) {
			err = withHint(err, "the next pair is there already: sign with it, or move its files away to make another one")
		}
		if err != nil {
			return err
		}
	}
	if s.json {
		b, err := key.Marshal(vapid.FormatJSON)
		if err != nil {
			return err
		}
		return s.printJSON(json.RawMessage(b))
	}
	s.note("the application server key, for pushManager.subscribe:")
	fmt.Fprintln(s.out, key.PublicKey())
	switch {
	case o.next:
		s.hint(fmt.Sprintf("sign with both, the new one first: -k %s -k %s", shellWord(o.pair.private), shellWord(present)))
	case !o.privateSet && format != vapid.FormatPEM:
		s.hint("other commands look for " + defaultPrivateKey + ": use -k " + o.pair.private)
	}
	return nil
}

// nextName puts .next before the ending of a file's name.
func nextName(name string) string {
	ext := filepath.Ext(name)
	return strings.TrimSuffix(name, ext) + ".next" + ext
}

// runGenReceiver generates the keys of a user agent: a key pair and an auth secret.
func runGenReceiver(s *streams, o genOptions) error {
	if s.json {
		if err := s.needsReader("the receiver's keys", "without --json they are written to files"); err != nil {
			return err
		}
	}
	id, err := ece.GenerateIdentity()
	if err != nil {
		return err
	}
	base64url := base64.RawURLEncoding.EncodeToString
	sub, err := webpush.NewSubscription(o.endpoint, base64url(id.Recipient().P256DH()), base64url(id.Recipient().Auth()))
	if err != nil {
		return wrongFlag("endpoint", withHint(err, "pass an https URL, or omit --endpoint"))
	}
	if s.json {
		return s.printJSON(struct {
			Receiver     *ece.Identity         `json:"receiver"`
			Subscription *webpush.Subscription `json:"subscription"`
		}{id, sub})
	}
	receiver, err := marshal(id, "  ")
	if err != nil {
		return err
	}
	subscription, err := marshal(sub, "  ")
	if err != nil {
		return err
	}
	pair := keyfile.Pair{Secret: keyfile.File{Name: o.receiver, Data: receiver, Mode: 0o600}, Derived: keyfile.File{Name: o.subscriptionFile, Data: subscription, Mode: 0o600}}
	if err := s.savePair(&pair, "receiver", "subscription", o.force, "use --force to overwrite both; messages for the old receiver can then no longer be decrypted"); err != nil {
		return err
	}
	s.note("wrote the receiver's keys to %s and its subscription to %s", absolute(o.receiver), absolute(o.subscriptionFile))
	if strings.HasPrefix(sub.Endpoint(), "https://push.example.net/") {
		s.hint("no user agent receives at its endpoint; to encrypt for it, run: webpush encrypt -f " + shellWord(o.subscriptionFile))
	}
	return nil
}
