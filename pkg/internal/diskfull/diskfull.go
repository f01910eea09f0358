// Package diskfull recognizes and words the error of a disk without free space.
package diskfull

import "errors"

// Error is the wording of a full disk, wherever it is met.
var Error = errors.New("the disk is full")

// Is reports whether err is the error of a full disk: [Error], or an error of the
// file system.
func Is(err error) bool { return errors.Is(err, Error) || full(err) }
