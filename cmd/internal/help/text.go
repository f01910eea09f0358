package help

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
)

// examplesHeading separates the text of a command from its examples.
const examplesHeading = "\nExamples:\n"

// AddTexts gives a command and its subcommands their texts. files has one for each command
// and topic, COMMAND.txt or COMMAND-SUBCOMMAND.txt: a line for the list of commands, the
// text, whose first paragraph is for --help, and after the line "Examples:" the examples.
// values replaces placeholders. A command without a file is an error of the program.
func AddTexts(c *cobra.Command, files fs.FS, values *strings.Replacer) {
	name := strings.ReplaceAll(Topic(c), " ", "-")
	if !c.HasParent() {
		name = c.Name()
	}
	b, err := fs.ReadFile(files, name+".txt")
	if err != nil {
		panic(fmt.Sprintf("%s has no help text: %v", c.CommandPath(), err)) // seen by every test
	}
	text := string(b)
	if strings.Contains(text, "{{") { // most have no placeholder, and each start of the command comes here
		text = values.Replace(text)
	}
	text, examples, _ := strings.Cut(text, examplesHeading)
	short, long, _ := strings.Cut(text, "\n\n")
	c.Short, c.Long, c.Example = short, strings.TrimSuffix(long, "\n"), strings.TrimSuffix(examples, "\n")
	for _, sub := range c.Commands() {
		AddTexts(sub, files, values)
	}
}

// Wrap joins words with commas, in lines of at most width characters.
func Wrap(words []string, width int) string {
	var b strings.Builder
	column := 0
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		if column > 0 && column+1+len(w) > width {
			b.WriteByte('\n')
			column = 0
		} else if column > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(w)
		column += len(w)
	}
	return b.String()
}
