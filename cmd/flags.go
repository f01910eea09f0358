package cmd

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// enumFlag is a flag that accepts one of a few words.
type enumFlag struct {
	value   string
	allowed []string
	changed bool
}

func newEnum(value string, allowed ...string) enumFlag {
	return enumFlag{value: value, allowed: allowed}
}

func (e *enumFlag) String() string { return e.value }
func (e *enumFlag) Type() string   { return "WORD" }
func (e *enumFlag) Set(v string) error {
	if !slices.Contains(e.allowed, v) {
		return fmt.Errorf("invalid value %q, expected one of %s", v, strings.Join(e.allowed, ", "))
	}
	e.value, e.changed = v, true
	return nil
}

// completeEnum lets the shell complete the words of an enumFlag.
func completeEnum(c *cobra.Command, name string, e *enumFlag) {
	complete(c, name, func() []string { return e.allowed })
}

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
	value time.Duration
	set   bool
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
	d.value, d.set = t, true
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
