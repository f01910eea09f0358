package webpush

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"runtime"
	"sync"
	"time"
)

// scheduler is one run of SendAll. It sends each job at the time that the functions in
// decide.go decide. A job is queued at its push service's origin until the service may
// be sent to. Then it is in flight, first at a maker, then at the launcher, and finally
// it becomes one of results. Jobs that wait for another attempt are in delays.
//
// While mu is not locked, the following is true:
//
//   - An accepted job is in exactly one place: in a queue of its origin, in delays, in
//     flight, or in results. Each job therefore has exactly one result.
//   - queued is the number of jobs in the origins' queues and in delays, active the
//     number in flight, and busy the number in flight plus the results that are not
//     settled.
//   - dispatch starts a job only if busy is less than Concurrency. Therefore at most
//     Concurrency messages are sent but not committed, and sending to work, which has
//     this capacity, never blocks.
//   - An origin is in the ring (listed) or asleep, but never both. An origin with waiting
//     jobs is one of the two, or has requests in flight, after which it is listed again,
//     or the run has stopped.
//   - A listed origin has waiting jobs; runnable is the number of jobs of all listed
//     origins.
//   - An origin that is asleep but not in delays is parked at its cell, whose limiter is
//     being asked.
//   - The timer is set to the first of delays, or earlier.
//   - Once stopped, the queues and delays are empty, and nothing is dispatched.
//   - Only idle origins are forgotten, because tasks point to their origins.
type scheduler struct {
	ctx      context.Context
	client   *Client
	o        BulkOptions
	launcher launcher
	rules    rules
	began    time.Time
	// shareHeaders allows many requests to have the same header. Only the pipeline is
	// known not to change it.
	shareHeaders bool

	workers  sync.WaitGroup // the run's own goroutines
	launched sync.WaitGroup // requests without a response
	work     chan *task     // to the makers, with room for everything in flight
	done     chan struct{}

	commitFailed bool // used only by the consumer
	panicked     any  // the source's panic

	mu            sync.Mutex
	consumer      sync.Cond // on mu; signaled when there are results, or at the end
	reader        sync.Cond // on mu; signaled when there is room
	readerWaits   bool
	origins       map[string]*origin
	forgetAt      int            // number of origins at which idle ones are forgotten
	ring          queue[*origin] // origins with jobs that may be sent, in turn
	runnable      int            // jobs of the origins in ring
	queued        int            // all waiting jobs, including those in delays
	busy          int            // jobs in flight, and results that are not settled
	active        int            // jobs in flight
	delays        delays
	timer         *time.Timer
	timerAt       time.Time // time at which the timer fires
	paced         bool      // an element of delays waits for pace
	pace          pace      // pace of all requests
	cells         map[Service]*cell
	results       []Result
	spare         []Result
	failures      int
	sourceEnded   bool
	stopped       bool
	nextJob       int64
	stoppedReason error
}

// origin is the state of a push service in this run.
type origin struct {
	name     string
	retries  queue[*task] // before those in queue
	queue    queue[*task]
	inFlight int
	delayed  int   // number of tasks in delays
	listed   bool  // in the ring
	asleep   bool  // in delays, or parked at its cell
	cell     *cell // nil if its rate is not limited
	header   sharedHeader
	pace     pace // pace while the service is slowed down
	accepted meter
	health
}

// cell is the rate of an origin, or of all origins of a service.
type cell struct {
	Cell
	grants []Grant
	asking bool      // the limiter is being asked
	askAt  time.Time // earliest time to ask the limiter again
	parked []*origin // origins that wait for a grant: asleep, but not in delays
}

func (o *origin) waiting() int { return o.retries.len() + o.queue.len() }

// idle reports whether the origin has no tasks.
func (o *origin) idle() bool {
	return o.waiting() == 0 && o.inFlight == 0 && o.delayed == 0 && !o.asleep &&
		(o.cell == nil || !o.cell.asking)
}

func (o *origin) pop() *task {
	if o.retries.len() > 0 {
		return o.retries.pop()
	}
	return o.queue.pop()
}

// queue is a first-in, first-out queue. It keeps its memory while it is in use.
type queue[T any] struct {
	items []T
	first int
}

func (q *queue[T]) len() int { return len(q.items) - q.first }

func (q *queue[T]) push(x T) {
	if q.first > 0 && len(q.items) == cap(q.items) && q.first >= len(q.items)/2 { // instead of growing
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, x)
}

func (q *queue[T]) peek() T { return q.items[q.first] }

func (q *queue[T]) pop() T {
	x := q.items[q.first]
	clear(q.items[q.first : q.first+1])
	q.first++
	switch {
	case q.len() > 0:
	case cap(q.items) > 64:
		*q = queue[T]{}
	default:
		q.items, q.first = q.items[:0], 0
	}
	return x
}

func newScheduler(ctx context.Context, c *Client, o BulkOptions, l launcher) *scheduler {
	b := &scheduler{ctx: ctx, client: c, o: o, launcher: l, began: time.Now(), cells: make(map[Service]*cell),
		work: make(chan *task, o.Concurrency), done: make(chan struct{}), origins: make(map[string]*origin)}
	b.rules = rules{concurrency: o.Concurrency, perOrigin: o.ConcurrencyPerOrigin, adaptive: !o.NoAdaptiveRate}
	_, b.shareHeaders = l.(pipelined)
	b.rules.attempts, b.rules.maxWait = c.patience()
	b.rules.deadline, _ = ctx.Deadline()
	b.consumer.L, b.reader.L = &b.mu, &b.mu
	return b
}

// start starts the run, which reads jobs until the source ends or the run stops.
func (b *scheduler) start(jobs iter.Seq2[Job, error]) {
	b.timer = time.AfterFunc(math.MaxInt64, b.wake)
	for range min(runtime.GOMAXPROCS(0), b.o.Concurrency) {
		b.workers.Go(b.make)
	}
	b.workers.Go(func() {
		select {
		case <-b.ctx.Done():
			b.stop()
		case <-b.o.Stop:
			b.stop()
		case <-b.done:
		}
	})
	b.workers.Go(func() {
		defer b.endSource()
		for job, err := range jobs {
			if !b.accept(job, err) {
				break
			}
		}
	})
}

// endSource records that the source has ended, even by [runtime.Goexit]. A panic of
// the source is kept for SendAll's own goroutine.
func (b *scheduler) endSource() {
	v := recover()
	b.mu.Lock()
	defer b.mu.Unlock()
	if v != nil {
		b.panicked = v
		b.stopLocked()
	}
	b.sourceEnded = true
	b.consumer.Signal()
}

// close waits for all goroutines and requests of the run, whose context is done.
func (b *scheduler) close() {
	b.stop()
	b.timer.Stop()
	close(b.done)
	close(b.work) // a stopped run no longer dispatches
	b.workers.Wait()
	b.launched.Wait()
}

// accept queues a job of the source as soon as there is room for it. It reports whether
// to continue.
func (b *scheduler) accept(job Job, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.stopped && !mayRead(b.rules, b.supply(), false) {
		b.readerWaits = true
		b.reader.Wait()
	}
	t := &task{index: b.nextJob, job: job}
	b.nextJob++
	switch {
	case err != nil:
		class := ClassInvalid
		if errors.Is(err, ErrExpired) {
			class = ClassExpired
		}
		b.unsent(t.result(class, nil, err))
	case b.stopped:
		b.unsent(t.result(ClassSkipped, nil, b.stoppedReason))
	default:
		b.queued++
		t.origin = b.origin(job.Subscription)
		now := time.Now()
		b.enqueue(t, &t.origin.queue, now)
		b.dispatch(now)
	}
	return !b.stopped
}

func (b *scheduler) supply() supply {
	return supply{runnable: b.runnable, queued: b.queued, busy: b.busy, results: len(b.results)}
}

// wakeReader lets the reader continue if there is room for many jobs.
func (b *scheduler) wakeReader() {
	if b.readerWaits && (b.stopped || mayRead(b.rules, b.supply(), true)) {
		b.readerWaits = false
		b.reader.Signal()
	}
}

func (b *scheduler) origin(sub *Subscription) *origin {
	name := ""
	if sub != nil {
		name = sub.origin
	}
	if o := b.origins[name]; o != nil {
		return o
	}
	if len(b.origins) >= max(b.forgetAt, 1024) { // endpoints are untrusted: forget idle origins
		now := time.Now()
		for name, o := range b.origins {
			if o.idle() && mayForget(now, o.health, len(b.origins)) {
				delete(b.origins, name)
			}
		}
		b.forgetAt = 2 * len(b.origins)
	}
	o := &origin{name: name, health: well()}
	if sub != nil {
		o.cell = b.cell(sub)
	}
	b.origins[name] = o
	return o
}

// cell returns the cell of a subscription's origin, or nil.
func (b *scheduler) cell(sub *Subscription) *cell {
	c, limited := b.o.Rates.Cell(sub.service, sub.origin)
	switch {
	case !limited:
		return nil
	case c.Name == sub.origin:
		return &cell{Cell: c}
	case b.cells[sub.service] == nil:
		b.cells[sub.service] = &cell{Cell: c}
	}
	return b.cells[sub.service]
}

// turn returns the next step for an origin.
func (b *scheduler) turn(o *origin, now time.Time) turn {
	return nextTurn(now, o.health, o.inFlight, places(b.rules, o.health, len(b.origins)))
}

// enqueue adds a task, which is already counted in queued, to a queue of its origin.
func (b *scheduler) enqueue(t *task, q *queue[*task], now time.Time) {
	q.push(t)
	if t.origin.listed {
		b.runnable++
	} else {
		b.list(t.origin, now)
	}
}

// list adds an origin to the ring if its jobs may be sent; otherwise it puts the origin
// to sleep until they may.
func (b *scheduler) list(o *origin, now time.Time) {
	if o.listed || o.asleep || o.waiting() == 0 {
		return
	}
	switch b.turn(o, now) {
	case turnHold:
		b.sleep(o, o.heldUntil)
	case turnSend, turnFail:
		o.listed = true
		b.ring.push(o)
		b.runnable += o.waiting()
	}
}

// unlist removes the first origin from the ring and returns it.
func (b *scheduler) unlist() *origin {
	o := b.ring.pop()
	o.listed = false
	b.runnable -= o.waiting()
	return o
}

func (b *scheduler) sleep(o *origin, until time.Time) {
	o.asleep = true
	heap.Push(&b.delays, delay{at: until, origin: o})
}

// next returns the task to send now, or nil.
func (b *scheduler) next(now time.Time) *task {
	for !b.stopped && b.busy < b.o.Concurrency && b.ring.len() > 0 {
		o := b.ring.peek()
		switch b.turn(o, now) {
		case turnFail:
			b.unlist()
			b.giveUp(o)
			continue
		case turnHold:
			b.sleep(b.unlist(), o.heldUntil)
			continue
		case turnFull:
			b.unlist() // listed again when a request is finished
			continue
		}
		perSecond := rateOf(now, o.health)
		if perSecond > 0 {
			if wait := o.pace.wait(now); wait > 0 {
				b.sleep(b.unlist(), onTick(b.began, now.Add(wait)))
				continue
			}
		}
		if b.o.Rate > 0 {
			if wait := b.pace.wait(now); wait > 0 {
				if !b.paced {
					b.paced = true
					heap.Push(&b.delays, delay{at: onTick(b.began, now.Add(wait))})
				}
				return nil
			}
		}
		if o.cell != nil && !b.spend(o, now) {
			continue
		}
		if b.o.Rate > 0 {
			b.pace = b.pace.sent(now, b.o.Rate)
		}
		if perSecond > 0 {
			o.pace = o.pace.sent(now, perSecond)
		}
		b.unlist()
		t := o.pop()
		b.queued--
		b.busy++
		b.active++
		o.inFlight++
		b.list(o, now) // at the ring's end
		return t
	}
	return nil
}

// spend uses a granted request for the first origin of the ring and reports true. If
// none is due, it puts the origin to sleep until one is.
func (b *scheduler) spend(o *origin, now time.Time) bool {
	c := o.cell
	c.grants = current(now, c.grants)
	due := len(c.grants) > 0 && !c.grants[0].At.After(now)
	waiting, free := o.waiting(), b.o.Concurrency-b.busy
	if due {
		c.grants = spend(c.grants)
		waiting, free = waiting-1, free-1
	}
	for _, other := range c.parked {
		waiting += other.waiting()
	}
	if !c.asking && !now.Before(c.askAt) {
		if n := toReserve(c.Cell, granted(c.grants), waiting, free); n > 0 {
			b.reserve(c, n)
		}
	}
	switch {
	case due:
	case len(c.grants) > 0:
		b.sleep(b.unlist(), onTick(b.began, c.grants[0].At))
	case c.asking:
		b.unlist().asleep = true
		c.parked = append(c.parked, o)
	default:
		b.sleep(b.unlist(), onTick(b.began, latest(c.askAt, now.Add(1))))
	}
	return due
}

// reserve asks the limiter for requests of a cell.
func (b *scheduler) reserve(c *cell, n int) {
	c.asking = true
	b.workers.Go(func() {
		g, err := b.o.Limiter.Reserve(b.ctx, c.Cell, n)
		b.mu.Lock()
		defer b.mu.Unlock()
		now := time.Now()
		c.asking, c.askAt = false, now.Add(2*tick)
		switch {
		case err != nil:
			c.askAt = now.Add(limiterAgain)
		case g.N > 0:
			c.grants = append(c.grants, g)
		case g.At.After(c.askAt):
			c.askAt = g.At
		}
		parked := c.parked
		c.parked = nil
		for _, o := range parked {
			o.asleep = false
			b.list(o, now)
		}
		b.dispatch(now)
	})
}

// dispatch passes all tasks that may be sent to the makers.
func (b *scheduler) dispatch(now time.Time) {
	for t := b.next(now); t != nil; t = b.next(now) {
		b.work <- t
	}
	if len(b.delays) > 0 && !b.timerAt.Equal(b.delays[0].at) {
		b.timerAt = b.delays[0].at
		b.timer.Reset(max(0, b.timerAt.Sub(now)))
	}
	b.wakeReader()
}

// makerTurn is the number of requests that a maker makes, in about a millisecond,
// before it yields the processor. If it yielded after each, the connection would have
// little to write at a time; if it never did, other goroutines would wait up to 10 ms.
const makerTurn = 16

// make runs a maker, which makes requests; nearly all of the work is encryption. There
// is one per processor. More would not be faster: each needs a deep stack, and together
// they would delay all other goroutines of the process.
func (b *scheduler) make() {
	contexts := attemptContexts{client: b.client, parent: b.ctx}
	made := 0
	for t := range b.work {
		if made++; made%makerTurn == 0 {
			runtime.Gosched()
		}
		if b.ctx.Err() != nil {
			b.stop()
			b.landed(t, b.left(t), nil)
			continue
		}
		if r, send := b.prepare(t); !send {
			b.landed(t, r, nil)
			continue
		}
		b.launch(t, &contexts)
	}
}

// landed handles a task that was in flight. If failed is nil, r is its result. Otherwise,
// the push service did not accept the message; landed reports whether the task is tried
// again, and the wait before that.
func (b *scheduler) landed(t *task, r Result, failed *Error) (wait time.Duration, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.active--
	t.origin.inFlight--
	if failed == nil {
		b.success(t.origin, &r, now)
		b.finished(r)
	} else if t.nextKey(failed) { // the service works, but expects another key
		b.busy--
		b.queued++
		b.enqueue(t, &t.origin.retries, now)
	} else {
		wait, again = b.failure(t, failed, now)
	}
	b.list(t.origin, now)
	b.dispatch(now)
	return wait, again
}

// wake ends the delays that are over.
func (b *scheduler) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for len(b.delays) > 0 && !now.Before(b.delays[0].at) {
		d := heap.Pop(&b.delays).(delay)
		switch {
		case d.task != nil:
			d.task.origin.delayed--
			b.enqueue(d.task, &d.task.origin.retries, now)
		case d.origin != nil:
			d.origin.asleep = false
			b.list(d.origin, now)
		default:
			b.paced = false
		}
	}
	b.timerAt = time.Time{}
	b.dispatch(now)
}

// success records that an origin accepted a message. Other results are of messages that
// were not sent this time, such as one that expired before its next attempt.
func (b *scheduler) success(o *origin, r *Result, now time.Time) {
	if r.Class == ClassDelivered && r.Attempts > 0 {
		o.accepted = o.accepted.count(now)
		o.health = onSuccess(b.rules, o.health)
	}
}

// failure handles a task that the push service did not accept. It reports whether the
// task is tried again, and the wait before that.
func (b *scheduler) failure(t *task, e *Error, now time.Time) (wait time.Duration, again bool) {
	o := t.origin
	t.err = e
	if err := b.ctx.Err(); err != nil {
		b.finished(t.result(ClassTemporary, nil, fmt.Errorf("sending to %s was interrupted: %w", o.name, err)))
		b.stopLocked()
		return 0, false
	}
	var v verdict
	o.health, v = onFailure(now, b.rules, o.health, failure{err: e, attempts: t.attempts, backoff: backoff(t.attempts, e.RetryAfter),
		inFlight: o.inFlight, accepted: o.accepted.perSecond(now), stopped: b.stopped})
	if c := o.cell; c != nil && v.held && e.Temporary() {
		c.grants = nil
		b.o.Limiter.Hold(c.Cell, max(0, v.wait))
	}
	if !v.again {
		b.finished(t.result(Classify(e), nil, e))
		return 0, false
	}
	b.busy--
	b.queued++
	if v.held {
		b.enqueue(t, &o.retries, now)
	} else {
		o.delayed++
		heap.Push(&b.delays, delay{at: now.Add(v.wait), task: t})
	}
	return v.wait, true
}

// giveUp fails all waiting tasks of an origin that is down.
func (b *scheduler) giveUp(o *origin) {
	for o.waiting() > 0 {
		t := o.pop()
		b.queued--
		e := *o.downError
		if t.err != nil {
			e = *t.err.(*Error)
		} else {
			e.Problem = "this message was not sent because an earlier one failed: " + e.Problem
		}
		e.Attempts = t.attempts
		b.unsent(t.result(Classify(&e), nil, &e))
	}
}

// unsent adds the result of a task that was not in flight and has been removed from its
// queue.
func (b *scheduler) unsent(r Result) {
	b.busy++
	b.finished(r)
}

// finished adds the result of a task that was in flight. The task counts as busy until
// the result is settled.
func (b *scheduler) finished(r Result) {
	b.results = append(b.results, r)
	switch r.Class {
	case ClassRejected, ClassTemporary, ClassInvalid, ClassExpired:
		if b.failures++; b.failures == b.o.MaxFailures {
			b.stopLocked()
		}
	}
	b.consumer.Signal()
}

// stop stops the run: waiting tasks are no longer sent.
func (b *scheduler) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopLocked()
}

func (b *scheduler) stopLocked() {
	if b.stopped {
		return
	}
	b.stopped, b.stoppedReason = true, errors.New("stopped before its turn")
	if err := b.ctx.Err(); err != nil {
		b.stoppedReason = fmt.Errorf("%w: %w", b.stoppedReason, err)
	} else if b.o.MaxFailures > 0 && b.failures >= b.o.MaxFailures {
		b.stoppedReason = fmt.Errorf("%w, after %d failures", b.stoppedReason, b.failures)
	}
	var waiting []*task
	for _, o := range b.origins {
		for o.waiting() > 0 {
			waiting = append(waiting, o.pop())
		}
	}
	for _, d := range b.delays {
		if d.task != nil {
			waiting = append(waiting, d.task)
		}
	}
	b.ring, b.delays, b.queued, b.runnable = queue[*origin]{}, nil, 0, 0
	for _, t := range waiting {
		b.unsent(b.left(t))
	}
	b.consumer.Signal()
	b.reader.Signal()
}

// left returns the result of a task that was not in flight when the run stopped.
func (b *scheduler) left(t *task) Result {
	if t.err != nil {
		return t.result(ClassTemporary, nil, t.err)
	}
	return t.result(ClassSkipped, nil, b.stoppedReason)
}

// take waits for results and returns them, or nil at the end. The slice is valid until
// the next call.
func (b *scheduler) take() []Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.results) == 0 {
		if b.sourceEnded && b.queued == 0 && b.active == 0 {
			return nil
		}
		b.consumer.Wait()
	}
	clear(b.spare)
	batch := b.results
	b.results, b.spare = b.spare[:0], batch
	return batch
}

// settle frees the places of n results that were committed.
func (b *scheduler) settle(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy -= n
	b.dispatch(time.Now())
}

// delay is a time, with the task or origin that waits for it; with neither, it is
// [scheduler.pace] that waits.
type delay struct {
	at     time.Time
	task   *task
	origin *origin
}

// delays is a heap whose first element is the next one due.
type delays []delay

func (d delays) Len() int           { return len(d) }
func (d delays) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d delays) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *delays) Push(x any)        { *d = append(*d, x.(delay)) }
func (d *delays) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = delay{}
	*d = (*d)[:last]
	return x
}
