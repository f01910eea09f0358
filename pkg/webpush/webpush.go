// Package webpush implements the application server of Web Push (RFC 8030): it
// reads the subscriptions that user agents created, encrypts messages for them
// (RFC 8291), identifies the application server (RFC 8292), delivers messages
// over HTTP, and explains the responses of push services.
//
//	sub, err := webpush.ParseSubscription(jsonFromTheBrowser)
//	key, err := vapid.ParseKey(pemBytes)
//	client := &webpush.Client{Key: key, Subject: "mailto:ops@example.com"}
//	receipt, err := client.Send(ctx, sub, webpush.Message{Payload: []byte("hi")})
//	if e, ok := errors.AsType[*webpush.Error](err); ok && e.Gone() {
//		// delete the subscription
//	}
//
// An endpoint is a capability: anyone who knows it can send to it. This package
// therefore writes the origin alone into errors and logs.
package webpush

import (
	"errors"
)

// InputError reports why a subscription or a message was refused before
// anything was sent. Its text names the part, with the value unless it is a
// secret.
type InputError struct {
	// Part is the part that was refused, such as "keys.auth" or "topic".
	Part string
	// Problem describes the problem: the value found and the value expected.
	Problem string

	hint string
}

// Error returns the problem.
func (e *InputError) Error() string { return e.Problem }

// Hint returns the next step to take, or "".
func (e *InputError) Hint() string { return e.hint }

// Hinter is an error that knows the next step. All errors of this module that
// have one implement it.
type Hinter interface {
	error
	// Hint returns the next step to take, or "".
	Hint() string
}

// hintedError is an error with a next step that its cause does not know.
type hintedError struct {
	error
	hint string
}

func (e *hintedError) Unwrap() error { return e.error }
func (e *hintedError) Hint() string  { return e.hint }

// WithHint returns an error with the text of err that wraps it and is a [Hinter]
// with the next step hint.
func WithHint(err error, hint string) error { return &hintedError{err, hint} }

// HintOf returns the next step of the outermost error in err's tree that has one,
// or "".
func HintOf(err error) string {
	for err != nil {
		if h, ok := err.(Hinter); ok && h.Hint() != "" {
			return h.Hint()
		}
		if many, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range many.Unwrap() {
				if h := HintOf(e); h != "" {
					return h
				}
			}
		}
		err = errors.Unwrap(err)
	}
	return ""
}
