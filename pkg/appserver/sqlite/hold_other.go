//go:build !unix || solaris || aix

package sqlite

import (
	"os"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// hold opens the file; the .lock file alone keeps other processes away.
func hold(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR, 0) }

func inUse() error {
	return withHint(appserver.ErrInUse, "stop the other server, or give this one a database of its own")
}
