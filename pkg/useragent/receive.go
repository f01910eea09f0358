package useragent

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

const (
	// pollSeconds is how long the service is asked to wait for a message.
	pollSeconds = 50
	pollTimeout = (pollSeconds + 20) * time.Second
	// pollPause is the least time between two polls of which the first had
	// nothing, so that a service that does not wait is not flooded.
	pollPause = time.Second
)

// Message is a message as it was received.
type Message struct {
	// ID names it to the push service.
	ID string
	// Time is when the push service accepted it.
	Time time.Time
	// TTL is how long the push service keeps it, in whole seconds.
	TTL time.Duration
	// Urgency is "very-low", "low", "normal" or "high".
	Urgency string
	// Topic is empty or up to 32 characters (RFC 8030 section 5.4).
	Topic string
	// Encoding is how it was encrypted, empty if it has no payload.
	Encoding ece.Encoding
	// Payload is what the application server encrypted, or nil if it sent
	// nothing.
	Payload []byte
}

// DecryptError is a message that could not be decrypted. It is waiting until it
// is acknowledged as any other.
type DecryptError struct {
	// Message is all that is known, with a nil Payload.
	Message *Message
	// Err is that of package ece.
	Err error
}

// Error tells the message's id and what is wrong with it.
func (e *DecryptError) Error() string {
	return fmt.Sprintf("message %s cannot be decrypted: %v", e.Message.ID, e.Err)
}

// Unwrap returns Err.
func (e *DecryptError) Unwrap() error { return e.Err }

// inbox holds messages that were fetched and not returned yet. It belongs to
// the one whose turn it is.
type inbox struct {
	turn  chan struct{} // holds one token while nobody receives
	after uint64
	queue []wireMessage
}

func newInbox() inbox {
	i := inbox{turn: make(chan struct{}, 1)}
	i.turn <- struct{}{}
	return i
}

// wireMessage is a message in JSON.
type wireMessage struct {
	ID      string
	Seq     uint64
	Time    time.Time
	TTL     int64
	Urgency string
	Topic   string
	Headers map[string]string
	Body    string
}

// Receive waits for the next message and decrypts it. It returns each message
// once, though the push service keeps it until [Subscription.Ack] or the end of
// its TTL. Concurrent calls take turns.
//
// A message that cannot be decrypted is a [*DecryptError]; the next call goes
// on after it. An [*Error] that is Gone means that the subscription has ended.
// Other errors are that of ctx or of the network, after which another call goes
// on where this one was.
func (s *Subscription) Receive(ctx context.Context) (*Message, error) {
	in := &s.inbox
	select {
	case <-in.turn:
		defer func() { in.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for len(in.queue) == 0 {
		start := time.Now()
		if err := s.poll(ctx); err != nil {
			return nil, err
		}
		if len(in.queue) == 0 {
			if err := pause(ctx, pollPause-time.Since(start)); err != nil {
				return nil, err
			}
		}
	}
	w := in.queue[0]
	in.queue = in.queue[1:]
	return s.open(w)
}

// poll asks once for messages after the last one.
func (s *Subscription) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, pollTimeout, fmt.Errorf("no answer within %v", pollTimeout))
	defer cancel()
	var answer struct{ Messages []wireMessage }
	path := fmt.Sprintf("api/subscriptions/%s/messages?wait=%d&after=%d", s.id, pollSeconds, s.inbox.after)
	if err := s.client.do(ctx, "receiving", http.MethodGet, path, nil, http.StatusOK, &answer); err != nil {
		return err
	}
	for _, m := range answer.Messages {
		if m.Seq <= s.inbox.after {
			continue
		}
		s.inbox.after = m.Seq
		s.inbox.queue = append(s.inbox.queue, m)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// open decrypts a message.
func (s *Subscription) open(w wireMessage) (*Message, error) {
	m := &Message{
		ID:       w.ID,
		Time:     w.Time,
		TTL:      time.Duration(w.TTL) * time.Second,
		Urgency:  w.Urgency,
		Topic:    w.Topic,
		Encoding: ece.Encoding(w.Headers["content-encoding"]),
	}
	body, err := b64.Decode(w.Body)
	if err != nil {
		return nil, &DecryptError{m, fmt.Errorf("body: %w", err)}
	}
	if len(body) == 0 {
		return m, nil
	}
	encrypted, err := ece.ParseMessage(m.Encoding, w.Headers["encryption"], w.Headers["crypto-key"], body)
	if err != nil {
		return nil, &DecryptError{m, err}
	}
	payload, err := s.identity.Decrypt(encrypted)
	if err != nil {
		return nil, &DecryptError{m, err}
	}
	m.Payload = payload
	return m, nil
}

// Ack tells the push service that the message was received (RFC 8030 section
// 6.2), so that it is not delivered again. It is no error if the push service
// has it no more, because its TTL has ended or was zero, or because a newer
// message with its topic replaced it.
func (s *Subscription) Ack(ctx context.Context, m *Message) error {
	if !isID(m.ID) {
		return fmt.Errorf("acknowledging at %s: the message has no valid id", s.client.origin())
	}
	err := s.client.call(ctx, "acknowledging", http.MethodDelete, "m/"+m.ID, nil, http.StatusNoContent, nil)
	return ignoreStatus(err, http.StatusNotFound)
}
