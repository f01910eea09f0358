package cmd

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
)

// roff writes manual pages. Lists, tables, and examples stay as they are, and
// flags are under the headings of the help.
type roff struct{ strings.Builder }

// special are the characters that roff takes for something else.
var special = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// escaped writes text for roff, in ASCII.
func escaped(text string) string {
	var b strings.Builder
	for _, r := range special.Replace(text) {
		if r < 0x80 {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\[u%04X]`, r)
		}
	}
	return b.String()
}

func (r *roff) line(text string) {
	text = escaped(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	r.WriteString(text + "\n")
}

func (r *roff) macro(name string, args ...string) {
	r.WriteString("." + name)
	for _, a := range args {
		r.WriteString(` "` + strings.ReplaceAll(escaped(a), `"`, `\(dq`) + `"`)
	}
	r.WriteByte('\n')
}

// headed is the first line of a paragraph with a heading, such as "RESULTS. With".
var headed = regexp.MustCompile(`^([A-Z][A-Z' ]+[A-Z])\. (.+)`)

// text writes paragraphs. Indented lines keep their form, and a heading in capitals
// becomes a subsection.
func (r *roff) text(s string) {
	verbatim := false
	set := func(on bool) {
		switch {
		case on && !verbatim:
			r.macro("PP")
			r.macro("nf")
		case !on && verbatim:
			r.macro("fi")
		}
		verbatim = on
	}
	blank := true
	for line := range strings.Lines(strings.Trim(s, "\n")) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "":
			if verbatim {
				r.line("")
			}
			blank = true
			continue
		case strings.HasPrefix(line, "  "):
			set(true)
		default:
			set(false)
			heading := headed.FindStringSubmatch(line)
			switch {
			case blank && heading != nil:
				r.macro("SS", heading[1])
				line = heading[2]
			case blank:
				r.macro("PP")
			}
		}
		r.line(line)
		blank = false
	}
	set(false)
}

func (r *roff) flag(f *pflag.Flag) {
	name, use := pflag.UnquoteUsage(f)
	head := `\fB` + escaped("--"+f.Name) + `\fP`
	if f.Shorthand != "" {
		head = `\fB` + escaped("-"+f.Shorthand) + `\fP, ` + head
	}
	if name != "" {
		head += ` \fI` + escaped(name) + `\fP`
	}
	r.macro("TP")
	r.WriteString(head + "\n")
	if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "[]" && !strings.Contains(use, "(default") {
		use += " (default " + d + ")"
	}
	r.line(use)
}

// manPage returns the manual page of a command or topic, in that section.
func manPage(c *cobra.Command, section string) string {
	var r roff
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	r.macro("TH", strings.ToUpper(name), section, manDate.Format("Jan 2006"), "webpush", "Web Push")
	r.macro("SH", "NAME")
	r.line(name + " - " + strings.ToLower(c.Short[:1]) + c.Short[1:])
	if c.Runnable() || c.HasSubCommands() {
		r.macro("SH", "SYNOPSIS")
		r.macro("B", c.UseLine())
	}
	r.macro("SH", "DESCRIPTION")
	r.text(c.Long)
	if c.HasExample() {
		r.macro("SH", "EXAMPLES")
		r.text(c.Example)
	}
	if groups := help.Flags(c); groups != nil && c.Runnable() {
		r.macro("SH", "OPTIONS")
		for _, g := range groups {
			if len(groups) > 1 {
				r.macro("SS", g.Heading)
			}
			g.Flags.VisitAll(func(f *pflag.Flag) {
				if !f.Hidden {
					r.flag(f)
				}
			})
		}
	}
	var also []string
	if c.HasParent() {
		also = append(also, pageName(c.Parent(), "1"))
	}
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" || sub.IsAdditionalHelpTopicCommand() {
			also = append(also, pageName(sub, manSection(sub)))
		}
	}
	for _, topic := range c.Root().Commands() {
		if topic.IsAdditionalHelpTopicCommand() && c.HasParent() && strings.Contains(c.Long, "webpush help "+topic.Name()) {
			also = append(also, pageName(topic, manSection(topic)))
		}
	}
	if also != nil {
		r.macro("SH", "SEE ALSO")
		r.WriteString(strings.Join(also, ", ") + "\n")
	}
	if section == "1" {
		r.WriteString(manTail)
	}
	return r.String()
}

func manSection(c *cobra.Command) string {
	if c.IsAdditionalHelpTopicCommand() {
		return "7"
	}
	return "1"
}

func pageName(c *cobra.Command, section string) string {
	return fmt.Sprintf(`\fB%s\fP(%s)`, escaped(strings.ReplaceAll(c.CommandPath(), " ", "-")), section)
}
