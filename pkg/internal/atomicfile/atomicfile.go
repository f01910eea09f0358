// Package atomicfile writes files that are never seen half written.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Replace writes a file with the given content and mode and replaces an
// existing file with that name: it always has its old or its new content. If the
// name is a symbolic link, its target is replaced. Devices and pipes are written
// to unchanged.
func Replace(name string, data []byte, mode fs.FileMode) error {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		if err2 := f.Close(); err == nil {
			err = err2
		}
		return err
	}
	name = Target(name)
	temp, err := Temp(name, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// Target follows symbolic links and returns the file that they lead to, even if it does not
// exist. If name is not a link, Target returns name.
func Target(name string) string {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		return real
	}
	for range 40 { // Linux follows at most 40 links
		info, err := os.Lstat(name)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			break
		}
		next, err := os.Readlink(name)
		if err != nil {
			break
		}
		if !filepath.IsAbs(next) { // the directory of the link can be a link, too
			dir, err := filepath.EvalSymlinks(filepath.Dir(name))
			if err != nil {
				break
			}
			next = filepath.Join(dir, next)
		}
		name = next
	}
	return name
}

// Create writes a file that must not exist yet: it appears whole or not at all.
// The error is [fs.ErrExist] if it exists.
func Create(name string, data []byte, mode fs.FileMode) error {
	if _, err := os.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	temp, err := Temp(name, data, mode)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	err = os.Link(temp, name) // fails if name exists, unlike a rename
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	// No hard links here: take the name first, then put the content in its place.
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if err = f.Close(); err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// Temp writes a new file in the directory of name, to be renamed to it, and returns
// its name, which ends in .tmp. The umask applies to its mode.
func Temp(name string, data []byte, mode fs.FileMode) (temp string, err error) {
	var f *os.File
	for range 100 {
		temp = filepath.Join(filepath.Dir(name), fmt.Sprintf(".%s.%08x.tmp", filepath.Base(name), rand.Uint32()))
		if f, err = os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode); !errors.Is(err, fs.ErrExist) {
			break
		}
	}
	if err != nil {
		return "", err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(temp))
	}
	return temp, nil
}
