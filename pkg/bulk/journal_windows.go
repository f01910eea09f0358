package bulk

import (
	"math"
	"os"

	"golang.org/x/sys/windows"
)

// errLocked is that of a file which another process has locked.
const errLocked = windows.ERROR_LOCK_VIOLATION

// lockJournal locks the file against other processes until it is closed, or
// its process ends. The locked byte is beyond all that is ever written.
func lockJournal(f *os.File) error {
	return windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY,
		0, 1, 0, &windows.Overlapped{OffsetHigh: math.MaxInt32})
}
