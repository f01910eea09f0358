package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/settings"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// settingAnnotation marks the flags that can also be set in the environment or in a
// settings file. Its value on a flag is the source of the flag's value.
const settingAnnotation = "webpush_setting"

// asSetting makes these flags settings.
func asSetting(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := fs.SetAnnotation(name, settingAnnotation, []string{"default"}); err != nil {
			panic(err) // the name is not a flag: seen by every test
		}
	}
}

// applySettings sets the flags of a command that are settings, and that were not given on
// the command line, from the environment or a file.
func (s *streams) applySettings(c *cobra.Command) error {
	var err error
	r := settings.Reader{Config: s.configFile, Known: settingNames(c.Root()), Warn: s.warn, Opened: s.reads}
	if s.settings, err = r.Read(); err != nil {
		var wrong *settings.Error
		if errors.As(err, &wrong) && wrong.Usage {
			err = &usageError{err: err}
		}
		return err
	}
	var problem error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[settingAnnotation] == nil || problem != nil {
			return
		}
		if f.Changed {
			f.Annotations[settingAnnotation] = []string{"--" + f.Name}
			return
		}
		value, source, ok := s.settings.Lookup(f.Name)
		if !ok {
			return
		}
		if err := s.set(f, value, source); err != nil {
			problem = usage(hintOf(err), "%s: the setting %s: %s", source, f.Name, flagProblem(err))
			return
		}
		f.Annotations[settingAnnotation] = []string{source}
	})
	return problem
}

// set gives a flag the value of a setting. A repeatable flag can have a list in a file;
// for keys, also in the environment.
func (s *streams) set(f *pflag.Flag, value, source string) error {
	list, ok := f.Value.(pflag.SliceValue)
	if !ok {
		return f.Value.Set(value)
	}
	if values, ok := s.settings.List(f.Name, source); ok {
		return list.Replace(values)
	}
	if _, ok := f.Value.(*keyList); ok && source == settings.Env(f.Name) {
		return list.Replace(splitKeys(value))
	}
	return f.Value.Set(value)
}

// source returns the source of a flag's value: "default", "--name", or the name of an
// environment variable or file.
func source(c *cobra.Command, flag string) string {
	f := c.Flags().Lookup(flag)
	if f == nil {
		return "default"
	}
	if a := f.Annotations[settingAnnotation]; a != nil {
		return a[0]
	}
	if f.Changed {
		return "--" + flag
	}
	return "default"
}

// given reports whether a flag has a value from any source, instead of its default.
func given(c *cobra.Command, flag string) bool { return source(c, flag) != "default" }

// allSettings returns the flags of the whole tree that are settings, by name.
func allSettings(root *cobra.Command) map[string]*pflag.Flag {
	all := make(map[string]*pflag.Flag)
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.LocalFlags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) {
				if f.Annotations[settingAnnotation] != nil && all[f.Name] == nil {
					all[f.Name] = f
				}
			})
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	return all
}

func settingNames(root *cobra.Command) []string {
	var names []string
	for name := range allSettings(root) {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// automatic describes values that mean a choice of the program.
var automatic = map[string]string{"concurrency=0": "automatic", "concurrency-per-origin=0": "automatic",
	"rate=": "no limit", "rate-per-origin=": "no limit", "max-failures=0": "no limit"}

// secretSettings are not shown by webpush config.
var secretSettings = []string{"gcm-key"}

func newConfigCmd(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:  "config",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runConfig(c, s) },
	}
}

func runConfig(c *cobra.Command, s *streams) error {
	type setting struct {
		Name   string `json:"name"`
		Value  string `json:"value"`
		Source string `json:"source"`
		Env    string `json:"environment"`
	}
	var list []setting
	all := allSettings(c.Root())
	for _, name := range settingNames(c.Root()) {
		row := setting{Name: name, Value: all[name].DefValue, Source: "default", Env: settings.Env(name)}
		if f := c.Flags().Lookup(name); f != nil && f.Changed {
			row.Value, row.Source = f.Value.String(), "--"+name
		} else if value, from, ok := s.settings.Lookup(name); ok {
			row.Value, row.Source = value, from
		}
		if row.Source != "default" {
			if err := all[name].Value.Set(row.Value); err != nil {
				s.warn(fmt.Sprintf("%s: the setting %s: %s", row.Source, name, flagProblem(err)), "commands that use it will refuse it")
			}
			row.Value = showSetting(name, row.Value)
		}
		list = append(list, row)
	}
	files := s.settings.Files()
	if s.json {
		out := struct {
			File     string    `json:"file,omitempty"` // the first of Files
			Files    []string  `json:"files,omitempty"`
			Settings []setting `json:"settings"`
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
	for _, row := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row.Name, safe(orDash(cmp.Or(automatic[row.Name+"="+row.Value], row.Value))), row.Source)
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// showSetting hides values that are secrets or hold them.
func showSetting(name, value string) string {
	switch {
	case slices.Contains(secretSettings, name):
		return "(not shown)"
	case name == "private-key" && !strings.HasPrefix(value, "env:") && vapid.MayBeKey(value):
		return "(a literal key, not shown)"
	case name == "proxy" && strings.Contains(value, "@"):
		scheme, rest, _ := strings.Cut(value, "://")
		return scheme + "://…" + rest[strings.LastIndexByte(rest, '@'):]
	}
	return value
}

// wrapped joins words with commas, in lines of at most width characters.
func wrapped(words []string, width int) string {
	var b strings.Builder
	column := 0
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		if column > 0 && column+1+len(w) > width {
			b.WriteByte('\n')
			column = 0
		} else if column > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(w)
		column += len(w)
	}
	return b.String()
}
