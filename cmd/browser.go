package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/browser"
	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/pushservice/receiver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type browserOptions struct {
	name     string
	url      string
	binary   string
	service  string
	headless bool
	allow    bool
}

func newBrowserCmd(s *streams) *cobra.Command {
	var o browserOptions
	c := &cobra.Command{
		Use:       "browser NAME [URL]",
		Args:      cobra.ArbitraryArgs,
		ValidArgs: browser.Names(),
		RunE: func(c *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			return runBrowser(c.Context(), s, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.binary, "binary", "", "start the program `FILE` instead of the installed browser")
	f.BoolVar(&o.headless, "headless", false, "start the browser without a window; implies --allow-notifications")
	f.BoolVar(&o.allow, "allow-notifications", false, "allow notifications on every site, without a prompt")
	f.StringVar(&o.service, "push-service", "", "use the push service at `URL` (default: the one on "+pushservice.DefaultAddr+", or a new one)")
	inGroup(f, "Flags")
	return c
}

func (o *browserOptions) check(args []string) error {
	names := strings.Join(browser.Names(), ", ")
	switch len(args) {
	case 0:
		return usage("name one of "+names, "missing the name of the browser")
	case 1, 2:
	default:
		return usage("quote the URL if the shell splits it", "webpush browser expects a name and a URL, found %q as well", shown(args[2]))
	}
	o.name = args[0]
	if strings.Contains(o.name, "://") {
		return usage("webpush browser firefox "+shellWord(o.name), "no browser given before the URL %q", o.name)
	}
	if !slices.Contains(browser.Names(), o.name) {
		return usage("name one of "+names+"; for a program, add --binary FILE", "unknown browser %q", shown(o.name))
	}
	if len(args) == 2 {
		o.url = args[1]
		u, err := url.Parse(o.url)
		if err != nil || u.Host == "" && u.Scheme != "about" || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "about" {
			return usage("write it as http://localhost:3000", "%q is not the URL of a page", o.url)
		}
	}
	if o.service != "" {
		u, err := url.Parse(o.service)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
			return usage("write it as http://"+pushservice.DefaultAddr, "--push-service: %q is not the URL of a push service", o.service)
		}
	}
	o.allow = o.allow || o.headless
	return nil
}

func runBrowser(ctx context.Context, s *streams, o browserOptions) (err error) {
	if o.binary != "" {
		if err := runnable("binary", o.binary, ""); err != nil {
			return err
		}
	}
	found, err := browser.Find(o.name, o.binary)
	if err != nil {
		return withHint(err, "install one, or name its program with --binary FILE")
	}
	if u, err := url.Parse(o.url); err == nil && u.Scheme == "http" && !webpush.Loopback(u.Hostname()) {
		s.warn("browsers support push only on https pages and on this machine's own pages", "use https://, or http://localhost:…")
	}
	if found.Chromium() && !browser.Online() {
		s.warn("without a network, "+found.Title+" considers itself offline and receives no messages", "connect this machine to any network; it need not reach the internet")
	}
	dir, err := os.MkdirTemp("", "webpush-browser-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	used, server, err := o.pushService(ctx, s, found)
	if err != nil {
		return err
	}
	if server != nil {
		defer func() { err = errors.Join(err, server.Close()) }()
	}
	bo := browser.Options{URL: o.url, Headless: o.headless, AllowNotifications: o.allow}
	bo.PushService.WebSocket, bo.PushService.Certificate = used.WebSocket(), used.Certificate
	var senders *chromiumSettings
	if found.Chromium() {
		bo.PushService.Address, bo.PushService.PublicKeyHash = used.Chromium.Address, used.Chromium.PublicKeyHash
		ca := filepath.Join(dir, "push-service-chromium-ca.pem")
		if err := fileio.Create(ca, []byte(used.Chromium.CA), 0o644); err != nil {
			return err
		}
		senders = newChromiumSettings(*used.Chromium, ca)
	}
	process, err := found.Start(bo)
	if err != nil {
		return fmt.Errorf("%s did not start: %w", found.Title, err)
	}
	defer func() { err = errors.Join(err, process.Close()) }()
	if err := o.announce(s, found, process, used.URL, server != nil, senders); err != nil {
		return err
	}
	if err := process.Wait(ctx); err != nil && ctx.Err() == nil {
		return withHint(fmt.Errorf("%s failed: %w", found.Title, err), "without a display, add --headless")
	}
	return nil
}

// announce prints the browser, its settings, and the settings of senders.
func (o *browserOptions) announce(s *streams, found *browser.Browser, process *browser.Process, service string, own bool, senders *chromiumSettings) error {
	if err := s.printURL(service, struct {
		Browser  string            `json:"browser"`
		Path     string            `json:"path"`
		Profile  string            `json:"profile"`
		Service  string            `json:"pushService"`
		Settings []string          `json:"settings"`
		Chromium *chromiumSettings `json:"chromium,omitempty"`
	}{found.Title, found.Path, process.Profile, service, process.Settings, senders}); err != nil || s.json {
		return err
	}
	if own {
		s.note("started a push service on %s, which runs until the browser exits", service)
	} else {
		s.note("using the push service on %s", service)
	}
	s.note("started %s (%s) with a new profile and these settings:", found.Title, found.Path)
	for _, setting := range process.Settings {
		s.note("  %s", setting)
	}
	if slices.Contains(process.Settings, "--no-sandbox") {
		s.warn("as root, "+found.Title+" runs without a sandbox", "open only pages that you trust, or run this command as another user")
	}
	if senders != nil {
		senders.note(s)
	}
	s.note("to remove the profile, close the browser or interrupt this command")
	return nil
}

// pushService finds the push service, or starts one: on the usual ports, or on free
// ones if these are in use.
func (o *browserOptions) pushService(ctx context.Context, s *streams, found *browser.Browser) (*pushservice.Running, *pushservice.Server, error) {
	used, err := pushservice.Lookup(ctx, cmp.Or(o.service, pushservice.DefaultAddr))
	switch {
	case err != nil && o.service != "":
		return nil, nil, withHint(fmt.Errorf("no push service at %s: %w", o.service, err), "start one with: webpush push-service --chromium, or omit --push-service")
	case err == nil && used.Chromium == nil && found.Chromium():
		return nil, nil, withHint(fmt.Errorf("the push service at %s does not serve Chromium", used.URL), "start it with: webpush push-service --chromium, or use --push-service for another")
	case err == nil:
		return used, nil, nil
	}
	server, err := pushservice.Start(pushservice.ServerOptions{
		Addr:     pushservice.DefaultAddr,
		AnyPort:  true,
		Chromium: &pushservice.ChromiumOptions{Addr: pushservice.DefaultChromiumAddr},
		Options:  pushservice.Options{Log: s.serviceLog(false), NewReceiver: receiver.New},
	})
	if err != nil {
		return nil, nil, startProblem(err)
	}
	return server.Running(), server, nil
}
