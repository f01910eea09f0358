//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd || windows)

package filelock

import (
	"errors"
	"io/fs"
	"os"
)

// lock cannot lock files here.
func lock(string) (*os.File, error) { return nil, errors.ErrUnsupported }

func lockFile(*os.File) error { return nil }

func unlock(string, *os.File) {}

func held(string, *os.File) bool { return false }

// links returns 1: names are not counted here.
func links(fs.FileInfo) int { return 1 }
