// Package atomicfile writes files that are never seen half written.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Replace writes a file with the given content and mode and replaces an
// existing file with that name. If the name is a symbolic link, its target is
// replaced.
func Replace(name string, data []byte, mode fs.FileMode) error {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	temp, err := write(name, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, name); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// Create is Replace for a name that no file has; otherwise its error is
// [fs.ErrExist].
func Create(name string, data []byte, mode fs.FileMode) error {
	// Nobody else can take the name in between.
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	temp, err := "", f.Close()
	if err == nil {
		temp, err = write(name, data, mode)
	}
	if err == nil {
		err = os.Rename(temp, name)
	}
	if err != nil {
		if temp != "" {
			_ = os.Remove(temp)
		}
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// write writes a temporary file in the same directory and returns its name.
func write(name string, data []byte, mode fs.FileMode) (temp string, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return "", err
	}
	if err = f.Chmod(mode); err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
