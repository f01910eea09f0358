package cmd

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"

	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// printLine prints a message in JSON on one line.
func (l *listener) printLine(v json.Marshaler) error {
	b, err := marshal(v, "")
	if err != nil {
		return err
	}
	_, err = l.out.Write(b)
	return err
}

// printText prints a message as text.
func (l *listener) printText(m *useragent.ReceivedMessage) error {
	var b strings.Builder
	if l.outTTY {
		b.WriteString(l.paint(true, m.Time.Local().Format("15:04:05"), color.Faint) + " ")
		if name := m.Name(); name != "" {
			b.WriteString(l.paint(true, name, color.Faint) + " ")
		}
	}
	n, declarative, isNotification := webpush.ParseNotification(m.Payload)
	switch {
	case m.Payload == nil:
		b.WriteString(l.paint(l.outTTY, "(no payload)", color.Faint))
	case !utf8.Valid(m.Payload):
		fmt.Fprintf(&b, "(binary, %s) %s", plural(len(m.Payload), "byte"), base64.RawURLEncoding.EncodeToString(m.Payload))
	case l.outTTY && isNotification:
		b.WriteString(l.paint(true, printable.Text(n.Title), color.Bold))
		if declarative {
			b.WriteString(l.paint(true, " (declarative)", color.Faint))
		}
		if n.Body != "" {
			b.WriteString("\n" + indented(printable.Text(n.Body)))
		}
		if n.Navigate != "" {
			b.WriteString("\n" + indented(l.paint(true, printable.Text(n.Navigate), color.FgCyan, color.Underline)))
		}
		for _, a := range n.Actions {
			b.WriteString("\n" + indented("["+printable.Text(a.Title)+"]"))
		}
	default:
		b.WriteString(printable.Text(string(m.Payload)))
	}
	text := b.String()
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, err := io.WriteString(l.out, text)
	return err
}

func indented(text string) string {
	return "         " + strings.ReplaceAll(text, "\n", "\n         ")
}
