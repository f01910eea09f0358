package useragent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

const (
	// pollSeconds is how long the service is asked to wait for a message.
	pollSeconds = 50
	pollTimeout = (pollSeconds + 20) * time.Second
	// pollPause is the least time between two polls of which the first had
	// nothing, so that a service that does not wait is not flooded.
	pollPause = time.Second
)

// rest is the REST channel of package pushservice. Receiving is a long poll.
type rest struct {
	client  client
	known   registration
	options Options

	// What follows belongs to the one whose turn it is.
	turn  chan struct{} // holds one token while nobody receives
	after uint64
	queue []wireMessage

	closed context.Context
	shut   context.CancelCauseFunc
}

func newREST(base *url.URL, known registration, o Options) *rest {
	r := &rest{client: client{http: o.httpClient(), base: base}, known: known, options: o, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	r.closed, r.shut = context.WithCancelCause(context.Background())
	return r
}

func subscribeREST(ctx context.Context, base *url.URL, key vapid.PublicKey, o Options) (*rest, error) {
	r := newREST(base, registration{}, o)
	request := make(map[string]string)
	if !key.IsZero() {
		request["applicationServerKey"] = key.String()
	}
	const op = "subscribing"
	var answer struct{ ID, Endpoint string }
	if err := r.client.call(ctx, callTimeout, op, http.MethodPost, "api/subscriptions", request, http.StatusCreated, &answer); err != nil {
		return nil, err
	}
	if !isID(answer.ID) {
		return nil, misread(op, r.client.origin(), "the answer has no valid id")
	}
	if _, err := parseURL(answer.Endpoint, "https"); err != nil {
		return nil, misread(op, r.client.origin(), "the endpoint in the answer %w", err)
	}
	r.known = registration{id: answer.ID, endpoint: answer.Endpoint}
	return r, nil
}

func (r *rest) registration() registration { return r.known }

// open returns a context that also ends when the channel is closed.
func (r *rest) open(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.closed, func() { cancel(ErrClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

func (r *rest) receive(ctx context.Context) (wireMessage, error) {
	if r.closed.Err() != nil {
		return wireMessage{}, ErrClosed
	}
	ctx, done := r.open(ctx)
	defer done()
	select {
	case <-r.turn:
		defer func() { r.turn <- struct{}{} }()
	case <-ctx.Done():
		return wireMessage{}, context.Cause(ctx)
	}
	if ctx.Err() != nil {
		return wireMessage{}, context.Cause(ctx)
	}
	var retry backoff
	var last error
	for len(r.queue) == 0 {
		start := time.Now()
		err := r.poll(ctx)
		if isTemporary(err) {
			wait := retry.next()
			last = err
			r.options.notify(Event{Err: err, Retry: wait})
			if pause(ctx, wait) != nil {
				return wireMessage{}, ended(ctx, last)
			}
			continue
		}
		if err != nil {
			if e := (*Error)(nil); last != nil && ctx.Err() != nil && errors.As(err, &e) && e.Status == 0 {
				return wireMessage{}, ended(ctx, last)
			}
			return wireMessage{}, err
		}
		if last != nil {
			last, retry = nil, backoff{}
			r.options.notify(Event{})
		}
		if len(r.queue) == 0 {
			if err := pause(ctx, pollPause-time.Since(start)); err != nil {
				return wireMessage{}, err
			}
		}
	}
	w := r.queue[0]
	r.queue = r.queue[1:]
	return w, nil
}

// poll asks once for messages after the last one.
func (r *rest) poll(ctx context.Context) error {
	var answer struct{ Messages []wireMessage }
	path := fmt.Sprintf("api/subscriptions/%s/messages?wait=%d&after=%d", r.known.id, pollSeconds, r.after)
	if err := r.client.call(ctx, pollTimeout, "receiving", http.MethodGet, path, nil, http.StatusOK, &answer); err != nil {
		return err
	}
	for _, m := range answer.Messages {
		if m.Seq <= r.after {
			continue
		}
		r.after = m.Seq
		r.queue = append(r.queue, m)
	}
	return nil
}

// remember does nothing: the service does not repeat what it has confirmed.
func (r *rest) remember(string, int) bool { return false }

func (r *rest) progress() progress { return progress{} }

func (r *rest) ack(ctx context.Context, id string, _ int) error {
	const op = "acknowledging"
	if !isID(id) {
		return misread(op, r.client.origin(), "the message has no valid id")
	}
	ctx, done := r.open(ctx)
	defer done()
	err := r.client.call(ctx, callTimeout, op, http.MethodDelete, "m/"+id, nil, http.StatusNoContent, nil)
	return ignoreStatus(err, http.StatusNotFound)
}

func (r *rest) unsubscribe(ctx context.Context) error {
	ctx, done := r.open(ctx)
	defer done()
	err := r.client.call(ctx, callTimeout, "unsubscribing", http.MethodDelete, "api/subscriptions/"+r.known.id, nil, http.StatusNoContent, nil)
	return ignoreStatus(err, http.StatusNotFound, http.StatusGone)
}

func (r *rest) close() error {
	r.shut(ErrClosed)
	if c, ok := r.client.http.(*http.Client); ok && r.options.HTTP == nil {
		c.CloseIdleConnections()
	}
	return nil
}
