package webpush

import (
	"context"
	"net/http"
)

// Codes in the [Error] of [Client.Cancel], in addition to the codes for messages.
const (
	CodeNotCancelable Code = "not_cancelable" // the service does not withdraw messages
	CodeNotWaiting    Code = "not_waiting"    // the message was delivered, has expired, or was canceled
)

// Cancelable reports whether the push service can be asked to withdraw a
// message that it accepted: it named the message's own URL, and is not known to
// offer no cancellation. Mozilla's service (autopush) and other implementations
// of RFC 8030 withdraw messages; the services of Apple, Google, and Microsoft
// do not.
func (r *Receipt) Cancelable() bool {
	switch r.Service {
	case Apple, FCM, WNS:
		return false
	}
	return r.Location != ""
}

// Cancel asks the push service to withdraw a message that it accepted and has
// not delivered yet: DELETE on the message resource that Location names (RFC
// 8030, section 6.2). Service, Origin, and Location of r are used; an empty
// Service is derived from Location. The request carries no token. Temporary
// failures are retried as in [Client.Send].
//
// The error is an [*Error]: with [CodeNotCancelable] if the service does not
// withdraw messages, and with [CodeNotWaiting] if it no longer has this one,
// although autopush also confirms that. It is an [*InputError] if Location is
// not a URL on Origin: no other server is ever asked.
func (c *Client) Cancel(ctx context.Context, r *Receipt) error {
	message, err := newEndpoint(r.Location)
	about := *r
	if about.Service == "" && err == nil {
		about.Service = message.service
	}
	if !about.Cancelable() {
		return &Error{Service: about.Service, Origin: r.Origin, Code: CodeNotCancelable,
			Problem: "the service does not withdraw messages that it has accepted", hint: "send a message with the same topic, which replaces one that has not been delivered"}
	}
	if err != nil || message.origin != r.Origin {
		return &InputError{Part: "location", Problem: "the location of the message is not a URL on the push service that accepted it, " + r.Origin,
			hint: "use the location as the push service returned it"}
	}
	message.service = about.Service
	if err := message.allowed(c.AllowHTTP); err != nil {
		return err
	}
	return c.retry(ctx, "canceling at", r.Origin, func(n int) *Error {
		failed := c.tryCancel(ctx, message)
		if failed != nil {
			failed.Attempts = n
		}
		return failed
	})
}

// tryCancel makes the request once.
func (c *Client) tryCancel(ctx context.Context, message *Subscription) *Error {
	ctx, cancel := c.withTimeout(ctx)
	defer cancel()
	req := message.request(nil)
	req.Method, req.Header = http.MethodDelete, make(http.Header)
	req = req.WithContext(ctx)
	resp, err := c.http().Do(req)
	if err != nil {
		return c.unanswered(ctx, req, err, message)
	}
	_, e := understood(req, resp, message, new(Message))
	if e == nil || e.Temporary() {
		return e
	}
	switch e.Status {
	case http.StatusNotFound, http.StatusGone, http.StatusBadRequest: // autopush has the last for an ID that it cannot read
		e.Code, e.Problem, e.hint = CodeNotWaiting, "the service no longer has the message: it was delivered, has expired, or was canceled", ""
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		e.Code, e.Problem, e.hint = CodeNotCancelable, "the service does not withdraw messages that it has accepted", ""
	default:
		e.Code, e.Problem, e.hint = CodeRejected, "the service does not withdraw the message", ""
	}
	return e
}
