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

// Job is one message to one subscription, as [Client.SendAll] takes it.
type Job struct {
	Subscription *Subscription
	Message      Message
	// Expires, if not zero, is when the message loses its value. The TTL of each
	// request is what is left until then, at most the message's own; once nothing
	// is left, the message becomes [ClassExpired] and is not sent. It has no effect
	// on a TTL of 0, which means now or never at the push service.
	Expires time.Time
	// Value is the caller's own, such as a row's id or a queue's delivery to
	// acknowledge; it comes back in the [Result].
	Value any
}

// Class is what became of a [Job], and so what to do with its subscription.
type Class string

// The classes.
const (
	ClassDelivered Class = "delivered" // the push service took the message
	ClassGone      Class = "gone"      // the subscription has ended: delete it
	ClassRejected  Class = "rejected"  // the service refuses this message or this key, or this side's rules the endpoint: mend it
	ClassTemporary Class = "temporary" // not now, even after the retries: worth another run
	ClassInvalid   Class = "invalid"   // nothing could be sent: the record, its subscription or the message is wrong
	ClassExpired   Class = "expired"   // not sent: its TTL was used up while it waited on this side
	ClassSkipped   Class = "skipped"   // nothing was sent: a dry run, or stopped before its turn
)

// Classes lists all of them.
func Classes() []Class {
	return []Class{ClassDelivered, ClassGone, ClassRejected, ClassTemporary, ClassInvalid, ClassExpired, ClassSkipped}
}

// ErrExpired is why a message of [ClassExpired] was not sent. It is final.
var ErrExpired = errors.New("the TTL of the message was used up before it could be sent")

// Classify returns the class of an error of [Client.Send], with that of a nil
// error being [ClassDelivered].
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
	case e.Temporary(), errors.As(err, &proxy): // which is to be mended here, for all messages
		return ClassTemporary
	}
	return ClassRejected
}

// Final reports whether a message to a subscription need not be tried again once
// [Client.Send] has returned this error: it was delivered (nil), the subscription
// has ended, the push service refuses this very message, or the subscription is not
// valid. What the sender can fix without changing either is never final: a token
// that cannot be signed or is refused, claims, the key, this side's rules for
// endpoints, a proxy, and everything that is temporary. A journal that remembers
// finished messages, and a queue that acknowledges them, ask here.
//
// An error that a program gives to [Client.SendAll] for a job can tell for itself
// with a method Final() bool; otherwise it is not final.
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

// Result is what became of a [Job].
type Result struct {
	// Index is the job's place in the source, from 0.
	Index int64
	Job   Job
	Class Class
	// Receipt is the push service's, of a delivered message; else nil.
	Receipt *Receipt
	// Err is why the message was not delivered: the source's own error, one of
	// [Client.Send], or for what was skipped why, nil in a dry run.
	Err error
	// Attempts counts the requests that were sent.
	Attempts int
	// Latency is how long the last of them took.
	Latency time.Duration
}

// BulkOptions are how [Client.SendAll] goes about it. The zero value is a good
// choice.
type BulkOptions struct {
	// Concurrency is how many messages are in flight at most; zero means 128
	// for each processor that Go may use.
	Concurrency int
	// ConcurrencyPerOrigin bounds the same for each push service; zero means
	// all of Concurrency, less an eighth once there is a second service, so that
	// one which does not answer never stops the others.
	ConcurrencyPerOrigin int
	// Rate is how many requests a second this run sends at most; zero means no limit.
	Rate float64
	// Rates are how many requests a second push services get at most.
	Rates Rates
	// Limiter shares Rates with other runs, in this process or elsewhere; nil means
	// that this run shares them with none.
	Limiter Limiter
	// NoAdaptiveRate keeps up the rate to push services that refuse messages with a 429,
	// or with a 503 that has Retry-After. Otherwise such a service gets half of what it
	// accepted in the second before, and then 3 % more each second.
	NoAdaptiveRate bool
	// MaxFailures stops, as Stop does, after so many results that are rejected,
	// temporary, invalid, or expired; zero means never.
	MaxFailures int
	// DryRun makes each request, encrypted and signed, and sends none.
	DryRun bool
	// StandardHTTP sends with net/http alone. Otherwise requests over HTTP/2 are
	// pipelined, many in one TLS record, which takes a third less time, unless
	// [Client.NotPipelined] has a reason. Requests through proxies and to services that
	// speak only HTTP/1.1 are left to net/http, too.
	StandardHTTP bool
	// Stop, when it is closed, ends the run in order: no further job is taken
	// or waited for, and what is in flight is finished.
	Stop <-chan struct{}
	// Commit, when it is set, is called with the results that have come in
	// since its last call, before they are yielded and from the same goroutine.
	// Their messages count as in flight until it returns: so a journal or the
	// transaction of a database makes many results durable at once, and never
	// are more than Concurrency messages sent and not recorded. It must not keep
	// the slice. Its error ends the run as Stop does, and is for the caller to
	// keep: SendAll does not return it. The results of the failed call, and those
	// that it was not called with after that, are yielded and have not been
	// recorded.
	Commit func([]Result) error
}

// maxParked is how many jobs wait at most in memory, for push services that
// asked to wait and for another attempt, before the source is not read on.
const maxParked = 4096

// SendAll sends the messages that jobs yields and yields what became of each,
// in the order in which they are finished. Every job that was taken gets
// exactly one result, unless the caller breaks off.
//
// A job that comes with an error becomes a [ClassInvalid] result of that error,
// or of [ErrExpired] a [ClassExpired] one, and never stops the rest. jobs runs in a goroutine of its own, a little ahead
// of what is sent; its memory does not grow with the number of jobs. SendAll
// waits for it to return, so a source that may block should end with ctx and
// with Stop. When it panics the run ends as Stop ends it, and then SendAll panics
// with the same value.
//
// Attempts, MaxWait and Timeout of the client hold for each message, the last up
// to a 64th less. A 429 or 503 with Retry-After holds its push service back and
// no other, and the service then gets half as many requests, at once and a second;
// other faults that may pass are tried again with jittered exponential
// back-off. A service that does not answer any more, or asks to wait again and
// again and takes nothing, is given up for a while: its messages become
// [ClassTemporary] without being sent. OnRetry must be safe for concurrent use.
//
// When ctx ends, what is in flight is cut off and reported as
// [ClassTemporary], although it may have arrived. When the caller breaks off,
// what is in flight is cut off as well, and neither reported nor committed:
// close Stop and go on to the end where every message counts.
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

// launcher sends many requests at a time.
type launcher interface {
	// Start sends a request with the context and returns at once; done gets what
	// comes of it, never from within Start.
	Start(ctx context.Context, req *http.Request, done func(*http.Response, error))
	// close ends it, when nothing is under way.
	close()
}

// NotPipelined returns why [Client.SendAll] does not pipeline its requests with these
// options, or "" if it does, wherever the push service speaks HTTP/2 and no proxy is in
// between. A Transport that wraps another one, for metrics or a trace, is a reason:
// pipelining would pass it by.
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

// launcher returns what sends many messages.
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

// pipelined is the launcher that is made for it.
type pipelined struct{ *pipeline.Transport }

func (p pipelined) close() { p.CloseIdleConnections() }

// senders is a launcher with a goroutine for each request that is under way.
// Goroutines that were used have the stack that sending needs.
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

// task is a job on its way.
type task struct {
	index    int64
	job      Job
	origin   *origin
	request  *http.Request // of this attempt or, once it is made, of the next
	ctx      context.Context
	started  time.Time
	attempts int
	latency  time.Duration
	err      error      // of the last attempt
	key      *vapid.Key // that signs, or nil
	others   vapid.Ring // to try if the push service says that the key is another one
}

func (t *task) result(class Class, r *Receipt, err error) Result {
	return Result{Index: t.index, Job: t.job, Class: class, Receipt: r, Err: err, Attempts: t.attempts, Latency: t.latency}
}

// prepare makes the request of a task. It reports whether that is to be sent;
// else the result is final.
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
	req, err := b.client.newRequest(b.ctx, t.job.Subscription, message, t.key)
	if err != nil {
		return t.result(Classify(err), nil, err), false
	}
	if b.o.DryRun {
		return t.result(ClassSkipped, nil, nil), false
	}
	t.request = req
	return Result{}, true
}

// nextKey takes the next key of the ring for a task that was rejected because its
// subscription was made with another one.
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
		if err == nil && resp.StatusCode/100 == 2 && t.job.Message.GCM == nil { // else it may be a refusal
			b.answered(t, resp, nil)
			return
		}
		go b.answered(t, resp, err) // it takes long, and OnRetry may
	})
}

// answered takes what came of a task's request.
func (b *scheduler) answered(t *task, resp *http.Response, err error) {
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

// attemptContexts gives the contexts of attempts that follow on each other. A
// context and its timer cost more than what they are good for here, so one
// serves for many attempts: each gets no more than the timeout, and at most
// 1/64 less.
type attemptContexts struct {
	client *Client
	parent context.Context // whose end frees them all
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
