package useragent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	// pollSeconds is the time that the service is asked to wait for a message, in
	// seconds.
	pollSeconds = 50
	pollTimeout = (pollSeconds + 20) * time.Second
	// pollPause is the minimum time between two polls if the first returned nothing,
	// to protect a service that does not wait.
	pollPause = time.Second
)

// rest is the REST channel of package pushservice. Receiving is a long poll. That
// API has no user agents, so a device has a single subscription.
type rest struct {
	client  client
	roster  *roster
	sub     *Subscription
	options Options

	// The fields below belong to the caller that holds the turn.
	turn  chan struct{} // holds one token while nobody receives
	after uint64
	queue []wireMessage

	closed context.Context
	shut   context.CancelCauseFunc
}

// openREST registers the subscription in the roster if it has no endpoint.
func openREST(ctx context.Context, base *url.URL, all *roster, o Options) (*rest, error) {
	subs := all.all()
	if len(subs) != 1 {
		return nil, ErrSingle
	}
	r := &rest{client: client{http: o.httpClient(), base: base}, roster: all, sub: subs[0], options: o, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	r.closed, r.shut = context.WithCancelCause(context.Background())
	if r.sub.Endpoint() == "" {
		if err := r.register(ctx); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *rest) register(ctx context.Context) error {
	request := make(map[string]string)
	if key := r.sub.ApplicationServerKey(); !key.IsZero() {
		request["applicationServerKey"] = key.String()
	}
	const op = "subscribing"
	var response struct{ ID, Endpoint string }
	if err := r.client.call(ctx, callTimeout, op, http.MethodPost, "api/subscriptions", request, http.StatusCreated, &response); err != nil {
		return err
	}
	if !isID(response.ID) {
		return misread(op, r.client.origin(), "the response has no valid id")
	}
	if _, err := parseURL(response.Endpoint, "https"); err != nil {
		return misread(op, r.client.origin(), "the endpoint in the response %w", err)
	}
	r.sub.registered(response.ID, "", response.Endpoint)
	return nil
}

func (r *rest) identity() (string, android) { return "", android{} }

func (r *rest) subscribe(context.Context, *Subscription) error { return ErrSingle }

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
	var response struct{ Messages []wireMessage }
	path := fmt.Sprintf("api/subscriptions/%s/messages?wait=%d&after=%d", r.id(), pollSeconds, r.after)
	if err := r.client.call(ctx, pollTimeout, "receiving", http.MethodGet, path, nil, http.StatusOK, &response); err != nil {
		return err
	}
	for _, m := range response.Messages {
		if m.Seq <= r.after {
			continue
		}
		r.after = m.Seq
		m.to = r.sub
		r.queue = append(r.queue, m)
	}
	return nil
}

func (r *rest) id() string { return r.sub.registration().id }

// remember does nothing: the service does not repeat confirmed messages.
func (r *rest) remember(string, int) bool { return false }

func (r *rest) progress() progress { return progress{} }

func (r *rest) ack(ctx context.Context, _ *Subscription, id string, _ int) error {
	const op = "acknowledging"
	if !isID(id) {
		return misread(op, r.client.origin(), "the message has no valid id")
	}
	ctx, done := r.open(ctx)
	defer done()
	err := r.client.call(ctx, callTimeout, op, http.MethodDelete, "m/"+id, nil, http.StatusNoContent, nil)
	return ignoreStatus(err, http.StatusNotFound)
}

func (r *rest) unsubscribe(ctx context.Context, s *Subscription) error {
	ctx, done := r.open(ctx)
	defer done()
	err := r.client.call(ctx, callTimeout, "unsubscribing", http.MethodDelete, "api/subscriptions/"+r.id(), nil, http.StatusNoContent, nil)
	if err = ignoreStatus(err, http.StatusNotFound, http.StatusGone); err == nil {
		r.roster.remove(s)
	}
	return err
}

func (r *rest) close() error {
	r.shut(ErrClosed)
	if c, ok := r.client.http.(*http.Client); ok && r.options.HTTP == nil {
		c.CloseIdleConnections()
	}
	return nil
}
