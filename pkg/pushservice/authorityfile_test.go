package pushservice_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// TestAuthorityFile: the first start creates both files of each authority, which
// the next start uses.
func TestAuthorityFile(t *testing.T) {
	dir := t.TempDir()
	everyday, google := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "google.pem")
	o := func() pushservice.ServerOptions {
		return pushservice.ServerOptions{TLS: true, AuthorityFile: everyday, Chromium: &pushservice.ChromiumOptions{AuthorityFile: google}}
	}
	first := start(t, o())
	for _, name := range []string{everyday, google} {
		key := pushservice.AuthorityKeyFile(name)
		if info, err := os.Stat(key); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", key, info, err)
		}
		if b, err := os.ReadFile(name); err != nil || bytes.Contains(b, []byte("PRIVATE")) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
	second := start(t, o())
	if !bytes.Equal(first.CA(), second.CA()) || !bytes.Equal(first.Chromium.CA(), second.Chromium.CA()) || first.Chromium.PublicKeyHash != second.Chromium.PublicKeyHash {
		t.Error("the second start has other authorities")
	}
	if b, _ := os.ReadFile(everyday); !bytes.Equal(b, first.CA()) {
		t.Errorf("the file has %s", b)
	}
	// Half of the files, or files of something else.
	for name, test := range map[string]struct {
		prepare  func(certificate, key string) error
		want     string
		files    int
		chromium bool
	}{
		"no key":         {func(_, key string) error { return os.Remove(key) }, "-key.pem not found, the private key of ", 1, false},
		"no certificate": {func(certificate, _ string) error { return os.Remove(certificate) }, " not found, the certificate of ", 1, true},
		"another": {func(certificate, _ string) error {
			return os.WriteFile(certificate, start(t, pushservice.ServerOptions{TLS: true}).CA(), 0o600)
		}, "do not match", 2, false},
		"of the other": {func(certificate, key string) error {
			return errors.Join(os.Rename(google, certificate), os.Rename(pushservice.AuthorityKeyFile(google), key))
		}, "was not made by a push service", 2, false},
		"of another program": {func(certificate, _ string) error {
			return os.WriteFile(certificate, []byte("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"), 0o600)
		}, " has no certificate", 0, false},
		"a private key": {func(certificate, key string) error {
			return errors.Join(os.Remove(key), os.WriteFile(certificate, []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), 0o600))
		}, "-key.pem not found, the private key of ", 0, true},
		"a directory": {func(certificate, key string) error {
			return errors.Join(os.Remove(certificate), os.Mkdir(certificate, 0o700))
		}, "is not a regular file", 0, true},
		"unreadable": {func(certificate, key string) error {
			if os.Geteuid() == 0 || runtime.GOOS == "windows" {
				return errors.ErrUnsupported
			}
			return os.Chmod(key, 0)
		}, "permission denied", 0, false},
	} {
		for _, file := range []string{everyday, google} {
			_ = os.RemoveAll(file)
			_ = os.RemoveAll(pushservice.AuthorityKeyFile(file))
		}
		if err := start(t, o()).Close(); err != nil {
			t.Fatal(err)
		}
		file := everyday
		if test.chromium {
			file = google
		}
		if err := test.prepare(file, pushservice.AuthorityKeyFile(file)); errors.Is(err, errors.ErrUnsupported) {
			continue
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s, err := pushservice.Start(o())
		if err == nil {
			_ = s.Close()
		}
		var unusable *pushservice.AuthorityError
		if !errors.As(err, &unusable) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), file[:len(file)-4]) || len(unusable.Files) != test.files || unusable.Chromium != test.chromium {
			t.Errorf("%s: %v, %+v", name, err, unusable)
		} else if hint := unusable.Hint(); (hint != "") != (test.files > 0) || slices.ContainsFunc(unusable.Files, func(name string) bool { return !strings.Contains(hint, name) }) {
			t.Errorf("%s: hint %q", name, hint)
		}
	}
}

// TestAuthorityFileNotSaved: a push service whose new authority cannot be kept
// does not start, and leaves no key without its certificate.
func TestAuthorityFileNotSaved(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none", "ca.pem")
	s, err := pushservice.Start(pushservice.ServerOptions{TLS: true, AuthorityFile: file})
	if err == nil {
		_ = s.Close()
	}
	if !errors.As(err, new(*pushservice.AuthorityError)) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "the authority cannot be saved: ") {
		t.Errorf("%v", err)
	}
	busy := start(t, pushservice.ServerOptions{})
	file = filepath.Join(t.TempDir(), "ca.pem")
	var listen *pushservice.ListenError
	if _, err := pushservice.Start(pushservice.ServerOptions{TLS: true, AuthorityFile: file, Addr: strings.TrimPrefix(busy.URL, "http://")}); !errors.As(err, &listen) || listen.Chromium {
		t.Errorf("%v", err)
	}
	if _, err := pushservice.Start(pushservice.ServerOptions{Chromium: &pushservice.ChromiumOptions{AuthorityFile: file, Addr: strings.TrimPrefix(busy.URL, "http://")}}); !errors.As(err, &listen) || !listen.Chromium {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an authority was saved by a push service that did not start: %v", err)
	}
}
