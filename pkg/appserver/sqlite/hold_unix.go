//go:build unix && !solaris && !aix

package sqlite

import (
	"errors"
	"os"
	"syscall"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// hold locks the database file itself, so that no other name of it and no
// removed .lock file lets a second process in. The file stays open as long as
// the store: closing it would end SQLite's own locks. A file with several hard
// links is refused, as SQLite finds its log beside one of the names only.
func hold(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = inUse()
	}
	if info, statErr := f.Stat(); err == nil && statErr == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			err = withHint(errors.New("the file has more than one hard link"), "copy the file and remove the other links")
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func inUse() error {
	return withHint(appserver.ErrInUse, "stop the other server, or give this one a database of its own")
}
