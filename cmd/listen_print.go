package cmd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fatih/color"

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
	if m.Urgency != "" || m.TTL > 0 { // neither comes over a WebSocket
		v.TTL = new(int64(m.TTL / time.Second))
	}
	switch {
	case m.Payload == nil:
	case utf8.Valid(m.Payload):
		v.Payload = new(string(m.Payload))
		if json.Valid(m.Payload) {
			v.JSON = m.Payload
			n, ok := parseNotification(m.Payload)
			v.Declared = ok && n.declarative
		}
	default:
		v.Base64 = new(base64.RawURLEncoding.EncodeToString(m.Payload))
	}
	return v
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
	n, isNotification := parseNotification(m.Payload)
	switch {
	case m.Payload == nil:
		b.WriteString(l.paint(l.outTTY, "(no payload)", color.Faint))
	case !utf8.Valid(m.Payload):
		fmt.Fprintf(&b, "(binary, %s) %s", plural(len(m.Payload), "byte"), base64.RawURLEncoding.EncodeToString(m.Payload))
	case l.outTTY && isNotification:
		b.WriteString(l.paint(true, safe(n.title), color.Bold))
		if n.declarative {
			b.WriteString(l.paint(true, " (declarative)", color.Faint))
		}
		if n.body != "" {
			b.WriteString("\n" + indented(safe(n.body)))
		}
		if n.url != "" {
			b.WriteString("\n" + indented(l.paint(true, safe(n.url), color.FgCyan, color.Underline)))
		}
		for _, a := range n.actions {
			b.WriteString("\n" + indented("["+safe(a)+"]"))
		}
	default:
		b.WriteString(safe(string(m.Payload)))
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

// shownNotification holds the parts of a notification that are shown.
type shownNotification struct {
	title, body, url string
	actions          []string
	declarative      bool // the browser shows it without a service worker
}

// parseNotification recognizes the payload of a notification: Declarative Web
// Push, or the usual fields for a service worker, at least title, at the top level
// or in notification.
func parseNotification(payload []byte) (n shownNotification, ok bool) {
	type fields struct {
		Title    any
		Body     any
		Navigate any
		URL      any
		Data     any
		Actions  any
	}
	var v struct {
		fields
		Notification *fields
		WebPush      json.RawMessage `json:"web_push"`
	}
	if !bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{")) || json.Unmarshal(payload, &v) != nil {
		return n, false
	}
	m := v.fields
	if v.Notification != nil {
		m = *v.Notification
	}
	n.declarative = webpush.IsDeclarative(v.WebPush) && v.Notification != nil
	text := func(v any) string { t, _ := v.(string); return t }
	n.title, n.body, n.url = text(m.Title), text(m.Body), text(m.Navigate)
	if n.url == "" {
		n.url = text(m.URL)
	}
	if data, _ := m.Data.(map[string]any); n.url == "" {
		n.url = text(data["url"])
	}
	list, _ := m.Actions.([]any)
	for _, a := range list {
		if action, _ := a.(map[string]any); text(action["title"]) != "" {
			n.actions = append(n.actions, text(action["title"]))
		}
	}
	return n, n.title != ""
}
