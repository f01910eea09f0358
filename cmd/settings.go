package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// envPrefix begins the name of every setting in the environment.
const envPrefix = "WEBPUSH_"

// settingAnnotation marks the flags that may also come from the environment or
// the settings file; its value on a flag says where that came from.
const settingAnnotation = "webpush_setting"

// asSetting makes settings of flags.
func asSetting(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := fs.SetAnnotation(name, settingAnnotation, []string{"default"}); err != nil {
			panic(err) // a name that is no flag: seen by every test
		}
	}
}

func envName(setting string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// userConfig is the settings file in the user's configuration folder.
func userConfig() string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "webpush", "config.yaml")
}

// readSettings reads the settings file, when there is one. viper lower-cases
// all names, so it reads settings only, never claims or subscriptions.
func (s *streams) readSettings(known []string) error {
	v := viper.New()
	s.settings = v
	name := s.configFile
	if name == "" {
		for _, candidate := range []string{"webpush.yaml", userConfig()} {
			if candidate == "" {
				continue
			}
			if _, err := os.Stat(candidate); err == nil {
				name = candidate
				break
			}
		}
		if name == "" {
			return nil
		}
	}
	v.SetConfigFile(name)
	if filepath.Ext(name) == "" {
		v.SetConfigType("yaml")
	}
	if err := v.ReadInConfig(); err != nil {
		var unsupported viper.UnsupportedConfigError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return usage("", "--config: %s: there is no such file", name)
		case errors.As(err, &unsupported):
			return usage("write it as YAML, with the ending .yaml", "the settings file %s has an ending that is not known", name)
		}
		return withHint(fmt.Errorf("the settings file %s cannot be read: %w", name, err), "it is YAML, a line a setting, such as: subject: mailto:you@your.domain")
	}
	var unknown []string
	for _, key := range v.AllKeys() {
		if !slices.Contains(known, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 && len(unknown) == len(v.AllKeys()) && s.configFile != "" {
		// Its content is not repeated: it may be any file.
		return withHint(fmt.Errorf("%s holds no setting: it is no settings file", name), "webpush config lists the settings; a line of the file is such as: subject: mailto:you@your.domain")
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		s.warn(fmt.Sprintf("the settings file %s has %q, which is no setting", name, key), "webpush config lists them all")
	}
	return nil
}

// lookup returns the value of a setting that is no flag's, and where it is from.
func (s *streams) lookup(name string) (value, source string, ok bool) {
	if v := os.Getenv(envName(name)); v != "" {
		return v, envName(name), true
	}
	if s.settings != nil && s.settings.InConfig(name) {
		return s.settings.GetString(name), s.settings.ConfigFileUsed(), true
	}
	return "", "", false
}

// applySettings gives the flags of a command that are settings, and were not
// given on the command line, their values from the environment or the file.
func (s *streams) applySettings(c *cobra.Command) error {
	if err := s.readSettings(settingNames(c.Root())); err != nil {
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
		value, source, ok := s.lookup(f.Name)
		if !ok {
			return
		}
		if err := f.Value.Set(value); err != nil {
			problem = usage(hintOf(err), "%s: the setting %s: %s", source, f.Name, flagProblem(err))
			return
		}
		f.Annotations[settingAnnotation] = []string{source}
	})
	return problem
}

// source says where the value of a flag came from: "default", "--name", the
// name of an environment variable or of a file.
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

// given reports whether a flag has a value that is not its default, wherever
// it came from.
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

// secretSettings are not shown by webpush config.
var secretSettings = []string{"gcm-key"}

func newConfigCmd(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the settings in force and where each comes from",
		Long: `config prints every setting with its value and its source. A flag on the
command line counts first, then the environment (WEBPUSH_ and the name in
capitals), then the settings file: --config FILE, else webpush.yaml in the
current folder, else webpush/config.yaml in the user's configuration folder
($XDG_CONFIG_HOME, or ~/.config on Linux).`,
		Example: `  webpush config
  WEBPUSH_SUBJECT=mailto:ops@example.com webpush config --json`,
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
		row := setting{Name: name, Value: all[name].DefValue, Source: "default", Env: envName(name)}
		if f := c.Flags().Lookup(name); f != nil && f.Changed {
			row.Value, row.Source = f.Value.String(), "--"+name
		} else if value, from, ok := s.lookup(name); ok {
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
	file := ""
	if s.settings != nil {
		file = s.settings.ConfigFileUsed()
	}
	if s.json {
		return s.printJSON(struct {
			File     string    `json:"file,omitempty"`
			Settings []setting `json:"settings"`
		}{file, list})
	}
	if file == "" {
		file = "none"
	}
	fmt.Fprintf(s.out, "settings file: %s\n", file)
	for _, row := range list {
		fmt.Fprintf(s.out, "%-14s %-28s %s\n", row.Name, orDash(row.Value), row.Source)
	}
	return nil
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
	case name == "private-key" && !strings.HasPrefix(value, "env:") && literalKey(value):
		return "(a literal key, not shown)"
	case name == "proxy" && strings.Contains(value, "@"):
		scheme, rest, _ := strings.Cut(value, "://")
		return scheme + "://…" + rest[strings.LastIndexByte(rest, '@'):]
	}
	return value
}
