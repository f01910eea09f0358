package cmd

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fatih/color"

	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// messageJSON is a message as --json prints it.
type messageJSON struct {
	Time     time.Time         `json:"time"`
	ID       string            `json:"id"`
	Name     string            `json:"subscription,omitempty"`
	Encoding string            `json:"encoding,omitempty"`
	Headers  map[string]string `json:"headers"`
	TTL      *int64            `json:"ttl,omitempty"`
	Urgency  string            `json:"urgency,omitempty"`
	Topic    string            `json:"topic,omitempty"`
	Payload  *string           `json:"payload,omitempty"`
	Base64   *string           `json:"payloadBase64url,omitempty"`
	JSON     json.RawMessage   `json:"json,omitempty"`
	Declared bool              `json:"declarative,omitempty"` // a declarative push
	Error    string            `json:"error,omitempty"`
}

func newMessageJSON(m *useragent.ReceivedMessage) messageJSON {
	v := messageJSON{Time: m.Time, ID: m.ID, Name: subscriptionName(m), Encoding: string(m.Encoding), Headers: m.Headers, Urgency: m.Urgency, Topic: m.Topic}
	if v.Headers == nil {
		v.Headers = map[string]string{}
	}
	if seconds, ok := ttlOf(m); ok {
		v.TTL = &seconds
	}
	switch {
	case m.Payload == nil:
	case utf8.Valid(m.Payload):
		v.Payload = new(string(m.Payload))
		if json.Valid(m.Payload) {
			v.JSON = m.Payload
			_, declarative, ok := webpush.ParseNotification(m.Payload)
			v.Declared = ok && declarative
		}
	default:
		v.Base64 = new(base64.RawURLEncoding.EncodeToString(m.Payload))
	}
	return v
}

// ttlOf returns the TTL of a message in seconds, or false for one that came over a
// WebSocket, which transmits neither TTL nor urgency.
func ttlOf(m *useragent.ReceivedMessage) (seconds int64, ok bool) {
	return int64(m.TTL / time.Second), m.Urgency != "" || m.TTL > 0
}

// subscriptionName returns the name of the subscription that a message is for, or "".
func subscriptionName(m *useragent.ReceivedMessage) string {
	if m.Subscription == nil {
		return ""
	}
	return m.Subscription.Name()
}

func (l *listener) printLine(v any) error {
	if m, ok := v.(*useragent.ReceivedMessage); ok {
		v = newMessageJSON(m)
	}
	b, err := marshal(v, "")
	if err != nil {
		return err
	}
	_, err = l.out.Write(b)
	return err
}

// printDamaged prints a message that could not be decrypted, with --json only,
// because there is a warning as well.
func (l *listener) printDamaged(e *useragent.DecryptError) error {
	if !l.json {
		return nil
	}
	v := newMessageJSON(e.Message)
	v.Error = e.Err.Error()
	return l.printLine(v)
}

// printText prints a message as text.
func (l *listener) printText(m *useragent.ReceivedMessage) error {
	var b strings.Builder
	if l.outTTY {
		b.WriteString(l.paint(true, m.Time.Local().Format("15:04:05"), color.Faint) + " ")
		if name := subscriptionName(m); name != "" {
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
