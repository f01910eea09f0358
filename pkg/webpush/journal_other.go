//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package webpush

import (
	"errors"
	"os"
)

var errLocked = errors.New("locked")

// lockJournal does nothing: this system has no lock that ends with its process.
func lockJournal(*os.File) error { return nil }
