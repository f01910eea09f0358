package cmd

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// defaultListenState is the file of the user agent that listen is.
const defaultListenState = "listen.json"

type listenOptions struct {
	cmd *cobra.Command

	server       string
	key          keyFlag
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
		Short: "Be a user agent: subscribe, and print each message as it arrives",
		Long: `listen subscribes with a push service as a browser does, writes the subscription
to subscription.json, so that webpush send -f subscription.json reaches it, and
prints each message, decrypted, the moment it arrives.

The push service is Mozilla's public one, or that of --server: wss:// for one
that Firefox can use, such as ws://127.0.0.1:8090 for webpush push-service, or
https:// for the REST API of webpush push-service. Keys and registration are
kept in listen.json, so that the endpoint stays the same and messages that were
sent meanwhile arrive; one process at a time can have that file. A lost connection is made again, after waits that double
up to 5 minutes. A message is acknowledged after it was printed, so none is
lost; one may be repeated if the process is killed in between.

A payload is printed as text. On a terminal a notification, in the form of a
service worker's or of Declarative Web Push, is shown as one, and what could act
on the terminal is escaped everywhere. With --json each message is one object a
line, with time, id, encoding, headers, and the payload in payload (text) or
payloadBase64url, and in json what it parses to.

--exec runs a program for each message instead of printing it (with --json: as
well, and its output goes to standard error). It is run without a shell, with
the arguments after --, the payload on its standard input, and WEBPUSH_MESSAGE_ID,
_TIME and _ENCODING in its environment, with the REST API also _TTL, _URGENCY and
_TOPIC, and for a notification _TITLE, _BODY and _URL. If it fails, that is told,
the message counts as received, and listen exits with 1 at its end.

The exit code is 0 when --count is reached, or when --timeout is over and no
--count was asked for; 6 when --timeout is over before --count is reached, or
the push service cannot be reached at the start; 4 when the subscription is
gone; and 130 when it was interrupted, which ends the connection in good order.`,
		Example: `  webpush listen
  webpush listen --server ws://127.0.0.1:8090 --application-server-key public_key.pem
  webpush listen --json --count 1 --timeout 30s
  webpush listen --exec notify-send -- "a push has arrived"
  webpush listen --unregister`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || c.Flags().Changed("exec") && c.ArgsLenAtDash() == 0 {
				return nil
			}
			if c.ArgsLenAtDash() == 0 {
				return usage("name the program: --exec PROGRAM -- ARGUMENT", "the arguments after -- go with --exec")
			}
			return usage("arguments of --exec go after --; see: webpush listen --help", "webpush listen takes no argument, found %q", shown(args[0]))
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
	f.StringVar(&o.key.value, "application-server-key", "", "take only messages that are signed with this `KEY`: a public or private key's file, the key itself, - or env:NAME")
	f.StringVarP(&o.subscription, "subscription", "f", "subscription.json", "write the subscription to `FILE`; - for standard output")
	f.StringVar(&o.state, "state", defaultListenState, "keep keys and registration in `FILE`, readable by you alone")
	f.BoolVar(&o.new, "new", false, "make another subscription, with the same service and key unless others are given, and end the old one")
	f.BoolVar(&o.force, "force", false, "replace a subscription file that is another's")
	f.BoolVar(&o.unregister, "unregister", false, "end the subscription and remove its files, instead of listening")
	f.IntVar(&o.count, "count", 0, "end after `N` messages")
	f.Var(&o.timeout, "timeout", "end after this time")
	f.StringVar(&o.program, "exec", "", "run `PROGRAM` for each message")
	inGroup(f, "Flags")
	f.StringVar(&o.server, "server", useragent.Mozilla, "the push service's `URL`: wss, https, or ws and http on this machine")
	f.StringVar(&o.caFile, "ca-file", "", "trust the authorities in this PEM `FILE` too")
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
				return usage("give one of them", "--unregister and --%s do not go together", name)
			}
		}
	}
	switch {
	case changed("count") && o.count < 1:
		return usage("leave it out to listen without end", "--count is %d, expected 1 or more", o.count)
	case o.timeout.set && o.timeout.value <= 0:
		return usage("leave it out to listen without end", "--timeout is %s, expected more than 0", o.timeout.String())
	case o.state == "" || o.state == "-":
		return usage("leave it out for "+defaultListenState, "--state is %q, expected a file", o.state)
	case o.subscription == "":
		return usage("leave it out for subscription.json", "--subscription is empty, expected a file or -")
	case o.subscription != "-" && samePlace(o.subscription, o.state):
		return usage("give them different names", "--subscription %s and --state %s are the same file", o.subscription, o.state)
	case changed("exec"):
		if _, err := exec.LookPath(o.program); err != nil {
			hint := "give its path, or a name that is in $PATH"
			if program, rest, ok := strings.Cut(o.program, " "); ok {
				hint = "give the arguments after --: --exec " + shellWord(program) + " -- " + rest
			}
			var problem *exec.Error
			if errors.As(err, &problem) {
				err = problem.Err
			}
			return usage(hint, "--exec: %q cannot be run: %w", o.program, err)
		}
	}
	return nil
}

// listener is a user agent at work.
type listener struct {
	*streams
	o     listenOptions
	agent *useragent.Subscription

	received int
	failed   int // programs
}

func runListen(ctx context.Context, s *streams, options listenOptions) error {
	l := &listener{streams: s, o: options}
	o := &l.o
	// Read first, so that no lock is made next to a file that is another's.
	if _, err := useragent.ReadFile(o.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return stateProblem(o.state, err)
	}
	file, err := openState(o.state)
	if err != nil {
		return err
	}
	defer file.Close()
	state, found := file.State()
	if info, err := os.Stat(o.state); err == nil && groupReadable(info) {
		l.warn(fmt.Sprintf("%s can be read by other users of this machine", o.state), "chmod 600 "+shellWord(o.state))
	}
	if o.unregister {
		return l.unregister(ctx, state, found)
	}
	var key vapid.PublicKey
	if given(o.cmd, "application-server-key") {
		if key, err = o.key.loadPublic(s); err != nil {
			return err
		}
	}
	switch {
	case found && !o.new:
		if err := o.same(state, key); err != nil {
			return err
		}
	case found:
		if !given(o.cmd, "server") {
			o.server = state.Server()
		}
		if key.IsZero() {
			key = state.ApplicationServerKey()
		}
	}
	if err := l.mayReplace(state.Endpoint()); err != nil {
		return err
	}
	limited := ctx
	if o.timeout.set {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, o.timeout.value, errTimeIsOver)
		defer cancel()
	}
	how, err := l.options()
	if err != nil {
		return err
	}
	if found && !o.new {
		l.agent, err = file.Open(limited, how)
	} else {
		how.ApplicationServerKey = key
		l.agent, err = file.Subscribe(limited, o.server, how)
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			return stateProblem(o.state, err)
		}
		if err != nil && !errors.As(err, new(*useragent.Error)) {
			return usage("write it as "+useragent.Mozilla+" or ws://127.0.0.1:8090", "--server: %w", err)
		}
	}
	if err != nil {
		return l.end(ctx, limited, err)
	}
	defer func() {
		if err := l.agent.Close(); err != nil {
			s.warn(err.Error(), "the last message may come again")
		}
	}()
	if err := l.save(); err != nil {
		if !found || o.new { // nobody could use it
			forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = l.agent.Unsubscribe(forget)
		}
		return err
	}
	if found && o.new {
		l.forget(ctx, state)
	}
	l.announce()
	return l.end(ctx, limited, l.listen(ctx, limited))
}

// errTimeIsOver is the end of --timeout.
var errTimeIsOver = errors.New("the time is over")

// end says what the end of listening means.
func (l *listener) end(ctx, limited context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Canceled
	case limited.Err() != nil && errors.Is(err, errTimeIsOver):
		if l.o.count == 0 && l.agent != nil {
			err = nil
			break
		}
		text := fmt.Sprintf("the time of %s is over", shortDuration(l.o.timeout.value))
		if l.agent == nil {
			return withHint(&exitError{fmt.Errorf("%s before the push service has answered", text), exitTemporary}, "give it more --timeout")
		}
		return withHint(&exitError{fmt.Errorf("%s: %d of %d messages have arrived", text, l.received, l.o.count), exitTemporary},
			"send with: "+l.sendCommand())
	}
	var (
		answer *useragent.Error
		closed *useragent.CloseError
	)
	switch {
	case err == nil:
	case errors.As(err, &answer) && answer.Gone():
		return withHint(&exitError{err, exitGone}, "make another with: webpush listen --new")
	case errors.As(err, &answer) && answer.Temporary():
		hint := "try again later"
		if answer.Status == 0 && strings.Contains(l.o.server, "://127.0.0.1") {
			hint = "start a push service with: webpush push-service"
		}
		return withHint(&exitError{err, exitTemporary}, hint)
	case errors.As(err, &answer) && answer.Status >= 400:
		return &exitError{err, exitRejected}
	case errors.As(err, &answer) && strings.Contains(err.Error(), "x509: ") && l.o.caFile == "":
		return withHint(err, "--ca-file FILE trusts the authority of a service of your own")
	case errors.As(err, &closed):
		return withHint(&exitError{err, exitTemporary}, "it asks not to come back at once; try again later")
	}
	if err == nil && l.failed > 0 {
		return fmt.Errorf("%s failed for %d of %d messages", visible(l.o.program), l.failed, l.received)
	}
	return err
}

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }

// options say how to reach the push service.
func (l *listener) options() (useragent.Options, error) {
	var t webpush.TransportOptions
	if l.o.caFile != "" {
		pem, err := readFile(l.o.caFile)
		if err != nil {
			return useragent.Options{}, err
		}
		t.CAs = pem
	}
	hc, err := webpush.NewHTTPClient(t)
	if err != nil {
		if l.o.caFile != "" {
			err = within(l.o.caFile, err)
		}
		return useragent.Options{}, &usageError{err: err}
	}
	return useragent.Options{HTTP: hc, Notify: func(e useragent.Event) {
		if e.Err == nil {
			l.note("connected again")
			return
		}
		hint := ""
		if closed := (*useragent.CloseError)(nil); errors.As(e.Err, &closed) && closed.Code == 1011 {
			hint = "does another webpush listen run with " + l.o.state + "? Only one can"
		}
		l.warn(fmt.Sprintf("the connection is lost: %s; trying again in %v", visible(e.Err.Error()), e.Retry.Round(100*time.Millisecond)), hint)
	}}, nil
}

// openState locks and reads the state file. Its absence is not an error.
func openState(name string) (*useragent.File, error) {
	file, err := useragent.OpenFile(name)
	if errors.Is(err, useragent.ErrLocked) {
		return nil, withHint(fmt.Errorf("another webpush listen is running with %s", name), "--state FILE and -f FILE make this one a user agent of its own")
	}
	if err != nil {
		return nil, stateProblem(name, err)
	}
	return file, nil
}

// stateProblem words an error of the state file.
func stateProblem(name string, err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = fileProblem(name, err)
		if errors.Is(err, fs.ErrExist) {
			err = withHint(err, "another webpush listen has just made it; run it again")
		}
		return err
	}
	return withHint(within(name, err), "it is not the state of webpush listen; --state FILE names another")
}

// same refuses a server or key that is not that of the state.
func (o *listenOptions) same(state useragent.State, key vapid.PublicKey) error {
	hint := "--new makes another subscription, --state FILE keeps both"
	if given(o.cmd, "server") && strings.TrimSuffix(o.server, "/") != strings.TrimSuffix(state.Server(), "/") {
		return usage(hint, "%s is a subscription at %s, not at %s", o.state, state.Server(), visible(o.server))
	}
	o.server = state.Server()
	if given(o.cmd, "application-server-key") && key != state.ApplicationServerKey() {
		if state.ApplicationServerKey().IsZero() {
			return usage(hint, "%s is a subscription for messages of anyone, not of --application-server-key", o.state)
		}
		return usage(hint, "%s is a subscription for messages signed with %s, not with %s", o.state, state.ApplicationServerKey(), key)
	}
	return nil
}

// mayReplace refuses to replace a subscription file that has not this
// endpoint: it may be a browser's.
func (l *listener) mayReplace(endpoint string) error {
	if l.o.subscription == "-" || l.o.force || l.ours(endpoint) {
		return nil
	}
	if info, err := os.Stat(l.o.subscription); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%s exists already, and is not the subscription of %s", l.o.subscription, l.o.state),
		"-f FILE writes to another file, --force replaces it")
}

// ours reports whether the subscription file has this endpoint.
func (l *listener) ours(endpoint string) bool {
	b, err := readFile(l.o.subscription)
	if err != nil || endpoint == "" {
		return false
	}
	var v struct{ Endpoint string }
	return json.Unmarshal(b, &v) == nil && v.Endpoint == endpoint
}

// save writes the subscription, which belongs to the state in the file.
func (l *listener) save() error {
	state := l.agent.State()
	subscription, err := state.Subscription()
	if err != nil {
		return err
	}
	subscription = append(subscription, '\n')
	if l.o.subscription == "-" {
		_, err = l.out.Write(subscription)
		return err
	}
	return replaceFile(l.o.subscription, subscription, 0o600)
}

// forget ends the subscription that --new has replaced.
func (l *listener) forget(ctx context.Context, state useragent.State) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	options, err := l.options()
	if err == nil {
		options.Notify = nil
		err = end(ctx, state, options)
	}
	if err != nil {
		l.warn("the old subscription could not be ended: "+visible(err.Error()), "")
	}
}

// end ends a subscription at rest.
func end(ctx context.Context, state useragent.State, options useragent.Options) (err error) {
	old, err := useragent.Open(ctx, state, options)
	if err != nil {
		return err
	}
	defer func() {
		if e := old.Close(); err == nil {
			err = e
		}
	}()
	return old.Unsubscribe(ctx)
}

// unregister is --unregister.
func (l *listener) unregister(ctx context.Context, state useragent.State, found bool) error {
	if !found {
		return withHint(fileProblem(l.o.state, fs.ErrNotExist), "there is no subscription to end here; --state FILE names another")
	}
	if err := l.o.same(state, vapid.PublicKey{}); err != nil {
		return err
	}
	options, err := l.options()
	if err != nil {
		return err
	}
	if err := end(ctx, state, options); err != nil {
		return l.end(ctx, ctx, err)
	}
	if l.o.subscription != "-" && l.ours(state.Endpoint()) {
		if err := os.Remove(l.o.subscription); err != nil {
			return fileProblem(l.o.subscription, err)
		}
	}
	if err := os.Remove(l.o.state); err != nil {
		return fileProblem(l.o.state, err)
	}
	l.note("ended the %v", state)
	return nil
}

// announce tells that listening begins.
func (l *listener) announce() {
	l.note("listening, with a %v", l.agent)
	if l.o.subscription != "-" {
		l.note("wrote the subscription to %s; send with: %s", absolute(l.o.subscription), l.sendCommand())
	}
}

func (l *listener) sendCommand() string {
	name := l.o.subscription
	if name == "-" {
		name = "subscription.json"
	}
	return "webpush send -f " + shellWord(name) + ` -p "hi"`
}

// listen takes messages until one of the contexts ends or there are enough.
// limited is ctx with --timeout.
func (l *listener) listen(ctx, limited context.Context) error {
	for l.o.count == 0 || l.received < l.o.count {
		m, err := l.agent.Receive(limited)
		var (
			damaged *useragent.DecryptError
			changed *useragent.ChangedError
		)
		switch {
		case errors.As(err, &changed):
			l.warn(err.Error(), "give "+l.o.subscription+" to the application server again; messages to the old endpoint are lost")
			if err := l.save(); err != nil {
				return err
			}
			continue
		case errors.As(err, &damaged):
			m = damaged.Message
			l.warn(visible(err.Error()), "it was encrypted for other keys, or altered; the sender needs the subscription as it is now")
			if err := l.printDamaged(damaged); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			if err := l.hand(ctx, m); err != nil {
				return err
			}
			l.received++
		}
		if err := l.agent.Ack(ctx, m); err != nil {
			if ctx.Err() != nil {
				l.warn("the last message is not acknowledged: it will come again", "")
			}
			return err
		}
	}
	return nil
}

// hand prints a message, or has the program deal with it.
func (l *listener) hand(ctx context.Context, m *useragent.Message) error {
	switch {
	case l.json:
		if err := l.printLine(m); err != nil {
			return err
		}
	case l.o.program == "":
		return l.printText(m)
	}
	if l.o.program == "" {
		return nil
	}
	err := l.run(ctx, m)
	if err != nil && ctx.Err() != nil {
		l.warn("the program was interrupted: its message will come again", "")
		return context.Canceled
	}
	if err != nil {
		l.failed++
		l.warn(fmt.Sprintf("message %s: %s: %v", visible(m.ID), visible(l.o.program), err), "")
	}
	return nil
}

// messageJSON is a message as --json prints it.
type messageJSON struct {
	Time     time.Time         `json:"time"`
	ID       string            `json:"id"`
	Encoding string            `json:"encoding,omitempty"`
	Headers  map[string]string `json:"headers"`
	TTL      *int64            `json:"ttl,omitempty"`
	Urgency  string            `json:"urgency,omitempty"`
	Topic    string            `json:"topic,omitempty"`
	Payload  *string           `json:"payload,omitempty"`
	Base64   *string           `json:"payloadBase64url,omitempty"`
	JSON     json.RawMessage   `json:"json,omitempty"`
	Error    string            `json:"error,omitempty"`
}

func newMessageJSON(m *useragent.Message) messageJSON {
	v := messageJSON{Time: m.Time, ID: m.ID, Encoding: string(m.Encoding), Headers: m.Headers, Urgency: m.Urgency, Topic: m.Topic}
	if v.Headers == nil {
		v.Headers = map[string]string{}
	}
	if m.Urgency != "" { // the REST API tells both
		v.TTL = new(int64(m.TTL / time.Second))
	}
	switch {
	case m.Payload == nil:
	case utf8.Valid(m.Payload):
		v.Payload = new(string(m.Payload))
		if json.Valid(m.Payload) {
			v.JSON = m.Payload
		}
	default:
		v.Base64 = new(base64.RawURLEncoding.EncodeToString(m.Payload))
	}
	return v
}

func (l *listener) printLine(v any) error {
	if m, ok := v.(*useragent.Message); ok {
		v = newMessageJSON(m)
	}
	b, err := marshal(v, "")
	if err != nil {
		return err
	}
	_, err = l.out.Write(b)
	return err
}

// printDamaged is a message that could not be decrypted, for --json only: it is
// told as a warning, too.
func (l *listener) printDamaged(e *useragent.DecryptError) error {
	if !l.json {
		return nil
	}
	v := newMessageJSON(e.Message)
	v.Error = e.Err.Error()
	return l.printLine(v)
}

// printText prints a message for people.
func (l *listener) printText(m *useragent.Message) error {
	var b strings.Builder
	if l.outTTY {
		b.WriteString(l.paint(true, m.Time.Local().Format("15:04:05"), color.Faint) + " ")
	}
	n, isNotification := parseNotification(m.Payload)
	switch {
	case m.Payload == nil:
		b.WriteString(l.paint(l.outTTY, "(no payload)", color.Faint))
	case !utf8.Valid(m.Payload):
		fmt.Fprintf(&b, "(%d bytes that are no text) %s", len(m.Payload), base64.RawURLEncoding.EncodeToString(m.Payload))
	case l.outTTY && isNotification:
		b.WriteString(l.paint(true, safe(n.title), color.Bold))
		if n.body != "" {
			b.WriteString("\n" + indented(safe(n.body)))
		}
		if n.url != "" {
			b.WriteString("\n" + indented(l.paint(true, safe(n.url), color.FgCyan, color.Underline)))
		}
		for _, a := range n.actions {
			b.WriteString("\n" + indented("["+safe(a)+"]"))
		}
	default:
		b.WriteString(safe(string(m.Payload)))
	}
	text := b.String()
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(l.out, text)
	return err
}

func indented(text string) string {
	return "         " + strings.ReplaceAll(text, "\n", "\n         ")
}

// shownNotification is what of a notification is shown.
type shownNotification struct {
	title, body, url string
	actions          []string
}

// parseNotification recognizes the payload of a notification: that of
// Declarative Web Push, or the members that are usual for a service worker,
// with title at least, at the top or in notification.
func parseNotification(payload []byte) (n shownNotification, ok bool) {
	type members struct {
		Title    any
		Body     any
		Navigate any
		URL      any
		Data     any
		Actions  any
	}
	var v struct {
		members
		Notification *members
	}
	if !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) || json.Unmarshal(payload, &v) != nil {
		return n, false
	}
	m := v.members
	if v.Notification != nil {
		m = *v.Notification
	}
	text := func(v any) string { t, _ := v.(string); return t }
	n.title, n.body, n.url = text(m.Title), text(m.Body), text(m.Navigate)
	if n.url == "" {
		n.url = text(m.URL)
	}
	if data, _ := m.Data.(map[string]any); n.url == "" {
		n.url = text(data["url"])
	}
	list, _ := m.Actions.([]any)
	for _, a := range list {
		if action, _ := a.(map[string]any); text(action["title"]) != "" {
			n.actions = append(n.actions, text(action["title"]))
		}
	}
	return n, n.title != ""
}

// run has the program deal with a message.
func (l *listener) run(ctx context.Context, m *useragent.Message) error {
	c := exec.CommandContext(ctx, l.o.program, l.o.arguments...)
	c.Stdin = bytes.NewReader(m.Payload)
	c.Stdout, c.Stderr = l.out, l.err
	if l.json {
		c.Stdout = l.err
	}
	c.Env = append(os.Environ(), messageEnvironment(m)...)
	c.Cancel = func() error {
		if c.Process.Signal(os.Interrupt) == nil {
			return nil
		}
		return c.Process.Kill()
	}
	c.WaitDelay = 5 * time.Second
	return c.Run()
}

// messageEnvironment are the variables for a program. A value that cannot stand
// in the environment, with a zero byte in it, is left out.
func messageEnvironment(m *useragent.Message) []string {
	n, _ := parseNotification(m.Payload)
	ttl := ""
	if m.Urgency != "" {
		ttl = strconv.FormatInt(int64(m.TTL/time.Second), 10)
	}
	var list []string
	for _, v := range [][2]string{
		{"ID", m.ID}, {"TIME", m.Time.UTC().Format(time.RFC3339Nano)}, {"ENCODING", string(m.Encoding)}, {"TTL", ttl}, {"URGENCY", m.Urgency}, {"TOPIC", m.Topic},
		{"TITLE", n.title}, {"BODY", n.body}, {"URL", n.url},
	} {
		if !strings.ContainsRune(v[1], 0) {
			list = append(list, "WEBPUSH_MESSAGE_"+v[0]+"="+v[1])
		}
	}
	return list
}

// groupReadable reports whether others than the owner can read a file, where
// that can be told.
func groupReadable(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && info.Mode().Perm()&0o111 == 0 && os.PathSeparator == '/'
}
