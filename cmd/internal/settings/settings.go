// Package settings reads settings files. viper lower-cases all names, so it reads settings
// only, never claims or subscriptions.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/seed81da77dd/webpush/pkg/fileio"
)

// envPrefix begins the name of every setting in the environment.
const envPrefix = "WEBPUSH_"

// Env returns the environment variable of a setting.
func Env(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// UserFile returns the settings file in the user's configuration directory; empty if that
// directory is not known.
func UserFile() string {
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		var err error
		if dir, err = os.UserConfigDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "webpush", "config.yaml")
}

// DirectoryFile is the settings file in the current directory. Anyone who can write to the
// directory can write it, so it can contain only harmless settings.
const DirectoryFile = "webpush.yaml"

// Harmless lists the settings that a [DirectoryFile] can contain. All other settings, and
// new ones by default, affect trust, routes, or identities. They are accepted only as
// flags, in the environment, in the file named by --config, and in the user's own file.
var Harmless = []string{"subject", "ttl", "urgency", "encoding", "pad", "max-body", "timeout", "retries", "expires-in",
	"concurrency", "concurrency-per-origin", "rate", "rate-per-origin", "max-failures", "no-color", "log-format"}

// maxSize is the maximum size of a [DirectoryFile], in bytes.
const maxSize = 64 << 10

// Reader configures [Reader.Read].
type Reader struct {
	// Config is the file named by --config, which replaces the other files; empty if
	// the flag was not given.
	Config string
	// Known returns the names of all settings. It is called if there is a file.
	Known func() []string
	// Warn reports a problem that does not stop the command, with a hint.
	Warn func(message, hint string)
	// Opened is called with the name of each file that is read.
	Opened func(name string)
}

// Error is a problem with a settings file.
type Error struct {
	Problem string
	Next    string // the hint
	Usage   bool   // the command line is wrong, not the file
	cause   error
}

func (e *Error) Error() string { return e.Problem }
func (e *Error) Unwrap() error { return e.cause }

// Hint returns the next step.
func (e *Error) Hint() string { return e.Next }

// Settings are the settings files, in order of precedence.
type Settings struct{ files []file }

type file struct {
	name string
	*viper.Viper
}

// Read reads the file Config, or otherwise the files of the directory and of the user.
func (r Reader) Read() (*Settings, error) {
	s := new(Settings)
	if r.Config != "" {
		return s, r.add(s, r.Config, nil)
	}
	data, err := r.directoryFile()
	if err != nil {
		return s, err
	}
	if data != nil {
		if err := r.add(s, DirectoryFile, data); err != nil {
			return s, err
		}
		known := r.Known()
		for _, key := range s.files[0].AllKeys() {
			if slices.Contains(known, key) && !slices.Contains(Harmless, key) {
				return s, &Error{Problem: fmt.Sprintf("%s sets %q, which does not count in the file of a directory", DirectoryFile, key),
					Next: "move it to " + UserFile() + ", or if you trust this directory, name the file with --config " + DirectoryFile}
			}
		}
	}
	if own := UserFile(); own != "" {
		if _, err := os.Stat(own); err == nil {
			return s, r.add(s, own, nil)
		}
	}
	return s, nil
}

// directoryFile returns the content of the [DirectoryFile]. It is nil if the file does not
// exist or must not be read: a FIFO or a device would block every command, and the file of
// another user is not trusted.
func (r Reader) directoryFile() ([]byte, error) {
	info, err := os.Stat(DirectoryFile)
	if err != nil {
		return nil, nil
	}
	problem := ""
	switch {
	case !info.Mode().IsRegular():
		problem = "it is not a regular file"
	case info.Size() > maxSize:
		problem = fmt.Sprintf("it has %d bytes, more than %d", info.Size(), maxSize)
	case ownedByStranger(info):
		problem = "it belongs to another user"
	}
	if problem != "" {
		r.Warn(fmt.Sprintf("ignored %s: %s", DirectoryFile, problem), "to use it anyway, name it with --config "+DirectoryFile)
		return nil, nil
	}
	f, err := os.Open(DirectoryFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize))
	if data == nil {
		data = []byte{}
	}
	return data, err
}

// add reads one file. data is its content if it has already been read.
func (r Reader) add(s *Settings, name string, data []byte) error {
	r.Opened(name)
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
		case errors.As(err, new(*fs.PathError)):
			problem := fileio.ReadError(name, err)
			e := &Error{Problem: problem.Error(), Next: problem.Hint(), Usage: errors.Is(err, fs.ErrNotExist), cause: err}
			if r.Config != "" {
				e.Problem = "--config: " + e.Problem
			}
			return e
		case errors.As(err, &unsupported):
			return &Error{Problem: "the settings file " + name + " has an unknown ending", Next: "write it as YAML, with the ending .yaml", Usage: true, cause: err}
		}
		where := "it" // the parser quotes the content, which may be a secret
		if m := regexp.MustCompile(`line [0-9]+`).FindString(err.Error()); m != "" {
			where = m
		}
		return &Error{Problem: fmt.Sprintf("the settings file %s cannot be read: %s is not valid YAML", name, where),
			Next: "write it as YAML, with one setting per line, such as: subject: mailto:you@your.domain", cause: err}
	}
	s.files = append(s.files, file{name, v})
	known := r.Known()
	var unknown []string
	for _, key := range v.AllKeys() {
		if !slices.Contains(known, key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 && len(unknown) == len(v.AllKeys()) && r.Config != "" {
		// The content is not repeated: it may be any file.
		return &Error{Problem: name + " has no settings: it is not a settings file",
			Next: "webpush config lists the settings; a line of the file looks like: subject: mailto:you@your.domain"}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		r.Warn(fmt.Sprintf("the settings file %s has %q, which is not a setting", name, key), "webpush config lists them all")
	}
	return nil
}

// Files returns the names of the files, in order of precedence.
func (s *Settings) Files() []string {
	if s == nil {
		return nil
	}
	var names []string
	for _, f := range s.files {
		names = append(names, f.name)
	}
	return names
}

// Lookup returns the value of a setting from the environment or a file, and its source,
// the name of the variable or of the file. A list is joined as in PATH.
func (s *Settings) Lookup(name string) (value, source string, ok bool) {
	if v := os.Getenv(Env(name)); v != "" {
		return v, Env(name), true
	}
	if s == nil {
		return "", "", false
	}
	for _, f := range s.files {
		if f.InConfig(name) {
			if list, ok := f.list(name); ok {
				return strings.Join(list, string(os.PathListSeparator)), f.name, true
			}
			return f.GetString(name), f.name, true
		}
	}
	return "", "", false
}

// List returns the values of a setting that is a list in the file source.
func (s *Settings) List(name, source string) (list []string, ok bool) {
	if s == nil {
		return nil, false
	}
	for _, f := range s.files {
		if f.name == source {
			return f.list(name)
		}
	}
	return nil, false
}

func (f file) list(name string) ([]string, bool) {
	if _, ok := f.Get(name).([]any); !ok {
		return nil, false
	}
	return f.GetStringSlice(name), true
}
