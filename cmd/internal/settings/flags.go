package settings

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/misuse"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// annotation marks the flags that are settings. Its value on a flag is the source of the
// flag's value.
const annotation = "webpush_setting"

// Default is the source of a value that nobody has set.
const Default = "default"

// Mark makes these flags settings: they can also be set in the environment or in a
// settings file.
func Mark(fs *pflag.FlagSet, names ...string) {
	for _, name := range names {
		if err := fs.SetAnnotation(name, annotation, []string{Default}); err != nil {
			panic(err) // the name is not a flag: seen by every test
		}
	}
}

// Source returns the source of a flag's value: [Default], "--name", or the name of an
// environment variable or file.
func Source(f *pflag.Flag) string {
	switch {
	case f == nil:
	case f.Annotations[annotation] != nil:
		return f.Annotations[annotation][0]
	case f.Changed:
		return "--" + f.Name
	}
	return Default
}

// Flags returns the flags of the whole tree that are settings, by name.
func Flags(root *cobra.Command) map[string]*pflag.Flag {
	all := make(map[string]*pflag.Flag)
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, set := range []*pflag.FlagSet{c.LocalFlags(), c.PersistentFlags()} {
			set.VisitAll(func(f *pflag.Flag) {
				if f.Annotations[annotation] != nil && all[f.Name] == nil {
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

// Apply sets the flags that are settings, and that were not given on the command line,
// from the environment or a file.
func (s *Settings) Apply(flags *pflag.FlagSet) error {
	var problem error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[annotation] == nil || problem != nil {
			return
		}
		source := "--" + f.Name
		if !f.Changed {
			value, from, ok := s.Lookup(f.Name)
			if !ok {
				return
			}
			if err := s.set(f, value, from); err != nil {
				problem = &Error{Problem: Refused(f.Name, from, err), Next: webpush.HintOf(err), Usage: true, cause: err}
				return
			}
			source = from
		}
		f.Annotations[annotation] = []string{source}
	})
	return problem
}

// Refused words the error of a flag for the value of a setting.
func Refused(name, source string, err error) string {
	return fmt.Sprintf("%s: the setting %s: %s", source, name, misuse.FlagProblem(err))
}

// list is the value of a flag that has several values, which a variable can hold.
type list interface {
	pflag.SliceValue
	SplitEnv(value string) []string
}

// set gives a flag the value of a setting. A repeatable flag can have a list in a file; in
// the environment, only if the flag can split it.
func (s *Settings) set(f *pflag.Flag, value, source string) error {
	if slice, ok := f.Value.(pflag.SliceValue); ok {
		if values, ok := s.List(f.Name, source); ok {
			return slice.Replace(values)
		}
	}
	if l, ok := f.Value.(list); ok && source == Env(f.Name) {
		return l.Replace(l.SplitEnv(value))
	}
	return f.Value.Set(value)
}

// Value is a setting with its value at present.
type Value struct {
	Name   string `json:"name"`        // of the flag, without dashes
	Value  string `json:"value"`       // as text
	Source string `json:"source"`      // see [Source]
	Env    string `json:"environment"` // variable that sets it
}

// Values returns all settings of a command's tree in order of their names: the values that
// were given to the command c, or that it would use.
func (s *Settings) Values(c *cobra.Command) (list []Value) {
	for name, f := range Flags(c.Root()) {
		v := Value{Name: name, Value: f.DefValue, Source: Default, Env: Env(name)}
		if own := c.Flags().Lookup(name); own != nil && own.Changed {
			v.Value, v.Source = own.Value.String(), "--"+name
		} else if value, from, ok := s.Lookup(name); ok {
			v.Value, v.Source = value, from
		}
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
	return list
}
