package cmd

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/useragent"
)

// The files of listen.
const (
	defaultListenState  = "listen.json"
	defaultSubscription = "subscription.json"
)

type listenOptions struct {
	cmd *cobra.Command

	server       string
	key          keyFlag
	name         string
	subscription string
	state        string
	new          bool
	force        bool
	unregister   bool
	count        int
	timeout      time.Duration
	program      string
	arguments    []string
	caFile       string
}

func newListenCmd(s *streams) *cobra.Command {
	var o listenOptions
	c := &cobra.Command{
		Use: "listen [--exec PROGRAM [-- ARGUMENT...]]",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || c.Flags().Changed("exec") && c.ArgsLenAtDash() == 0 {
				return nil
			}
			if c.ArgsLenAtDash() == 0 {
				return usage("name the program: --exec PROGRAM -- ARGUMENT", "the arguments after -- require --exec")
			}
			return usage("arguments of --exec go after --; see: webpush listen --help", "webpush listen accepts no arguments, found %q", shown(args[0]))
		},
		RunE: func(c *cobra.Command, args []string) error {
			o.arguments = args
			if err := o.check(); err != nil {
				return err
			}
			return runListen(c.Context(), s, o)
		},
	}
	o.cmd = c
	f := c.Flags()
	o.key = keyFlag{cmd: c, flag: "application-server-key"}
	f.StringVar(&o.key.value, "application-server-key", "", "accept only messages signed with `KEY`: the file of a public or private key, the key itself, -, or env:NAME")
	f.StringVar(&o.name, "name", "", "use the subscription with this `NAME`, and create it if necessary")
	f.StringVarP(&o.subscription, "subscription", "f", defaultSubscription, "write the subscription to `FILE`; - for standard output")
	f.StringVar(&o.state, "state", defaultListenState, "keep keys and registration in `FILE`, readable by you alone")
	f.BoolVar(&o.new, "new", false, "create a new subscription (by default with the same push service and key) and remove the old one")
	f.BoolVar(&o.force, "force", false, "replace a subscription file that belongs to another user agent")
	f.BoolVar(&o.unregister, "unregister", false, "remove the subscription, or all without --name, and the files, instead of listening")
	f.Var(number(&o.count, 1, 0), "count", "exit after `N` messages")
	f.Var(positive(&o.timeout), "timeout", "exit after this time")
	f.StringVar(&o.program, "exec", "", "run `PROGRAM` for each message")
	inGroup(f, "Flags")
	f.StringVar(&o.server, "server", useragent.Mozilla, "use the push service at `URL`: wss, https, or chromium; ws and http on this machine; or fcm (experimental)")
	f.StringVar(&o.caFile, "ca-file", "", "also trust the certificate authorities in this PEM `FILE`")
	inGroup(f, "Connection")
	asSetting(f, "server", "ca-file")
	return c
}

// check refuses what can be known from the command line alone.
func (o *listenOptions) check() error {
	changed := o.cmd.Flags().Changed
	if o.unregister {
		for _, name := range []string{"new", "count", "timeout", "exec", "application-server-key"} {
			if changed(name) {
				return usage("give one of them", "--unregister and --%s cannot be combined", name)
			}
		}
	}
	switch {
	case o.state == "" || o.state == "-":
		return usage("omit --state to use "+defaultListenState, "--state is %q, expected a file", o.state)
	case o.subscription == "":
		return usage("omit --subscription to use "+defaultSubscription, "--subscription is empty, expected a file or -")
	case useragent.CheckName(o.name) != nil:
		return usage("use a name such as news", "--name: %w", useragent.CheckName(o.name))
	case useragent.CheckServer(o.server) != nil:
		return usage("write it as "+useragent.Mozilla+", ws://127.0.0.1:8090, or chromium://127.0.0.1:5228", "--server: %w", useragent.CheckServer(o.server))
	case changed("exec"):
		return runnable("exec", o.program, "give the arguments after --: --exec %s -- %s")
	}
	return nil
}
