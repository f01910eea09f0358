package sqlite_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/appserver/storetest"
)

func TestStore(t *testing.T) {
	dirs := make(map[appserver.Store]string)
	open := func(t *testing.T, file string) appserver.Store {
		t.Helper()
		s, err := sqlite.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		dirs[s] = file
		return s
	}
	storetest.Run(t,
		func(t *testing.T) appserver.Store { return open(t, filepath.Join(t.TempDir(), "odd name ?#%41.db")) },
		func(t *testing.T, s appserver.Store) appserver.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, dirs[s])
		})
}

func TestFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "webpush.db")
	s, err := sqlite.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Put(t.Context(), appserver.Record{Endpoint: "https://push.example/x"}); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(file + "*")
	if err != nil || len(files) < 3 {
		t.Fatalf("the files are %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v, %v", f, info.Mode(), err)
		}
	}
	// Two at once would send everything twice.
	_, err = sqlite.Open(file)
	if err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("the error is %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := s.Find(t.Context(), "x"); err == nil {
		t.Error("a closed store answers")
	}
	if _, err := s.Delete(t.Context(), "x"); err == nil {
		t.Error("a closed store takes changes")
	}

	for name, text := range map[string]string{"no database": strings.Repeat("no database at all ", 100), "folder": ""} {
		bad := filepath.Join(t.TempDir(), name)
		if text == "" {
			err = os.Mkdir(bad, 0o700)
		} else {
			err = os.WriteFile(bad, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, err := sqlite.Open(bad); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}
