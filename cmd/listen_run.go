package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// listener runs listen.
type listener struct {
	*streams
	o      listenOptions
	state  useragent.State   // the subscription files agree with it
	device *useragent.Device // nil until it is connected
	// chosen is the subscription that -f is for; nil if there are several.
	chosen *useragent.Subscription

	received int
	failed   int // runs of --exec
}

func runListen(ctx context.Context, s *streams, o listenOptions) error {
	l := &listener{streams: s, o: o}
	file, err := l.openState()
	if err != nil {
		return err
	}
	defer file.Close()
	chosen, err := l.choose()
	if err != nil {
		return err
	}
	if o.unregister {
		return l.unregister(ctx, file, chosen)
	}
	key, err := l.loadKey(chosen)
	if err != nil {
		return err
	}
	how, err := l.options()
	if err != nil {
		return err
	}
	how.ApplicationServerKey = key
	if l.creates(chosen) || len(chosen) == 1 {
		if err := l.mayWriteSubscription(); err != nil {
			return err
		}
	}
	limited := ctx
	if o.timeout > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, o.timeout, errTimeout)
		defer cancel()
	}
	if l.o.server == useragent.FCM {
		l.warn("listening at Google is experimental: untested against Google's servers", "for a local push service of this kind, run: webpush push-service --chromium")
	}
	if err := l.connect(limited, file, chosen, how); err != nil {
		return l.end(ctx, limited, l.stateError(err))
	}
	defer func() {
		if err := l.device.Close(); err != nil {
			s.warn(err.Error(), "the last message may arrive again")
		}
	}()
	if err := l.begin(ctx, chosen); err != nil {
		return err
	}
	l.announce()
	return l.end(ctx, limited, l.receive(ctx, limited))
}

// loadKey returns the key for a new subscription, completes --server, and checks the
// command line against an existing subscription.
func (l *listener) loadKey(chosen []useragent.Registration) (key vapid.PublicKey, err error) {
	o := &l.o
	if given(o.cmd, "application-server-key") {
		if key, err = o.key.loadPublic(l.streams); err != nil {
			return key, err
		}
	}
	if len(l.state.Subscriptions()) > 0 && (!given(o.cmd, "server") || l.state.At(o.server)) {
		o.server = l.state.Server()
	}
	if !o.new {
		if err := l.agrees(chosen, key); err != nil {
			return key, err
		}
	}
	inherits := len(chosen) > 0 && !chosen[len(chosen)-1].ApplicationServerKey().IsZero()
	if l.creates(chosen) && !inherits && key.IsZero() && useragent.RequiresKey(o.server) {
		o.key.value = defaultPrivateKey
		return o.key.loadPublic(l.streams)
	}
	return key, nil
}

// options returns the options that reach the push service.
func (l *listener) options() (useragent.Options, error) {
	cas, err := l.authorities(l.o.caFile)
	if err != nil {
		return useragent.Options{}, err
	}
	hc, err := webpush.NewHTTPClient(webpush.TransportOptions{CAs: cas})
	if err != nil {
		return useragent.Options{}, wrongOption(l.o.cmd, err)
	}
	return useragent.Options{HTTP: hc, CAs: cas, Notify: l.notify}, nil
}

// connect continues with the subscriptions in the state file, or creates the one that
// is to be created.
func (l *listener) connect(ctx context.Context, file *useragent.File, chosen []useragent.Registration, how useragent.Options) (err error) {
	switch {
	case l.o.new:
		l.chosen, err = file.Renew(ctx, l.o.server, l.o.name, how)
	case l.several(chosen):
		l.device, err = file.Open(ctx, how)
	default:
		l.chosen, err = file.Subscription(ctx, l.o.server, l.o.name, how)
	}
	if err == nil && l.chosen != nil {
		l.device = l.chosen.Device()
	}
	return err
}

// begin writes the subscription to its file, ends those that it replaces, and makes
// the files of the others agree.
func (l *listener) begin(ctx context.Context, chosen []useragent.Registration) error {
	if err := l.saveSubscription(); err != nil {
		if l.creates(chosen) { // it would be unusable
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = l.chosen.Unsubscribe(ctx)
		}
		return err
	}
	if l.o.new {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := l.chosen.Supersede(ctx); err != nil {
			l.warn("the old subscription could not be removed: "+err.Error(), "")
		}
	}
	return l.updateFiles(l.device.State())
}

// notify prints changes of the connection.
func (l *listener) notify(e useragent.Event) {
	switch {
	case e.Err == nil:
		l.note("connected again")
		return
	case e.Retry == 0:
		l.warn(e.Err.Error()+"; its subscriptions are lost", "")
		return
	}
	what, hint := "the connection is lost: ", hintOf(e.Err)
	if errors.As(e.Err, new(*useragent.RegistrationError)) {
		what, hint = "", "a new device is not known to the whole push service for some seconds"
	}
	l.warn(fmt.Sprintf("%s%v; trying again in %v", what, e.Err, e.Retry.Round(100*time.Millisecond)), hint)
}

// announce says that listening begins.
func (l *listener) announce() {
	all := l.device.Subscriptions()
	switch {
	case len(all) > 1:
		l.note("listening, with %v: %s", l.device, shownNames(l.device.State().Subscriptions()))
	case all[0].Name() != "":
		l.note("listening, with the %v", l.device)
	default:
		l.note("listening, with a %v", l.device)
	}
	if l.chosen != nil && l.o.subscription != "-" {
		l.note("wrote the subscription to %s; send with: %s", absolute(l.o.subscription), l.sendCommand())
	}
}

// shownNames lists the names of subscriptions.
func shownNames(all []useragent.Registration) string {
	var names []string
	for _, r := range all {
		name := r.Name()
		if name == "" {
			name = "(without a name)"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func (l *listener) sendCommand() string {
	name := l.o.subscription
	if name == "-" {
		name = defaultSubscription
	}
	command := "webpush send -f " + shellWord(name)
	if address, ok := strings.CutPrefix(l.o.server, "chromium://"); ok {
		a := pushservice.ChromiumAccess{Address: strings.TrimSuffix(address, "/")}
		command += " " + sendFlags(a.ConnectTo()[:1], l.o.caFile) // the host of its endpoints is the first
	} else if l.o.caFile != "" {
		command += " --ca-file " + shellWord(l.o.caFile)
	}
	return command + ` -p "hi"`
}

// receive handles messages until one of the contexts ends or there are enough.
// limited is ctx with --timeout.
func (l *listener) receive(ctx, limited context.Context) error {
	for m, err := range l.device.Messages(limited) {
		var (
			damaged *useragent.DecryptError
			changed *useragent.ChangedError
			lost    *useragent.LostError
		)
		switch {
		case errors.As(err, &changed):
			err = l.replaced(changed)
		case errors.As(err, &lost):
			l.warn(err.Error(), hintOf(err))
			err = nil
		case errors.As(err, &damaged):
			l.warn(err.Error(), hintOf(err))
			if err = nil; l.json {
				err = l.printLine(damaged)
			}
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

// hand prints a message or passes it to the program.
func (l *listener) hand(ctx context.Context, m *useragent.ReceivedMessage) error {
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
		l.warn("the program was interrupted: its message will arrive again", "")
		return context.Canceled
	}
	if err != nil {
		l.failed++
		l.warn(fmt.Sprintf("message %s: %s: %v", m.ID, l.o.program, err), "")
	}
	return nil
}
