package database_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver/database"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]struct {
		file             string
		shared, password bool
	}{
		"sqlite:a.db":                                {"a.db", false, false},
		"sqlite:/var/lib/a:b@c/x.db":                 {"/var/lib/a:b@c/x.db", false, false},
		"postgres://u@h/n":                           {"", true, false},
		"postgresql://u@h/n":                         {"", true, false},
		"postgres://u:hunter2@h/n":                   {"", true, true},
		"postgres://u@h/n?password=hunter2":          {"", true, true},
		"postgres://u@h/n?sslmode=x&PASSWORD=secret": {"", true, true},
		"postgres://u@h/n?password=":                 {"", true, false},
		"postgres://h/n?application_name=a:b@c":      {"", true, false},
	} {
		a, err := database.Parse(text)
		if err != nil || a.File() != want.file || a.Shared() != want.shared || a.HasPassword() != want.password {
			t.Errorf("%s: file %q, shared %v, password %v, %v; want %+v", text, a.File(), a.Shared(), a.HasPassword(), err, want)
		}
	}
	for text, want := range map[string]string{"": "has no scheme", "sqlite:": "has no file", "a.db": "has no scheme",
		"mysql://u:hunter2@h/n": `has the scheme "mysql"`, "user=u password=hunter2": "has no scheme", "user=u password=hunter2:x": "has no scheme"} {
		_, err := database.Parse(text)
		var wrong *database.AddressError
		if !errors.As(err, &wrong) || wrong.Hint() == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.db")
	d, err := database.Open(t.Context(), database.File(file), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Store.Close()
	if l, err := d.Limiter(nil); d.Name != file || l != nil || err != nil {
		t.Errorf("the name is %q, the limiter %v, %v", d.Name, l, err)
	}
	if _, err := database.Open(t.Context(), database.File(file), postgres.Options{}); err == nil {
		t.Error("an SQLite database was opened twice")
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"sqlite:x.db", "sqlite:./x.db", true},
		{"sqlite:x.db", "sqlite:y.db", false},
		{"sqlite:x.db", "postgres://u@h/n", false},
		{"postgres://u@h/n", "postgres://u@h/n", true},
		{"postgres://u@h/n", "postgres://u@h/m", false},
	} {
		a, err := database.Parse(c.a)
		b, err2 := database.Parse(c.b)
		if err := errors.Join(err, err2); err != nil || a.Same(b) != c.same || b.Same(a) != c.same {
			t.Errorf("%s, %s: %v, %v", c.a, c.b, a.Same(b), err)
		}
	}
}
