//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package webpush

import "os"

// lockJournal does nothing: this system has no lock that ends with its process.
func lockJournal(*os.File) error { return nil }
