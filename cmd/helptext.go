package cmd

import (
	"embed"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
	"github.com/seed81da77dd/webpush/cmd/internal/misuse"
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

// newHelpCmd returns webpush help, which reports unknown commands like webpush itself.
func newHelpCmd() *cobra.Command {
	return help.NewCommand(func(parent *cobra.Command, word string) error {
		if !parent.HasParent() {
			return parent.Args(parent, []string{word})
		}
		return usage(misuse.Command(parent, word), "%s has no command %q", parent.CommandPath(), shown(word))
	})
}
