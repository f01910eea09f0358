package cmd

import (
	"errors"
	"fmt"
	"path/filepath"
)

// errLocked is that another process has the lock.
var errLocked = errors.New("another process has the lock")

// lockState makes this the only process with the state file, until unlock is
// called or it ends, however that happens. Where no lock can be made, writing
// the state will tell why.
func lockState(name string) (unlock func(), err error) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	unlock, err = lockFile(name + ".lock")
	switch {
	case errors.Is(err, errLocked):
		return nil, withHint(fmt.Errorf("another webpush listen is running with %s", name), "--state FILE and -f FILE make this one a user agent of its own")
	case err != nil:
		return func() {}, nil
	}
	return unlock, nil
}
