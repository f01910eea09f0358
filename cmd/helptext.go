package cmd

import (
	"embed"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
	"github.com/seed81da77dd/webpush/cmd/internal/settings"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

//go:embed help/*.txt
var helpTexts embed.FS

// inGroup puts all flags of a command that have no heading yet under one.
func inGroup(f *pflag.FlagSet, heading string) { help.Group(f, heading) }

// newTopics returns the help topics: texts that concern several commands, printed
// by webpush help TOPIC and kept in section 7 of the manual.
func newTopics() []*cobra.Command {
	var topics []*cobra.Command
	for _, name := range []string{"scaling", "bulk", "pushes", "testing", "migration"} {
		topics = append(topics, &cobra.Command{Use: name})
	}
	return topics
}

// addHelpTexts gives all commands and topics their texts.
func addHelpTexts(root *cobra.Command) {
	files, err := fs.Sub(helpTexts, "help")
	if err != nil {
		panic(err) // the name is not valid: seen by every test
	}
	help.AddTexts(root, files, strings.NewReplacer(
		"{{push-service}}", pushservice.DefaultAddr,
		"{{registration-errors}}", strings.Join(pushservice.RegistrationErrors()[:3], ", "),
		"{{settings}}", help.Wrap(settings.Harmless, 78)))
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
			return help.Write(found)
		},
	}
}
