package settings_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/cmd/internal/settings"
)

// in runs in an empty directory with a settings file, and without any of the user.
func in(t *testing.T, content string) (r settings.Reader, warnings *[]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	if content != "" {
		write(t, settings.DirectoryFile, content)
	}
	warnings = new([]string)
	return settings.Reader{Known: func() []string { return []string{"subject", "ttl", "proxy", "private-key"} }, Opened: func(string) {},
		Warn: func(message, hint string) { *warnings = append(*warnings, message+" / "+hint) }}, warnings
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The environment overrides the directory's file, which overrides the user's file.
func TestPrecedence(t *testing.T) {
	r, warnings := in(t, "subject: mailto:here@example.com\n")
	write(t, settings.UserFile(), "subject: mailto:user@example.com\nttl: 1h\nproxy: http://proxy.example\nprivate-key: [a.pem, b.pem]\n")
	t.Setenv("WEBPUSH_TTL", "5")
	s, err := r.Read()
	if err != nil || len(*warnings) > 0 {
		t.Fatal(err, *warnings)
	}
	if got := s.Files(); !slices.Equal(got, []string{settings.DirectoryFile, settings.UserFile()}) {
		t.Errorf("the files are %q", got)
	}
	for name, want := range map[string][2]string{"subject": {"mailto:here@example.com", settings.DirectoryFile}, "ttl": {"5", "WEBPUSH_TTL"},
		"proxy": {"http://proxy.example", settings.UserFile()}, "private-key": {"a.pem" + string(os.PathListSeparator) + "b.pem", settings.UserFile()}} {
		if value, source, ok := s.Lookup(name); !ok || value != want[0] || source != want[1] {
			t.Errorf("%s is %q from %q, %v", name, value, source, ok)
		}
	}
	if list, ok := s.List("private-key", settings.UserFile()); !ok || !slices.Equal(list, []string{"a.pem", "b.pem"}) {
		t.Errorf("private-key is the list %q, %v", list, ok)
	}
	if list, ok := s.List("ttl", settings.UserFile()); ok {
		t.Errorf("ttl is the list %q", list)
	}
	if _, _, ok := s.Lookup("urgency"); ok {
		t.Error("a setting that is in no file has a value")
	}
}

// What a stranger can write into a directory must not redirect or identify anything.
func TestDirectoryFile(t *testing.T) {
	for content, want := range map[string]string{
		"proxy: http://evil.example\n": `sets "proxy"`,
		"private-key: evil.pem\n":      `sets "private-key"`,
		"subject: [\n":                 "cannot be read",
	} {
		r, _ := in(t, content)
		_, err := r.Read()
		var wrong *settings.Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || wrong.Hint() == "" {
			t.Errorf("%q: %v", content, err)
		}
	}
	r, warnings := in(t, strings.Repeat("# long\n", 10_000)+"proxy: http://evil.example\n")
	if s, err := r.Read(); err != nil || len(s.Files()) > 0 || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "more than 65536") {
		t.Errorf("a large file: %v, %v, %q", s, err, *warnings)
	}
	r, warnings = in(t, "")
	if err := os.Mkdir(settings.DirectoryFile, 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Read(); err != nil || len(s.Files()) > 0 || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "not a regular file") {
		t.Errorf("a directory: %v, %v, %q", s, err, *warnings)
	}
}

// A file that is named counts alone, with any setting.
func TestConfig(t *testing.T) {
	r, warnings := in(t, "subject: mailto:here@example.com\n")
	write(t, "own.yaml", "proxy: http://proxy.example\nsubjekt: x\n")
	r.Config = "own.yaml"
	s, err := r.Read()
	if err != nil || !slices.Equal(s.Files(), []string{"own.yaml"}) {
		t.Fatal(s.Files(), err)
	}
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], `"subjekt"`) {
		t.Errorf("warnings are %q", *warnings)
	}
	write(t, "secret.yaml", "password: hunter2\n")
	for name, want := range map[string]bool{"none.yaml": true, "own.txt": true, "secret.yaml": false} {
		if name == "own.txt" {
			write(t, name, "ttl: 5\n")
		}
		r.Config = name
		_, err := r.Read()
		var wrong *settings.Error
		if !errors.As(err, &wrong) || wrong.Usage != want || strings.Contains(err.Error()+wrong.Hint(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
