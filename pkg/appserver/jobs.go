package appserver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	// pageSize is how many records are read at once.
	pageSize = 500
	// storeRetry is how long to wait after the store failed.
	storeRetry = 5 * time.Second
)

// Run sends what is due: the jobs that were not over when the server stopped,
// and those that are posted. It returns when ctx ends, after what was in
// flight is finished and recorded, or cut off after ShutdownTimeout; the rest
// goes on with the next Run. It must not run twice at the same time.
func (s *Server) Run(ctx context.Context) error {
	cut, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	var running sync.WaitGroup
	for ctx.Err() == nil {
		wait, err := s.startNext(ctx, cut, &running)
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			s.log.Error("the store failed", "error", err)
			again = time.After(storeRetry)
		}
		if err == nil && !wait {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-again:
		}
	}
	s.mu.Lock()
	for _, r := range s.running {
		r.halt()
	}
	s.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		running.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-time.After(s.o.ShutdownTimeout):
	}
	cutOff()
	<-finished
	return &hinted{fmt.Errorf("messages that were in flight longer than %v were cut off", s.o.ShutdownTimeout), "they are sent again with the next start"}
}

// run is a job that is being sent.
type run struct {
	stop chan struct{}
	once sync.Once
}

func (r *run) halt() { r.once.Do(func() { close(r.stop) }) }

func (r *run) halted() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// startNext starts the oldest job that is due, and reports whether there is
// nothing more to start for now.
func (s *Server) startNext(ctx, cut context.Context, running *sync.WaitGroup) (wait bool, err error) {
	s.mu.Lock()
	n, broken := len(s.running), len(s.broken)
	s.mu.Unlock()
	if n >= s.o.Jobs {
		return true, nil
	}
	if err := s.store.Prune(ctx, time.Now().Add(-s.o.KeepJobs)); err != nil {
		return true, err
	}
	due, err := s.store.Unfinished(ctx, n+broken+1)
	if err != nil {
		return true, err
	}
	for _, job := range due {
		s.mu.Lock()
		if s.running[job.ID] != nil || s.broken[job.ID] {
			s.mu.Unlock()
			continue
		}
		r := &run{stop: make(chan struct{})}
		s.running[job.ID] = r
		s.mu.Unlock()
		running.Go(func() {
			s.perform(cut, r, job)
			s.mu.Lock()
			delete(s.running, job.ID)
			s.mu.Unlock()
			s.wakeUp()
		})
		return false, nil
	}
	return true, nil
}

// wakeUp lets Run look for jobs.
func (s *Server) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// halt stops a job if it is running.
func (s *Server) halt(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.running[id]; r != nil {
		r.halt()
	}
}

// perform sends a job and records how it ends.
func (s *Server) perform(ctx context.Context, r *run, job Job) {
	defer s.news.tell(job.ID)
	log := s.log.With("job", job.ID)
	err := s.store.SetState(ctx, job.ID, Running, "")
	if errors.Is(err, ErrFinished) { // it was cancelled
		return
	}
	if err != nil {
		log.Error("the push cannot be started", "error", err)
		select { // and then once more
		case <-time.After(storeRetry):
		case <-r.stop:
		case <-ctx.Done():
		}
		return
	}
	s.news.tell(job.ID)
	log.Info("push started", "total", job.Total, "cursor", job.Cursor, "unfinished", len(job.Open))
	start := time.Now()
	err = s.sendJob(ctx, r, job)
	stopped := r.halted() || ctx.Err() != nil
	switch {
	case err != nil && !stopped:
		log.Error("push failed", "error", err)
		err = s.store.SetState(ctx, job.ID, Failed, "the server failed; its log says why")
	case stopped:
		log.Info("push stopped", "took", time.Since(start))
		return
	default:
		err = s.store.SetState(ctx, job.ID, Done, "")
		log.Info("push finished", "took", time.Since(start))
	}
	if err != nil && !errors.Is(err, ErrFinished) {
		log.Error("the push's end cannot be recorded", "error", err)
		// As long as nothing can be recorded, the same would be sent again and again.
		s.mu.Lock()
		s.broken[job.ID] = true
		s.mu.Unlock()
	}
}

// sending is the state of a job while it is sent.
type sending struct {
	s   *Server
	run *run
	job Job
	msg webpush.Message
	ctx context.Context

	mu      sync.Mutex
	cursor  int64
	pending map[int64]bool // taken and not recorded, or open from before
	err     error
}

func (s *Server) sendJob(ctx context.Context, r *run, job Job) error {
	m := job.Message
	x := &sending{s: s, run: r, job: job, ctx: ctx, cursor: job.Cursor, pending: make(map[int64]bool),
		msg: webpush.Message{Payload: m.Payload, TTL: &m.TTL, Urgency: m.Urgency, Topic: m.Topic}}
	for _, seq := range job.Open {
		x.pending[seq] = true
	}
	x.send(x.records)
	for !x.over() {
		left, err := s.store.Again(ctx, job.ID, 0, 1)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			break
		}
		x.send(x.changed)
	}
	return x.err
}

func (x *sending) over() bool { return x.err != nil || x.run.halted() || x.ctx.Err() != nil }

// records gives the records that the job stopped at, and those after its
// cursor. Between two pages nothing is open in the store.
func (x *sending) records(yield func(Record) bool) error {
	if len(x.job.Open) > 0 {
		for open := range slices.Chunk(x.job.Open, pageSize) {
			list, err := x.s.store.Get(x.ctx, open)
			if err != nil {
				return err
			}
			there := make(map[int64]bool)
			for _, r := range list {
				there[r.Seq] = true
			}
			x.mu.Lock()
			for _, seq := range open {
				if !there[seq] {
					delete(x.pending, seq)
				}
			}
			x.mu.Unlock()
			for _, r := range list {
				if !yield(r) {
					return nil
				}
			}
		}
	}
	for after := x.job.Cursor; ; {
		list, err := x.s.store.List(x.ctx, x.job.To, after, x.job.MaxSeq, pageSize)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, r := range list {
			x.mu.Lock()
			x.pending[r.Seq] = true
			x.mu.Unlock()
			if !yield(r) {
				return nil
			}
			after = r.Seq
		}
	}
}

// changed gives the records that are sent to once more.
func (x *sending) changed(yield func(Record) bool) error {
	for after := int64(0); ; {
		list, err := x.s.store.Again(x.ctx, x.job.ID, after, pageSize)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, r := range list {
			if !yield(r) {
				return nil
			}
			after = r.Seq
		}
	}
}

// jobs makes the source of SendAll.
func (x *sending) jobs(records func(func(Record) bool) error) iter.Seq2[webpush.Job, error] {
	return func(yield func(webpush.Job, error) bool) {
		err := records(func(r Record) bool {
			sub, err := webpush.NewSubscription(r.Endpoint, r.P256DH, r.Auth)
			return yield(webpush.Job{Subscription: sub, Message: x.msg, Value: r}, err)
		})
		if err != nil {
			x.mu.Lock()
			x.err = err
			x.mu.Unlock()
		}
	}
}

// send sends to records until they end or the job is stopped.
func (x *sending) send(records func(func(Record) bool) error) {
	o := x.s.o.Bulk
	o.Stop, o.Commit = x.run.stop, x.commit
	for r := range x.s.client.SendAll(x.ctx, x.jobs(records), o) {
		x.s.metrics.message(r)
	}
}

// commit records results. Those that came of stopping are not: they are sent
// again when the job goes on.
func (x *sending) commit(results []webpush.Result) error {
	stopping := x.run.halted() || x.ctx.Err() != nil
	b := Batch{Outcomes: make([]Outcome, 0, len(results))}
	x.mu.Lock()
	for _, r := range results {
		if r.Class == webpush.ClassSkipped || stopping && r.Class == webpush.ClassTemporary {
			continue
		}
		record := r.Job.Value.(Record)
		delete(x.pending, record.Seq)
		x.cursor = max(x.cursor, record.Seq)
		b.Outcomes = append(b.Outcomes, x.s.outcome(record, r))
	}
	b.Cursor = x.cursor
	for seq := range x.pending {
		if seq <= x.cursor {
			b.Open = append(b.Open, seq)
		}
	}
	x.mu.Unlock()
	if len(b.Outcomes) == 0 {
		return nil
	}
	slices.Sort(b.Open)
	removed, err := x.s.store.Commit(context.WithoutCancel(x.ctx), x.job.ID, b)
	if err != nil {
		x.mu.Lock()
		x.err = err
		x.mu.Unlock()
		return err
	}
	x.s.metrics.removed.Add(float64(removed))
	x.s.news.tell(x.job.ID)
	return nil
}

// outcome makes what is recorded of a result.
func (s *Server) outcome(record Record, r webpush.Result) Outcome {
	o := Outcome{Record: record, Class: r.Class, Attempts: r.Attempts}
	if r.Receipt != nil {
		o.Status = r.Receipt.Status
	}
	if r.Err != nil {
		o.Problem = r.Err.Error()
		var refused *webpush.Error
		if errors.As(r.Err, &refused) {
			o.Status = refused.Status
		}
		var hint interface{ Hint() string }
		if errors.As(r.Err, &hint) {
			o.Hint = hint.Hint()
		}
		if refused != nil && refused.Code == webpush.CodeRefused && !s.o.AllowPrivate {
			o.Hint = "only https and public addresses are sent to; for tries on this machine: --allow-private"
		}
	}
	return o
}
