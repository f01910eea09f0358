package useragent

import (
	"fmt"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// The codes for acknowledging messages to autopush.
const (
	ackDelivered = 100
	ackDamaged   = 101 // decryption failed
	ackRefused   = 102 // not delivered
)

// ReceivedMessage is a message as it was received.
type ReceivedMessage struct {
	// Subscription is the recipient; nil if it is unknown because the message is
	// damaged.
	Subscription *Subscription
	// ID identifies it to the push service.
	ID string
	// Time is the time when the push service accepted it or, over a WebSocket,
	// which does not transmit that, when it arrived.
	Time time.Time
	// TTL is how long the push service keeps it, in whole seconds; zero
	// over a WebSocket, which does not transmit it.
	TTL time.Duration
	// Urgency is "very-low", "low", "normal", or "high", or empty over a WebSocket
	// and MCS, which do not transmit it (RFC 8030, section 5.3).
	Urgency string
	// Topic has up to 32 characters, or is empty; over a WebSocket it is always
	// empty (RFC 8030, section 5.4).
	Topic string
	// Encoding is the content encoding, empty without a payload.
	Encoding ece.Encoding
	// Headers are the header fields of the encryption, with their lower-case HTTP
	// names: "content-encoding" and, for aesgcm, "encryption" and "crypto-key". It
	// is empty without a payload.
	Headers map[string]string
	// Payload is the decrypted payload, or nil if the application server sent none.
	Payload []byte

	damaged bool
}

// DecryptError is a message that could not be decrypted. Like any other, it waits
// until it is acknowledged.
type DecryptError struct {
	// Message has all other fields, and a nil Payload.
	Message *ReceivedMessage
	// Err is the error of package ece, or describes the defect of the message.
	Err error
}

// Error returns the message's ID and the reason.
func (e *DecryptError) Error() string {
	if e.Message.ID == "" {
		return fmt.Sprintf("a message without an id cannot be decrypted: %v", e.Err)
	}
	return fmt.Sprintf("message %s cannot be decrypted: %v", e.Message.ID, e.Err)
}

// Unwrap returns Err.
func (e *DecryptError) Unwrap() error { return e.Err }

// Hint returns the next step.
func (*DecryptError) Hint() string {
	return "it was encrypted for other keys, or altered; the sender needs the current subscription"
}

// ChangedError reports that the push service no longer knew this user agent. The
// subscription was registered again with the same keys and has a new endpoint.
// Send it to the application server, as after a pushsubscriptionchange event of
// the Push API. Messages to the old endpoint are lost. The new endpoint is in
// [Device.State], which must be saved; a [File] does that.
type ChangedError struct {
	// Service is the origin of the push service.
	Service string
	// Subscription is the subscription.
	Subscription *Subscription
}

// Error says that the endpoint is new.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("the push service at %s had forgotten this user agent: the %v has a new endpoint", e.Service, e.Subscription.registration())
}

// open decrypts a message.
func (w wireMessage) open() (*ReceivedMessage, error) {
	m := &ReceivedMessage{
		Subscription: w.to,
		ID:           w.ID,
		Time:         w.Time,
		TTL:          time.Duration(w.TTL) * time.Second,
		Urgency:      w.Urgency,
		Topic:        w.Topic,
		Encoding:     ece.Encoding(w.Headers["content-encoding"]),
		Headers:      w.Headers,
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
	payload, err := w.to.Identity().Decrypt(encrypted)
	if err != nil {
		return damaged(err)
	}
	m.Payload = payload
	return m, nil
}
