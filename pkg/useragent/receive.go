package useragent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// The codes with which autopush has a message acknowledged.
const (
	ackDelivered = 100
	ackDamaged   = 101 // it could not be decrypted
	ackRefused   = 102 // it was not delivered
)

// ReceivedMessage is a message as it was received.
type ReceivedMessage struct {
	// ID names it to the push service.
	ID string
	// Time is when the push service accepted it or, over a WebSocket, which
	// does not tell, when it arrived.
	Time time.Time
	// TTL is how long the push service keeps it, in whole seconds; zero over a
	// WebSocket, which does not say.
	TTL time.Duration
	// Urgency is "very-low", "low", "normal" or "high", or empty over a
	// WebSocket and MCS, which do not say (RFC 8030 section 5.3).
	Urgency string
	// Topic is up to 32 characters, or empty; over a WebSocket it is always
	// empty (RFC 8030 section 5.4).
	Topic string
	// Encoding is how it was encrypted, empty if it has no payload.
	Encoding ece.Encoding
	// Headers are the header fields of the encryption, by their names in HTTP
	// in lower case: "content-encoding" and, for aesgcm, "encryption" and
	// "crypto-key". It is empty if there is no payload.
	Headers map[string]string
	// Payload is what the application server encrypted, or nil if it sent
	// nothing.
	Payload []byte

	damaged bool
}

// DecryptError is a message that could not be decrypted. It is waiting until it
// is acknowledged as any other.
type DecryptError struct {
	// Message is all that is known, with a nil Payload.
	Message *ReceivedMessage
	// Err is that of package ece.
	Err error
}

// Error tells the message's id and what is wrong with it.
func (e *DecryptError) Error() string {
	if e.Message.ID == "" {
		return fmt.Sprintf("a message without an id cannot be decrypted: %v", e.Err)
	}
	return fmt.Sprintf("message %s cannot be decrypted: %v", e.Message.ID, e.Err)
}

// Unwrap returns Err.
func (e *DecryptError) Unwrap() error { return e.Err }

// ChangedError is a push service that had forgotten this user agent: the
// subscription was registered again, with the same keys, and has another
// endpoint, which application servers have to be told, as after a
// pushsubscriptionchange event of the Push API. Messages to the old one are
// lost. The new endpoint is in [Subscription.State], which is to be saved.
type ChangedError struct {
	// Service is the origin of the push service.
	Service string
}

// Error says that the endpoint is another.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("the push service at %s had forgotten this user agent: the subscription has a new endpoint", e.Service)
}

// Receive waits for the next message and decrypts it. It returns each message
// once, though the push service keeps it until [Subscription.Ack] or the end of
// its TTL, and may send no more than a few that are not acknowledged. Concurrent
// calls take turns. When the connection is lost it is made again, after waits
// that double up to 5 minutes, and Receive goes on waiting: see Options.Notify.
//
// A message that cannot be decrypted is a [*DecryptError], and a new endpoint a
// [*ChangedError]; the next call goes on after it. An [*Error] that is Gone means
// that the subscription has ended. Other errors are that of ctx, [ErrClosed], an
// [*Error] with an answer that is no push service's, or a [*CloseError].
func (s *Subscription) Receive(ctx context.Context) (*ReceivedMessage, error) {
	w, err := s.channel.receive(ctx)
	if changed := (*ChangedError)(nil); errors.As(err, &changed) {
		if err := s.save(); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return open(s.identity, w)
}

// Ack tells the push service that the message was received (RFC 8030 section
// 6.2), so that it is not delivered again; of the Message of a [DecryptError] it
// tells that it could not be decrypted, where the push service wants to know.
// Over a WebSocket it waits for a lost connection to be back. It is no error if
// the push service has the message no more, because its TTL has ended or was
// zero, or because a newer message with its topic replaced it.
func (s *Subscription) Ack(ctx context.Context, m *ReceivedMessage) error {
	code := ackDelivered
	if m.damaged {
		code = ackDamaged
	}
	if s.channel.remember(m.ID, code) {
		if err := s.save(); err != nil {
			return err
		}
	}
	return s.channel.ack(ctx, m.ID, code)
}

// save writes the state to the file, if there is one.
func (s *Subscription) save() error {
	if s.file == nil {
		return nil
	}
	s.saving.Lock()
	defer s.saving.Unlock()
	return s.file.save(s.State())
}

// open decrypts a message.
func open(identity *ece.Identity, w wireMessage) (*ReceivedMessage, error) {
	m := &ReceivedMessage{
		ID:       w.ID,
		Time:     w.Time,
		TTL:      time.Duration(w.TTL) * time.Second,
		Urgency:  w.Urgency,
		Topic:    w.Topic,
		Encoding: ece.Encoding(w.Headers["content-encoding"]),
		Headers:  w.Headers,
	}
	damaged := func(err error) (*ReceivedMessage, error) {
		m.damaged = true
		return nil, &DecryptError{m, err}
	}
	if w.damage != nil {
		return damaged(w.damage)
	}
	body, err := b64.Decode(w.Body)
	if err != nil {
		return damaged(fmt.Errorf("body: %w", err))
	}
	if len(body) == 0 {
		return m, nil
	}
	encrypted, err := ece.ParseEncryptedMessage(m.Encoding, w.Headers["encryption"], w.Headers["crypto-key"], body)
	if err != nil {
		return damaged(err)
	}
	payload, err := identity.Decrypt(encrypted)
	if err != nil {
		return damaged(err)
	}
	m.Payload = payload
	return m, nil
}
