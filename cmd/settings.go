package cmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// envPrefix begins the name of every setting in the environment.
const envPrefix = "WEBPUSH_"

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

func envName(setting string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

// userConfig is the settings file in the user's configuration directory.
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

// directoryConfig is the settings file in the current directory. Whoever owns a
// directory writes it, so only harmless settings count in it.
const directoryConfig = "webpush.yaml"

// directorySettings are the harmless settings that count in a directory's file. All others, new
// ones by default, decide about trust, route, or identity: they count only as
// flags, in the environment, in the file named by --config, and in the user's
// own file.
var directorySettings = []string{"subject", "ttl", "urgency", "encoding", "pad", "max-body", "timeout", "retries", "expires-in",
	"concurrency", "concurrency-per-origin", "rate", "rate-per-origin", "max-failures", "no-color", "log-format"}

// maxSettings is the largest size of a settings file in a directory, in bytes.
const maxSettings = 64 << 10

// settingsFile is a settings file that was read.
type settingsFile struct {
	name string
	*viper.Viper
}

// readSettings reads the settings files: the one named by --config, or else
// those of the directory and of the user, in order of precedence.
// viper lower-cases all names, so it reads settings only, never claims or
// subscriptions.
func (s *streams) readSettings(known []string) error {
	s.settings = nil
	if s.configFile != "" {
		return s.readSettingsFile(s.configFile, nil, known)
	}
	data, err := s.readDirectoryConfig()
	if err != nil {
		return err
	}
	if data != nil {
		if err := s.readSettingsFile(directoryConfig, data, known); err != nil {
			return err
		}
		for _, key := range s.settings[0].AllKeys() {
			if slices.Contains(known, key) && !slices.Contains(directorySettings, key) {
				return withHint(fmt.Errorf("%s sets %q, which does not count in the file of a directory", directoryConfig, key),
					"move it to "+userConfig()+", or if you trust this directory, name the file with --config "+directoryConfig)
			}
		}
	}
	if own := userConfig(); own != "" {
		if _, err := os.Stat(own); err == nil {
			return s.readSettingsFile(own, nil, known)
		}
	}
	return nil
}

// readDirectoryConfig reads the settings file of the current directory. It
// returns nil if there is none, or none to be read: a FIFO or a device would
// hang every command, and a file of another user is not the user's word.
func (s *streams) readDirectoryConfig() ([]byte, error) {
	info, err := os.Stat(directoryConfig)
	if err != nil {
		return nil, nil
	}
	ignore := func(why string) ([]byte, error) {
		s.warn(fmt.Sprintf("ignored %s: %s", directoryConfig, why), "to use it anyway, name it with --config "+directoryConfig)
		return nil, nil
	}
	switch {
	case !info.Mode().IsRegular():
		return ignore("it is not a regular file")
	case info.Size() > maxSettings:
		return ignore(fmt.Sprintf("it has %d bytes, more than %d", info.Size(), maxSettings))
	case ownedByStranger(info):
		return ignore("it belongs to another user")
	}
	return readBytes(directoryConfig)
}

// readSettingsFile reads one settings file; data is its content if it was read
// already.
func (s *streams) readSettingsFile(name string, data []byte, known []string) error {
	s.reads(name)
	v := viper.New()
	v.SetConfigFile(name)
	if filepath.Ext(name) == "" {
		v.SetConfigType("yaml")
	}
	var err error
	if data != nil {
		err = v.ReadConfig(bytes.NewReader(data))
	} else {
		err = v.ReadInConfig()
	}
	if err != nil {
		var unsupported viper.UnsupportedConfigError
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return usage("", "--config: %s: no such file", name)
		case errors.As(err, &unsupported):
			return usage("write it as YAML, with the ending .yaml", "the settings file %s has an unknown ending", name)
		}
		return withHint(fmt.Errorf("the settings file %s cannot be read: %w", name, err), "it is YAML with one setting per line, such as: subject: mailto:you@your.domain")
	}
	s.settings = append(s.settings, settingsFile{name, v})
	var unknown []string
	for _, key := range v.AllKeys() {
		if !slices.Contains(known, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 && len(unknown) == len(v.AllKeys()) && s.configFile != "" {
		// Its content is not repeated: it may be any file.
		return withHint(fmt.Errorf("%s has no settings: it is not a settings file", name), "webpush config lists the settings; a line of the file looks like: subject: mailto:you@your.domain")
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		s.warn(fmt.Sprintf("the settings file %s has %q, which is not a setting", name, key), "webpush config lists them all")
	}
	return nil
}

// lookup returns the value of a setting from the environment or a file, and its
// source.
func (s *streams) lookup(name string) (value, source string, ok bool) {
	if v := os.Getenv(envName(name)); v != "" {
		return v, envName(name), true
	}
	for _, f := range s.settings {
		if f.InConfig(name) {
			if _, list := f.Get(name).([]any); list {
				return strings.Join(f.GetStringSlice(name), string(os.PathListSeparator)), f.name, true
			}
			return f.GetString(name), f.name, true
		}
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
		if err := s.set(f, value, source); err != nil {
			problem = usage(hintOf(err), "%s: the setting %s: %s", source, f.Name, flagProblem(err))
			return
		}
		f.Annotations[settingAnnotation] = []string{source}
	})
	return problem
}

// set gives a flag the value of a setting: a list in a file for each value that
// may be repeated, and of keys also one in the environment.
func (s *streams) set(f *pflag.Flag, value, source string) error {
	list, ok := f.Value.(pflag.SliceValue)
	if !ok {
		return f.Value.Set(value)
	}
	for _, file := range s.settings {
		if _, isList := file.Get(f.Name).([]any); isList && file.name == source {
			return list.Replace(file.GetStringSlice(f.Name))
		}
	}
	if _, ok := f.Value.(*keyList); ok && source == envName(f.Name) {
		return list.Replace(splitKeys(value))
	}
	return f.Value.Set(value)
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

// automatic are values that stand for a choice of the program.
var automatic = map[string]string{"concurrency=0": "automatic", "concurrency-per-origin=0": "automatic",
	"rate=": "no limit", "rate-per-origin=": "no limit", "max-failures=0": "no limit"}

// secretSettings are not shown by webpush config.
var secretSettings = []string{"gcm-key"}

func newConfigCmd(s *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the settings and the source of each",
		Long: `Print every setting with its value and source. Flags override environment
variables (WEBPUSH_ and the name in capitals), which override webpush.yaml in the
current directory, and then webpush/config.yaml in your configuration directory
($XDG_CONFIG_HOME, or ~/.config on Linux). --config FILE replaces both files.

A directory's file can be written by others, so it can contain only these settings:
` + wrapped(directorySettings, 78) + `.
Any other setting there is an error. In your own file, all settings are allowed:

    subject: mailto:you@your.domain
    private-key: /etc/webpush/private_key.pem
    ttl: 12h`,
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
	var files []string
	for _, f := range s.settings {
		files = append(files, f.name)
	}
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
	case name == "private-key" && !strings.HasPrefix(value, "env:") && literalKey(value):
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
