package cmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/browser"
	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type subscribeOptions struct {
	cmd *cobra.Command

	key     keyFlag
	output  string
	force   bool
	listen  string
	timeout time.Duration
	open    bool
	noOpen  bool
}

func newSubscribeCmd(s *streams) *cobra.Command {
	var o subscribeOptions
	c := &cobra.Command{
		Use:  "subscribe",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return runSubscribe(c.Context(), s, o)
		},
	}
	o.cmd = c
	o.key = keyFlag{cmd: c, flag: "application-server-key"}
	f := c.Flags()
	f.StringVarP(&o.output, "output", "o", "subscription.json", "write the subscription to `FILE`; - for standard output")
	f.BoolVar(&o.force, "force", false, "overwrite the file")
	f.StringVarP(&o.key.value, "application-server-key", "k", defaultPrivateKey, "subscribe with `KEY`: the file of a public or private key, the key itself, -, or env:NAME")
	f.Var(positive(&o.timeout), "timeout", "wait at most this time")
	f.BoolVar(&o.open, "open", false, "open the page in your browser even if this is not a terminal on your desktop")
	f.BoolVar(&o.noOpen, "no-open", false, "only print the address of the page")
	inGroup(f, "Flags")
	f.StringVar(&o.listen, "listen", "localhost:8091", "serve the page on `ADDRESS`, host:port on this machine; port 0 is any free port")
	inGroup(f, "Connection")
	return c
}

// check finds errors in the command line alone.
func (o *subscribeOptions) check() error {
	if err := exclusive(o.cmd, "open", "no-open"); err != nil {
		return err
	}
	host, err := listenHost("listen", o.listen, "localhost:8091")
	if err != nil {
		return err
	}
	if !webpush.Loopback(host) {
		return usage("omit --listen and forward the port: ssh -L 8091:localhost:8091 HOST", "--listen: %q is reachable from other machines, but browsers subscribe over plain HTTP only on their own machine", o.listen)
	}
	if o.output == "-" {
		return nil
	}
	return orReplace(unshown(fileio.Check(o.output, o.force)), "use -o FILE to write to another file, or --force to overwrite it")
}

// publicKey returns the key to subscribe with. Without -k, it is the public key of the
// private key file, or the public key file if there is only that.
func (o *subscribeOptions) publicKey(s *streams) (vapid.PublicKey, error) {
	if !given(o.cmd, "application-server-key") {
		if value, from, ok := s.settings.Lookup("private-key"); ok {
			o.key.value, o.key.from = value, from
		} else if !exists(defaultPrivateKey) && exists(defaultPublicKey) {
			o.key.value = defaultPublicKey
		}
	}
	return o.key.loadPublic(s)
}

func runSubscribe(ctx context.Context, s *streams, o subscribeOptions) error {
	key, err := o.publicKey(s)
	if err != nil {
		return err
	}
	if o.output != "-" {
		if err := s.mayReplace(o.output, o.force); err != nil {
			return err
		}
	}
	l, err := listen("listen", o.listen)
	if err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(o.listen)
	url := urlOf("http", host, l.Addr()) + "/"
	if err := o.announce(s, url); err != nil {
		l.Close()
		return err
	}
	if o.opens(s) {
		if err := browser.Open(url); err != nil {
			s.warn("no browser was opened: "+err.Error(), "open "+url+" yourself")
		}
	}
	limited, cancel := ctx, func() {}
	if o.timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, o.timeout)
	}
	defer cancel()
	sub, err := appserver.Subscribe(limited, l, key, o.output, func(sub *webpush.Subscription) error { return o.save(s, sub) })
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return withHint(&exitError{fmt.Errorf("timed out after %s: no browser subscribed", shortDuration(o.timeout)), exitTemporary},
			"open the page in a browser and choose Subscribe, or increase --timeout")
	case err != nil:
		return err
	case o.output == "-":
		s.note("subscribed at %s", sub.Origin())
	default:
		s.note("wrote the subscription, at %s, to %s; send with: webpush send -f %s --title Hello", sub.Origin(), absolute(o.output), shellWord(o.output))
	}
	return nil
}

// opens reports whether to open the page in the browser. Without a flag, it does so only
// if the output goes to a terminal.
func (o *subscribeOptions) opens(s *streams) bool {
	return o.open || !o.noOpen && s.errTTY && !s.json && browser.CanOpen()
}

// announce prints the address of the page: on standard output, unless the
// subscription goes there.
func (o *subscribeOptions) announce(s *streams, url string) error {
	if o.output == "-" {
		s.note("open %s in a browser and choose Subscribe", url)
		return nil
	}
	if err := s.printURL(url, map[string]string{"url": url}); err != nil || s.json {
		return err
	}
	s.note("open it in a browser and choose Subscribe; waiting")
	return nil
}

// save writes the subscription as the browser sent it.
func (o *subscribeOptions) save(s *streams, sub *webpush.Subscription) error {
	b, err := marshal(sub, "  ")
	if err != nil {
		return err
	}
	if o.output == "-" {
		_, err = s.out.Write(b)
		return err
	}
	return s.save(o.output, b, 0o600, o.force, "use -o FILE to write to another file, or --force to overwrite it")
}
