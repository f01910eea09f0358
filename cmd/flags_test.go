package cmd

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

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
