package useragent

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
)

// LostError reports that the push service has removed messages that waited for
// this device, because they were too many or too old.
type LostError struct {
	// Service is the origin of the push service.
	Service string
	// Count is the number of messages, or 0 if the push service does not say.
	Count int
}

// Error returns the number of lost messages.
func (e *LostError) Error() string {
	if e.Count == 0 {
		return fmt.Sprintf("the push service at %s has removed messages that waited here", e.Service)
	}
	return fmt.Sprintf("the push service at %s has removed %d messages that waited here", e.Service, e.Count)
}

// Hint returns the next step.
func (*LostError) Hint() string { return "they were too many or too old: listen more often" }

// message passes a message on, once. An unusable one is passed on as damaged: if it
// were not acknowledged, it would be sent again after each login.
func (c *chromium) message(s *mcsSession, body []byte) error {
	m, damage := mcs.ParseDataMessage(body)
	if len(m.PersistentID) > maxPersistentID {
		damage = errors.Join(damage, fmt.Errorf("its id has more than %d bytes", maxPersistentID))
		m.PersistentID = ""
	}
	// Nothing may be sent between the two calls: it would acknowledge the message.
	isNew := true
	c.mu.Lock()
	err := c.receipts.frame(m.LastStreamIDReceived)
	if m.PersistentID != "" { // without an ID it cannot be sent again
		isNew = c.receipts.message(m.PersistentID)
	}
	c.mu.Unlock()
	c.confirm()
	if err != nil {
		return err
	}
	if isNew {
		i, ok := c.read(m, damage)
		switch {
		case ok && !c.put(s, i):
			c.mu.Lock()
			c.receipts.lose(m.PersistentID)
			c.mu.Unlock()
			return nil
		case !ok || i.err != nil: // nobody will acknowledge it
			c.remember(m.PersistentID, ackRefused)
		case m.PersistentID != "":
			return nil // Ack will come
		}
	}
	return c.acknowledge(s)
}

// read returns the item of a message, if it is for the caller.
func (c *chromium) read(m mcs.DataMessage, damage error) (_ *item, ok bool) {
	kind, _ := m.Value("message_type")
	subtype, _ := m.Value("subtype")
	to := c.roster.find(func(id string) bool { return id == subtype && id != "" })
	switch {
	case damage != nil:
	case kind == "deleted_messages":
		text, _ := m.Value("total_deleted")
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			n = 0
		}
		return &item{err: &LostError{c.google.origin, n}}, true
	case kind != "" && kind != "gcm":
		return nil, false // such as send_error, about messages of applications
	case to == nil && c.roster.had(subtype):
		return nil, false // it was on its way when the subscription ended
	case m.Category != chromiumApp:
		damage = errors.New("it is for another application of this device")
	case to == nil:
		damage = errors.New("it is for another subscription of this device")
	case m.From != to.ApplicationServerKey().String():
		damage = errors.New("its application server key is not the subscription's")
	}
	w := wireMessage{ID: m.PersistentID, Time: time.Now(), TTL: int64(m.TTL), Topic: m.Token, to: to, damage: damage}
	if m.Sent > 0 && m.Sent < 1<<48 {
		w.Time = time.UnixMilli(int64(m.Sent))
	}
	if damage != nil {
		return &item{message: w}, true
	}
	w.Headers = make(map[string]string)
	for _, name := range []string{"content-encoding", "encryption", "crypto-key"} {
		if v, ok := m.Value(name); ok {
			w.Headers[name] = v
		}
	}
	if len(w.Headers) > 0 && w.Headers["content-encoding"] == "" {
		w.Headers["content-encoding"] = string(ece.AESGCM)
	}
	w.Body = b64.Encode(m.RawData)
	if raw, ok := m.Value("_googRawData"); ok && len(m.RawData) == 0 {
		w.Body = raw
	}
	if w.Body != "" && len(w.Headers) == 0 {
		w.damage = errors.New("its payload is not encrypted")
	}
	return &item{message: w}, true
}
