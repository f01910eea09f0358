// Package help prints the help of commands: texts from files, and flags under headings.
package help

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupAnnotation names the heading of a flag in the help.
const groupAnnotation = "webpush_group"

// Headings that decide how flags are combined.
const (
	Notification = "Notification, instead of a payload"
	NATS         = "NATS"
	Streams      = "Streams, when they are created"
	Everywhere   = "Everywhere"
)

// The headings of flags, in the order of the help.
var flagGroups = []string{"Flags", "Payload", Notification, "Message", "Many subscriptions", NATS, Streams, "Key and claims", "Database", "Visitors", "Sending", "Connection", "Faults and limits", "curl", Everywhere}

// Group puts all flags of a command that have no heading yet under one.
func Group(fs *pflag.FlagSet, heading string) {
	if !slices.Contains(flagGroups, heading) {
		panic("the help does not list the heading " + heading) // seen by every test
	}
	defer func(sort bool) { fs.SortFlags = sort }(fs.SortFlags)
	fs.SortFlags = false // this runs at each start of the command, and sorting would take most of its time
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[groupAnnotation] == nil {
			if f.Annotations == nil {
				f.Annotations = make(map[string][]string)
			}
			f.Annotations[groupAnnotation] = []string{heading}
		}
	})
}

// GroupOf returns the heading of a flag, or "".
func GroupOf(f *pflag.Flag) string {
	if a := f.Annotations[groupAnnotation]; a != nil {
		return a[0]
	}
	return ""
}

// Given returns the first flag that was set and is under one of the headings, or "".
func Given(fs *pflag.FlagSet, headings ...string) (name string) {
	fs.Visit(func(f *pflag.Flag) {
		if name == "" && slices.Contains(headings, GroupOf(f)) {
			name = f.Name
		}
	})
	return name
}

// Plain removes the quotes around the names of values, which are for the help,
// from the descriptions of flags, which shells show as they are.
func Plain(c *cobra.Command) {
	plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
	c.Flags().VisitAll(plain)
	c.PersistentFlags().VisitAll(plain)
	for _, sub := range c.Commands() {
		Plain(sub)
	}
}

// FlagGroup holds the flags of a command under one heading.
type FlagGroup struct {
	Heading string         // one of the headings of [Group]
	Flags   *pflag.FlagSet // its flags
}

// Flags returns the flags of a command in the order of the help.
func Flags(c *cobra.Command) []FlagGroup {
	sets := make(map[string]*pflag.FlagSet)
	add := func(heading string) func(*pflag.Flag) {
		return func(f *pflag.Flag) {
			h := cmp.Or(GroupOf(f), heading)
			if sets[h] == nil {
				sets[h] = pflag.NewFlagSet(h, pflag.ContinueOnError)
			}
			sets[h].AddFlag(f)
		}
	}
	c.InheritedFlags().VisitAll(add(Everywhere))
	c.LocalFlags().VisitAll(add("Flags"))
	var groups []FlagGroup
	for _, heading := range flagGroups {
		if set := sets[heading]; set != nil && set.HasAvailableFlags() {
			groups = append(groups, FlagGroup{heading, set})
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
	for _, g := range Flags(c) {
		fmt.Fprintf(&b, "\n%s:\n%s", g.Heading, g.Flags.FlagUsagesWrapped(100))
	}
	if c.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "\nMore about a command: %s COMMAND --help\n", c.CommandPath())
	}
	_, err := c.OutOrStdout().Write([]byte(b.String()))
	return err
}

// Brief returns the first paragraph of a command's text, for --help. more reports
// whether webpush help and the manual page have more text.
func Brief(c *cobra.Command) (text string, more bool) {
	text, rest, _ := strings.Cut(c.Long, "\n\n")
	if text == "" {
		text = c.Short
	}
	return text, rest != ""
}

// writeBrief prints the output of --help: a few lines about the command, then its
// usage.
func writeBrief(c *cobra.Command, _ []string) {
	text, more := Brief(c)
	fmt.Fprintf(c.OutOrStdout(), "%s\n\n", text)
	if more && c.HasParent() {
		fmt.Fprintf(c.OutOrStdout(), "More: webpush help %s\n\n", Topic(c))
	}
	if c.Runnable() || c.HasSubCommands() {
		_ = writeUsage(c)
	}
}

// Write prints the output of webpush help: the whole text, then the usage.
func Write(c *cobra.Command) error {
	c.InitDefaultHelpFlag()
	if _, err := fmt.Fprintf(c.OutOrStdout(), "%s\n\n", c.Long); err != nil {
		return err
	}
	if !c.Runnable() && !c.HasSubCommands() { // a topic
		return nil
	}
	return writeUsage(c)
}

// Topic is the command's path without the program's name.
func Topic(c *cobra.Command) string {
	_, path, _ := strings.Cut(c.CommandPath(), " ")
	return path
}

// Install makes root and its commands print their help in this way.
func Install(root *cobra.Command) {
	root.SetUsageFunc(writeUsage)
	root.SetHelpFunc(writeBrief)
}

// NewCommand returns a help command that replaces cobra's: it prints whole texts, and
// calls unknown for a word that is not a command below parent.
func NewCommand(unknown func(parent *cobra.Command, word string) error) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND…]",
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			if parent, _, err := c.Root().Find(args); err == nil {
				for _, sub := range parent.Commands() {
					if sub.IsAvailableCommand() || sub.IsAdditionalHelpTopicCommand() {
						names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			found := c.Root()
			if len(args) == 0 {
				return found.Help()
			}
			for _, word := range args {
				at := slices.IndexFunc(found.Commands(), func(sub *cobra.Command) bool { return sub.Name() == word || sub.HasAlias(word) })
				if at < 0 {
					return unknown(found, word)
				}
				found = found.Commands()[at]
			}
			return Write(found)
		},
	}
}
