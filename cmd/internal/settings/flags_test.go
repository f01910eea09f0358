package settings_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/cmd/internal/settings"
)

// words is the value of a flag with several values, which a variable can hold.
type words struct{ list []string }

func (w *words) Set(v string) error              { w.list = []string{v}; return nil }
func (w *words) String() string                  { return strings.Join(w.list, " ") }
func (*words) Type() string                      { return "string" }
func (w *words) Append(v string) error           { w.list = append(w.list, v); return nil }
func (w *words) Replace(list []string) error     { w.list = list; return nil }
func (w *words) GetSlice() []string              { return w.list }
func (*words) SplitEnv(v string) (list []string) { return strings.Split(v, ":") }

func command(t *testing.T) (c *cobra.Command, keys *words) {
	t.Helper()
	c, keys = &cobra.Command{Use: "webpush"}, new(words)
	f := c.Flags()
	f.String("subject", "", "")
	f.Int("ttl", 7, "")
	f.String("proxy", "", "")
	f.Bool("force", false, "")
	f.Var(keys, "private-key", "")
	settings.Mark(f, "subject", "ttl", "proxy", "private-key")
	return c, keys
}

// A flag counts first, then the environment, then the file; a flag that is not a setting
// is set by the command line alone.
func TestApply(t *testing.T) {
	r, _ := in(t, "subject: mailto:file@example.com\nttl: 1\n")
	t.Setenv("WEBPUSH_TTL", "2")
	t.Setenv("WEBPUSH_PROXY", "http://env.example")
	t.Setenv("WEBPUSH_FORCE", "true")
	t.Setenv("WEBPUSH_PRIVATE_KEY", "a:b")
	s, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	c, keys := command(t)
	if err := c.ParseFlags([]string{"--proxy", "http://flag.example"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(c.Flags()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]string{"subject": {"mailto:file@example.com", settings.DirectoryFile}, "ttl": {"2", "WEBPUSH_TTL"},
		"proxy": {"http://flag.example", "--proxy"}, "force": {"false", settings.Default}, "private-key": {"a b", "WEBPUSH_PRIVATE_KEY"}} {
		f := c.Flags().Lookup(name)
		if got := [2]string{f.Value.String(), settings.Source(f)}; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !slices.Equal(keys.list, []string{"a", "b"}) {
		t.Errorf("the keys are %q", keys.list)
	}
	if settings.Source(nil) != settings.Default {
		t.Error("a flag that does not exist has a source")
	}
}

// A value that the flag refuses is a wrong command line, with its source.
func TestApplyWrong(t *testing.T) {
	r, _ := in(t, "ttl: soon\n")
	s, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	c, _ := command(t)
	var wrong *settings.Error
	if err := s.Apply(c.Flags()); !errors.As(err, &wrong) || !wrong.Usage || err.Error() != `webpush.yaml: the setting ttl: "soon" is not a whole number` {
		t.Errorf("the error is %v", err)
	}
}

// Values lists all settings of the tree with what the environment and the files set.
func TestValues(t *testing.T) {
	r, _ := in(t, "subject: mailto:file@example.com\n")
	s, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	root, sub := &cobra.Command{Use: "webpush"}, &cobra.Command{Use: "config"}
	other, _ := command(t)
	root.AddCommand(sub, other)
	want := []settings.Value{
		{Name: "private-key", Source: settings.Default, Env: "WEBPUSH_PRIVATE_KEY"},
		{Name: "proxy", Source: settings.Default, Env: "WEBPUSH_PROXY"},
		{Name: "subject", Value: "mailto:file@example.com", Source: settings.DirectoryFile, Env: "WEBPUSH_SUBJECT"},
		{Name: "ttl", Value: "7", Source: settings.Default, Env: "WEBPUSH_TTL"},
	}
	if got := s.Values(sub); !slices.Equal(got, want) {
		t.Errorf("the settings are %+v", got)
	}
}
