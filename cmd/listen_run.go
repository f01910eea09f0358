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
	file, err := l.openState()
	if err != nil {
		return err
	}
	defer file.Close()
	state, found := file.State()
	if o.unregister {
		return l.unregister(ctx, file)
	}
	key, err := l.key()
	if err != nil {
		return err
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
	if key, err = l.requiredKey(key); err != nil {
		return err
	}
	how, err := l.options()
	if err != nil {
		return err
	}
	if err := l.mayWrite(state.Endpoint()); err != nil {
		return err
	}
	limited := ctx
	if o.timeout.set {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, o.timeout.value, errTimeIsOver)
		defer cancel()
	}
	if o.server == useragent.FCM {
		l.warn("listening at Google is experimental: it has not been tested against Google's servers", "webpush push-service --chromium is a push service of this kind on this machine")
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
			return usage("write it as "+useragent.Mozilla+", ws://127.0.0.1:8090, or chromium://127.0.0.1:5228", "--server: %w", err)
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
	if err := l.saveSubscription(); err != nil {
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

// key reads the application server key, if one is given.
func (l *listener) key() (vapid.PublicKey, error) {
	if !given(l.o.cmd, "application-server-key") {
		return vapid.PublicKey{}, nil
	}
	return l.o.key.loadPublic(l.streams)
}

// requiredKey returns the key, or the usual one if the push service requires a
// key.
func (l *listener) requiredKey(key vapid.PublicKey) (vapid.PublicKey, error) {
	if !key.IsZero() || !useragent.RequiresKey(l.o.server) {
		return key, nil
	}
	l.o.key.value = defaultPrivateKey
	return l.o.key.loadPublic(l.streams)
}

// options say how to reach the push service.
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

// notify prints news of the connection.
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
	l.warn(fmt.Sprintf("%s%s; trying again in %v", what, visible(e.Err.Error()), e.Retry.Round(100*time.Millisecond)), hint)
}

// announce says that listening begins.
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
	command := "webpush send -f " + shellWord(name)
	if address, ok := strings.CutPrefix(l.o.server, "chromium://"); ok {
		command += " --connect-to " + shellWord("fcm.googleapis.com:443:"+strings.TrimSuffix(address, "/"))
		if l.o.caFile != "" {
			command += " --ca-file " + shellWord(l.o.caFile)
		}
	}
	return command + ` -p "hi"`
}

// listen takes messages until one of the contexts ends or there are enough.
// limited is ctx with --timeout.
func (l *listener) listen(ctx, limited context.Context) error {
	for m, err := range l.agent.Messages(limited) {
		var (
			damaged *useragent.DecryptError
			changed *useragent.ChangedError
			lost    *useragent.LostError
		)
		switch {
		case errors.As(err, &changed):
			l.warn(err.Error(), "give "+l.o.subscription+" to the application server again; messages to the old endpoint are lost")
			err = l.saveSubscription()
		case errors.As(err, &lost):
			l.warn(err.Error(), "they were too many or too old: listen more often")
			err = nil
		case errors.As(err, &damaged):
			l.warn(visible(err.Error()), "it was encrypted for other keys, or altered; the sender needs the subscription as it is now")
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
			return l.agent.Ack(ctx, m)
		}
	}
	return nil
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
		text := "--timeout " + shortDuration(l.o.timeout.value) + " reached"
		if l.agent == nil {
			return withHint(&exitError{fmt.Errorf("%s before the push service has answered", text), exitTemporary}, "raise --timeout")
		}
		return withHint(&exitError{fmt.Errorf("%s: %d of %d messages have arrived", text, l.received, l.o.count), exitTemporary},
			"send with: "+l.sendCommand())
	}
	var (
		answer  *useragent.Error
		closed  *useragent.CloseError
		refused *useragent.RegistrationError
	)
	_ = errors.As(err, &refused)
	switch {
	case err == nil:
	case errors.As(err, &answer) && answer.Gone():
		return withHint(&exitError{err, exitGone}, "make another with: webpush listen --new")
	case errors.As(err, &answer) && answer.Temporary():
		hint := "try again later"
		if answer.Status == 0 && refused == nil && strings.Contains(l.o.server, "://127.0.0.1") {
			hint = "start a push service with: webpush push-service"
			if strings.HasPrefix(l.o.server, "chromium:") {
				hint += " --chromium"
			}
		}
		return withHint(&exitError{err, exitTemporary}, hint)
	case refused != nil:
		return &exitError{err, exitRejected}
	case errors.As(err, &answer) && answer.Status >= 400:
		return &exitError{err, exitRejected}
	case errors.As(err, &answer) && strings.Contains(err.Error(), "x509: ") && l.o.caFile == "":
		return withHint(err, "to trust the CA of your own push service, use --ca-file FILE")
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
