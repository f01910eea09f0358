package useragent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	// callTimeout is for requests that the service answers at once.
	callTimeout = 30 * time.Second
	// maxAnswer is the size of the largest answer that is read, in bytes. All
	// waiting messages come in one.
	maxAnswer = 128 << 20
)

// Error is an answer of the push service other than the expected.
type Error struct {
	// Op is what was tried, such as "receiving".
	Op string
	// Service is the origin of the push service.
	Service string
	// Status is the HTTP status code.
	Status int
	// Reason is the service's own words, or empty.
	Reason string
}

// Error tells all of it.
func (e *Error) Error() string {
	text := fmt.Sprintf("%s at %s: status %d %s", e.Op, e.Service, e.Status, http.StatusText(e.Status))
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Gone reports whether the subscription has ended.
func (e *Error) Gone() bool { return e.Status == http.StatusGone || e.Status == http.StatusNotFound }

// client makes requests of JSON.
type client struct {
	http interface {
		Do(*http.Request) (*http.Response, error)
	}
	base *url.URL
}

func (c client) origin() string {
	if c.base == nil {
		return "no push service"
	}
	return c.base.Scheme + "://" + c.base.Host
}

// call requests the path, with query, below the service's URL, with the JSON of
// in if that is not nil, and reads the answer into out if that is not nil. Its
// errors do not repeat the path, which has ids that are secret.
func (c client) call(ctx context.Context, op, method, path string, in any, status int, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, fmt.Errorf("no answer within %v", callTimeout))
	defer cancel()
	return c.do(ctx, op, method, path, in, status, out)
}

func (c client) do(ctx context.Context, op, method, path string, in any, status int, out any) error {
	wrap := func(err error) error {
		// The cause is that of the caller's context, or says which timeout it
		// was.
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("%s at %s: %w", op, c.origin(), bare(err))
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return wrap(err)
		}
		body = bytes.NewReader(b)
	}
	target := strings.TrimSuffix(c.base.String(), "/") + "/" + path
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return wrap(err)
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return wrap(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return wrap(err)
	case len(b) > maxAnswer:
		return wrap(fmt.Errorf("the answer has more than %d bytes", maxAnswer))
	case answer.StatusCode != status:
		return &Error{Op: op, Service: c.origin(), Status: answer.StatusCode, Reason: reason(b)}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return wrap(fmt.Errorf("the answer is no push service's: %w", err))
	}
	return nil
}

// reason takes the message out of an error of the service.
func reason(body []byte) string {
	const most = 500
	var v struct{ Message string }
	// An answer of something else, a proxy for example, has no reason for us.
	if err := json.Unmarshal(body, &v); err != nil {
		return ""
	}
	if len(v.Message) > most {
		return strings.ToValidUTF8(v.Message[:most], "") + "…"
	}
	return v.Message
}

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
