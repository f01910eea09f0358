package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// listener runs listen.
type listener struct {
	*streams
	o      listenOptions
	device *useragent.Device
	// chosen is the subscription that -f is for; nil if there are several.
	chosen *useragent.Subscription
	// apart reports whether --new created a device, so the old subscription is on
	// another one.
	apart bool

	received int
	failed   int // runs of --exec
}

func runListen(ctx context.Context, s *streams, options listenOptions) error {
	l := &listener{streams: s, o: options}
	o := &l.o
	file, err := l.openState()
	if err != nil {
		return err
	}
	defer file.Close()
	state, _ := file.State()
	chosen, err := o.choose(state)
	if err != nil {
		return err
	}
	if o.unregister {
		return l.unregister(ctx, file, chosen)
	}
	key, err := l.loadKey(state, chosen)
	if err != nil {
		return err
	}
	how, err := l.options()
	if err != nil {
		return err
	}
	if create := o.creates(chosen); create || len(chosen) == 1 {
		if err := l.mayWrite(o.subscription, endpoints(chosen)); err != nil {
			return err
		}
	}
	limited := ctx
	if o.timeout.set {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, o.timeout.value, errTimeout)
		defer cancel()
	}
	if o.server == useragent.FCM {
		l.warn("listening at Google is experimental: untested against Google's servers", "for a local push service of this kind, run: webpush push-service --chromium")
	}
	if err := l.connect(limited, file, chosen, key, how); err != nil {
		return l.end(ctx, limited, err)
	}
	defer func() {
		if err := l.device.Close(); err != nil {
			s.warn(err.Error(), "the last message may arrive again")
		}
	}()
	if err := l.saveSubscription(l.chosen); err != nil {
		if o.creates(chosen) { // it would be unusable
			forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = l.chosen.Unsubscribe(forget)
		}
		return err
	}
	if o.new {
		l.forget(ctx, state, how)
	}
	l.announce()
	return l.end(ctx, limited, l.listen(ctx, limited, state))
}

// loadKey returns the key for a new subscription, and checks the command line
// against an existing one.
func (l *listener) loadKey(state useragent.State, chosen []useragent.Registration) (key vapid.PublicKey, err error) {
	o := &l.o
	if given(o.cmd, "application-server-key") {
		if key, err = o.key.loadPublic(l.streams); err != nil {
			return key, err
		}
	}
	if len(state.Subscriptions()) > 0 && (!given(o.cmd, "server") || sameServer(o.server, state.Server())) {
		o.server = state.Server()
	}
	switch {
	case !o.new:
		if err := o.same(state, chosen, key); err != nil {
			return key, err
		}
	case len(chosen) > 0 && key.IsZero():
		key = chosen[len(chosen)-1].ApplicationServerKey()
	}
	if o.creates(chosen) && key.IsZero() && useragent.RequiresKey(o.server) {
		o.key.value = defaultPrivateKey
		return o.key.loadPublic(l.streams)
	}
	return key, nil
}

// options returns the options that reach the push service.
func (l *listener) options() (useragent.Options, error) {
	var t webpush.TransportOptions
	if l.o.caFile != "" {
		l.reads(l.o.caFile)
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
	return useragent.Options{HTTP: hc, CAs: t.CAs, Notify: l.notify}, nil
}

// connect opens the device, and creates the subscription that is to be created.
func (l *listener) connect(ctx context.Context, file *useragent.File, chosen []useragent.Registration, key vapid.PublicKey, how useragent.Options) (err error) {
	o := &l.o
	state, found := file.State()
	if found && o.server == state.Server() && !(o.new && useragent.SingleOnly(o.server)) {
		l.device, err = file.Open(ctx, how)
		var gone *useragent.Error
		switch {
		case err == nil:
		case o.new && errors.As(err, &gone) && gone.Gone():
			l.warn(err.Error()+"; its subscriptions are lost", "")
		default:
			return l.stateError(err)
		}
	}
	if l.device == nil {
		l.apart = found && err == nil
		if l.device, err = file.New(o.server, how); err != nil {
			return usage("write it as "+useragent.Mozilla+", ws://127.0.0.1:8090, or chromium://127.0.0.1:5228", "--server: %w", err)
		}
	}
	if !o.creates(chosen) {
		if all := l.device.Subscriptions(); len(all) == 1 || given(o.cmd, "name") {
			l.chosen = l.find(chosen[len(chosen)-1].Name())
		}
		return nil
	}
	if l.chosen, err = l.device.Subscribe(ctx, o.name, key); err != nil {
		if closeErr := l.device.Close(); closeErr != nil {
			l.warn(closeErr.Error(), "")
		}
		l.device = nil
		return l.stateError(err)
	}
	return nil
}

// find returns the last subscription with a name.
func (l *listener) find(name string) (found *useragent.Subscription) {
	for _, s := range l.device.Subscriptions() {
		if s.Name() == name {
			found = s
		}
	}
	return found
}

// stateError adds a hint to an error of subscribing.
func (l *listener) stateError(err error) error {
	switch path := (*fs.PathError)(nil); {
	case errors.As(err, &path):
		return stateProblem(l.o.state, err)
	case errors.Is(err, useragent.ErrSingle):
		return usage("use --state FILE for another subscription", "%w", err)
	}
	return err
}

// notify prints changes of the connection.
func (l *listener) notify(e useragent.Event) {
	if e.Err == nil {
		l.note("connected again")
		return
	}
	var (
		hint    string
		closed  *useragent.CloseError
		refused *useragent.RegistrationError
	)
	what := "the connection is lost: "
	switch {
	case errors.As(e.Err, &closed) && closed.Code == 1011:
		hint = "does another webpush listen run with " + l.o.state + "? Only one can"
	case errors.As(e.Err, &refused):
		what, hint = "", "a new device is not known to the whole push service for some seconds"
	}
	l.warn(fmt.Sprintf("%s%v; trying again in %v", what, e.Err, e.Retry.Round(100*time.Millisecond)), hint)
}

// announce says that listening begins.
func (l *listener) announce() {
	all := l.device.Subscriptions()
	var names []string
	for _, s := range all {
		names = append(names, shownName(s.Name()))
	}
	switch {
	case len(all) > 1:
		l.note("listening, with %v: %s", l.device, strings.Join(names, ", "))
	case all[0].Name() != "":
		l.note("listening, with the %v", l.device)
	default:
		l.note("listening, with a %v", l.device)
	}
	if l.chosen != nil && l.o.subscription != "-" {
		l.note("wrote the subscription to %s; send with: %s", absolute(l.o.subscription), l.sendCommand())
	}
}

// shownName is the name of a subscription in a list.
func shownName(name string) string {
	if name == "" {
		return "(without a name)"
	}
	return name
}

func (l *listener) sendCommand() string {
	name := l.o.subscription
	if name == "-" {
		name = defaultSubscription
	}
	command := "webpush send -f " + shellWord(name)
	if address, ok := strings.CutPrefix(l.o.server, "chromium://"); ok {
		command += " --connect-to " + shellWord("fcm.googleapis.com:443:"+strings.TrimSuffix(address, "/"))
		if l.o.caFile != "" {
			command += " --ca-file " + shellWord(l.o.caFile)
		}
	}
	return command + ` -p "hi"`
}

// listen receives messages until one of the contexts ends or there are enough.
// limited is ctx with --timeout; before is the state at the start.
func (l *listener) listen(ctx, limited context.Context, before useragent.State) error {
	for m, err := range l.device.Messages(limited) {
		var (
			damaged *useragent.DecryptError
			changed *useragent.ChangedError
			lost    *useragent.LostError
		)
		switch {
		case errors.As(err, &changed):
			err = l.replaced(err.Error(), changed.Subscription, before)
		case errors.As(err, &lost):
			l.warn(err.Error(), "they were too many or too old: listen more often")
			err = nil
		case errors.As(err, &damaged):
			l.warn(err.Error(), "it was encrypted for other keys, or altered; the sender needs the current subscription")
			err = l.printDamaged(damaged)
		case err == nil:
			if err = l.hand(ctx, m); err == nil {
				l.received++
			}
		}
		if err != nil {
			return err
		}
		if l.o.count > 0 && l.received == l.o.count {
			return l.device.Ack(ctx, m)
		}
	}
	return nil
}

// errTimeout is the cause of the context's end by --timeout.
var errTimeout = errors.New("--timeout reached")

// end returns the error of the command when listening ends.
func (l *listener) end(ctx, limited context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Canceled
	case limited.Err() != nil && errors.Is(err, errTimeout):
		if l.o.count == 0 && l.device != nil {
			err = nil
			break
		}
		text := "--timeout " + shortDuration(l.o.timeout.value) + " reached"
		if l.device == nil {
			return withHint(&exitError{fmt.Errorf("%s before the push service responded", text), exitTemporary}, "increase --timeout")
		}
		return withHint(&exitError{fmt.Errorf("%s: %d of %d messages have arrived", text, l.received, l.o.count), exitTemporary},
			"send with: "+l.sendCommand())
	}
	var (
		response *useragent.Error
		closed   *useragent.CloseError
		refused  *useragent.RegistrationError
	)
	_ = errors.As(err, &refused)
	switch {
	case err == nil:
	case errors.As(err, &response) && response.Gone():
		return withHint(&exitError{err, exitGone}, "create a new one with: webpush listen --new")
	case errors.As(err, &response) && response.Temporary():
		hint := "try again later"
		switch local := strings.Contains(l.o.server, "://127.0.0.1") || strings.Contains(l.o.server, "://localhost"); {
		case response.Status != 0 || refused != nil:
		case local && strings.HasPrefix(l.o.server, "chromium:"):
			hint = "start a push service with: webpush push-service --chromium"
		case local:
			hint = "start a push service with: webpush push-service"
		default:
			hint = "check the network; without the internet, start webpush push-service and use --server ws://127.0.0.1:8090"
		}
		return withHint(&exitError{err, exitTemporary}, hint)
	case refused != nil:
		return &exitError{err, exitRejected}
	case errors.As(err, &response) && response.Status >= 400:
		return &exitError{err, exitRejected}
	case errors.As(err, &response) && strings.Contains(err.Error(), "x509: ") && l.o.caFile == "":
		return withHint(err, "to trust the CA of your own push service, use --ca-file FILE")
	case errors.As(err, &closed):
		return withHint(&exitError{err, exitTemporary}, "the push service asked not to reconnect immediately; try again later")
	}
	if err == nil && l.failed > 0 {
		return fmt.Errorf("%s failed for %d of %d messages", l.o.program, l.failed, l.received)
	}
	return err
}

// exitError is an error with its own exit code.
type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }
