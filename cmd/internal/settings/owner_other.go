//go:build !unix

package settings

import "io/fs"

// ownedByStranger reports false: this system has no owner to compare.
func ownedByStranger(fs.FileInfo) bool { return false }
