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

// DefaultRetryFor is how long temporary failures are tried again; see
// [WorkerOptions].
const DefaultRetryFor = 6 * time.Hour

// WorkerOptions configures [Queue.Work]. Client is required.
type WorkerOptions struct {
	// Client sends, and is the worker's until Work returns.
	Client *webpush.Client
	// Message is sent to records that do not say otherwise. Its TTL counts from when
	// they were published.
	Message webpush.Message
	// Lanes are those to send; nil means all. See [Lanes].
	Lanes []string
	// Send configures SendAll. Its Commit, Stop, and DryRun are the worker's own. Its
	// Rates hold for all workers together, unless it has a Limiter: they share cells on
	// the server, for up to some 20 workers, and a push service that asks one of them
	// to wait is held for all. If their rates differ, the lowest holds.
	// Concurrency zero means 256 for each processor that Go may use, as a part of the
	// messages waits for their results to be stored.
	Send webpush.BulkOptions
	// RetryFor is the time since it was published for which a message with temporary
	// failures is tried again, after its first minutes; zero means [DefaultRetryFor].
	// Then its result is [webpush.ClassTemporary].
	RetryFor time.Duration
	// OnResult, if set, is called with each result after it is stored, from one
	// goroutine. final is false for a temporary failure that will be tried again.
	OnResult func(r *webpush.Result, final bool)
	// OnHold, if set, is called when a push service asks to wait. It must be safe for
	// concurrent use.
	OnHold func(service webpush.Service, origin string, until time.Time)
	// Log gets lost connections and held push services; nil means none.
	Log *slog.Logger

	retryWait time.Duration // the first; zero means 5 s
}

// Work sends the messages of the stream until ctx is done. Then it finishes the
// requests in flight, stores their results, gives the other messages back to the
// stream, and returns nil. The error is an [*Error].
//
// A worker takes no more messages than it needs for the next moment, and reports to
// the server that it still has them. The result of a message is stored before the
// message is acknowledged. While the server cannot be reached, results wait in
// memory, at most as many as messages are in flight, and nothing else is sent.
//
// A push service that does not answer or asks to wait keeps the messages of its own
// lane waiting. In the lane "other", which has many push services, its messages are
// given back to the stream for a while.
func (q *Queue) Work(ctx context.Context, o WorkerOptions) error {
	if o.Lanes == nil {
		o.Lanes = Lanes()
	}
	for _, name := range o.Lanes {
		if !slices.Contains(Lanes(), name) {
			return &Error{Problem: fmt.Sprintf("the lane is %q, expected one of %s", name, strings.Join(Lanes(), ", "))}
		}
	}
	if o.Send.Concurrency == 0 {
		o.Send.Concurrency = 256 * runtime.GOMAXPROCS(0)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.RetryFor, o.retryWait = cmp.Or(o.RetryFor, DefaultRetryFor), cmp.Or(o.retryWait, 5*time.Second)
	w := &worker{q: q, o: &o, taken: make(map[place]*delivery), stored: make(map[place]bool), canceled: canceled{runs: make(map[string]bool)}}
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
	tell := o.Client.OnRetry
	o.Client.OnRetry = func(e *webpush.Error, wait time.Duration) {
		w.hold(e)
		if tell != nil {
			tell(e, wait)
		}
	}
	defer func() { o.Client.OnRetry = tell }()
	for ctx.Err() == nil {
		if err := w.session(ctx); err != nil {
			return err
		}
	}
	return nil
}

const (
	// stuckAfter is the time without a result after which a push service in the lane
	// "other" is left alone.
	stuckAfter = 5 * time.Second
	// maxDelay is the longest time for which a message waits for another attempt.
	maxDelay = time.Hour
	// leastTries is how often a message is tried at least before its failure is
	// final.
	leastTries = 8
	// maxStored is how many messages are remembered whose results are stored.
	maxStored = 1 << 13
	// commitEvery is the time in which results are gathered.
	commitEvery = 5 * time.Millisecond
	// drainFor is how long results wait for the server at the end.
	drainFor = 30 * time.Second
)

// worker is a call of Work.
type worker struct {
	q        *Queue
	o        *WorkerOptions
	canceled canceled
	lanes    []*lane

	mu      sync.Mutex
	arrived sync.Cond // of mu: there is a message for the sender
	taken   map[place]*delivery
	stopped bool  // of the session
	lost    bool  // messages of the session may have been delivered to others
	failed  error // why the session ended
	next    int   // the lane whose turn it is
	stored  map[place]bool
	order   []place // of stored, the oldest first

	committed, yielded int       // results of the session
	commitEnd          time.Time // of the last
}

// place identifies a message. The time is there because sequences begin again when
// a stream is made again.
type place struct {
	seq uint64
	at  int64 // in nanoseconds since 1970
}

// delivery is one that this worker has.
type delivery struct {
	msg     jetstream.Msg
	place   place
	at      time.Time // when it was published
	tries   uint64    // deliveries, this one included
	lane    *lane
	origin  *laneOrigin
	renewed time.Time // when the server last heard that it is in hand
	data    received
}

// lane is a lane, and what this worker has of it.
type lane struct {
	name     string
	consumer jetstream.Consumer
	keys     bulk.Keys
	limit    int
	room     sync.Cond // of the worker's mu: there is room for messages
	taken    int
	waiting  []*delivery // that were not given to the sender yet
	origins  map[string]*laneOrigin
	held     time.Time // until when its push service has asked to wait
}

// laneOrigin is a push service in a lane.
type laneOrigin struct {
	name  string
	taken int
	moved time.Time // its last result, or when its first message was taken
	held  time.Time // until when it has asked to wait
}

// limit returns how many messages of a lane are taken at most: about 2 s of the
// rate, or what keeps the sender busy.
func (w *worker) limit(lane string) int {
	n := max(400, w.o.Send.Concurrency+w.o.Send.Concurrency/4)
	if c, limited := w.o.Send.Rates.Cell(webpush.Service(lane), ""); limited && lane != "other" {
		n = min(n, max(16, int(2*c.PerSecond)))
	}
	return n
}

// session takes messages and sends them until ctx is done, or until the server
// could not be reached for so long that it may have given them to others.
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
		if w.yielded++; w.yielded == w.committed { // all that was committed
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
	for _, m := range w.taken {
		w.back(m, 0)
	}
	clear(w.taken)
	for _, l := range w.lanes {
		l.taken, l.waiting = 0, nil
		clear(l.origins)
	}
	return w.failed
}

// fetch takes messages of a lane while there is room for them.
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
				if !w.take(l, msg) {
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
			pause(500 * time.Millisecond)
		}
	}
}

// reopen creates the streams and the consumer if they are missing. The error is
// one that does not pass.
func (w *worker) reopen(ctx context.Context, l *lane) error {
	w.q.opening.Lock() // one lane after the other
	defer w.q.opening.Unlock()
	var problem *Error
	err := w.q.open(ctx)
	if err == nil {
		l.consumer, err = w.q.consumer(ctx, l.name)
	}
	if err != nil && ctx.Err() == nil && errors.As(err, &problem) && problem.Err == nil { // it differs
		return err
	}
	return nil
}

// room waits until there is room for messages of a lane, and returns for how many.
// It returns 0 when the session is over.
func (w *worker) room(l *lane) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.stopped {
		now := time.Now()
		n := l.limit - l.taken
		if l.name == "other" {
			for _, o := range l.origins {
				if now.Before(o.held) || o.stuck(l, now) {
					n += o.taken
				}
			}
			n = min(n, 2*l.limit-l.taken)
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

// wake lets all that wait look again.
func (w *worker) wake() {
	w.arrived.Broadcast()
	for _, l := range w.lanes {
		l.room.Broadcast()
	}
}

// stuck reports whether a push service has many messages and no results.
func (o *laneOrigin) stuck(l *lane, now time.Time) bool {
	return o.taken >= l.limit/4 && now.Sub(o.moved) > stuckAfter
}

// take takes a message from the server. It reports whether it is kept, rather than
// given back or dropped.
func (w *worker) take(l *lane, msg jetstream.Msg) bool {
	meta, err := msg.Metadata()
	if err != nil {
		w.o.Log.Error("a message without metadata is ignored", "error", err)
		return false
	}
	now := time.Now()
	m := &delivery{msg: msg, place: place{meta.Sequence.Stream, meta.Timestamp.UnixNano()}, at: meta.Timestamp, tries: meta.NumDelivered, lane: l, renewed: now}
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
	if w.stored[m.place] { // the acknowledgment was lost
		_ = msg.Ack()
		return false
	}
	if have := w.taken[m.place]; have != nil { // it was delivered again
		have.msg, have.renewed = msg, now
		return true
	}
	o := l.origins[name]
	if o == nil {
		if len(l.origins) > 4096 { // names come from strangers
			for name, o := range l.origins {
				if o.taken == 0 {
					delete(l.origins, name)
				}
			}
		}
		o = &laneOrigin{name: name, moved: now}
		l.origins[name] = o
	}
	if l.name == "other" && m.data.err == nil {
		var delay time.Duration
		c, limited := w.o.Send.Rates.Cell(m.data.job.Subscription.Service(), name)
		switch {
		case now.Before(o.held):
			delay = o.held.Sub(now)
		case o.stuck(l, now):
			delay = stuckAfter
		case limited && float64(o.taken) >= max(16, 2*c.PerSecond):
			delay = time.Duration(float64(o.taken) / c.PerSecond * float64(time.Second))
		}
		if delay > 0 {
			_ = msg.NakWithDelay(jitter(min(max(delay, time.Second), maxDelay)))
			return false
		}
	}
	if o.taken == 0 {
		o.moved = now
	}
	o.taken++
	l.taken++
	m.origin = o
	w.taken[m.place] = m
	l.waiting = append(l.waiting, m)
	w.arrived.Signal()
	return true
}

// jitter returns up to a fifth more.
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

// keep reports to the server which messages are in hand, until ctx is done. It
// calls lost when the server has not responded for so long that they may soon be
// delivered to others.
func (w *worker) keep(ctx context.Context, lost func()) {
	wait := w.q.config.AckWait
	tick := time.NewTicker(wait / 15)
	defer tick.Stop()
	alive, renewed := time.Now(), time.Now()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		if now.Sub(alive) > wait*2/3 && !told {
			told = true
			lost()
		}
		w.mu.Lock()
		w.wake() // a push service may be stuck, or its hold over
		var list []jetstream.Msg
		if now.Sub(renewed) >= wait/5 {
			renewed = now
			for _, m := range w.taken {
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

// hold notes that a push service asks to wait.
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
			if cut := time.Now().Add(10 * time.Minute); until.After(l.held) && l.name != "other" {
				l.held = until
				if cut.Before(until) { // then it is asked again
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

// store stores results and then acknowledges their messages. What is worth another
// attempt is given back. It waits while the server cannot be reached.
func (w *worker) store(ctx context.Context, results []webpush.Result) error {
	byRun := make(map[string]*bytes.Buffer, 1)
	var final []*delivery
	for i := range results {
		r := &results[i]
		m := r.Job.Value.(*delivery)
		if errors.Is(r.Err, ErrCanceled) {
			r.Class = webpush.ClassSkipped
		} else if r.Class == webpush.ClassSkipped {
			w.giveBack(m, 0) // stopped before its turn
			continue
		}
		if r.Class == webpush.ClassTemporary {
			var answer *webpush.Error
			if errors.As(r.Err, &answer) {
				w.hold(answer)
			}
			if m.tries < leastTries || time.Since(m.at) < w.o.RetryFor {
				w.giveBack(m, w.delay(m, answer))
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
		if err != nil || len(text) > maxResults { // a record that is nearly as large as a message can be
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
		_ = m.msg.Ack() // lost, it is delivered again, and acknowledged then
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

// maxResults is the size of a message of results, in bytes.
const maxResults = 256 << 10

// publish stores results of a run. It tries until the server has them, and for a
// while after ctx is done.
func (w *worker) publish(ctx context.Context, run string, data []byte) error {
	msg := &nats.Msg{Subject: resultPrefix + run, Data: data, Header: nats.Header{HeaderMsgID: {MessageID(run, data)}, headerStream: {w.q.opened.Load().made}}}
	var ended time.Time
	for told := time.Now(); ; {
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
			if now.Sub(ended) > drainFor {
				err := serverError("results could not be stored: their messages will be sent again", err)
				w.o.Log.Error(err.Error())
				return err
			}
		}
		if now.Sub(told) > 10*time.Second {
			told = now
			w.o.Log.Warn("results cannot be stored yet; nothing is sent until they are", "error", err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// remember notes that the result of a message is stored.
func (w *worker) remember(p place) {
	if len(w.order) >= maxStored {
		delete(w.stored, w.order[0])
		w.order = w.order[1:]
	}
	w.stored[p] = true
	w.order = append(w.order, p)
}

// giveBack gives a message back to the stream, to be delivered after a delay.
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

// done notes that a message is no longer in hand.
func (w *worker) done(m *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(m)
}

func (w *worker) release(m *delivery) {
	delete(w.taken, m.place)
	m.lane.taken--
	m.origin.taken--
	m.origin.moved = time.Now()
	if m.origin.taken == 0 && m.lane.origins[m.origin.name] == m.origin && m.origin.moved.After(m.origin.held) {
		delete(m.lane.origins, m.origin.name)
	}
	if m.lane.limit-m.lane.taken >= m.lane.limit/4 {
		m.lane.room.Signal()
	}
}

// delay returns how long a message waits for its next attempt: what the push
// service asked for, or 5 s, doubled each time up to 10 minutes.
func (w *worker) delay(m *delivery, e *webpush.Error) time.Duration {
	if e != nil && e.RetryAfter > 0 {
		return jitter(min(e.RetryAfter, maxDelay))
	}
	return jitter(min(w.o.retryWait<<min(m.tries-1, 7), 10*time.Minute))
}
