//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package cmd

import "errors"

// lockFile cannot lock files here.
func lockFile(string) (unlock func(), err error) { return nil, errors.ErrUnsupported }
