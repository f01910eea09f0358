package webpush

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/fields"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// DefaultTTL is the TTL of a message that does not set one: 4 weeks, the
// longest time that the largest push services grant.
const DefaultTTL = 28 * 24 * time.Hour

// MaxTTL is the largest TTL that can be said: 2^31 seconds (RFC 8030 section 5.2).
const MaxTTL = (1 << 31) * time.Second

// Firefox for Android accepts smaller bodies than other user agents.
const (
	// AndroidBody is the size of the largest body, in bytes, that it always accepts, by
	// autopush's documentation.
	AndroidBody = 2744
	// AndroidMaxBody is the size of the largest body, in bytes, that it may accept.
	AndroidMaxBody = 3070
)

// Urgency is the importance of a message relative to the device's battery (RFC
// 8030, section 5.3).
type Urgency string

// The urgencies, from the least to the most. A message without one is Normal.
const (
	VeryLow Urgency = "very-low" // on power and Wi-Fi: advertisements
	Low     Urgency = "low"      // on power or Wi-Fi: topic updates
	Normal  Urgency = "normal"   // on neither: chat or calendar message
	High    Urgency = "high"     // low battery: call, time-sensitive alert
)

// Urgencies lists all of them, from the least to the most.
func Urgencies() []Urgency { return []Urgency{VeryLow, Low, Normal, High} }

// ParseUrgency returns the urgency of that name. The error is an [*InputError].
func ParseUrgency(s string) (Urgency, error) {
	for _, u := range Urgencies() {
		if s == string(u) {
			return u, nil
		}
	}
	return "", &InputError{Part: "urgency", Problem: fmt.Sprintf("the urgency is %q, expected very-low, low, normal, or high", text.OneLine(s, 40))}
}

// MaxTopic is the maximum length of a topic, in characters (RFC 8030, section
// 5.4).
const MaxTopic = 32

// CheckTopic returns an [*InputError] if a topic is not 1 to 32 characters of
// the base64url alphabet (RFC 8030, section 5.4).
func CheckTopic(topic string) error {
	const hint = "use 1 to 32 of A-Z a-z 0-9 - _"
	if topic == "" || len(topic) > MaxTopic {
		return &InputError{Part: "topic", Problem: fmt.Sprintf("the topic %q has %d characters, expected 1 to %d", text.OneLine(topic, 60), len(topic), MaxTopic), hint: hint}
	}
	for _, r := range topic {
		switch {
		case 'A' <= r && r <= 'Z', 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-', r == '_':
		default:
			return &InputError{Part: "topic", Problem: fmt.Sprintf("the topic %q has the character %q, expected letters, digits, - and _", topic, r), hint: hint}
		}
	}
	return nil
}

// HashTopic makes a topic from any text: 32 characters, accepted by every push
// service.
func HashTopic(text string) string {
	sum := sha256.Sum256([]byte(text))
	return b64.Encode(sum[:24])
}

// Message is a message to send and its options. The zero value is a message
// without payload that is kept for [DefaultTTL].
type Message struct {
	// Payload is the data for the service worker, at most
	// [ece.Encoding.MaxPayload] bytes: 3993 by default. nil means no payload;
	// an empty slice that is not nil is a payload of zero bytes.
	Payload []byte
	// Encoding is the content encoding; zero means aes128gcm (RFC 8291).
	Encoding ece.Encoding
	// Pad hides the payload's length; see [ece.Options].
	Pad int
	// MaxBody is the largest body to make, in bytes; zero means 4096, what
	// every service must take (RFC 8030 section 7.2).
	MaxBody int
	// TTL is the time to keep the message while the user agent is offline,
	// rounded up to whole seconds; nil means [DefaultTTL]. With zero,
	// new(time.Duration), the message is delivered immediately or not at all.
	TTL *time.Duration
	// Urgency is sent when it is not empty.
	Urgency Urgency
	// Topic, when it is not empty, replaces a message of the same topic that
	// was not delivered yet; see [CheckTopic].
	Topic string
	// Header holds additional headers, such as Prefer. Headers that this
	// package sets itself are refused.
	Header http.Header
	// Key signs instead of the client's key when it is not nil.
	Key *vapid.Key
	// GCM, if not nil, makes the message a request that Google's legacy service
	// accepted until 2024.
	GCM *GCM
}

// EncryptOptions returns the options to encrypt the payload with.
func (m *Message) EncryptOptions() ece.Options {
	return ece.Options{Encoding: m.Encoding, Pad: m.Pad, MaxBody: m.MaxBody}
}

// TTLSeconds returns the value of the TTL header (RFC 8030, section 5.2): the
// TTL rounded up to whole seconds, or [DefaultTTL]. The error is an
// [*InputError].
func (m *Message) TTLSeconds() (int64, error) {
	d := m.ttl()
	if err := CheckTTL(d); err != nil {
		return 0, err
	}
	// Rounded up, because a TTL of 0 has another meaning than a short one.
	return int64((d + time.Second - 1) / time.Second), nil
}

// ttl returns the TTL, which is not checked.
func (m *Message) ttl() time.Duration {
	if m.TTL == nil {
		return DefaultTTL
	}
	return *m.TTL
}

// ParseTTL reads the value of a TTL header: whole seconds (RFC 8030, section 5.2). The error
// is an [*InputError].
func ParseTTL(value string) (time.Duration, error) {
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err != nil || seconds > uint64(MaxTTL/time.Second) {
		return 0, &InputError{Part: "ttl", Problem: fmt.Sprintf("the TTL is %q, expected 0 to %d seconds", text.OneLine(value, 40), MaxTTL/time.Second), hint: "write it as a whole number"}
	}
	return time.Duration(seconds) * time.Second, nil
}

// CheckTTL returns an [*InputError] if a TTL is not 0 to [MaxTTL].
func CheckTTL(ttl time.Duration) error {
	if ttl < 0 || ttl > MaxTTL {
		return &InputError{Part: "ttl", Problem: fmt.Sprintf("the TTL is %v, expected 0 to %d seconds", ttl, MaxTTL/time.Second), hint: "use 0 to deliver now or never"}
	}
	return nil
}

// until returns the message with the TTL that is left until it expires. The error
// is [ErrExpired].
func (m *Message) until(expires, now time.Time) (*Message, error) {
	ttl := m.ttl()
	left := expires.Sub(now)
	switch {
	case ttl <= 0: // now or never, or refused
		return m, nil
	case left <= 0:
		return m, ErrExpired
	case left >= ttl:
		return m, nil
	}
	shorter := *m
	shorter.TTL = &left
	return &shorter, nil
}

// reserved are the headers that NewRequest writes, and those that net/http
// writes or that would change what the request is.
var reserved = []string{"Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Crypto-Key", "Encryption", "Expect", "Host",
	"Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Topic", "Trailer", "Transfer-Encoding", "Ttl", "Upgrade", "Urgency"}

// CheckHeader returns an [*InputError] if a header cannot be added to a
// message, because this package sets it itself, or because its name or value is
// not valid.
func CheckHeader(name, value string) error {
	bad := func(problem, hint string) error {
		return &InputError{Part: "header", Problem: problem, hint: hint}
	}
	if !fields.IsToken(name) {
		return bad(fmt.Sprintf("the header name %q has characters that no name has", name), "write it as 'Name: value'")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return bad(fmt.Sprintf("the value of the header %s has a line break or control character", name), "write it on one line")
	}
	for _, r := range reserved {
		if strings.EqualFold(name, r) {
			return bad(fmt.Sprintf("the header %s cannot be set: it is written by webpush itself", HeaderName(name)), "TTL, Urgency and Topic have options of their own")
		}
	}
	return nil
}

// CheckHeaders yields the error of [CheckHeader] for each header that cannot be added to a
// message, in the order of their names.
func CheckHeaders(h http.Header) iter.Seq[error] {
	return func(yield func(error) bool) {
		if len(h) == 0 {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(h)) {
			err := CheckHeader(name, "")
			for _, value := range h[name] {
				if err == nil {
					err = CheckHeader(name, value)
				}
			}
			if err != nil && !yield(err) {
				return
			}
		}
	}
}

// check refuses what cannot be sent and returns the TTL in seconds.
func (m *Message) check() (int64, error) {
	if m.Urgency != "" {
		if _, err := ParseUrgency(string(m.Urgency)); err != nil {
			return 0, err
		}
	}
	if m.Topic != "" {
		if err := CheckTopic(m.Topic); err != nil {
			return 0, err
		}
	}
	for err := range CheckHeaders(m.Header) {
		return 0, err
	}
	return m.TTLSeconds()
}
