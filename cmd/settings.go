package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/settings"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// asSetting makes these flags settings.
func asSetting(fs *pflag.FlagSet, names ...string) { settings.Mark(fs, names...) }

// applySettings sets the flags of a command that are settings, and that were not given on
// the command line, from the environment or a file.
func (s *streams) applySettings(c *cobra.Command) (err error) {
	known := func() []string { return slices.Collect(maps.Keys(settings.Flags(c.Root()))) }
	r := settings.Reader{Config: s.configFile, Known: known, Warn: s.warn, Opened: s.reads}
	if s.settings, err = r.Read(); err == nil {
		err = s.settings.Apply(c.Flags())
	}
	var wrong *settings.Error
	if errors.As(err, &wrong) && wrong.Usage {
		return &usageError{err: err}
	}
	return err
}

// source returns the source of a flag's value; see [settings.Source].
func source(c *cobra.Command, flag string) string { return settings.Source(c.Flags().Lookup(flag)) }

// given reports whether a flag has a value from any source, instead of its default.
func given(c *cobra.Command, flag string) bool { return source(c, flag) != settings.Default }

// automatic describes values that mean a choice of the program.
var automatic = map[string]string{"concurrency=0": "automatic", "concurrency-per-origin=0": "automatic",
	"rate=": "no limit", "rate-per-origin=": "no limit", "max-failures=0": "no limit"}

func newConfigCmd(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:  "config",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runConfig(c, s) },
	}
}

func runConfig(c *cobra.Command, s *streams) error {
	list, flags := s.settings.Values(c), settings.Flags(c.Root())
	for i, v := range list {
		if v.Source == settings.Default {
			continue
		}
		if err := flags[v.Name].Value.Set(v.Value); err != nil {
			s.warn(settings.Refused(v.Name, v.Source, err), "commands that use it will refuse it")
		}
		list[i].Value = showSetting(v.Name, v.Value)
	}
	files := s.settings.Files()
	if s.json {
		out := struct {
			File     string           `json:"file,omitempty"` // the first of Files
			Files    []string         `json:"files,omitempty"`
			Settings []settings.Value `json:"settings"`
		}{Files: files, Settings: list}
		if len(files) > 0 {
			out.File = files[0]
		}
		return s.printJSON(out)
	}
	if len(files) == 0 {
		files = []string{"none"}
	}
	for _, file := range files {
		fmt.Fprintf(s.out, "settings file: %s\n", file)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, v := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", v.Name, printable.Text(orDash(cmp.Or(automatic[v.Name+"="+v.Value], v.Value))), v.Source)
	}
	return w.Flush()
}

func orDash(s string) string { return cmp.Or(s, "-") }

// showSetting hides values that are secrets or hold them.
func showSetting(name, value string) string {
	switch {
	case name == "gcm-key":
		return "(not shown)"
	case name == "private-key" && !strings.HasPrefix(value, "env:") && vapid.MayBeKey(value):
		return "(a literal key, not shown)"
	case name == "proxy" && strings.Contains(value, "@"):
		scheme, rest, _ := strings.Cut(value, "://")
		return scheme + "://…" + rest[strings.LastIndexByte(rest, '@'):]
	}
	return value
}
