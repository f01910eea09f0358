package useragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
	"github.com/seed81da77dd/webpush/pkg/internal/filelock"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// ErrLocked is the error of [OpenFile] if another process uses the file.
var ErrLocked = filelock.ErrLocked

// maxStateFile is the maximum size of a state file, in bytes.
const maxStateFile = 1 << 20

// File is a state file: it keeps a device and its subscriptions with their keys,
// so a program can continue with them after a restart, and is locked for this
// process. Only its owner can read it.
//
// A device that [File.New] or [File.Open] returns keeps the file up to date: it is
// written when a subscription begins, ends, or gets another endpoint, and before a
// message is acknowledged that the push service could repeat. A File is not safe for
// concurrent use and serves one device at a time; the device is safe.
type File struct {
	name  string
	lock  *filelock.Lock // nil if no lock can be made
	state State
	found bool
	gone  bool // the push service no longer knows the device in state
}

// ReadFile reads a state file without locking it. The error is the file system's,
// such as [fs.ErrNotExist], or describes the defect of the content.
func ReadFile(name string) (State, error) {
	var state State
	f, err := os.Open(name)
	if err != nil {
		return state, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxStateFile+1))
	switch {
	case err != nil:
		return state, err
	case len(b) > maxStateFile:
		return state, fmt.Errorf("the state has more than %d bytes", maxStateFile)
	}
	err = json.Unmarshal(b, &state)
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		err = fmt.Errorf("the state is not JSON: %w", err)
	}
	return state, err
}

// OpenFile locks and reads a state file, which need not exist. If no lock can be
// made, the file cannot be written either, and the error of writing it says why.
// The error is [ErrLocked], or one of [ReadFile].
func OpenFile(name string) (*File, error) {
	f := &File{name: name}
	var err error
	if f.lock, err = filelock.Acquire(name); errors.Is(err, ErrLocked) {
		return nil, err
	}
	if info, err := os.Stat(name); err == nil {
		if err := filelock.OneName(info); err != nil {
			f.Close()
			return nil, err
		}
	}
	f.state, err = ReadFile(name)
	switch f.found = err == nil; {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return f, nil
	}
	f.Close()
	return nil, err
}

// State returns the state in the file, and whether it has a subscription.
func (f *File) State() (state State, found bool) { return f.state, len(f.state.subscriptions) > 0 }

// New is [NewDevice] for a device whose state replaces the file's as soon as it
// has a subscription; the subscriptions of the old state last until
// [Subscription.Supersede] ends them. If the file has a device for this server, and no
// subscription, New uses it again: a device of Chromium stays in the file even if
// its first registration fails.
func (f *File) New(server string, o Options) (*Device, error) {
	state := State{server: server}
	replaced, found := f.State()
	if !found && f.state.server == server {
		state = f.state
	}
	d, err := newDevice(state, o)
	if err != nil {
		return nil, err
	}
	d.file = f
	if found && !f.gone {
		d.replaced = replaced
	}
	return d, nil
}

// Open is [Open] for the state in the file.
func (f *File) Open(ctx context.Context, o Options) (*Device, error) {
	d, err := Open(ctx, f.state, o)
	if err != nil {
		f.gone = isGone(err)
		return nil, err
	}
	d.file = f
	if err := d.save(); err != nil { // the service may have given it other IDs
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Subscription returns the last subscription with this name of the device in the file,
// as [File.Open] opens it. If there is none, it is created with
// Options.ApplicationServerKey, on a new device at the address server if the file has
// no device. The error comes from [State.Check], which is called before anything
// connects, from File.Open, or from [Device.Subscribe].
func (f *File) Subscription(ctx context.Context, server, name string, o Options) (*Subscription, error) {
	if _, found := f.State(); !found {
		return f.subscribe(ctx, server, name, o)
	}
	named := f.state.Named(name) // several if one was renewed and the old one has not ended
	if err := f.state.Check(server, o.ApplicationServerKey, named[max(0, len(named)-1):]...); err != nil {
		return nil, err
	}
	d, err := f.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	if s := d.Named(name); s != nil {
		return s, nil
	}
	return d.begin(ctx, name, o.ApplicationServerKey)
}

// Renew creates a subscription even if there is one with this name: on the device in
// the file, if that is at the same server and can have another, and otherwise on a new
// one, which takes its place in the file. Without Options.ApplicationServerKey, it has the
// key of the subscription that it replaces. The old subscriptions last until
// [Subscription.Supersede] ends them. If the push service no longer knows the device in
// the file, Options.Notify is called with that [*Error], and a Retry of zero. The
// errors are those of [File.New] and [Device.Subscribe].
func (f *File) Renew(ctx context.Context, server, name string, o Options) (*Subscription, error) {
	if old := f.state.Named(name); len(old) > 0 && o.ApplicationServerKey.IsZero() {
		o.ApplicationServerKey = old[len(old)-1].key
	}
	if _, found := f.State(); !found || !f.state.At(server) || SingleOnly(server) {
		return f.subscribe(ctx, server, name, o)
	}
	d, err := f.Open(ctx, o)
	switch {
	case f.gone:
		o.notify(Event{Err: err})
		return f.subscribe(ctx, server, name, o)
	case err != nil:
		return nil, err
	}
	return d.begin(ctx, name, o.ApplicationServerKey)
}

// subscribe creates the first subscription of a new device.
func (f *File) subscribe(ctx context.Context, server, name string, o Options) (*Subscription, error) {
	d, err := f.New(server, o)
	if err != nil {
		return nil, err
	}
	return d.begin(ctx, name, o.ApplicationServerKey)
}

// begin is Subscribe, and closes the device on error.
func (d *Device) begin(ctx context.Context, name string, key vapid.PublicKey) (*Subscription, error) {
	s, err := d.Subscribe(ctx, name, key)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return s, nil
}

// Unsubscribe is [Unsubscribe] for some of the subscriptions in the file, as
// [State.Subscriptions] returns them, and removes them from it, and the file with
// the last one. If it fails halfway, the subscriptions that it ended are removed.
func (f *File) Unsubscribe(ctx context.Context, o Options, subscriptions ...Registration) error {
	return unsubscribe(ctx, f.state, o, subscriptions, func(rest State) error {
		if len(rest.subscriptions) == 0 {
			return f.remove()
		}
		return f.save(rest)
	})
}

// unsubscribe ends some subscriptions of a state, and registers none; ended is
// called with the rest after each. In Chromium this works while another process uses
// the device.
func unsubscribe(ctx context.Context, state State, o Options, list []Registration, ended func(rest State) error) (err error) {
	base, err := parseServer(state.server)
	if err != nil || len(list) == 0 {
		return err
	}
	end := func(Registration) error { return nil } // for a device that the push service has forgotten
	if isChromium(base) {
		g, err := newGoogle(base, o)
		if err != nil {
			return err
		}
		end = func(r Registration) error { return g.unregister(ctx, state.android, r) }
	} else {
		o.ending = true
		d, failed := Open(ctx, state, o)
		switch {
		case failed == nil:
			defer func() {
				if closing := d.Close(); err == nil {
					err = closing
				}
			}()
			end = func(r Registration) error {
				if s := d.roster.find(func(id string) bool { return id == r.id }); s != nil {
					return s.Unsubscribe(ctx)
				}
				return nil
			}
		case unlessGone(failed) != nil:
			return failed
		}
	}
	for _, r := range list {
		if err := end(r); err != nil {
			return err
		}
		state.subscriptions = slices.DeleteFunc(state.Subscriptions(), func(other Registration) bool { return other.identity == r.identity })
		if err := ended(state); err != nil {
			return err
		}
	}
	return nil
}

// save writes a state. The first one must not replace a file.
func (f *File) save(state State) error {
	b, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	if f.lock != nil && !f.lock.Held() {
		return &fs.PathError{Op: "write", Path: f.name, Err: errors.New("the lock on the file was removed; another process may use it")}
	}
	write := atomicfile.Replace
	if !f.found {
		write = atomicfile.Create
	}
	if err := write(f.name, append(b, '\n'), 0o600); err != nil {
		return err
	}
	f.state, f.found = state, true
	return nil
}

// remove removes the file, if there is one.
func (f *File) remove() error {
	if !f.found {
		return nil
	}
	err := os.Remove(f.name)
	if err == nil {
		f.state, f.found = State{}, false
	}
	return err
}

// Close releases the lock. Calling it again does nothing.
func (f *File) Close() {
	if f.lock != nil {
		f.lock.Release()
		f.lock = nil
	}
}
