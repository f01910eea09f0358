package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// openState locks and reads the state file. Its absence is not an error.
func (l *listener) openState() (*useragent.File, error) {
	name := l.o.state
	if err := fileio.Check(name, true); err != nil {
		return nil, within("--state", err)
	}
	// Read first, to create no lock next to a file of another program.
	if _, err := useragent.ReadFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, stateProblem(name, err)
	}
	file, err := useragent.OpenFile(name)
	if errors.Is(err, useragent.ErrLocked) {
		return nil, withHint(fmt.Errorf("another webpush listen is running with %s", name), "use --state FILE and -f FILE for a separate user agent")
	}
	if err != nil {
		return nil, stateProblem(name, err)
	}
	l.reads(name)
	l.warnReadable(name)
	l.state, _ = file.State()
	return file, nil
}

// stateProblem words an error of the state file.
func stateProblem(name string, err error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = fileProblem(name, err)
		if errors.Is(err, fs.ErrExist) {
			err = withHint(err, "another webpush listen has just created it; run the command again")
		}
		return err
	}
	return withHint(within(name, err), "it is not the state of webpush listen; use --state FILE for another file")
}

// stateError words an error of a device, which can be one of the state file.
func (l *listener) stateError(err error) error {
	switch path := (*fs.PathError)(nil); {
	case errors.As(err, &path):
		return stateProblem(l.o.state, err)
	case errors.Is(err, useragent.ErrSingle):
		return usage("use --state FILE for another subscription", "%w", err)
	}
	return err
}

// choose returns the subscriptions in the state with the name of --name, or all. It
// completes the options, and returns an error for a flag that requires a single
// subscription if there are several.
func (l *listener) choose() (chosen []useragent.Registration, err error) {
	o, all, named := &l.o, l.state.Subscriptions(), given(l.o.cmd, "name")
	if chosen = all; named {
		chosen = l.state.Named(o.name)
	}
	several := l.several(chosen)
	if len(chosen) > 0 {
		o.name = chosen[0].Name()
	}
	if !given(o.cmd, "subscription") {
		o.subscription = subscriptionFile(o.name)
	}
	hint := "use --name NAME to choose one of: " + shownNames(all)
	switch {
	case several && o.new:
		return nil, usage(hint, "--new requires one subscription, and %s has %d", o.state, len(all))
	case several && given(o.cmd, "subscription"):
		return nil, usage(hint, "--subscription requires one subscription, and %s has %d", o.state, len(all))
	case o.new && len(chosen) < len(all) && given(o.cmd, "server") && !l.state.At(o.server):
		return nil, usage("use --state FILE for the other push service", "%s has other subscriptions, which are at %s", o.state, l.state.Server())
	case o.unregister && len(chosen) == 0 && len(all) > 0:
		return nil, usage(hint, "%s has no subscription with the name %q", o.state, o.name)
	case !several && o.subscription != "-" && fileio.Same(o.subscription, o.state):
		return nil, usage("give them different names", "--subscription %s and --state %s are the same file", o.subscription, o.state)
	}
	return chosen, nil
}

// several reports whether listen is for more than one subscription.
func (l *listener) several(chosen []useragent.Registration) bool {
	return len(chosen) > 1 && !given(l.o.cmd, "name")
}

// creates reports whether listen must create a subscription.
func (l *listener) creates(chosen []useragent.Registration) bool {
	return l.o.new || len(chosen) == 0
}

// latest returns the last subscription of each name: the others have been replaced, but
// could not be removed.
func latest(list []useragent.Registration) (last []useragent.Registration) {
	for i, r := range list {
		if !slices.ContainsFunc(list[i+1:], func(later useragent.Registration) bool { return later.Name() == r.Name() }) {
			last = append(last, r)
		}
	}
	return last
}

// agrees returns an error if the server that a flag names, or the key, differs from the
// state's.
func (l *listener) agrees(chosen []useragent.Registration, key vapid.PublicKey) error {
	server := ""
	if given(l.o.cmd, "server") {
		server = l.o.server
	}
	if err := l.state.Check(server, key, latest(chosen)...); err != nil {
		return &usageError{err: within(l.o.state, err)}
	}
	return nil
}

// subscriptionFile returns the default of --subscription.
func subscriptionFile(name string) string {
	if name == "" {
		return defaultSubscription
	}
	return "subscription-" + name + ".json"
}

// mayWriteSubscription returns an error if the subscription file exists and holds
// another subscription, which may be a browser's.
func (l *listener) mayWriteSubscription() error {
	name := l.o.subscription
	if name == "-" {
		return nil
	}
	if err := l.mayReplace(name, l.o.force); err != nil || l.o.force {
		return err
	}
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	if r, ok := l.state.FindIn(name); ok && r.Name() == l.o.name {
		return nil
	}
	return withHint(fmt.Errorf("%s already exists and is not the subscription in %s", name, l.o.state),
		"use -f FILE to write to another file, or --force to overwrite it")
}

// saveSubscription writes the subscription to its file, if one is chosen.
func (l *listener) saveSubscription() error {
	if l.chosen == nil {
		return nil
	}
	b, err := l.chosen.MarshalJSON()
	if err != nil {
		return err
	}
	return l.output(l.o.subscription, append(b, '\n'), 0o600, true, "")
}

// updateFiles makes the files of subscriptions agree with a later state. The file of
// one that was written with -f in another run is not known.
func (l *listener) updateFiles(now useragent.State) error {
	var files []string
	if l.o.subscription != "-" {
		files = append(files, l.o.subscription)
	}
	for _, r := range l.state.Subscriptions() {
		files = append(files, subscriptionFile(r.Name()))
	}
	for _, name := range files {
		if _, err := now.UpdateFile(name, l.state); err != nil {
			return fileProblem(name, err)
		}
	}
	l.state = now
	return nil
}

// replaced warns that a subscription has a new endpoint, and writes it to its file.
func (l *listener) replaced(e *useragent.ChangedError) error {
	s, file := e.Subscription, l.o.subscription
	if s != l.chosen {
		file = subscriptionFile(s.Name())
	} else if err := l.saveSubscription(); err != nil {
		return err
	}
	if err := l.updateFiles(l.device.State()); err != nil {
		return err
	}
	hint := "give " + file + " to the application server again"
	if r, ok := l.state.FindIn(file); s != l.chosen && (!ok || r.Endpoint() != s.Endpoint()) {
		hint = "to write it, run: webpush listen --name " + shellWord(s.Name())
	}
	l.warn(e.Error(), hint+"; messages to the old endpoint are lost")
	return nil
}

// unregister is --unregister.
func (l *listener) unregister(ctx context.Context, file *useragent.File, chosen []useragent.Registration) error {
	before := l.state
	if len(before.Subscriptions()) == 0 {
		return withHint(fileProblem(l.o.state, fs.ErrNotExist), "nothing to remove; use --state FILE for another file")
	}
	if err := l.agrees(nil, vapid.PublicKey{}); err != nil {
		return err
	}
	how, err := l.options()
	if err != nil {
		return err
	}
	l.o.server = before.Server()
	err = file.Unsubscribe(ctx, how, chosen...)
	after, _ := file.State()
	if err := l.updateFiles(after); err != nil {
		return err
	}
	if err != nil {
		return l.end(ctx, ctx, l.stateError(err))
	}
	if len(chosen) == 1 {
		l.note("removed the %v at %s", chosen[0], before.Origin())
	} else {
		l.note("removed %d subscriptions at %s", len(chosen), before.Origin())
	}
	return nil
}
