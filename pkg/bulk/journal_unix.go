//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package bulk

import (
	"os"
	"syscall"
)

// errLocked is that of a file which another process has locked.
const errLocked = syscall.EWOULDBLOCK

// lockJournal locks the file against other processes until it is closed, or
// its process ends.
func lockJournal(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
