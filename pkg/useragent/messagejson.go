package useragent

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/declarative"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// messageJSON is a message in JSON; see [ReceivedMessage.MarshalJSON].
type messageJSON struct {
	Time         time.Time         `json:"time"`
	ID           string            `json:"id"`
	Subscription string            `json:"subscription,omitempty"`
	Encoding     string            `json:"encoding,omitempty"`
	Headers      map[string]string `json:"headers"`
	TTL          *int64            `json:"ttl,omitempty"`
	Urgency      string            `json:"urgency,omitempty"`
	Topic        string            `json:"topic,omitempty"`
	Payload      *string           `json:"payload,omitempty"`
	Base64       *string           `json:"payloadBase64url,omitempty"`
	JSON         json.RawMessage   `json:"json,omitempty"`
	Declarative  bool              `json:"declarative,omitempty"`
	Error        string            `json:"error,omitempty"`
}

// MarshalJSON writes the message as an object with time (RFC 3339), id, subscription (its
// name), encoding, headers, ttl (seconds), urgency, topic, payload (text), payloadBase64url
// (if the payload is not UTF-8), json (the payload, if it is JSON), and declarative (true
// for a declarative push). All but time, id, and headers are omitted if they are empty or
// not known.
func (m *ReceivedMessage) MarshalJSON() ([]byte, error) { return text.JSON(m.json()) }

func (m *ReceivedMessage) json() messageJSON {
	v := messageJSON{Time: m.Time, ID: m.ID, Subscription: m.Name(), Encoding: string(m.Encoding), Headers: m.Headers, Urgency: m.Urgency, Topic: m.Topic}
	if v.Headers == nil {
		v.Headers = map[string]string{}
	}
	if seconds, known := m.Seconds(); known {
		v.TTL = &seconds
	}
	switch {
	case m.Payload == nil:
	case !utf8.Valid(m.Payload):
		v.Base64 = new(b64.Encode(m.Payload))
	default:
		v.Payload = new(string(m.Payload))
		if json.Valid(m.Payload) {
			v.JSON, v.Declarative = m.Payload, declarative.Payload(m.Payload)
		}
	}
	return v
}

// MarshalJSON writes the message as [ReceivedMessage.MarshalJSON] does, with the reason as
// error.
func (e *DecryptError) MarshalJSON() ([]byte, error) {
	v := e.Message.json()
	v.Error = e.Err.Error()
	return text.JSON(v)
}

// Name returns the name of the subscription that the message is for, or "".
func (m *ReceivedMessage) Name() string {
	if m.Subscription == nil {
		return ""
	}
	return m.Subscription.Name()
}

// Seconds returns the TTL in seconds. It is not known over a WebSocket, which transmits
// neither TTL nor urgency.
func (m *ReceivedMessage) Seconds() (ttl int64, known bool) {
	return int64(m.TTL / time.Second), m.Urgency != "" || m.TTL > 0
}
