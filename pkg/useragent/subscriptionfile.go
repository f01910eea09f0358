package useragent

import (
	"encoding/json"
	"io"
	"os"

	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
)

// maxSubscriptionFile is the maximum size of a subscription file, in bytes.
const maxSubscriptionFile = 64 << 10

// FindIn returns the subscription of the state that a file holds in the form of
// [Registration.MarshalJSON]: the one with its endpoint. It reports false if there
// is none, or the file cannot be read.
func (s State) FindIn(file string) (Registration, bool) {
	f, err := os.Open(file)
	if err != nil {
		return Registration{}, false
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSubscriptionFile))
	var held struct{ Endpoint string }
	if err != nil || json.Unmarshal(b, &held) != nil {
		return Registration{}, false
	}
	return s.at(held.Endpoint)
}

// at returns the subscription with an endpoint.
func (s State) at(endpoint string) (Registration, bool) {
	for _, r := range s.subscriptions {
		if endpoint != "" && r.endpoint == endpoint {
			return r, true
		}
	}
	return Registration{}, false
}

// UpdateFile makes a file that holds a subscription of the state before, see
// [State.FindIn], agree with this state: if that subscription no longer exists, or
// has another endpoint, the file gets the last one with its name in this state,
// with mode 0600, or is removed if there is none. Other files stay as they are. It
// reports whether it changed the file; the error is the file system's.
func (s State) UpdateFile(file string, before State) (changed bool, err error) {
	old, ok := before.FindIn(file)
	if !ok {
		return false, nil
	}
	if _, ok := s.at(old.endpoint); ok {
		return false, nil
	}
	for i := len(s.subscriptions) - 1; i >= 0; i-- {
		if r := s.subscriptions[i]; r.name == old.name {
			b, err := r.MarshalJSON()
			if err == nil {
				err = atomicfile.Replace(file, append(b, '\n'), 0o600)
			}
			return err == nil, err
		}
	}
	err = os.Remove(file)
	return err == nil, err
}
