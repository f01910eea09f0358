package webpush

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/pipeline"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Job is one message to one subscription, for [Client.SendAll].
type Job struct {
	Subscription *Subscription // the recipient
	Message      Message       // the message
	// Expires, if not zero, is the time at which the message loses its value. The
	// TTL of each request is the time left until then, at most the message's own
	// TTL; once no time is left, the message becomes [ClassExpired] and is not sent.
	// Expires has no effect on a TTL of 0, which means now or never at the push
	// service.
	Expires time.Time
	// Value is for the caller, such as a row's ID or a queue's delivery to
	// acknowledge; the [Result] contains it.
	Value any
}

// Class is the outcome of a [Job]; it determines what to do with the
// subscription.
type Class string

// The classes.
const (
	ClassDelivered Class = "delivered" // the push service accepted the message
	ClassGone      Class = "gone"      // the subscription is gone: delete it
	ClassRejected  Class = "rejected"  // the push service rejected the message or the key, or local rules refuse the endpoint: fix it
	ClassTemporary Class = "temporary" // a temporary failure, even after the retries: run it again
	ClassInvalid   Class = "invalid"   // not sent: the record, its subscription, or the message is invalid
	ClassExpired   Class = "expired"   // not sent: its TTL passed while it waited here
	ClassSkipped   Class = "skipped"   // not sent: a dry run, or stopped before its turn
)

// Classes returns all classes.
func Classes() []Class {
	return []Class{ClassDelivered, ClassGone, ClassRejected, ClassTemporary, ClassInvalid, ClassExpired, ClassSkipped}
}

// ErrExpired is the error of a message of [ClassExpired]. It is final.
var ErrExpired = errors.New("the TTL of the message passed before it could be sent")

// Classify returns the class of an error returned by [Client.Send]. The class of a
// nil error is [ClassDelivered].
func Classify(err error) Class {
	var e *Error
	var proxy *proxyError
	var signer *vapid.SignerError
	switch {
	case err == nil:
		return ClassDelivered
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &signer):
		return ClassTemporary
	case errors.Is(err, ErrExpired):
		return ClassExpired
	case !errors.As(err, &e):
		return ClassInvalid
	case e.Gone():
		return ClassGone
	case e.Temporary(), errors.As(err, &proxy): // to be fixed here, for all messages
		return ClassTemporary
	}
	return ClassRejected
}

// Final reports whether sending a message again is useless after [Client.Send]
// returned this error: the message was delivered (nil), the subscription is gone or
// invalid, or the push service rejects this particular message. A problem that the
// sender can fix without changing the message or the subscription is never final: a
// token that cannot be signed or is rejected, claims, the key, local rules for
// endpoints, a proxy, and every temporary failure. A journal that remembers finished
// messages and a queue that acknowledges them use Final to decide.
//
// An error that a program passes to [Client.SendAll] for a job can decide this with
// a method Final() bool; without the method, it is not final.
func Final(err error) bool {
	var e *Error
	var input *InputError
	var own interface{ Final() bool }
	var claims *vapid.ClaimsError
	switch {
	case err == nil, errors.Is(err, ErrExpired):
		return true
	case Classify(err) == ClassTemporary, errors.As(err, &claims):
		return false
	case errors.As(err, &own):
		return own.Final()
	case errors.As(err, &e):
		return e.Code != CodeRefused && !strings.HasPrefix(string(e.Code), "vapid_")
	}
	return errors.As(err, &input)
}

// Result is the outcome of a [Job].
type Result struct {
	// Index is the position of the job in the source, from 0.
	Index int64
	Job   Job   // the job
	Class Class // class of the result
	// Receipt is the push service's receipt for a delivered message, otherwise nil.
	Receipt *Receipt
	// Err is the reason why the message was not delivered: the source's own error,
	// an error of [Client.Send], or the reason why the job was skipped, which is nil
	// in a dry run.
	Err error
	// Attempts is the number of requests sent.
	Attempts int
	// Latency is the duration of the last request.
	Latency time.Duration
}

// BulkOptions configures [Client.SendAll]. The zero value is ready to use.
type BulkOptions struct {
	// Concurrency is the maximum number of messages in flight; zero means 128 for
	// each processor that Go may use.
	Concurrency int
	// ConcurrencyPerOrigin is the maximum number of messages in flight per push
	// service. Zero means Concurrency, or seven eighths of it once there is a second
	// push service, because one that does not respond must not block the others.
	ConcurrencyPerOrigin int
	// Rate is the maximum number of requests per second of this run; zero means no
	// limit.
	Rate float64
	// Rates are the maximum numbers of requests per second to push services.
	Rates Rates
	// Limiter shares Rates with other runs, in this process or elsewhere; nil means
	// that this run does not share them.
	Limiter Limiter
	// NoAdaptiveRate keeps up the rate to push services that reject messages with 429,
	// or most of them with 503 and Retry-After. Otherwise the rate to such a service falls to half
	// of the messages that it accepted in the second before, and then grows by 3%
	// each second.
	NoAdaptiveRate bool
	// MaxFailures is the number of results that are rejected, temporary, invalid, or
	// expired after which the run stops as with Stop; zero means no limit.
	MaxFailures int
	// DryRun encrypts and signs each request but sends none.
	DryRun bool
	// StandardHTTP sends only with net/http. Otherwise requests over HTTP/2 are
	// pipelined, many in one TLS record, which needs a third less time, unless
	// [Client.NotPipelined] returns a reason. Requests through proxies and to services
	// that speak only HTTP/1.1 are always sent with net/http.
	StandardHTTP bool
	// Stop, when closed, stops the run gracefully: no more jobs are accepted or
	// waited for, and messages in flight are finished.
	Stop <-chan struct{}
	// Commit, if set, is called with all results since its last call, before they are
	// yielded and from the same goroutine. Their messages count as in flight until it
	// returns. A journal or database transaction can therefore make many results
	// durable at once, and at most Concurrency messages are ever sent but not
	// recorded. Commit must not keep the slice. If it returns an error, the run stops
	// as with Stop; SendAll does not return the error, so the caller has to keep it.
	// The results of the failed call and all later results are yielded but have not
	// been recorded.
	Commit func([]Result) error
}

// maxParked is the maximum number of jobs in memory that wait for push services
// that asked to wait, or for another attempt, before reading the source pauses.
const maxParked = 4096

// SendAll sends the messages that jobs yields, and yields the result of each in the
// order in which they are finished. Every accepted job has exactly one result,
// unless the caller breaks out of the loop.
//
// A job with an error becomes a [ClassInvalid] result with that error, or a
// [ClassExpired] result if the error is [ErrExpired], and does not stop the others.
// jobs runs in its own goroutine, slightly ahead of sending; memory does not grow
// with the number of jobs. SendAll waits for jobs to return, so a source that may
// block should return when ctx is done or Stop is closed. If jobs panics, the run
// stops as with Stop, and then SendAll panics with the same value.
//
// The client's Attempts, MaxWait, and Timeout apply to each message; the timeout can
// be up to 1/64 shorter. A 429 or 503 with Retry-After delays only its push service,
// which then gets half as many requests, both at once and per second. A server
// error with Retry-After delays only its message if the service accepts at least 20 others
// per second, and fewer than three consecutive requests got such a response. While 4,096
// messages wait, for whatever reason, no more jobs are read. Other
// temporary failures are retried with jittered exponential backoff. A service that
// no longer responds, or repeatedly asks to wait and accepts nothing, is given up
// for a while: its messages become [ClassTemporary] without being sent. OnRetry must
// be safe for concurrent use.
//
// When ctx is done, requests in flight are aborted and reported as [ClassTemporary],
// although their messages may have arrived. If the caller breaks out of the loop,
// requests in flight are aborted too, but neither reported nor committed. To account
// for every message, close Stop and continue to the end.
func (c *Client) SendAll(ctx context.Context, jobs iter.Seq2[Job, error], o BulkOptions) iter.Seq[Result] {
	if o.Concurrency <= 0 {
		o.Concurrency = 128 * runtime.GOMAXPROCS(0)
	}
	if o.Limiter == nil {
		o.Limiter = NewLimiter()
	}
	return func(yield func(Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		l := c.launcher(o)
		defer l.close()
		b := newScheduler(ctx, c, o, l)
		defer func() {
			b.close()
			if b.panicked != nil {
				panic(b.panicked)
			}
		}()
		defer cancel() // before close waits for the rest
		b.start(jobs)
		for {
			batch := b.take()
			if batch == nil {
				return
			}
			if o.Commit != nil && !b.commitFailed {
				if err := o.Commit(batch); err != nil {
					b.commitFailed = true
					b.stop()
				}
			}
			b.settle(len(batch))
			for i := range batch {
				if !yield(batch[i]) {
					return
				}
			}
		}
	}
}

// launcher sends many requests concurrently.
type launcher interface {
	// Start sends a request with the context and returns at once. It calls done
	// with the outcome, but never before it has returned. The response and its Header
	// may be valid only until done returns.
	Start(ctx context.Context, req *http.Request, done func(*http.Response, error))
	// close releases the launcher. No request may be in flight.
	close()
}

// NotPipelined returns the reason why [Client.SendAll] does not pipeline requests with
// these options. It returns "" if SendAll pipelines requests to push services that speak
// HTTP/2 and are reached without a proxy. A Transport that wraps another one, such as for
// metrics or tracing, is a reason, because pipelining would bypass it.
func (c *Client) NotPipelined(o BulkOptions) string {
	hc, ok := c.http().(*http.Client)
	if !ok {
		return "its HTTP is not an *http.Client"
	}
	switch _, plain := hc.Transport.(*http.Transport); {
	case !plain:
		return "its Transport is not an *http.Transport"
	case hc.Timeout != 0 || hc.Jar != nil:
		return "its HTTP has a Timeout or a Jar"
	case o.StandardHTTP:
		return "the options ask for net/http alone"
	}
	return ""
}

// launcher returns the launcher for these options.
func (c *Client) launcher(o BulkOptions) launcher {
	why := c.NotPipelined(o)
	hc, _ := c.http().(*http.Client)
	if hc == nil {
		return newSenders(c.http(), func() {})
	}
	t, ok := hc.Transport.(*http.Transport)
	if !ok {
		return newSenders(hc, func() {})
	}
	t = t.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, o.Concurrency // services that speak HTTP/1.1 only
	if why == "" {
		return pipelined{pipeline.New(t)}
	}
	own := *hc
	own.Transport = t
	return newSenders(&own, t.CloseIdleConnections)
}

// pipelined is the launcher that pipelines requests.
type pipelined struct{ *pipeline.Transport }

func (p pipelined) close() { p.CloseIdleConnections() }

// senders is a launcher with a goroutine for each request in flight. It reuses
// goroutines, because their stacks have already grown.
type senders struct {
	doer      Doer
	closeIdle func()
	all       sync.WaitGroup
	idle      chan func()
}

func newSenders(d Doer, closeIdle func()) *senders {
	return &senders{doer: d, closeIdle: closeIdle, idle: make(chan func())}
}

func (s *senders) Start(ctx context.Context, req *http.Request, done func(*http.Response, error)) {
	send := func() { done(s.doer.Do(req.WithContext(ctx))) }
	select {
	case s.idle <- send:
	default:
		s.all.Go(func() {
			for ; send != nil; send = <-s.idle {
				send()
			}
		})
	}
}

func (s *senders) close() {
	close(s.idle)
	s.all.Wait()
	s.closeIdle()
}

// task is a job and its progress.
type task struct {
	index    int64
	job      Job
	origin   *origin
	request  *http.Request // for this attempt
	ctx      context.Context
	started  time.Time
	attempts int
	latency  time.Duration
	err      error      // the last attempt's error
	key      *vapid.Key // signing key, or nil
	others   vapid.Ring // keys to try if the push service expects another one
}

func (t *task) result(class Class, r *Receipt, err error) Result {
	return Result{Index: t.index, Job: t.job, Class: class, Receipt: r, Err: err, Attempts: t.attempts, Latency: t.latency}
}

// prepare makes the request of a task. It reports whether to send the request;
// otherwise r is the task's result.
func (b *scheduler) prepare(t *task) (r Result, send bool) {
	if t.key == nil {
		var sure bool
		if t.key, sure = b.client.keyFor(t.job.Subscription, &t.job.Message); !sure {
			t.others = b.client.Ring().Others(t.key)
		}
	}
	message := &t.job.Message
	if !t.job.Expires.IsZero() {
		var err error
		if message, err = message.until(t.job.Expires, time.Now()); err != nil {
			return t.result(ClassExpired, nil, err), false
		}
	}
	var shared *sharedHeader
	if b.shareHeaders {
		shared = &t.origin.header
	}
	req, err := b.client.newRequest(b.ctx, t.job.Subscription, message, t.key, shared)
	if err != nil {
		return t.result(Classify(err), nil, err), false
	}
	if b.o.DryRun {
		return t.result(ClassSkipped, nil, nil), false
	}
	t.request = req
	return Result{}, true
}

// nextKey switches to the next key of the ring if a task was rejected because its
// subscription was created with another key. It reports whether there is one.
func (t *task) nextKey(e *Error) bool {
	if len(t.others) == 0 || !e.otherKey() {
		return false
	}
	t.key, t.others = t.others[0], t.others[1:]
	return true
}

// launch sends the request of a task once.
func (b *scheduler) launch(t *task, contexts *attemptContexts) {
	t.attempts++
	t.started = time.Now()
	t.ctx = contexts.get(t.started)
	b.launched.Add(1)
	b.launcher.Start(t.ctx, t.request, func(resp *http.Response, err error) {
		if err == nil && resp.StatusCode/100 == 2 && t.job.Message.GCM == nil { // GCM also rejects messages with 200
			b.responded(t, resp, nil)
			return
		}
		if err == nil { // the response may be valid only until this function returns
			copied := *resp
			copied.Header = resp.Header.Clone()
			resp = &copied
		}
		go b.responded(t, resp, err) // slow, like OnRetry
	})
}

// responded handles the outcome of a task's request.
func (b *scheduler) responded(t *task, resp *http.Response, err error) {
	defer b.launched.Done()
	r, failed := b.client.understand(t.ctx, t.request, resp, err, t.job.Subscription, &t.job.Message)
	t.latency = time.Since(t.started)
	t.request, t.ctx = nil, nil
	if failed == nil {
		r.Attempts, r.Latency = t.attempts, t.latency
		if t.key != nil && t.job.Message.GCM == nil {
			r.Key = t.key.PublicKey()
		}
		b.landed(t, t.result(ClassDelivered, r, nil), nil)
		return
	}
	failed.Attempts = t.attempts
	if wait, again := b.landed(t, Result{}, failed); again && b.client.OnRetry != nil {
		b.client.OnRetry(failed, wait)
	}
}

// attemptContexts provides the contexts of successive attempts. A context with a
// timer for each would be expensive, so many attempts share one: each has the
// timeout or up to 1/64 less.
type attemptContexts struct {
	client *Client
	parent context.Context // canceling it releases them all
	ctx    context.Context
	from   time.Time
}

func (a *attemptContexts) get(now time.Time) context.Context {
	timeout := a.client.timeout()
	if a.ctx == nil || a.ctx.Err() != nil || timeout >= 0 && now.Sub(a.from) > timeout/64 {
		a.ctx, _ = a.client.withTimeout(a.parent)
		a.from = now
	}
	return a.ctx
}
