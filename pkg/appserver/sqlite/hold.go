package sqlite

import (
	"errors"
	"os"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/internal/filelock"
)

// hold locks the database file itself, so that no other name of it and no removed
// .lock file lets a second process in. The file stays open as long as the store:
// closing it would end SQLite's own locks. On Windows the .lock file alone does
// this, as a lock on the file would keep SQLite away. A file with several hard
// links is refused, as SQLite finds its log next to one of the names only.
func hold(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if lockable {
		err = filelock.File(f)
	}
	if errors.Is(err, filelock.ErrLocked) {
		err = inUse()
	}
	if info, statErr := f.Stat(); err == nil && statErr == nil {
		if err = filelock.OneName(info); err != nil {
			err = withHint(err, "copy the file and remove the other names")
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockable reports whether a file can be locked without keeping SQLite away.
const lockable = os.PathSeparator == '/'

func inUse() error {
	return withHint(appserver.ErrInUse, "stop the other server, or give this one a database of its own")
}
