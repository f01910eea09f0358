package queue

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// DefaultRetryFor is the default of RetryFor in [WorkerOptions].
const DefaultRetryFor = 6 * time.Hour

// WorkerOptions configures [Queue.Work]. Client is required.
type WorkerOptions struct {
	// Client sends the messages. It must not be used otherwise until Work returns.
	Client *webpush.Client
	// Message is sent to every record; the fields of a record take precedence. Its TTL
	// counts from the time of publishing.
	Message webpush.Message
	// Lanes are the lanes to send; nil means all. See [Lanes].
	Lanes []string
	// Send configures SendAll. Its Commit, Stop, and DryRun are ignored, and its
	// MaxFailures must be zero, because a worker runs until its context ends. Without a
	// Limiter, its Rates apply to all workers together, up to about 20: they share
	// cells on the server, and if a push service asks one of them to wait, all of them
	// wait. If their rates differ, the lowest applies. A Concurrency of zero means 256
	// for each processor that Go may use, because part of the messages wait for their
	// results to be stored.
	Send webpush.BulkOptions
	// RetryFor is the age up to which a message with temporary failures is retried;
	// zero means [DefaultRetryFor]. A message is always attempted several times. After
	// that, its result is [webpush.ClassTemporary].
	RetryFor time.Duration
	// OnResult, if set, is called with each result after it is stored, from one
	// goroutine. final is false for a temporary failure that will be retried.
	OnResult func(r *webpush.Result, final bool)
	// OnHold, if set, is called when a push service asks to wait. It must be safe for
	// concurrent use.
	OnHold func(service webpush.Service, origin string, until time.Time)
	// Log gets lost connections and held push services; nil means none.
	Log *slog.Logger

	retryWait time.Duration // before the first retry; zero means 5 s
	// stuckAfter is the time without a result after which the messages of a push
	// service in the lane "other" are postponed; zero means 5 s.
	stuckAfter time.Duration
}

// Work sends the messages of the stream until ctx is done. Then it finishes the
// requests in flight, stores their results, returns the other messages to the stream,
// and returns nil. The error is an [*Error].
//
// A worker receives only as many messages as it needs for the next moment, and reports
// to the server that it still has them. The result of a message is stored before the
// message is acknowledged. While the server cannot be reached, the results of the
// messages in flight wait in memory, and nothing else is sent.
//
// A push service that does not respond or asks to wait delays only the messages of its
// own lane. In the lane "other", which has many push services, its messages are
// returned to the stream for a while.
func (q *Queue) Work(ctx context.Context, o WorkerOptions) error {
	if o.Lanes == nil {
		o.Lanes = Lanes()
	}
	for _, name := range o.Lanes {
		if !slices.Contains(Lanes(), name) {
			return &Error{Problem: fmt.Sprintf("the lane is %q, expected one of %s", name, strings.Join(Lanes(), ", "))}
		}
	}
	if o.Send.MaxFailures != 0 {
		return &Error{Problem: fmt.Sprintf("MaxFailures is %d, expected 0: a worker does not stop because of failures", o.Send.MaxFailures)}
	}
	if o.Send.Concurrency == 0 {
		o.Send.Concurrency = 256 * runtime.GOMAXPROCS(0)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.RetryFor, o.retryWait = cmp.Or(o.RetryFor, DefaultRetryFor), cmp.Or(o.retryWait, 5*time.Second)
	o.stuckAfter = cmp.Or(o.stuckAfter, 5*time.Second)
	w := &worker{q: q, o: &o, owned: make(map[place]*delivery), stored: make(map[place]bool), canceled: canceled{runs: make(map[string]bool)}}
	w.arrived.L = &w.mu
	for _, name := range slices.Compact(slices.Sorted(slices.Values(o.Lanes))) {
		l := &lane{name: name, room: sync.Cond{L: &w.mu}, origins: make(map[string]*laneOrigin), limit: w.limit(name), keys: bulk.Keys{Own: o.Client.Ring()}}
		var err error
		if l.consumer, err = q.consumer(ctx, name); err != nil {
			return err
		}
		w.lanes = append(w.lanes, l)
	}
	watching, endWatch := context.WithCancel(context.WithoutCancel(ctx))
	defer endWatch()
	if r := o.Send.Rates; o.Send.Limiter == nil && (r.PerOrigin > 0 || len(r.Services) > 0) {
		var err error
		if w.o.Send.Limiter, err = newLimiter(watching, q, func(message string) { o.Log.Warn(message) }); err != nil {
			return err
		}
	}
	if err := w.canceled.watch(watching, q); err != nil {
		return err
	}
	defer bulk.CollectLess()()
	report := o.Client.OnRetry
	o.Client.OnRetry = func(e *webpush.Error, wait time.Duration) {
		w.hold(e)
		if report != nil {
			report(e, wait)
		}
	}
	defer func() { o.Client.OnRetry = report }()
	for ctx.Err() == nil {
		if err := w.session(ctx); err != nil {
			return err
		}
	}
	return nil
}

const (
	// maxDelay is the maximum delay of another attempt that a push service asked for,
	// and maxBackoff the maximum of the delays that grow by themselves.
	maxDelay   = time.Hour
	maxBackoff = 10 * time.Minute
	// probeAfter is the time after which a lane that a push service asked to hold sends
	// a message again, even if it asked for more.
	probeAfter = 10 * time.Minute
	// minAttempts is the minimum number of attempts until a temporary failure is
	// final.
	minAttempts = 8
	// maxStored is the number of messages with stored results that are remembered.
	maxStored = 1 << 13
	// commitEvery is the interval at which results are stored.
	commitEvery = 5 * time.Millisecond
	// postponePause is the pause of a lane that received mostly messages to postpone.
	postponePause = 100 * time.Millisecond
	// storeFor limits how long a worker that stops tries to store a result.
	storeFor = 30 * time.Second
)

// worker is one call of Work.
type worker struct {
	q        *Queue
	o        *WorkerOptions
	canceled canceled
	lanes    []*lane

	mu      sync.Mutex
	arrived sync.Cond // on mu; signaled when there is a message for the sender
	owned   map[place]*delivery
	stopped bool  // the session has stopped
	lost    bool  // messages of the session may have been delivered to others
	failed  error // error of the session
	next    int   // lane whose turn it is
	stored  map[place]bool
	order   []place // keys of stored, the oldest first

	committed, yielded int       // results of the session
	commitEnd          time.Time // end of the last commit
}

// place identifies a message. It includes the time because the sequences of a new
// stream start again.
type place struct {
	seq uint64
	at  int64 // nanoseconds since 1970
}

// delivery is a message that this worker has.
type delivery struct {
	msg      jetstream.Msg
	place    place
	at       time.Time // time of publishing
	attempts uint64    // deliveries, including this one
	lane     *lane
	origin   *laneOrigin
	renewed  time.Time // time of the last report to the server
	data     received
}

// lane is a lane and the messages of it that this worker has.
type lane struct {
	name     string
	consumer jetstream.Consumer
	keys     bulk.Keys
	limit    int
	room     sync.Cond // on the worker's mu; signaled when there is room for messages
	owned    int
	waiting  []*delivery // not yet passed to the sender
	origins  map[string]*laneOrigin
	held     time.Time // end of the wait that its push service asked for
}

// laneOrigin is a push service in a lane.
type laneOrigin struct {
	name  string
	owned int
	moved time.Time // time of the last result, or of the first message
	held  time.Time // end of the wait that it asked for
	next  time.Time // when the last message that waits for its rate returns
}

// limit returns the maximum number of messages of a lane that this worker has: enough
// for about 2 s of the rate, or to keep the sender busy.
func (w *worker) limit(lane string) int {
	n := max(400, w.o.Send.Concurrency+w.o.Send.Concurrency/4)
	if c, limited := w.o.Send.Rates.Cell(webpush.Service(lane), ""); limited && lane != "other" {
		n = min(n, max(16, int(2*c.PerSecond)))
	}
	return n
}

// session receives messages and sends them until ctx is done, or until the server has
// been unreachable for so long that it may have delivered them to others.
func (w *worker) session(ctx context.Context) error {
	w.mu.Lock()
	w.stopped, w.lost, w.failed, w.committed, w.yielded = false, false, nil, 0, 0
	w.mu.Unlock()
	stop := make(chan struct{})
	var once sync.Once
	end := func(err error) {
		once.Do(func() {
			w.mu.Lock()
			w.stopped, w.failed = true, err
			w.wake()
			w.mu.Unlock()
			close(stop)
		})
	}
	defer context.AfterFunc(ctx, func() { end(nil) })()
	taking, endTaking := context.WithCancel(ctx)
	defer endTaking()
	var fetchers, keeper sync.WaitGroup
	for _, l := range w.lanes {
		fetchers.Go(func() {
			if err := w.fetch(taking, l); err != nil {
				end(err)
			}
		})
	}
	keeping, endKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer endKeeping()
	keeper.Go(func() {
		w.keep(keeping, func() {
			w.o.Log.Warn("the NATS server does not respond; nothing is sent until it does")
			w.mu.Lock()
			w.lost = true
			w.mu.Unlock()
			end(nil)
		})
	})
	send := w.o.Send
	send.Stop, send.DryRun = stop, false
	send.Commit = func(results []webpush.Result) error { return w.store(ctx, results) }
	for range w.o.Client.SendAll(context.WithoutCancel(ctx), w.jobs(), send) {
		if w.yielded++; w.yielded == w.committed { // no result is left
			time.Sleep(commitEvery - time.Since(w.commitEnd))
		}
	}
	end(nil)
	endTaking()
	fetchers.Wait()
	endKeeping()
	keeper.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.owned {
		w.back(m, 0)
	}
	clear(w.owned)
	for _, l := range w.lanes {
		l.owned, l.waiting = 0, nil
		clear(l.origins)
	}
	return w.failed
}

// fetch receives messages of a lane while there is room for them.
func (w *worker) fetch(ctx context.Context, l *lane) error {
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	for {
		n := w.room(l)
		if n == 0 || ctx.Err() != nil {
			return nil
		}
		wait, cancel := context.WithTimeout(ctx, requestTimeout)
		batch, err := l.consumer.Fetch(n, jetstream.FetchContext(wait))
		got, back := 0, 0
		if err == nil {
			for msg := range batch.Messages() {
				got++
				if !w.accept(l, msg) {
					back++
				}
			}
			err = batch.Error()
		}
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrConsumerDeleted), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrNoResponders):
			if err := w.reopen(ctx, l); err != nil {
				return err
			}
			pause(250 * time.Millisecond)
		case err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout):
			pause(250 * time.Millisecond)
		case back > got/2:
			pause(postponePause)
		}
	}
}

// reopen creates the streams and the consumer if they are missing. Temporary errors are
// ignored.
func (w *worker) reopen(ctx context.Context, l *lane) error {
	w.q.opening.Lock() // one lane at a time
	defer w.q.opening.Unlock()
	var problem *Error
	err := w.q.open(ctx)
	if err == nil {
		l.consumer, err = w.q.consumer(ctx, l.name)
	}
	if err != nil && ctx.Err() == nil && errors.As(err, &problem) && problem.Err == nil { // an existing one differs
		return err
	}
	return nil
}

// room waits until there is room for messages of a lane, and returns their number. It
// returns 0 when the session has stopped.
func (w *worker) room(l *lane) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.stopped {
		now := time.Now()
		n := l.limit - l.owned
		if l.name == "other" {
			for _, o := range l.origins {
				if now.Before(o.held) || w.stuck(l, o, now) {
					n += o.owned
				}
			}
			n = min(n, 2*l.limit-l.owned)
		} else if now.Before(l.held) {
			n = 0
		}
		if n >= max(1, l.limit/4) {
			return n
		}
		l.room.Wait()
	}
	return 0
}

// wake makes all goroutines that wait check their condition again.
func (w *worker) wake() {
	w.arrived.Broadcast()
	for _, l := range w.lanes {
		l.room.Broadcast()
	}
}

// stuck reports whether a push service has many messages but no results.
func (w *worker) stuck(l *lane, o *laneOrigin, now time.Time) bool {
	return o.owned >= l.limit/4 && now.Sub(o.moved) > w.o.stuckAfter
}

// accept accepts a message from the server. It reports whether the message is kept;
// otherwise, it was returned or dropped.
func (w *worker) accept(l *lane, msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	if err != nil {
		w.o.Log.Error("a message without metadata is ignored", "error", err)
		return false
	}
	now := time.Now()
	m := &delivery{msg: msg, place: place{meta.Sequence.Stream, meta.Timestamp.UnixNano()}, at: meta.Timestamp, attempts: meta.NumDelivered, lane: l, renewed: now}
	m.data = understand(msg.Data(), msg.Headers(), m.at, m.place.seq, w.o.Message, &l.keys)
	if m.data.err == nil && w.canceled.has(m.data.run) {
		m.data.err = ErrCanceled
	}
	name := ""
	if sub := m.data.job.Subscription; sub != nil {
		name = sub.Origin()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stored[m.place] { // its acknowledgment was lost
		_ = msg.Ack()
		return false
	}
	if have := w.owned[m.place]; have != nil { // a repeated delivery
		have.msg, have.renewed = msg, now
		return true
	}
	o := l.origins[name]
	if o == nil {
		if len(l.origins) > 4096 { // the names are untrusted
			for name, o := range l.origins {
				if o.owned == 0 {
					delete(l.origins, name)
				}
			}
		}
		o = &laneOrigin{name: name, moved: now}
		l.origins[name] = o
	}
	if l.name == "other" && m.data.err == nil {
		if delay := w.postpone(l, o, m, now); delay > 0 {
			_ = msg.NakWithDelay(jitter(min(max(delay, time.Second), maxDelay)))
			return false
		}
	}
	if o.owned == 0 {
		o.moved = now
	}
	o.owned++
	l.owned++
	m.origin = o
	w.owned[m.place] = m
	l.waiting = append(l.waiting, m)
	w.arrived.Signal()
	return true
}

// postpone returns for how long a message of the lane "other" goes back to the stream,
// because its push service asked to wait, is stuck, or has enough messages for its rate;
// 0 means that it is sent now. Postponed messages come before those that were never
// delivered. If they returned faster than a worker postpones them again, messages to
// other push services would never be received, so the delays grow with each delivery,
// and messages that wait for a rate return at that rate.
func (w *worker) postpone(l *lane, o *laneOrigin, m *delivery, now time.Time) time.Duration {
	grows := func(d time.Duration) time.Duration { return d << min(m.attempts-1, 4) }
	c, limited := w.o.Send.Rates.Cell(m.data.job.Subscription.Service(), o.name)
	switch {
	case now.Before(o.held):
		return max(o.held.Sub(now), grows(time.Second))
	case w.stuck(l, o, now):
		return grows(w.o.stuckAfter)
	case limited && float64(o.owned) >= max(16, 2*c.PerSecond):
		each := time.Duration(min(float64(time.Second)/c.PerSecond, float64(maxDelay)))
		if first := now.Add(time.Duration(o.owned) * each); o.next.Before(first) {
			o.next = first
		}
		if o.next.Sub(now) < maxDelay {
			o.next = o.next.Add(each)
		}
		return o.next.Sub(now)
	}
	return 0
}

// jitter returns d plus a random part of up to 20%.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/5+1) }

// jobs yields the messages of the lanes in turn.
func (w *worker) jobs() iter.Seq2[webpush.Job, error] {
	return func(yield func(webpush.Job, error) bool) {
		for {
			m := w.nextMessage()
			if m == nil {
				return
			}
			job := m.data.job
			job.Value = m
			if !yield(job, m.data.err) {
				return
			}
		}
	}
}

func (w *worker) nextMessage() *delivery {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.stopped {
		for range w.lanes {
			l := w.lanes[w.next%len(w.lanes)]
			w.next++
			if len(l.waiting) > 0 {
				m := l.waiting[0]
				l.waiting[0] = nil
				if l.waiting = l.waiting[1:]; len(l.waiting) == 0 {
					l.waiting = nil
				}
				return m
			}
		}
		w.arrived.Wait()
	}
	return nil
}

// keep reports to the server which messages this worker has, until ctx is done. It
// calls lost when the server has not responded for so long that it may soon deliver
// them to others.
func (w *worker) keep(ctx context.Context, lost func()) {
	wait := w.q.config.AckWait
	tick := time.NewTicker(wait / 15)
	defer tick.Stop()
	alive, renewed := time.Now(), time.Now()
	reported := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(alive) > wait*2/3 && !reported {
			reported = true
			lost()
		}
		w.mu.Lock()
		w.wake() // a push service may be stuck, or a hold may have ended
		var list []jetstream.Msg
		if now.Sub(renewed) >= wait/5 {
			renewed = now
			for _, m := range w.owned {
				if now.Sub(m.renewed) >= wait/5 {
					m.renewed = now
					list = append(list, m.msg)
				}
			}
		}
		w.mu.Unlock()
		ok := true
		for _, msg := range list {
			ok = msg.InProgress() == nil && ok
		}
		if ok && w.q.nc.FlushTimeout(wait/6) == nil {
			alive = now
		}
	}
}

// hold records that a push service asked to wait.
func (w *worker) hold(e *webpush.Error) {
	if e.RetryAfter <= 0 {
		return
	}
	until := time.Now().Add(e.RetryAfter)
	w.mu.Lock()
	for _, l := range w.lanes {
		if o := l.origins[e.Origin]; o != nil {
			if until.After(o.held) {
				o.held = until
			}
			if cut := time.Now().Add(probeAfter); until.After(l.held) && l.name != "other" {
				l.held = until
				if cut.Before(until) { // try again earlier
					l.held = cut
				}
			}
		}
	}
	w.mu.Unlock()
	if w.o.OnHold != nil {
		w.o.OnHold(e.Service, e.Origin, until)
	}
}

// store stores results and then acknowledges their messages. Messages to retry are
// returned to the stream. It waits while the server cannot be reached.
func (w *worker) store(ctx context.Context, results []webpush.Result) error {
	byRun := make(map[string]*bytes.Buffer, 1)
	var final []*delivery
	for i := range results {
		r := &results[i]
		m := r.Job.Value.(*delivery)
		if errors.Is(r.Err, ErrCanceled) {
			r.Class = webpush.ClassSkipped
		} else if r.Class == webpush.ClassSkipped {
			w.giveBack(m, 0) // stopped before it was sent
			continue
		}
		if r.Class == webpush.ClassTemporary {
			var rejection *webpush.Error
			if errors.As(r.Err, &rejection) {
				w.hold(rejection)
			}
			if m.attempts < minAttempts || time.Since(m.at) < w.o.RetryFor {
				w.giveBack(m, w.delay(m, rejection))
				if w.o.OnResult != nil {
					w.o.OnResult(r, false)
				}
				continue
			}
		}
		if byRun[m.data.run] == nil {
			byRun[m.data.run] = new(bytes.Buffer)
		}
		b := byRun[m.data.run]
		l := resultLine{Sequence: m.place.seq, Result: bulk.NewResult(w.o.Client, r, m.data.record, false)}
		if r.Class == webpush.ClassGone {
			l.Record = bare(m.data.record.Raw)
		}
		text, err := json.Marshal(l)
		if err != nil || len(text) > maxResults { // the record is nearly as large as a message can be
			l.Record = nil
			if text, err = json.Marshal(l); err != nil {
				return err
			}
		}
		if b.Len() > 0 && b.Len()+len(text) > maxResults {
			if err := w.publish(ctx, m.data.run, b.Bytes()); err != nil {
				return err
			}
			b.Reset()
		}
		b.Write(text)
		b.WriteByte('\n')
		final = append(final, m)
	}
	for run, b := range byRun {
		if err := w.publish(ctx, run, b.Bytes()); err != nil {
			return err
		}
	}
	w.mu.Lock()
	for _, m := range final {
		w.remember(m.place)
		_ = m.msg.Ack() // if lost, the message is delivered again and acknowledged then
		w.release(m)
	}
	w.mu.Unlock()
	for i := range results {
		if r := &results[i]; w.o.OnResult != nil && r.Class != webpush.ClassTemporary && (r.Class != webpush.ClassSkipped || r.Err == ErrCanceled) {
			w.o.OnResult(r, true)
		}
	}
	w.committed += len(results)
	w.commitEnd = time.Now()
	return nil
}

// maxResults is the maximum size of a message of results, in bytes.
const maxResults = 256 << 10

// publish stores results of a run. It retries until the server has them; after ctx is
// done, only for a while.
func (w *worker) publish(ctx context.Context, run string, data []byte) error {
	msg := &nats.Msg{Subject: resultPrefix + run, Data: data, Header: nats.Header{HeaderMsgID: {MessageID(run, data)}, headerStream: {w.q.opened.Load().made}}}
	var ended time.Time
	for reported := time.Now(); ; {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
		_, err := w.q.js.PublishMsg(limited, msg)
		cancel()
		if err == nil {
			return nil
		}
		now := time.Now()
		if ctx.Err() != nil {
			if ended.IsZero() {
				ended = now
			}
			if now.Sub(ended) > storeFor {
				err := serverError("results could not be stored: their messages will be sent again", err)
				w.o.Log.Error(err.Error())
				return err
			}
		}
		if now.Sub(reported) > 10*time.Second {
			reported = now
			w.o.Log.Warn("results cannot be stored yet; nothing is sent until they are", "error", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// remember records that the result of a message is stored.
func (w *worker) remember(p place) {
	if len(w.order) >= maxStored {
		delete(w.stored, w.order[0])
		w.order = w.order[1:]
	}
	w.stored[p] = true
	w.order = append(w.order, p)
}

// giveBack returns a message to the stream, to be delivered again after a delay.
func (w *worker) giveBack(m *delivery, delay time.Duration) {
	w.mu.Lock()
	w.back(m, delay)
	w.mu.Unlock()
	w.done(m)
}

func (w *worker) back(m *delivery, delay time.Duration) {
	switch {
	case w.lost: // another worker may have it now
	case delay == 0:
		_ = m.msg.Nak()
	default:
		_ = m.msg.NakWithDelay(delay)
	}
}

// done records that this worker no longer has a message.
func (w *worker) done(m *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(m)
}

func (w *worker) release(m *delivery) {
	delete(w.owned, m.place)
	m.lane.owned--
	m.origin.owned--
	m.origin.moved = time.Now()
	if m.origin.owned == 0 && m.lane.origins[m.origin.name] == m.origin && m.origin.moved.After(m.origin.held) {
		delete(m.lane.origins, m.origin.name)
	}
	if m.lane.limit-m.lane.owned >= m.lane.limit/4 {
		m.lane.room.Signal()
	}
}

// delay returns the delay of the next attempt: the time that the push service asked
// for, or 5 s, doubled each time up to 10 minutes.
func (w *worker) delay(m *delivery, e *webpush.Error) time.Duration {
	if e != nil && e.RetryAfter > 0 {
		return jitter(min(e.RetryAfter, maxDelay))
	}
	return jitter(min(w.o.retryWait<<min(m.attempts-1, 7), maxBackoff))
}
