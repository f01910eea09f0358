package sqlite

import (
	"errors"
	"os"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/internal/filelock"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// hold locks the database file itself, which excludes a second process that uses another
// name of the file or has removed the .lock file. The file stays open as long as the
// store, because closing it would release SQLite's own locks. On Windows, there is only
// the .lock file, because a lock on the database file would exclude SQLite. A file with
// several hard links is refused, because SQLite finds its log only next to one name.
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
			err = webpush.WithHint(err, "copy the file and remove the other names")
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// lockable reports whether a file can be locked without excluding SQLite.
const lockable = os.PathSeparator == '/'

func inUse() error {
	return webpush.WithHint(appserver.ErrInUse, "stop the other server, or use another database for this one")
}
