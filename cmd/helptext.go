package cmd

import (
	"embed"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/cmd/internal/settings"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// helpTexts has one file per command and topic, help/COMMAND.txt or
// help/COMMAND-SUBCOMMAND.txt: a line for the list of commands, the text, whose first
// paragraph is for --help, and after the line "Examples:" the examples.
//
//go:embed help/*.txt
var helpTexts embed.FS

// examplesHeading separates the text of a command from its examples.
const examplesHeading = "\nExamples:\n"

// newTopics returns the help topics: texts that concern several commands, printed
// by webpush help TOPIC and kept in section 7 of the manual.
func newTopics() []*cobra.Command {
	var topics []*cobra.Command
	for _, name := range []string{"scaling", "bulk", "pushes", "testing", "migration"} {
		topics = append(topics, &cobra.Command{Use: name})
	}
	return topics
}

// addHelpTexts gives a command and its subcommands their texts.
func addHelpTexts(c *cobra.Command) {
	values := strings.NewReplacer(
		"{{push-service}}", pushservice.DefaultAddr,
		"{{registration-errors}}", strings.Join(pushservice.RegistrationErrors()[:3], ", "),
		"{{settings}}", wrapped(settings.Harmless, 78))
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		name := strings.ReplaceAll(helpTopic(c), " ", "-")
		if !c.HasParent() {
			name = c.Name()
		}
		b, err := helpTexts.ReadFile("help/" + name + ".txt")
		if err != nil {
			panic(fmt.Sprintf("%s has no help text: %v", c.CommandPath(), err)) // seen by every test
		}
		text, examples, _ := strings.Cut(values.Replace(string(b)), examplesHeading)
		short, long, _ := strings.Cut(text, "\n\n")
		c.Short, c.Long, c.Example = short, strings.TrimSuffix(long, "\n"), strings.TrimSuffix(examples, "\n")
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(c)
}
