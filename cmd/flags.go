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

// number returns the value of a flag for a whole number from min to max; max is 0 for no
// limit. The default is the value that it points to.
func number[T int | int64](value *T, min, max T) *parsedFlag[T] {
	return parsed(value, fmt.Sprint(*value), "int", func(v string) (T, error) {
		i, err := strconv.ParseInt(v, 10, 64)
		switch {
		case err != nil:
			return 0, err
		case max == 0 && i < int64(min):
			return 0, fmt.Errorf("expected %d or more, found %d", min, i)
		case max > 0 && (i < int64(min) || i > int64(max)):
			return 0, fmt.Errorf("expected %d to %d, found %d", min, max, i)
		}
		return T(i), nil
	})
}

// duration returns the value of a flag for a time, in Go's form, days and weeks, or bare
// seconds, from min to max; each is 0 for no limit. The default is the value that it
// points to, or none if that is 0.
func duration(value *time.Duration, min, max time.Duration) *parsedFlag[time.Duration] {
	text := ""
	if *value != 0 {
		text = shortDuration(*value)
	}
	return parsed(value, text, "TIME", func(v string) (time.Duration, error) {
		d, err := bulk.ParseDuration(v)
		switch {
		case err != nil || min == 0:
			return d, err
		case max > 0 && (d < min || d > max):
			return 0, fmt.Errorf("expected %s to %s, found %s", shortDuration(min), strings.TrimSuffix(max.String(), "0m0s"), v)
		case d < min && min == 1:
			return 0, fmt.Errorf("expected more than 0, found %s", v)
		case d < min:
			return 0, fmt.Errorf("expected %s or more, found %s", shortDuration(min), v)
		}
		return d, nil
	})
}

// positive returns the value of a flag for a time of more than 0.
func positive(value *time.Duration) *parsedFlag[time.Duration] { return duration(value, 1, 0) }

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
