package useragent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"

	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
	"github.com/seed81da77dd/webpush/pkg/internal/filelock"
)

// ErrLocked is the error of [OpenFile] if another process uses the file.
var ErrLocked = filelock.ErrLocked

// maxStateFile is the size of the largest state file that is read, in bytes.
const maxStateFile = 1 << 20

// File is a state file: it keeps a subscription with its keys, so that a program
// can continue with it after a restart, and is locked for this process. It is
// readable only by its owner.
//
// A subscription that [File.Subscribe] or [File.Open] returns keeps the file up
// to date: it is written before a message is acknowledged that the push service
// could repeat, and when the endpoint changes. A File is not safe for concurrent
// use; its subscription is.
type File struct {
	name  string
	lock  *filelock.Lock // or nil where no lock can be made
	state State
	found bool
}

// ReadFile reads a state file without locking it. The error is that of reading,
// such as [fs.ErrNotExist], or says what is wrong with the content.
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

// OpenFile locks and reads a state file, which need not exist. Where no lock can
// be made, writing the file fails in its own words. The error is [ErrLocked], or
// that of [ReadFile].
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

// State returns the state in the file, and whether there is one.
func (f *File) State() (state State, found bool) { return f.state, f.state.identity != nil }

// Subscribe is [Subscribe] for a new subscription, whose state takes the place
// of an earlier one. If the state cannot be written, the subscription is ended.
// In Chromium it is one of the device in the file, if there is one for this server;
// a new device is kept even if the registration fails.
func (f *File) Subscribe(ctx context.Context, server string, o Options) (*Subscription, error) {
	var d device
	if f.state.server == server {
		d = f.state.registration.device
	}
	s, err := subscribe(ctx, server, d, func(d device) error {
		if f.state.identity != nil { // the earlier subscription stays until there is another
			return nil
		}
		return f.save(State{server: server, registration: registration{device: d}})
	}, o)
	if err != nil {
		return nil, err
	}
	s.file = f
	if err := f.save(s.State()); err != nil {
		forget, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
		_ = s.Unsubscribe(forget)
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Open is [Open] for the state in the file.
func (f *File) Open(ctx context.Context, o Options) (*Subscription, error) {
	s, err := Open(ctx, f.state, o)
	if err != nil {
		return nil, err
	}
	s.file = f
	if err := f.save(s.State()); err != nil { // the service may have given other IDs
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
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

// Remove removes the file, after its subscription has ended.
func (f *File) Remove() error {
	err := os.Remove(f.name)
	if err == nil {
		f.state, f.found = State{}, false
	}
	return err
}

// Close gives up the lock. More calls do nothing.
func (f *File) Close() {
	if f.lock != nil {
		f.lock.Release()
		f.lock = nil
	}
}

// Messages returns the messages as [Subscription.Receive] does, in a loop. A
// message is acknowledged when the loop continues after it; before a break, call
// [Subscription.Ack] if it is to be acknowledged. A [*DecryptError] comes with
// its message, which is acknowledged as well, and a [*ChangedError] or [*LostError]
// with none.
// Any other error is the last.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[*ReceivedMessage, error] {
	return func(yield func(*ReceivedMessage, error) bool) {
		for {
			m, err := s.Receive(ctx)
			var (
				damaged *DecryptError
				changed *ChangedError
				lost    *LostError
			)
			switch {
			case errors.As(err, &damaged):
				m = damaged.Message
			case errors.As(err, &changed), errors.As(err, &lost):
			case err != nil:
				yield(nil, err)
				return
			}
			if !yield(m, err) {
				return
			}
			if m == nil {
				continue
			}
			if err := s.Ack(ctx, m); err != nil {
				yield(nil, err)
				return
			}
		}
	}
}
