package useragent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

const (
	// callTimeout is for requests that the service answers at once.
	callTimeout = 30 * time.Second
	// maxAnswer is the size of the largest answer that is read, in bytes. All
	// waiting messages come in one.
	maxAnswer = 128 << 20
)

// Error is an answer of the push service other than the expected, or none.
type Error struct {
	// Op is what was tried, such as "receiving".
	Op string
	// Service is the origin of the push service.
	Service string
	// Status is the status code of HTTP, or the status of the same meaning in
	// an answer on the WebSocket; 0 if there was no answer.
	Status int
	// Reason is the service's own words, or empty.
	Reason string
	// Err is why there was no answer, if Status is 0.
	Err error

	fatal     bool // another attempt would be as good for nothing
	handshake bool // the status is not about a subscription
}

// Error tells all of it.
func (e *Error) Error() string {
	if e.Status == 0 {
		return fmt.Sprintf("%s at %s: %v", e.Op, e.Service, e.Err)
	}
	text := fmt.Sprintf("%s at %s: status %d", e.Op, e.Service, e.Status)
	if name := http.StatusText(e.Status); name != "" {
		text += " " + name
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Gone reports whether the subscription has ended.
func (e *Error) Gone() bool {
	return !e.handshake && (e.Status == http.StatusGone || e.Status == http.StatusNotFound)
}

// Temporary reports whether the same may succeed later: the network failed, or
// the status is 408, 429 or 5xx. A certificate that is not trusted, an answer
// that no push service gives and the end of the caller's context are not.
func (e *Error) Temporary() bool {
	if e.Status == 0 {
		return !e.fatal
	}
	return e.Status >= 500 && e.Status <= 599 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout
}

// isTemporary reports whether err is an [*Error] that is Temporary.
func isTemporary(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Temporary()
}

// failed makes an Error of what kept an answer away. ctx is the caller's: its
// end counts more than what it made fail.
func failed(ctx context.Context, op, service string, err error) *Error {
	e := &Error{Op: op, Service: service, Err: bare(err)}
	if ctx.Err() != nil {
		e.Err, e.fatal = context.Cause(ctx), true
	}
	var (
		certificate *tls.CertificateVerificationError
		closed      *CloseError
	)
	e.fatal = e.fatal || errors.As(err, &certificate) || errors.As(err, &closed) && closed.Code == closeForGood
	return e
}

// misread makes an Error of an answer that is no push service's.
func misread(op, service, format string, a ...any) *Error {
	return &Error{Op: op, Service: service, Err: fmt.Errorf(format, a...), fatal: true}
}

// doer sends requests.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

// httpClient returns that of the options, or a new one.
func (o Options) httpClient() doer {
	if o.HTTP != nil {
		return o.HTTP
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (o Options) notify(e Event) {
	if o.Notify != nil {
		o.Notify(e)
	}
}

// client makes requests of JSON.
type client struct {
	http doer
	base *url.URL
}

func (c client) origin() string { return c.base.Scheme + "://" + c.base.Host }

// call requests the path, with query, below the service's URL, with the JSON of
// in if that is not nil, and reads the answer into out if that is not nil. Its
// errors do not repeat the path, which has ids that are secret.
func (c client) call(ctx context.Context, timeout time.Duration, op, method, path string, in any, status int, out any) error {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	fail := func(err error) error {
		// The cause says which timeout it was.
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return failed(caller, op, c.origin(), err)
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return misread(op, c.origin(), "%w", err)
		}
		body = bytes.NewReader(b)
	}
	target := strings.TrimSuffix(c.base.String(), "/") + "/" + path
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return misread(op, c.origin(), "%w", bare(err))
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return fail(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fail(err)
	case len(b) > maxAnswer:
		return misread(op, c.origin(), "the answer has more than %d bytes", maxAnswer)
	case answer.StatusCode != status:
		return &Error{Op: op, Service: c.origin(), Status: answer.StatusCode, Reason: reason(b)}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return misread(op, c.origin(), "the answer is no push service's: %w", err)
	}
	return nil
}

// reason takes the message out of an error of the service.
func reason(body []byte) string {
	var v struct{ Message string }
	// An answer of something else, a proxy for example, has no reason for us.
	if err := json.Unmarshal(body, &v); err != nil {
		return ""
	}
	return clip(v.Message)
}

// clip cuts a text of the service to 500 bytes.
func clip(s string) string { return text.Clip(s, 500) }

// bare takes the URL off an error of net/http or net/url.
func bare(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// ignoreStatus makes an [*Error] with one of the status codes none.
func ignoreStatus(err error, statuses ...int) error {
	if e := (*Error)(nil); errors.As(err, &e) && slices.Contains(statuses, e.Status) {
		return nil
	}
	return err
}
