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
	// callTimeout limits requests that the service handles immediately.
	callTimeout = 30 * time.Second
	// maxResponse is the maximum size of a response, in bytes. One can have all
	// waiting messages.
	maxResponse = 128 << 20
)

// Error reports an unexpected response from the push service, or none.
type Error struct {
	// Op is the operation that failed, such as "receiving".
	Op string
	// Service is the origin of the push service.
	Service string
	// Status is the HTTP status code, or the status with the same meaning in a
	// response over the WebSocket; 0 without a response.
	Status int
	// Reason is the service's own explanation, or empty.
	Reason string
	// Err is the reason for the missing response, if Status is 0.
	Err error

	fatal     bool // a retry is useless
	handshake bool // the status does not concern a subscription
}

// Error returns the operation, the origin, and the reason.
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

// Hint returns the next step if the subscription no longer exists, or "".
func (e *Error) Hint() string {
	if e.Gone() {
		return "create a new subscription"
	}
	return ""
}

// Gone reports whether the subscription no longer exists.
func (e *Error) Gone() bool {
	return !e.handshake && (e.Status == http.StatusGone || e.Status == http.StatusNotFound)
}

// Temporary reports whether a retry can succeed: the network failed, or the status
// is 408, 429, or 5xx. An untrusted certificate, a response that is not a push
// service's, and the end of the caller's context are not temporary.
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

// failed returns the Error for a request without a response. ctx is the caller's:
// its end is reported rather than the failure that it caused.
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

// misread returns the Error for a response that is not a push service's.
func misread(op, service, format string, a ...any) *Error {
	return &Error{Op: op, Service: service, Err: fmt.Errorf(format, a...), fatal: true}
}

// doer sends requests.
type doer interface {
	Do(*http.Request) (*http.Response, error)
}

// httpClient returns the client in the options, or a new one.
func (o Options) httpClient() doer {
	if o.HTTP != nil {
		return o.HTTP
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// client sends JSON requests.
type client struct {
	http doer
	base *url.URL
}

func (c client) origin() string { return c.base.Scheme + "://" + c.base.Host }

// call requests the path, with query, below the service's URL, with in as JSON
// unless it is nil, and reads the response into out unless that is nil. Its errors
// do not repeat the path, because the IDs in it are secret.
func (c client) call(ctx context.Context, timeout time.Duration, op, method, path string, in any, status int, out any) error {
	caller := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no response within %v", timeout))
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
	response, err := c.http.Do(r)
	if err != nil {
		return fail(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxResponse+1))
	switch {
	case err != nil:
		return fail(err)
	case len(b) > maxResponse:
		return misread(op, c.origin(), "the response has more than %d bytes", maxResponse)
	case response.StatusCode != status:
		return &Error{Op: op, Service: c.origin(), Status: response.StatusCode, Reason: reason(b)}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return misread(op, c.origin(), "the response is not a push service's: %s", text.JSONProblem(err))
	}
	return nil
}

// reason returns the message in an error response of the service.
func reason(body []byte) string {
	var v struct{ Message string }
	// A response from something else, for example a proxy, has no usable reason.
	if err := json.Unmarshal(body, &v); err != nil {
		return ""
	}
	return clip(v.Message)
}

// clip truncates a text of the service to 500 bytes.
func clip(s string) string { return text.Clip(s, 500) }

// bare removes the URL from an error of net/http or net/url.
func bare(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// ignoreStatus returns nil for an [*Error] with one of the status codes.
func ignoreStatus(err error, statuses ...int) error {
	if e := (*Error)(nil); errors.As(err, &e) && slices.Contains(statuses, e.Status) {
		return nil
	}
	return err
}
