package cmd

import (
	"errors"
	"os/exec"
	"strings"

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
	timeout      durationFlag
	program      string
	arguments    []string
	caFile       string
}

func newListenCmd(s *streams) *cobra.Command {
	var o listenOptions
	c := &cobra.Command{
		Use:   "listen [--exec PROGRAM [-- ARGUMENT...]]",
		Short: "Act as a user agent: subscribe, and print each message as it arrives",
		Long: `Subscribe with a push service as a browser does, write the subscription to
subscription.json for webpush send, and decrypt and print each message as soon as it
arrives.

The default push service is Mozilla's; use --server to choose another:

  wss://HOST           any service that Firefox supports; ws:// on this machine,
                       such as ws://127.0.0.1:8090 for webpush push-service
  https://HOST         the REST API of webpush push-service; or http:// on this
                       machine
  chromium://HOST:PORT the protocols of Chromium (check-in, registration, and
                       MCS) at webpush push-service --chromium; give its CA with
                       --ca-file
  fcm                  the protocols of Chromium at Google; experimental

Keys and registration are kept in listen.json, so the endpoint stays the same, and
messages sent while listen was not running arrive later. Only one process at a time
can use that file. A lost connection is retried with exponential backoff, up to 5
minutes (Chromium: up to 10). Messages are acknowledged after they are printed, so
none is lost; if the process is killed in between, one may arrive again.

One user agent can have several subscriptions, as a browser has for several sites:
listen --name NAME adds one to listen.json (not over the REST API) and writes it to
subscription-NAME.json. Each run receives the messages to all of them over one
connection and acknowledges each after it is printed; --json and --exec include the
name. With --new and --unregister, --name chooses one of them; --unregister without
--name removes all.

With chromium:// and fcm, a subscription requires an application server key:
private_key.pem by default. Its endpoint is at https://fcm.googleapis.com, so
sending to a push service on this machine requires the flags --connect-to and
--ca-file that webpush push-service --chromium prints. --new keeps the registered
device.

--server fcm has not been tested against Google's servers: not whether they accept a
registration of a program that is not a browser, which fields they require, when they
redeliver unacknowledged messages, how often they ping, or what they limit. Google does
not document these protocols for others and can refuse or change them at any time;
check whether its terms permit your use. HTTPS_PROXY applies to check-in and
registration, not to MCS (port 5228 or 443 of mtalk.google.com). HTTP requests identify
themselves as webpush.

A payload is printed as text. If it is not UTF-8, listen prints its size and its bytes
in base64url. On a terminal, notifications (JSON for a service worker, or Declarative
Web Push) are shown as such. Characters that could act on the terminal are always
escaped. With --json, each message is one object per line: time, id, subscription (the
name, if it has one), encoding, headers, payload (text) or payloadBase64url, json (the
parsed value), and declarative if it is a declarative push.

--exec runs a program for each message instead of printing it (with --json, in
addition, and its output goes to standard error). It runs without a shell, with the
arguments after --, the payload on its standard input, and WEBPUSH_MESSAGE_ID,
_TIME, _SUBSCRIPTION, and _ENCODING in its environment; with the REST API also
_TTL, _URGENCY, and _TOPIC; with MCS _TTL and _TOPIC; and for a notification _TITLE,
_BODY, and _URL. If the program fails, listen prints a warning, counts the message
as received, and later exits with code 1.

Exit codes: 0 when --count is reached, or on --timeout without --count; 6 on
--timeout before --count is reached, or if the push service cannot be reached at
the start; 4 when the subscription is gone; 130 when interrupted, after the
connection was closed cleanly.`,
		Example: `  # With Mozilla's push service.
  webpush listen
  # With a push service on this machine.
  webpush listen --server ws://127.0.0.1:8090 --application-server-key public_key.pem
  webpush listen --server chromium://127.0.0.1:5228 --ca-file push-service-chromium-ca.pem
  # In a script: wait for one message.
  webpush listen --json --count 1 --timeout 30s
  # Another subscription of this user agent.
  webpush listen --name news --application-server-key news.pem
  # Run a program for each message.
  webpush listen --exec notify-send -- "a push has arrived"
  # Remove the subscription.
  webpush listen --unregister`,
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
	f.IntVar(&o.count, "count", 0, "exit after `N` messages")
	f.Var(&o.timeout, "timeout", "exit after this time")
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
	case changed("count") && o.count < 1:
		return usage("omit --count for no limit", "--count is %d, expected 1 or more", o.count)
	case o.timeout.set && o.timeout.value <= 0:
		return usage("omit --timeout for no limit", "--timeout is %s, expected more than 0", o.timeout.String())
	case o.state == "" || o.state == "-":
		return usage("omit --state to use "+defaultListenState, "--state is %q, expected a file", o.state)
	case o.subscription == "":
		return usage("omit --subscription to use "+defaultSubscription, "--subscription is empty, expected a file or -")
	case useragent.CheckName(o.name) != nil:
		return usage("use a name such as news", "--name: %w", useragent.CheckName(o.name))
	case changed("exec"):
		return o.checkProgram()
	}
	return nil
}

// checkProgram returns an error if the program cannot be run.
func (o *listenOptions) checkProgram() error {
	_, err := exec.LookPath(o.program)
	if err == nil {
		return nil
	}
	hint := "give its path, or a name that is in $PATH"
	if program, rest, ok := strings.Cut(o.program, " "); ok {
		hint = "give the arguments after --: --exec " + shellWord(program) + " -- " + rest
	}
	if problem := (*exec.Error)(nil); errors.As(err, &problem) {
		err = problem.Err
	}
	return usage(hint, "--exec: %q cannot be run: %w", o.program, err)
}
