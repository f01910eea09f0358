package cmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupAnnotation is the heading under which the help lists a flag.
const groupAnnotation = "webpush_group"

// The headings of flags, in the order of the help.
var flagGroups = []string{"Flags", "Payload", "Notification, instead of a payload", "Message", "Many subscriptions", "Key and claims", "Database", "Visitors", "Sending", "Connection", "Faults and limits", "curl", "Everywhere"}

// inGroup puts all flags of a command that have no heading yet under one.
func inGroup(fs *pflag.FlagSet, heading string) {
	if !slices.Contains(flagGroups, heading) {
		panic("the help does not list the heading " + heading) // seen by every test
	}
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[groupAnnotation] == nil {
			if f.Annotations == nil {
				f.Annotations = make(map[string][]string)
			}
			f.Annotations[groupAnnotation] = []string{heading}
		}
	})
}

// plainUsage removes the quotes around the names of values, which are for the help,
// from the descriptions of flags, which shells show as they are.
func plainUsage(c *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	c.Flags().VisitAll(plain)
	c.PersistentFlags().VisitAll(plain)
	for _, sub := range c.Commands() {
		plainUsage(sub)
	}
}

// writeUsage is the short help of a command: how it is called, examples, and
// its flags under headings.
func writeUsage(c *cobra.Command) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage:\n  %s\n", c.UseLine())
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s COMMAND [flags]\n", c.CommandPath())
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(&b, "\nAlso: %s\n", strings.Join(c.Aliases, ", "))
	}
	if c.HasExample() {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", c.Example)
	}
	for _, g := range c.Groups() {
		fmt.Fprintf(&b, "\n%s\n", g.Title)
		for _, sub := range c.Commands() {
			if sub.GroupID == g.ID && (sub.IsAvailableCommand() || sub.Name() == "help") {
				fmt.Fprintf(&b, "  %-15s %s\n", sub.Name(), sub.Short)
			}
		}
	}
	sets := make(map[string]*pflag.FlagSet)
	add := func(heading string) func(*pflag.Flag) {
		return func(f *pflag.Flag) {
			h := heading
			if a := f.Annotations[groupAnnotation]; a != nil {
				h = a[0]
			}
			if sets[h] == nil {
				sets[h] = pflag.NewFlagSet(h, pflag.ContinueOnError)
			}
			sets[h].AddFlag(f)
		}
	}
	c.InheritedFlags().VisitAll(add("Everywhere"))
	c.LocalFlags().VisitAll(add("Flags"))
	for _, heading := range flagGroups {
		if set := sets[heading]; set != nil && set.HasAvailableFlags() {
			fmt.Fprintf(&b, "\n%s:\n%s", heading, set.FlagUsagesWrapped(100))
		}
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nMore about a command: %s COMMAND --help\n", c.CommandPath())
	}
	_, err := c.OutOrStdout().Write([]byte(b.String()))
	return err
}

// writeHelp is the long help: what the command does, then its usage.
func writeHelp(c *cobra.Command, _ []string) {
	text := c.Long
	if text == "" {
		text = c.Short
	}
	fmt.Fprintf(c.OutOrStdout(), "%s\n\n", text)
	if c.Runnable() || c.HasSubCommands() {
		_ = writeUsage(c)
	}
}
