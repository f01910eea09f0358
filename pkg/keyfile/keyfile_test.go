package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func newKey(t *testing.T) *vapid.Key {
	t.Helper()
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// names are the two files of a key pair.
type names struct{ private, public string }

// pair returns the files with this key.
func (n names) pair(t *testing.T, key *vapid.Key, format vapid.Format) *Pair {
	t.Helper()
	p, err := KeyPair(n.private, n.public, key, format)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func inTurn(steps []func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// state reads the pair as a later command would: the private key, which must be
// whole where it is there, and the public key, which must be its other half
// where it is there.
func (k names) state(t *testing.T) (private *vapid.Key, public bool) {
	t.Helper()
	b, err := os.ReadFile(k.private)
	if err == nil {
		if private, err = vapid.ParseKey(b); err != nil {
			t.Errorf("the private key is damaged: %v", err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	b, err = os.ReadFile(k.public)
	if errors.Is(err, fs.ErrNotExist) {
		return private, false
	}
	half, err := vapid.ParsePublicKey(b)
	switch {
	case err != nil:
		t.Errorf("the public key is damaged: %v", err)
	case private == nil:
		t.Error("there is a public key without its private key")
	case half != private.PublicKey():
		t.Error("the public key does not match the private key")
	}
	return private, true
}

func noTemporaryFiles(t *testing.T, folder string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			t.Errorf("%s stays", e.Name())
		}
	}
}

// TestReplaceInterrupted ends the process after each step of replacing a pair:
// the two files never contradict each other, and there is always a private key.
func TestReplaceInterrupted(t *testing.T) {
	for _, format := range []vapid.Format{vapid.FormatPEM, vapid.FormatDER, vapid.FormatRaw, vapid.FormatBase64URL, vapid.FormatJWK} {
		for _, public := range []bool{true, false} { // is the old public file there?
			steps := len((&Pair{}).steps(true))
			for done := range steps + 1 {
				t.Run(fmt.Sprintf("%s, public %v, %d steps", format, public, done), func(t *testing.T) {
					folder := t.TempDir()
					pair := names{private: filepath.Join(folder, "private"), public: filepath.Join(folder, "public")}
					before, after := newKey(t), newKey(t)
					if err := pair.pair(t, before, format).Write(false); err != nil {
						t.Fatal(err)
					}
					if !public {
						if err := os.Remove(pair.public); err != nil {
							t.Fatal(err)
						}
					}
					if err := inTurn(pair.pair(t, after, format).steps(true)[:done]); err != nil {
						t.Fatal(err)
					}
					private, half := pair.state(t)
					if private == nil {
						t.Fatal("the private key is gone")
					}
					if got := private.PublicKey(); got != before.PublicKey() && got != after.PublicKey() {
						t.Error("the private key is neither the old nor the new one")
					}
					if done == steps {
						if private.PublicKey() != after.PublicKey() || !half {
							t.Errorf("new private key: %v, public key: %v", private.PublicKey() == after.PublicKey(), half)
						}
						noTemporaryFiles(t, folder)
					}
				})
			}
		}
	}
}

// TestCreateInterrupted is the same for a new pair.
func TestCreateInterrupted(t *testing.T) {
	steps := len((&Pair{}).steps(false))
	for done := range steps + 1 {
		t.Run(fmt.Sprintf("%d steps", done), func(t *testing.T) {
			folder := t.TempDir()
			pair := names{private: filepath.Join(folder, "private"), public: filepath.Join(folder, "public")}
			if err := inTurn(pair.pair(t, newKey(t), vapid.FormatPEM).steps(false)[:done]); err != nil {
				t.Fatal(err)
			}
			private, public := pair.state(t)
			if done == steps && (private == nil || !public) {
				t.Errorf("private key: %v, public key: %v", private != nil, public)
			}
			noTemporaryFiles(t, folder)
		})
	}
}

// TestPairFails puts something in the way of each step: the old pair stays, or
// none is there, and no temporary file remains.
func TestPairFails(t *testing.T) {
	for _, force := range []bool{false, true} {
		steps := len((&Pair{}).steps(force))
		for failing := 2; failing < steps; failing++ { // after the checks
			t.Run(fmt.Sprintf("force %v, step %d", force, failing), func(t *testing.T) {
				folder := t.TempDir()
				// Two folders, so that one of them can be taken away under the other.
				pair := names{private: filepath.Join(folder, "a", "private"), public: filepath.Join(folder, "b", "public")}
				for _, f := range []string{"a", "b"} {
					if err := os.Mkdir(filepath.Join(folder, f), 0o700); err != nil {
						t.Fatal(err)
					}
				}
				before := newKey(t)
				if force {
					if err := pair.pair(t, before, vapid.FormatPEM).Write(false); err != nil {
						t.Fatal(err)
					}
				}
				all := pair.pair(t, newKey(t), vapid.FormatPEM).steps(force)
				if err := inTurn(all[:failing]); err != nil {
					t.Fatal(err)
				}
				if err := os.RemoveAll(filepath.Join(folder, "b")); err != nil {
					t.Fatal(err)
				}
				err := inTurn(all[failing:])
				private, public := pair.state(t)
				if public {
					t.Error("there is a public key in a folder that was taken away")
				}
				if err == nil {
					t.Error("no error, though the folder of the public key was taken away")
				}
				if !force && private != nil {
					t.Error("the private key stays though its public key could not be written")
				}
				if force && private == nil {
					t.Error("the private key is gone")
				}
				noTemporaryFiles(t, filepath.Join(folder, "a"))
			})
		}
	}
}

// TestReadable looks at the permission of others, of files only.
func TestReadable(t *testing.T) {
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if Readable(name) || Readable(name+".missing") || Readable(os.DevNull) {
		t.Error("a private file, a missing one, or a device is readable")
	}
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if Readable(name) != (runtime.GOOS != "windows") {
		t.Error("a file that everyone can read is not found")
	}
}

// TestDanglingLink: a link whose target does not exist yet stays one.
func TestDanglingLink(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink("target.pem", "private.pem"); err != nil {
		t.Skip(err)
	}
	p, err := KeyPair("private.pem", "public.pem", newKey(t), vapid.FormatPEM)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(true); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat("private.pem")
	if _, missing := os.Stat("target.pem"); err != nil || info.Mode()&fs.ModeSymlink == 0 || missing != nil {
		t.Errorf("link %v, %v; %v", info, err, missing)
	}
}
