package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// complete lets the shell complete a flag.
func complete(c *cobra.Command, name string, words func() []string) {
	if err := c.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words(), cobra.ShellCompDirectiveNoFileComp
	}); err != nil {
		panic(err) // the name is not a flag: seen by every test
	}
}

// durationFlag is a flag that accepts a time: Go's form, days and weeks, or
// bare seconds.
type durationFlag struct {
	value    time.Duration
	set      bool
	min, max time.Duration // allowed values if min is not 0; no limit if max is 0
}

func (d *durationFlag) String() string {
	if !d.set && d.value == 0 {
		return ""
	}
	return shortDuration(d.value)
}
func (d *durationFlag) Type() string { return "TIME" }
func (d *durationFlag) Set(v string) error {
	t, err := parseDuration(v)
	if err != nil {
		return err
	}
	switch {
	case d.min == 0:
	case d.max == 0 && t < d.min:
		return fmt.Errorf("expected more than 0, found %s", v)
	case d.max > 0 && (t < d.min || t > d.max):
		return fmt.Errorf("expected %s to %s, found %s", shortDuration(d.min), strings.TrimSuffix(d.max.String(), "0m0s"), v)
	}
	d.value, d.set = t, true
	return nil
}

// positive returns the flag for a time of more than 0.
func positive(value time.Duration) durationFlag { return durationFlag{value: value, min: 1} }

// parsedFlag is a flag whose value a function parses.
type parsedFlag[T any] struct {
	value      *T
	text, kind string
	parse      func(string) (T, error)
}

// parsed returns the value of a flag with the default text; kind names it in the help.
func parsed[T any](value *T, text, kind string, parse func(string) (T, error)) *parsedFlag[T] {
	return &parsedFlag[T]{value, text, kind, parse}
}

func (p *parsedFlag[T]) String() string { return p.text }
func (p *parsedFlag[T]) Type() string   { return p.kind }
func (p *parsedFlag[T]) Set(v string) error {
	value, err := p.parse(v)
	if err == nil {
		*p.value, p.text = value, v
	}
	return err
}

// wordFlag adds a flag that accepts one of a few words, which the shell completes. The
// default is the value that it points to.
func wordFlag[T ~string](c *cobra.Command, value *T, name, short, usage string, allowed ...T) {
	c.Flags().VarP(parsed(value, string(*value), "WORD", func(v string) (T, error) { return oneOf(v, allowed) }), name, short, usage)
	complete(c, name, func() []string { return words(allowed) })
}

// wordsFlag adds a flag that accepts several of a few words, separated by commas or
// repeated.
func wordsFlag(c *cobra.Command, values *[]string, name, usage string, allowed []string) {
	var list []string
	c.Flags().Var(parsed(values, "", "strings", func(v string) ([]string, error) {
		for word := range strings.SplitSeq(v, ",") {
			word, err := oneOf(strings.TrimSpace(word), allowed)
			if err != nil {
				return nil, err
			}
			list = append(list, word)
		}
		return list, nil
	}), name, usage)
	complete(c, name, func() []string { return allowed })
}

// oneOf returns v, or an error if it is not allowed.
func oneOf[T ~string](v string, allowed []T) (T, error) {
	if !slices.Contains(allowed, T(v)) {
		return "", fmt.Errorf("invalid value %q, expected one of %s", v, strings.Join(words(allowed), ", "))
	}
	return T(v), nil
}

// numberFlag is a flag that accepts a whole number within limits.
type numberFlag[T int | int64] struct {
	value    *T
	min, max T
}

// number returns the value of a flag for a number from min to max; max is 0 for no
// limit. The default is the value that it points to.
func number[T int | int64](value *T, min, max T) *numberFlag[T] {
	return &numberFlag[T]{value, min, max}
}

func (n *numberFlag[T]) String() string {
	if n.value == nil {
		return "0"
	}
	return fmt.Sprint(*n.value)
}
func (n *numberFlag[T]) Type() string { return "int" }
func (n *numberFlag[T]) Set(v string) error {
	i, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return err
	}
	switch {
	case n.max == 0 && i < int64(n.min):
		return fmt.Errorf("expected %d or more, found %d", n.min, i)
	case n.max > 0 && (i < int64(n.min) || i > int64(n.max)):
		return fmt.Errorf("expected %d to %d, found %d", n.min, n.max, i)
	}
	*n.value = T(i)
	return nil
}

func parseDuration(v string) (time.Duration, error) { return bulk.ParseDuration(v) }

func shortDuration(d time.Duration) string { return bulk.FormatDuration(d) }

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// exclusive refuses two flags that contradict each other.
func exclusive(c *cobra.Command, a, b string) error {
	if c.Flags().Changed(a) && c.Flags().Changed(b) {
		return usage("omit one of them", "--%s and --%s cannot be combined", a, b)
	}
	return nil
}

// words returns a list's values as they are written in flags.
func words[T ~string](values []T) []string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return names
}

// runnable returns an error if the program that a flag names cannot be run. A hint for a
// name with arguments has places for the program and its arguments; "" if the program has
// none.
func runnable(flag, name, withArguments string) error {
	_, err := exec.LookPath(name)
	if err == nil {
		return nil
	}
	hint := "give its path, or a name that is in $PATH"
	program, rest, arguments := strings.Cut(name, " ")
	switch {
	case exists(name) && !strings.ContainsRune(name, os.PathSeparator):
		hint = "for the file in this directory, write ./" + shellWord(name)
	case errors.Is(err, fs.ErrPermission):
		hint = "make it executable with: chmod +x " + shellWord(name)
	case arguments && withArguments != "":
		hint = fmt.Sprintf(withArguments, shellWord(program), rest)
	}
	if problem, ok := errors.AsType[*exec.Error](err); ok {
		err = problem.Err
	}
	return usage(hint, "--%s: %q cannot be run: %w", flag, name, err)
}
