package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// authorityFiles are the files of a certificate authority that push-service made:
// its certificate, and next to it its private key.
type authorityFiles struct {
	certificate string
	flag        string // that names the certificate's file
}

// key is the file of the private key.
func (a authorityFiles) key() string {
	extension := filepath.Ext(a.certificate)
	return strings.TrimSuffix(a.certificate, extension) + "-key" + extension
}

// other is the hint for files that are of no use.
func (a authorityFiles) other() string {
	return "--" + a.flag + " names other files; to have another authority made, which must be trusted anew: rm " + shellWord(a.certificate) + " " + shellWord(a.key())
}

// load reads the authority of an earlier run, or nil if there is none.
func (a authorityFiles) load(s *streams) ([]byte, error) {
	var pem []byte
	for _, name := range []string{a.certificate, a.key()} {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return nil, withHint(fmt.Errorf("%s is not a file that could keep an authority", name), "--"+a.flag+" names another")
		}
	}
	certificate, err := readFile(a.certificate)
	key, keyErr := readFile(a.key())
	switch none, noKey := errors.Is(err, fs.ErrNotExist), errors.Is(keyErr, fs.ErrNotExist); {
	case none && noKey:
		return nil, nil
	case none && keyErr == nil:
		return nil, withHint(fmt.Errorf("%s is missing, the certificate of %s", a.certificate, a.key()), "--"+a.flag+" names other files; to have another authority made: rm "+shellWord(a.key()))
	case err == nil && noKey:
		return nil, withHint(fmt.Errorf("%s exists, and %s, its private key, is missing", a.certificate, a.key()),
			"--"+a.flag+" names other files; to have another authority made, which must be trusted anew: rm "+shellWord(a.certificate))
	case err != nil:
		return nil, err
	case keyErr != nil:
		return nil, keyErr
	}
	if info, err := os.Stat(a.key()); err == nil && groupReadable(info) {
		s.warn(fmt.Sprintf("%s can be read by other users of this machine", a.key()), "chmod 600 "+shellWord(a.key()))
	}
	// The key's file has the certificate, too; that of the other file counts.
	pem = append(append(pem, key...), '\n')
	return append(pem, certificate...), nil
}

// save writes a new authority, whose certificate is also at the end of secret.
func (a authorityFiles) save(s *streams, secret, certificate []byte) error {
	// The key first: a certificate without one would be in the way.
	if err := s.save(a.key(), secret, 0o600, false, a.other()); err != nil {
		return err
	}
	return s.save(a.certificate, certificate, 0o644, false, a.other())
}

// problem names the files of an authority that cannot be used.
func (a authorityFiles) problem(err error) error {
	return withHint(within(a.certificate, err), a.other())
}
