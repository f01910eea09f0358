package bulk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Record is one entry of an input.
type Record struct {
	// Index counts the records of all inputs, from 0.
	Index int64
	// Raw is the record's text as it was read, without the space around it. A
	// record that spans several lines is compacted to one. It is nil if the
	// record was too long to keep.
	Raw []byte
	// File names the input.
	File string
	// Line is the line number of the record in it, starting at 1; 0 in an array.
	Line int64
	// Element is the record's number in an array, starting at 1, or 0.
	Element int64
	// ID is the string or number in the record's field id, next to its
	// subscription, or nil. It is set by Job.
	ID json.RawMessage
	// Misplaced are fields that would override the message if they were next to
	// the subscription, but are inside it. They have no effect. Unknown are
	// fields next to the subscription that have no meaning. Both are set by
	// Job.
	Misplaced, Unknown []string

	err error // error of the input itself: not a record, or the end of the records
}

// Position returns the position of the record, for people.
func (r *Record) Position() string {
	switch {
	case r.Element > 0:
		return fmt.Sprintf("%s, element %d", r.File, r.Element)
	case r.Line > 0:
		return fmt.Sprintf("%s:%d", r.File, r.Line)
	}
	return r.File
}

// unfold puts a record that spans several lines on one line. Files have this form of
// it, and the journal must recognize it.
func (r *Record) unfold() {
	if bytes.IndexByte(r.Raw, '\n') < 0 {
		return
	}
	var c bytes.Buffer
	if json.Compact(&c, r.Raw) == nil {
		r.Raw = c.Bytes()
	}
}

// setID sets the ID if it is a string or a number.
func (r *Record) setID(id []byte) {
	if len(id) > 0 && (id[0] == '"' || id[0] == '-' || '0' <= id[0] && id[0] <= '9') {
		r.ID = bytes.ToValidUTF8(id, []byte("\ufffd"))
	}
}

// idOf returns the field id of a record, or of the row in it, or nil.
func idOf(fields map[string]json.RawMessage) json.RawMessage {
	if id := fields["id"]; id != nil {
		return id
	}
	for name, value := range fields {
		var row struct {
			ID json.RawMessage `json:"id"`
		}
		if notation.IsWrapper(name) && json.Unmarshal(value, &row) == nil && row.ID != nil {
			return row.ID
		}
	}
	return nil
}

var (
	// overrides are the fields next to a subscription that take precedence over
	// the message of the run.
	overrides = append(MessageFields(), "vapidKey")
	// otherFields are the other fields of a record, and the usual fields for the
	// public key.
	otherFields = append([]string{"id", "subscription", "options", "user", "tags", "created"}, notation.ServerKeys...)
)

// MessageFields returns the names of the fields of a record that describe its message.
func MessageFields() []string { return []string{"payload", "ttl", "urgency", "topic"} }

// Keys parses the keys in records, each of them once. The zero value is ready to use,
// by one goroutine at a time.
type Keys struct {
	// Own are the keys of the run. The first signs for records without a key. A record
	// can name any of them by its public key.
	Own vapid.Ring

	parsed map[string]*vapid.Key // keys by their text
}

// Job makes the job of the record: its subscription, and the message with the
// overrides of the record applied. A record is a subscription, or an object
// with the field subscription and, next to it, payload, ttl, urgency, topic, or
// vapidKey. The error is a [*webpush.InputError] or another error that
// describes the problem; the job then has the parts that could be read.
func (r *Record) Job(message webpush.Message, keys *Keys) (webpush.Job, error) {
	job := webpush.Job{Message: message, Value: r}
	if r.err != nil {
		return job, r.err
	}
	var err error
	browsers := bytes.HasPrefix(r.Raw, []byte(`{"endpoint"`)) && bytes.HasSuffix(r.Raw, []byte("}}")) // the form that browsers return
	if browsers && !bytes.Contains(r.Raw, []byte(`"subscription"`)) && !bytes.Contains(r.Raw, []byte(`"id"`)) && bytes.IndexByte(r.Raw, '\\') < 0 {
		job.Subscription, err = webpush.ParseSubscription(r.Raw)
		return job, err
	}
	if p, ok := plainRecord(r.Raw); ok {
		r.setID(p.id)
		if job.Subscription, err = webpush.ParseSubscription(p.subscription); err == nil && p.payload != nil {
			job.Message.Payload = p.payload
		}
		if err == nil && p.ttl >= 0 {
			job.Message.TTL = new(p.ttl)
		}
		return job, err
	}
	raw, _ := notation.Unwrap(r.Raw)
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) == nil {
		r.setID(idOf(fields))
	}
	inner := fields["subscription"]
	if inner == nil || fields["endpoint"] != nil {
		// A vapidKey in the subscription is the one that it was made with.
		for _, name := range overrides {
			if value := fields[name]; value != nil && string(value) != "null" && name != "vapidKey" {
				r.Misplaced = append(r.Misplaced, name)
			}
		}
		job.Subscription, err = webpush.ParseSubscription(raw)
		return job, err
	}
	if job.Subscription, err = webpush.ParseSubscription(inner); err != nil {
		return job, err
	}
	for _, name := range overrides {
		if value := fields[name]; value != nil && string(value) != "null" {
			if err := override(&job, name, value, keys); err != nil {
				return job, err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(overrides, name) && !slices.Contains(otherFields, name) {
			r.Unknown = append(r.Unknown, name)
		}
	}
	return job, nil
}

// CheckEmpty returns an error for a message without a payload to a database row. Rows
// come from exports, and have keys because their messages have a payload. An empty
// message to all of them usually means that the payload was forgotten.
func CheckEmpty(job webpush.Job) error {
	if job.Subscription == nil || !job.Subscription.Row() || job.Message.Payload != nil || job.Message.GCM != nil {
		return nil
	}
	return &emptyError{}
}

type emptyError struct{}

func (*emptyError) Error() string { return "no payload for this database row, which has keys" }
func (*emptyError) Hint() string {
	return "add a payload, or confirm that an empty message is intended"
}

// NewRecord returns a record with the text raw.
func NewRecord(file string, raw []byte) *Record {
	r := &Record{File: file, Raw: bytes.TrimSpace(raw)}
	r.unfold()
	return r
}

// plain is a record of the most frequent form.
type plain struct {
	id, subscription []byte
	payload          []byte        // nil for none
	ttl              time.Duration // negative for none
}

// plainRecord parses a record with an id, a subscription, a payload that is a string,
// and a TTL that is a number, in this order, and nothing else; only the subscription is
// required. Most wrapped records and the records of a queue have this form. ok is false
// for all others, valid or not; encoding/json needs three times as long to read them.
func plainRecord(raw []byte) (p plain, ok bool) {
	after := func(b []byte, text string) []byte { // skip text and a space that some writers add
		rest, found := bytes.CutPrefix(b, []byte(text))
		if !found {
			return nil
		}
		return bytes.TrimPrefix(rest, []byte(" "))
	}
	value := func(b []byte) []byte {
		var s valueScanner
		return b[:s.scan(b)]
	}
	p.ttl = -1
	rest := after(raw, `{"id":`)
	if rest != nil {
		p.id = value(rest)
		if !json.Valid(p.id) {
			return p, false
		}
		rest = after(after(rest[len(p.id):], ","), `"subscription":`)
	} else {
		rest = after(raw, `{"subscription":`)
	}
	p.subscription = value(rest)
	if len(p.subscription) < 2 || p.subscription[0] != '{' {
		return p, false
	}
	rest = rest[len(p.subscription):]
	if next := after(after(rest, ","), `"payload":`); next != nil {
		text := value(next)
		var payload string
		if len(text) < 2 || text[0] != '"' || json.Unmarshal(text, &payload) != nil {
			return p, false
		}
		p.payload, rest = []byte(payload), next[len(text):]
	}
	if next := after(after(rest, ","), `"ttl":`); next != nil {
		digits := len(next) - len(bytes.TrimLeft(next, "0123456789"))
		seconds, err := strconv.ParseInt(string(next[:digits]), 10, 64)
		if err != nil || seconds > int64(webpush.MaxTTL/time.Second) || digits > 1 && next[0] == '0' {
			return p, false
		}
		p.ttl, rest = time.Duration(seconds)*time.Second, next[digits:]
	}
	return p, string(rest) == "}"
}

// override applies a field of a record to its job.
func override(job *webpush.Job, name string, value json.RawMessage, keys *Keys) error {
	var text string
	isText := json.Unmarshal(value, &text) == nil
	m := &job.Message
	var err error
	switch name {
	case "payload":
		if m.Payload = []byte(text); !isText {
			var c bytes.Buffer
			if err := json.Compact(&c, value); err != nil {
				return err
			}
			m.Payload = c.Bytes()
		}
	case "ttl":
		if !isText {
			text = string(value)
		}
		d, err := ParseDuration(text)
		if err != nil || webpush.CheckTTL(d) != nil {
			return badField(name, value, "expected 0 to 2147483648 seconds, or a duration such as \"12h\"")
		}
		m.TTL = &d
	case "urgency":
		if !isText {
			return badField(name, value, "expected a string")
		}
		m.Urgency, err = webpush.ParseUrgency(text)
		return err
	case "topic":
		if !isText {
			return badField(name, value, "expected a string")
		}
		m.Topic = text
		return webpush.CheckTopic(text)
	case "vapidKey":
		m.Key, err = keys.parse(value, text, isText)
		return err
	}
	return nil
}

// badField returns the error for a field of a record with an unusable value.
func badField(name string, value json.RawMessage, want string) error {
	return &recordError{problem: fmt.Sprintf("%s is %s, %s", name, shorten(string(value)), want)}
}

// shorten returns the beginning of a value of a record. Characters that a terminal
// would interpret are escaped.
func shorten(value string) string {
	cut := ""
	if short := text.Clip(value, 60); short != value {
		value, cut = strings.TrimSuffix(short, "…"), "…"
	}
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return !strconv.IsPrint(r) }) {
		quoted := strconv.QuoteToGraphic(value)
		value = quoted[1 : len(quoted)-1]
	}
	return value + cut
}

// maxKeys is the maximum number of keys of records that are kept.
const maxKeys = 10000

// parse returns the key of a record. A public key means the key in Own that belongs to
// it, because only that can sign for the subscription.
func (k *Keys) parse(value json.RawMessage, text string, isText bool) (*vapid.Key, error) {
	if !isText {
		text = string(value)
	}
	if key, ok := k.parsed[text]; ok {
		return key, nil
	}
	key, err := vapid.ParseKey([]byte(text))
	if err != nil {
		public, notPublic := vapid.ParsePublicKey([]byte(text))
		switch {
		case notPublic != nil:
			return nil, fmt.Errorf("vapidKey: %w", err)
		case k.Own.Find(public) == nil:
			return nil, &keyError{}
		}
		key = k.Own.Find(public)
	}
	if k.parsed == nil || len(k.parsed) >= maxKeys {
		k.parsed = make(map[string]*vapid.Key)
	}
	k.parsed[text] = key
	return key, nil
}

// keyError reports that the private key of a record is missing. The run can be repeated
// with that key, so the record is not finished.
type keyError struct{}

func (*keyError) Error() string {
	return "vapidKey is a public key that does not match a signing key"
}
func (*keyError) Hint() string {
	return "put its private key in the record, or sign with it"
}

// ParseDuration reads a duration: seconds without a unit, the form of
// [time.ParseDuration], or days and weeks such as 7d and 4w.
func ParseDuration(v string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration: use seconds, or 90s, 15m, 12h, 7d, 4w", v)
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		if n > math.MaxInt64/int64(time.Second) || n < math.MinInt64/int64(time.Second) {
			return 0, fmt.Errorf("%q is longer than 292 years", v)
		}
		return time.Duration(n) * time.Second, nil
	}
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if number, ok := strings.CutSuffix(v, suffix); ok {
			n, err := strconv.ParseFloat(number, 64)
			switch {
			case err != nil || math.IsNaN(n):
				return 0, bad
			case math.Abs(n) > 1e4:
				return 0, fmt.Errorf("%q is longer than 10000%s", v, suffix)
			}
			return time.Duration(n * float64(unit)), nil
		}
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		return 0, bad
	}
	return d, nil
}

// FormatDuration writes a duration as [ParseDuration] reads it, in its largest
// whole units: 2h30m, 4w.
func FormatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d%(7*24*time.Hour) == 0:
		return fmt.Sprintf("%dw", d/(7*24*time.Hour))
	case d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
