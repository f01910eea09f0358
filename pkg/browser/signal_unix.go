//go:build unix

package browser

import (
	"os"
	"syscall"
)

var terminate os.Signal = syscall.SIGTERM

// privileged reports whether this process is root's, as whom Chromium cannot use
// its sandbox.
func privileged() bool { return os.Geteuid() == 0 }
