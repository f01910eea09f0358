package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/keyfile"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// openState locks and reads the state file. Its absence is not an error.
func (l *listener) openState() (*useragent.File, error) {
	name := l.o.state
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
	if info, err := os.Stat(name); err == nil && groupReadable(info) {
		l.warn(fmt.Sprintf("%s can be read by other users of this machine", name), "chmod 600 "+shellWord(name))
	}
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

// choose returns the subscriptions in the state with the name of --name, or all. It
// completes the options, and returns an error for a flag that requires a single
// subscription if there are several.
func (o *listenOptions) choose(state useragent.State) ([]useragent.Registration, error) {
	all := state.Subscriptions()
	var chosen []useragent.Registration
	var names []string
	for _, r := range all {
		names = append(names, shownName(r.Name()))
		if !given(o.cmd, "name") || r.Name() == o.name {
			chosen = append(chosen, r)
		}
	}
	several := len(chosen) > 1 && !given(o.cmd, "name")
	if len(chosen) > 0 {
		o.name = chosen[0].Name()
	}
	if !given(o.cmd, "subscription") {
		o.subscription = subscriptionFile(o.name)
	}
	hint := "use --name NAME to choose one of: " + strings.Join(names, ", ")
	switch {
	case several && o.new:
		return nil, usage(hint, "--new requires one subscription, and %s has %d", o.state, len(all))
	case several && given(o.cmd, "subscription"):
		return nil, usage(hint, "--subscription requires one subscription, and %s has %d", o.state, len(all))
	case o.new && len(chosen) < len(all) && given(o.cmd, "server") && !sameServer(o.server, state.Server()):
		return nil, usage("use --state FILE for the other push service", "%s has other subscriptions, which are at %s", o.state, state.Server())
	case o.unregister && len(chosen) == 0 && len(all) > 0:
		return nil, usage(hint, "%s has no subscription with the name %q", o.state, o.name)
	case !several && o.subscription != "-" && keyfile.Same(o.subscription, o.state):
		return nil, usage("give them different names", "--subscription %s and --state %s are the same file", o.subscription, o.state)
	}
	return chosen, nil
}

// creates reports whether listen must create a subscription.
func (o *listenOptions) creates(chosen []useragent.Registration) bool {
	return o.new || len(chosen) == 0
}

// subscriptionFile returns the default of --subscription.
func subscriptionFile(name string) string {
	if name == "" {
		return defaultSubscription
	}
	return "subscription-" + name + ".json"
}

func sameServer(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

// same returns an error if the server or key differs from the state's.
func (o *listenOptions) same(state useragent.State, chosen []useragent.Registration, key vapid.PublicKey) error {
	hint := "use --new to replace the subscription, or --state FILE to keep both"
	if len(state.Subscriptions()) == 0 {
		return nil
	}
	if given(o.cmd, "server") && !sameServer(o.server, state.Server()) {
		return usage(hint, "%s is the state of a user agent at %s, not at %s", o.state, state.Server(), o.server)
	}
	o.server = state.Server()
	for _, r := range chosen {
		switch is := r.ApplicationServerKey(); {
		case !given(o.cmd, "application-server-key") || key == is:
		case is.IsZero():
			return usage(hint, "the %v in %s accepts messages from anyone, without --application-server-key", r, o.state)
		default:
			return usage(hint, "the %v in %s requires messages signed with %s, not with %s", r, o.state, is, key)
		}
	}
	return nil
}

// endpoints returns the endpoints of subscriptions.
func endpoints(list []useragent.Registration) (all []string) {
	for _, r := range list {
		all = append(all, r.Endpoint())
	}
	return all
}

// mayWrite returns an error if a subscription file exists without one of these
// endpoints: it may be a browser's.
func (l *listener) mayWrite(name string, endpoints []string) error {
	if name == "-" {
		return nil
	}
	if err := l.mayReplace(name, l.o.force); err != nil {
		return err
	}
	if l.o.force || l.ours(name, endpoints) {
		return nil
	}
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%s already exists and is not the subscription in %s", name, l.o.state),
		"use -f FILE to write to another file, or --force to overwrite it")
}

// ours reports whether a subscription file has one of these endpoints.
func (l *listener) ours(name string, endpoints []string) bool {
	b, err := readFile(name)
	if err != nil {
		return false
	}
	var v struct{ Endpoint string }
	return json.Unmarshal(b, &v) == nil && v.Endpoint != "" && slices.Contains(endpoints, v.Endpoint)
}

// saveSubscription writes the subscription, if there is one to write, to its file.
func (l *listener) saveSubscription(s *useragent.Subscription) error {
	if s == nil {
		return nil
	}
	b, err := s.MarshalJSON()
	if err != nil {
		return err
	}
	return l.output(l.fileOf(s), append(b, '\n'), 0o600, true, "")
}

// fileOf returns the file of a subscription.
func (l *listener) fileOf(s *useragent.Subscription) string {
	if s == l.chosen {
		return l.o.subscription
	}
	return subscriptionFile(s.Name())
}

// replaced warns that a subscription has a new endpoint, and writes it to its file,
// unless that is another's: -f may have named its file in another run.
func (l *listener) replaced(warning string, s *useragent.Subscription, before useragent.State) error {
	name := l.fileOf(s)
	if s != l.chosen && !l.ours(name, endpoints(before.Subscriptions())) {
		l.warn(warning, "to write it, run: webpush listen"+nameFlag(s.Name())+"; messages to the old endpoint are lost")
		return nil
	}
	l.warn(warning, "give "+name+" to the application server again; messages to the old endpoint are lost")
	return l.saveSubscription(s)
}

// nameFlag returns the flag that chooses a subscription, with a space before it.
func nameFlag(name string) string {
	if name == "" {
		return " --name ''"
	}
	return " --name " + name
}

// forget removes the subscriptions that --new has replaced.
func (l *listener) forget(ctx context.Context, before useragent.State, how useragent.Options) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var err error
	if !l.apart {
		for _, s := range l.device.Subscriptions() {
			if s != l.chosen && s.Name() == l.chosen.Name() {
				err = errors.Join(err, s.Unsubscribe(ctx))
			}
		}
	} else {
		how.Notify = nil
		err = useragent.Unsubscribe(ctx, before, how)
	}
	if err != nil {
		l.warn("the old subscription could not be removed: "+err.Error(), "")
	}
}

// unregister is --unregister.
func (l *listener) unregister(ctx context.Context, file *useragent.File, chosen []useragent.Registration) error {
	before, found := file.State()
	if !found {
		return withHint(fileProblem(l.o.state, fs.ErrNotExist), "nothing to remove; use --state FILE for another file")
	}
	if err := l.o.same(before, nil, vapid.PublicKey{}); err != nil {
		return err
	}
	how, err := l.options()
	if err != nil {
		return err
	}
	err = file.Unsubscribe(ctx, how, chosen...)
	after, _ := file.State()
	for _, r := range chosen {
		if slices.Contains(endpoints(after.Subscriptions()), r.Endpoint()) {
			continue
		}
		name := subscriptionFile(r.Name())
		if given(l.o.cmd, "subscription") {
			name = l.o.subscription
		}
		if name != "-" && l.ours(name, []string{r.Endpoint()}) {
			if err := os.Remove(name); err != nil {
				return fileProblem(name, err)
			}
		}
	}
	for _, r := range after.Subscriptions() { // a push service that had forgotten the user agent has registered it again
		if !slices.Contains(endpoints(before.Subscriptions()), r.Endpoint()) {
			l.warn(fmt.Sprintf("the %v has a new endpoint", r), "to write it, run: webpush listen"+nameFlag(r.Name()))
		}
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return stateProblem(l.o.state, err)
	}
	if err != nil {
		return l.end(ctx, ctx, err)
	}
	if len(chosen) == 1 {
		l.note("removed the %v at %s", chosen[0], before.Origin())
	} else {
		l.note("removed %d subscriptions at %s", len(chosen), before.Origin())
	}
	return nil
}

// groupReadable reports whether users other than the owner can read a file, if the
// system has such permissions.
func groupReadable(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && info.Mode().Perm()&0o111 == 0 && os.PathSeparator == '/'
}
