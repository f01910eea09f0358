package queue

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// The headers of a message; see the package.
const (
	HeaderMsgID   = "Nats-Msg-Id"
	HeaderRun     = "Webpush-Run"
	HeaderExpires = "Webpush-Expires"
	HeaderSource  = "Webpush-Source"
)

// Unnamed is the run of messages without a run.
const Unnamed = "unnamed"

// Lanes returns the names of the lanes: one for each large push service, whose
// messages do not wait for other push services, and "other".
func Lanes() []string { return []string{"fcm", "mozilla", "apple", "wns", "other"} }

// Lane returns the lane of a push service.
func Lane(s webpush.Service) string {
	if slices.Contains(Lanes(), string(s)) {
		return string(s)
	}
	return "other"
}

// MessageID returns the ID of a record in a run, in hex: the first half of the
// SHA-256 of the run's name, a line feed, and the record.
func MessageID(run string, record []byte) string {
	h := sha256.New()
	h.Write([]byte(run + "\n"))
	h.Write(record)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// CheckRun returns an [*Error] if the name of a run is not 1 to 64 of A-Z a-z 0-9 - _.
func CheckRun(name string) error {
	ok := name != "" && len(name) <= 64
	for _, c := range []byte(name) {
		ok = ok && ('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_')
	}
	if !ok {
		return &Error{Problem: fmt.Sprintf("the name of the run is %q, expected 1 to 64 of A-Z a-z 0-9 - _", name), hint: "write words with hyphens, such as spring-sale"}
	}
	return nil
}

// source is the position of a record, which its result repeats.
type source struct {
	Index   *int64 `json:"index,omitempty"`
	File    string `json:"file,omitempty"`
	Line    int64  `json:"line,omitempty"`
	Element int64  `json:"element,omitempty"`
}

// complete returns the text of a record, with the fields of the message that it lacks.
// id is the ID of the record.
func complete(raw, id []byte, m *webpush.Message) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return raw, nil // the result will have the error
	}
	if fields["subscription"] == nil || fields["endpoint"] != nil {
		fields = map[string]json.RawMessage{"subscription": raw}
		if id != nil {
			fields["id"] = id
		}
	}
	set := func(name string, value any) error {
		if have := fields[name]; have != nil && string(have) != "null" {
			return nil
		}
		b, err := json.Marshal(value)
		fields[name] = b
		return err
	}
	if m.Payload != nil {
		if err := set("payload", string(m.Payload)); err != nil {
			return nil, err
		}
	}
	if m.TTL != nil {
		seconds, err := m.TTLSeconds()
		if err != nil {
			return nil, err
		}
		if err := set("ttl", seconds); err != nil {
			return nil, err
		}
	}
	if m.Urgency != "" {
		if err := set("urgency", m.Urgency); err != nil {
			return nil, err
		}
	}
	if m.Topic != "" {
		if err := set("topic", m.Topic); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer // in the order that is parsed fastest
	b.WriteByte('{')
	write := func(name string) {
		value := fields[name]
		if value == nil {
			return
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		text, _ := json.Marshal(name) // cannot fail for a string
		b.Write(append(text, ':'))
		b.Write(value)
		delete(fields, name)
	}
	for _, name := range []string{"id", "subscription", "payload", "ttl"} {
		write(name)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		write(name)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// bare returns the record without the message, to be deleted from a database.
func bare(raw []byte) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields["subscription"] == nil {
		return raw
	}
	for _, name := range bulk.MessageFields() {
		delete(fields, name)
	}
	if len(fields) == 1 {
		return fields["subscription"]
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return b
}

// received is a parsed message.
type received struct {
	record *bulk.Record
	job    webpush.Job
	err    error // reason why it cannot be sent
	run    string
}

// understand parses a message. at is the time of publishing, and seq the sequence in
// the stream.
func understand(data []byte, header nats.Header, at time.Time, seq uint64, message webpush.Message, keys *bulk.Keys) (r received) {
	r.record = bulk.NewRecord("", data)
	r.record.Index = int64(seq)
	r.run = header.Get(HeaderRun)
	defer func() {
		if p := recover(); p != nil { // a message must never end the process again and again
			r.err = fmt.Errorf("the record cannot be read: %v", p)
		}
	}()
	if text := header.Get(HeaderSource); text != "" {
		var s source
		if json.Unmarshal([]byte(text), &s) == nil {
			r.record.File, r.record.Line, r.record.Element = s.File, s.Line, s.Element
			if s.Index != nil {
				r.record.Index = *s.Index
			}
		}
	}
	r.job, r.err = r.record.Job(message, keys)
	if r.run == "" {
		r.run = Unnamed
	} else if err := CheckRun(r.run); err != nil {
		r.run = Unnamed
		r.err = fmt.Errorf("%s: %w", HeaderRun, err)
	}
	if r.err != nil {
		return r
	}
	ttl := webpush.DefaultTTL
	if r.job.Message.TTL != nil {
		ttl = *r.job.Message.TTL
	}
	r.job.Expires = at.Add(ttl)
	if text := header.Get(HeaderExpires); text != "" {
		expires, err := time.Parse(time.RFC3339, text)
		if err != nil {
			r.err = fmt.Errorf("%s is %q, expected a time such as 2026-01-02T15:04:05Z", HeaderExpires, text)
			return r
		}
		r.job.Expires = expires
	}
	return r
}
