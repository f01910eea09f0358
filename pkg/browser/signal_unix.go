//go:build unix

package browser

import (
	"os"
	"syscall"
)

var terminate os.Signal = syscall.SIGTERM

// privileged reports whether this process runs as root. Chromium's sandbox does not
// work for root.
func privileged() bool { return os.Geteuid() == 0 }
