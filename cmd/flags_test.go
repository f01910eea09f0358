package cmd

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestFlagsAgree: the help, the manual page, and the shell's completion of each
// command have the same flags.
func TestFlagsAgree(t *testing.T) {
	ask := func(args ...string) string {
		var out bytes.Buffer
		if code := run(context.Background(), &streams{in: strings.NewReader(""), out: &out, err: &bytes.Buffer{}}, args); code != exitOK {
			t.Errorf("%v: exit code %d", args, code)
		}
		return out.String()
	}
	pages := manPages(t)
	n := 0
	var visit func(c *cobra.Command, path []string)
	visit = func(c *cobra.Command, path []string) {
		if c.Hidden || c.Name() == "help" || c.Name() == cobra.ShellCompRequestCmd || c.IsAdditionalHelpTopicCommand() {
			return
		}
		name := strings.Join(append([]string{"webpush"}, path...), "-")
		c.InitDefaultHelpFlag()
		var want []string
		add := func(f *pflag.Flag) {
			if !f.Hidden {
				want = append(want, "--"+f.Name)
			}
		}
		c.LocalFlags().VisitAll(add)
		c.InheritedFlags().VisitAll(add)
		slices.Sort(want)
		n += len(want)
		compare := func(where string, have []string) {
			slices.Sort(have)
			if have = slices.Compact(have); !slices.Equal(have, want) {
				t.Errorf("%s of %s has the flags %q, want %q", where, name, have, want)
			}
		}
		begins := func(text, before string) (flags []string) {
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, before) && before != "" {
					continue
				}
				words := strings.Fields(strings.NewReplacer(`\fB`, "", `\fP`, "", `\-`, "-", ",", " ", "=", " ", "[", " ").Replace(line))
				for _, w := range words[:min(2, len(words))] {
					if strings.HasPrefix(w, "--") && len(w) > 2 {
						flags = append(flags, w)
						break
					} else if !strings.HasPrefix(w, "-") {
						break
					}
				}
			}
			return flags
		}
		help := ask(append(slices.Clone(path), "--help")...)
		_, help, _ = strings.Cut(help, "Flags:\n")
		compare("the help", begins(help, ""))
		compare("the manual page", begins(pages[name+".1"], `\fB`))
		completion := ask(append(append([]string{cobra.ShellCompRequestCmd}, path...), "--")...)
		compare("the completion", begins(completion, "--"))
		if strings.Contains(completion, "`") {
			t.Errorf("the completion of %s shows the quotes of the help: %s", name, completion)
		}
		for _, sub := range c.Commands() {
			visit(sub, append(slices.Clone(path), sub.Name()))
		}
	}
	visit(newRootCmd(&streams{}), nil)
	if n < 200 {
		t.Errorf("only %d flags were compared", n)
	}
}

// TestFlagLimits asserts that a value out of the limits of a flag is refused, and that
// the variable keeps its value.
func TestFlagLimits(t *testing.T) {
	n, t1, t2, t3 := 2, time.Hour, time.Duration(0), time.Duration(0)
	bounded, unbounded := number(&n, 1, 5), number(&n, 1, 0)
	d, open, least := duration(&t1, 1, 24*time.Hour), positive(&t2), duration(&t3, time.Second, 0)
	for _, c := range []struct {
		flag  pflag.Value
		value string
		want  string
	}{
		{bounded, "1", ""}, {bounded, "5", ""}, {bounded, "0", "expected 1 to 5, found 0"}, {bounded, "6", "expected 1 to 5, found 6"}, {bounded, "99999999999999999999", "value out of range"},
		{unbounded, "7", ""}, {unbounded, "-7", "expected 1 or more, found -7"},
		{d, "1d", ""}, {d, "0", "expected 1ns to 24h, found 0"}, {d, "90000", "expected 1ns to 24h, found 90000"}, {d, "soon", "not a duration"},
		{open, "4w", ""}, {open, "-1s", "expected more than 0, found -1s"}, {open, "0", "expected more than 0, found 0"},
		{least, "1", ""}, {least, "1ms", "expected 1s or more, found 1ms"},
	} {
		before := c.flag.String()
		err := c.flag.Set(c.value)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: %v, want %q", c.value, err, c.want)
		case err != nil && c.flag.String() != before:
			t.Errorf("%q was refused and set: %s", c.value, c.flag)
		}
	}
}
