package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// openState locks and reads the state file. Its absence is not an error.
func (l *listener) openState() (*useragent.File, error) {
	name := l.o.state
	// Read first, so that no lock is made next to a file that is another's.
	if _, err := useragent.ReadFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, stateProblem(name, err)
	}
	file, err := useragent.OpenFile(name)
	if errors.Is(err, useragent.ErrLocked) {
		return nil, withHint(fmt.Errorf("another webpush listen is running with %s", name), "--state FILE and -f FILE make this one a user agent of its own")
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
			err = withHint(err, "another webpush listen has just made it; run it again")
		}
		return err
	}
	return withHint(within(name, err), "it is not the state of webpush listen; --state FILE names another")
}

// same refuses a server or key that is not that of the state.
func (o *listenOptions) same(state useragent.State, key vapid.PublicKey) error {
	hint := "use --new to create another subscription, or --state FILE to keep both"
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

// mayWrite refuses to replace a subscription file that does not have this
// endpoint: it may be a browser's.
func (l *listener) mayWrite(endpoint string) error {
	if l.o.subscription == "-" {
		return nil
	}
	if err := l.mayReplace(l.o.subscription, l.o.force); err != nil {
		return err
	}
	if l.o.force || l.ours(endpoint) {
		return nil
	}
	if info, err := os.Stat(l.o.subscription); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%s already exists and is not the subscription in %s", l.o.subscription, l.o.state),
		"use -f FILE to write to another file, or --force to overwrite it")
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

// saveSubscription writes the subscription, which belongs to the state in the
// file.
func (l *listener) saveSubscription() error {
	subscription, err := l.agent.State().Subscription()
	if err != nil {
		return err
	}
	return l.output(l.o.subscription, append(subscription, '\n'), 0o600, true, "")
}

// forget removes the subscription that --new has replaced.
func (l *listener) forget(ctx context.Context, state useragent.State) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	options, err := l.options()
	if err == nil {
		options.Notify = nil
		err = useragent.Unsubscribe(ctx, state, options)
	}
	if err != nil {
		l.warn("the old subscription could not be removed: "+visible(err.Error()), "")
	}
}

// unregister is --unregister.
func (l *listener) unregister(ctx context.Context, file *useragent.File) error {
	state, found := file.State()
	if !found {
		return withHint(fileProblem(l.o.state, fs.ErrNotExist), "there is no subscription to remove here; --state FILE names another")
	}
	if err := l.o.same(state, vapid.PublicKey{}); err != nil {
		return err
	}
	options, err := l.options()
	if err != nil {
		return err
	}
	if err := useragent.Unsubscribe(ctx, state, options); err != nil {
		return l.end(ctx, ctx, err)
	}
	if l.o.subscription != "-" && l.ours(state.Endpoint()) {
		if err := os.Remove(l.o.subscription); err != nil {
			return fileProblem(l.o.subscription, err)
		}
	}
	if err := file.Remove(); err != nil {
		return fileProblem(l.o.state, err)
	}
	l.note("removed the %v", state)
	return nil
}

// groupReadable reports whether others than the owner can read a file, where
// that can be told.
func groupReadable(info fs.FileInfo) bool {
	return info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 && info.Mode().Perm()&0o111 == 0 && os.PathSeparator == '/'
}
