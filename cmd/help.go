package cmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupAnnotation names the heading of a flag in the help.
const groupAnnotation = "webpush_group"

// The headings of flags, in the order of the help.
var flagGroups = []string{"Flags", "Payload", "Notification, instead of a payload", "Message", "Many subscriptions", "NATS", "Streams, when they are created", "Key and claims", "Database", "Visitors", "Sending", "Connection", "Faults and limits", "curl", "Everywhere"}

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

// flagGroup are the flags of a command under one heading.
type flagGroup struct {
	heading string
	flags   *pflag.FlagSet
}

// groupedFlags returns the flags of a command in the order of the help.
func groupedFlags(c *cobra.Command) []flagGroup {
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
	var groups []flagGroup
	for _, heading := range flagGroups {
		if set := sets[heading]; set != nil && set.HasAvailableFlags() {
			groups = append(groups, flagGroup{heading, set})
		}
	}
	return groups
}

// writeUsage prints the usage line of a command, its examples, and its flags under
// headings.
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
	topics := "\nTopics (webpush help TOPIC):\n"
	for _, sub := range c.Commands() {
		if sub.IsAdditionalHelpTopicCommand() && sub.Name() != "help" {
			fmt.Fprintf(&b, "%s  %-15s %s\n", topics, sub.Name(), sub.Short)
			topics = ""
		}
	}
	for _, g := range groupedFlags(c) {
		fmt.Fprintf(&b, "\n%s:\n%s", g.heading, g.flags.FlagUsagesWrapped(100))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nMore about a command: %s COMMAND --help\n", c.CommandPath())
	}
	_, err := c.OutOrStdout().Write([]byte(b.String()))
	return err
}

// brief returns the first paragraph of a command's text, for --help. more reports
// whether webpush help and the manual page have more text.
func brief(c *cobra.Command) (text string, more bool) {
	text, rest, _ := strings.Cut(c.Long, "\n\n")
	if text == "" {
		text = c.Short
	}
	return text, rest != ""
}

// writeHelp prints the output of --help: a few lines about the command, then its
// usage.
func writeHelp(c *cobra.Command, _ []string) {
	text, more := brief(c)
	fmt.Fprintf(c.OutOrStdout(), "%s\n\n", text)
	if more && c.HasParent() {
		fmt.Fprintf(c.OutOrStdout(), "More: webpush help %s\n\n", helpTopic(c))
	}
	if c.Runnable() || c.HasSubCommands() {
		_ = writeUsage(c)
	}
}

// writeFullHelp prints the output of webpush help: the whole text, then the usage.
func writeFullHelp(c *cobra.Command) error {
	c.InitDefaultHelpFlag()
	if _, err := fmt.Fprintf(c.OutOrStdout(), "%s\n\n", c.Long); err != nil {
		return err
	}
	if !c.Runnable() && !c.HasSubCommands() { // a topic
		return nil
	}
	return writeUsage(c)
}

// helpTopic is the command's path without the program's name.
func helpTopic(c *cobra.Command) string {
	_, path, _ := strings.Cut(c.CommandPath(), " ")
	return path
}

// newHelpCmd replaces cobra's help command: it reports unknown commands and prints
// whole texts.
func newHelpCmd() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND…]",
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			parent, _, err := c.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, sub := range parent.Commands() {
				if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
					names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			found := c.Root()
			if len(args) == 0 {
				return found.Help()
			}
			for i, word := range args {
				at := slices.IndexFunc(found.Commands(), func(sub *cobra.Command) bool { return sub.Name() == word || sub.HasAlias(word) })
				switch {
				case at >= 0:
					found = found.Commands()[at]
				case i == 0:
					return found.Args(found, args)
				default:
					return usage("see: "+found.CommandPath()+" --help", "%s has no command %q", found.CommandPath(), shown(word))
				}
			}
			return writeFullHelp(found)
		},
	}
}
