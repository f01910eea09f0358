package appserver

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// sending is a job while this server sends parts of it. One SendAll reads one part
// after another, so the end of a part does not wait for its slowest messages.
type sending struct {
	s   *Server
	run *run
	job Job
	msg webpush.Message
	ctx context.Context

	mu    sync.Mutex
	held  map[*heldPart]bool
	state State // state of the job at the last commit
	err   error
}

// heldPart is a part that this server has claimed.
type heldPart struct {
	Part
	commit sync.Mutex // held during a commit

	// sending.mu guards the other fields.
	pending map[int64]bool // records that were read and are not recorded, or still open
	read    bool           // all records have been read
	done    bool
	lost    bool
	renewed time.Time
}

// task is a message to one record.
type task struct {
	record Record
	part   *heldPart
}

// patiently calls f again while the store is unavailable, until the job stops.
func (x *sending) patiently(f func() error) error {
	for {
		err := f()
		if !errors.Is(err, ErrUnavailable) {
			return err
		}
		select {
		case <-x.run.stop:
			return err
		case <-x.ctx.Done():
			return err
		case <-time.After(x.s.times.unavailable):
		}
	}
}

// perform sends parts of a job until no part is left or free.
func (s *Server) perform(ctx context.Context, r *run, job Job) {
	defer s.news.changed(job.ID)
	log := s.log.With("job", job.ID)
	m := job.Message
	x := &sending{s: s, run: r, job: job, ctx: ctx, held: make(map[*heldPart]bool),
		msg: webpush.Message{Payload: m.Payload, TTL: &m.TTL, Urgency: m.Urgency, Topic: m.Topic}}
	first, err := x.claim()
	switch {
	case errors.Is(err, ErrNoPart):
		s.mu.Lock()
		s.idle[job.ID] = time.Now()
		s.mu.Unlock()
		return
	case errors.Is(err, ErrFinished), errors.Is(err, ErrNotFound):
		return
	case err != nil:
		log.Error("the push cannot be started", "error", err)
		select { // before another attempt
		case <-time.After(storeRetry):
		case <-r.stop:
		case <-ctx.Done():
		}
		return
	}
	s.news.changed(job.ID)
	log.Info("push started", "total", job.Total, "part", first.Number, "cursor", first.Cursor, "unfinished", len(first.Open))
	start := time.Now()
	renewing, stopRenewing := context.WithCancel(ctx)
	var renewer sync.WaitGroup
	renewer.Go(func() { x.renew(renewing) })
	for err == nil {
		x.send(first)
		if err = x.err; err == nil && !x.over() {
			first, err = x.claim()
		} else {
			break
		}
	}
	stopRenewing()
	renewer.Wait()
	x.release()
	stopped := r.halted() || ctx.Err() != nil
	switch {
	case errors.Is(err, ErrNoPart):
		s.mu.Lock()
		s.idle[job.ID] = time.Now()
		s.mu.Unlock()
		log.Info("the rest of the push is with other servers", "took", time.Since(start))
	case stopped:
		log.Info("push stopped", "took", time.Since(start))
	case err == nil, errors.Is(err, ErrFinished), errors.Is(err, ErrNotFound):
		log.Info("push finished", "took", time.Since(start))
	default:
		log.Error("push failed", "error", err)
		err = s.store.SetState(context.WithoutCancel(ctx), job.ID, Failed, "the server failed; its log has the cause")
		if err != nil && !errors.Is(err, ErrFinished) {
			log.Error("the failure of the push cannot be recorded", "error", err)
			// While nothing can be recorded, the same messages would be sent repeatedly.
			s.mu.Lock()
			s.broken[job.ID] = true
			s.mu.Unlock()
		}
	}
}

// over reports whether there is nothing more to send.
func (x *sending) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err != nil || x.state.Over() && x.state != "" || x.run.halted() || x.ctx.Err() != nil
}

// claim leases the next part.
func (x *sending) claim() (*heldPart, error) {
	var p Part
	err := x.patiently(func() (err error) {
		p, err = x.s.store.Claim(x.ctx, x.job.ID, x.s.times.lease)
		return err
	})
	if err != nil {
		return nil, err
	}
	if x.job.State == Scheduled { // the claim determined its recipients
		job, err := x.s.store.FindJob(x.ctx, x.job.ID)
		if err != nil {
			return nil, err
		}
		x.job = job
	}
	h := &heldPart{Part: p, pending: make(map[int64]bool), renewed: time.Now()}
	for _, seq := range p.Open {
		h.pending[seq] = true
	}
	x.mu.Lock()
	x.held[h] = true
	x.mu.Unlock()
	return h, nil
}

// send sends to the records of a part and of the parts that can be claimed after it.
func (x *sending) send(first *heldPart) {
	o := x.s.o.Bulk
	o.Stop, o.Commit = x.run.stop, x.commit
	for r := range x.s.client.SendAll(x.ctx, x.source(first), o) {
		x.s.metrics.message(r)
	}
}

// source returns the messages to the records of a part, then claims the next.
func (x *sending) source(p *heldPart) iter.Seq2[webpush.Job, error] {
	return func(yield func(webpush.Job, error) bool) {
		fail := func(err error) {
			x.mu.Lock()
			defer x.mu.Unlock()
			if x.err == nil {
				x.err = err
			}
		}
		for p != nil && !x.over() {
			on := true
			err := x.records(p, func(r Record) bool {
				sub, err := webpush.NewSubscription(r.Endpoint, r.P256DH, r.Auth)
				on = yield(webpush.Job{Subscription: x.s.keys.recorded(sub, r), Message: x.msg, Expires: x.job.Expires(), Value: &task{r, p}}, err)
				return on
			})
			if err == nil && on {
				err = x.ended(p)
			}
			if err != nil {
				fail(err)
				return
			}
			if !on {
				return
			}
			p, err = x.claim()
			if err != nil && !errors.Is(err, ErrNoPart) && !errors.Is(err, ErrFinished) {
				fail(err)
				return
			}
		}
	}
}

// records yields the open records of the part, and the records after its cursor.
// Between two pages, it keeps nothing open in the store.
func (x *sending) records(p *heldPart, yield func(Record) bool) error {
	for open := range slices.Chunk(p.Open, pageSize) {
		var list []Record
		if err := x.patiently(func() (err error) { list, err = x.s.store.Get(x.ctx, open); return err }); err != nil {
			return err
		}
		exists := make(map[int64]bool)
		for _, r := range list {
			exists[r.Seq] = true
		}
		x.mu.Lock()
		for _, seq := range open {
			if !exists[seq] {
				delete(p.pending, seq)
			}
		}
		x.mu.Unlock()
		for _, r := range list {
			if !yield(r) {
				return nil
			}
		}
	}
	for after := p.Cursor; ; {
		var list []Record
		err := x.patiently(func() (err error) {
			if p.Number == 0 {
				list, err = x.s.store.Again(x.ctx, x.job.ID, after, pageSize)
			} else {
				list, err = x.s.store.List(x.ctx, x.job.To, after, p.UpTo, pageSize)
			}
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, r := range list {
			x.mu.Lock()
			lost := p.lost
			if !lost {
				p.pending[r.Seq] = true
			}
			x.mu.Unlock()
			if lost || !yield(r) {
				return nil
			}
			after = r.Seq
		}
	}
}

// ended records that all records of a part have been read.
func (x *sending) ended(p *heldPart) error {
	x.mu.Lock()
	p.read = true
	x.mu.Unlock()
	return x.record(p, nil)
}

// commit records results. It omits temporary failures that stopping the job has
// caused: these messages are sent again when the job continues.
func (x *sending) commit(results []webpush.Result) error {
	stopping := x.run.halted() || x.ctx.Err() != nil
	var parts []*heldPart // nearly always one
	outcomes := make(map[*heldPart][]Outcome, 1)
	for _, r := range results {
		if r.Class == webpush.ClassSkipped || stopping && r.Class == webpush.ClassTemporary {
			continue
		}
		t := r.Job.Value.(*task)
		if outcomes[t.part] == nil {
			parts = append(parts, t.part)
			outcomes[t.part] = make([]Outcome, 0, len(results))
		}
		outcomes[t.part] = append(outcomes[t.part], x.outcome(t.record, r))
	}
	for _, p := range parts {
		if err := x.record(p, outcomes[p]); err != nil {
			x.mu.Lock()
			x.err = err
			x.mu.Unlock()
			return err
		}
	}
	return nil
}

// record commits outcomes of a part, and the end of the part if all are recorded.
func (x *sending) record(p *heldPart, outcomes []Outcome) error {
	p.commit.Lock()
	defer p.commit.Unlock()
	x.mu.Lock()
	if p.lost || p.done {
		x.mu.Unlock()
		return nil
	}
	cursor := p.Cursor
	for _, o := range outcomes {
		delete(p.pending, o.Record.Seq)
		if p.Number > 0 { // the store lists the records of part 0
			cursor = max(cursor, o.Record.Seq)
		}
	}
	b := Batch{Step: p.Step + 1, Cursor: cursor, Outcomes: outcomes, Lease: x.s.times.lease, Done: p.read && len(p.pending) == 0}
	if p.Number > 0 {
		for seq := range p.pending {
			if seq <= cursor {
				b.Open = append(b.Open, seq)
			}
		}
	}
	x.mu.Unlock()
	if len(outcomes) == 0 && !b.Done {
		return nil
	}
	slices.Sort(b.Open)
	var done Committed
	err := x.patiently(func() (err error) {
		done, err = x.s.store.CommitPart(context.WithoutCancel(x.ctx), p.Part, b)
		return err
	})
	if errors.Is(err, ErrNotFound) { // the job has finished and was deleted
		err = ErrLost
	}
	if err != nil && !errors.Is(err, ErrLost) {
		return err
	}
	x.mu.Lock()
	if err != nil {
		x.s.log.Warn("another server has claimed a part of the push", "job", x.job.ID, "part", p.Number)
		p.lost = true
		delete(x.held, p)
	} else {
		p.Step, p.Cursor, p.renewed = b.Step, b.Cursor, time.Now()
		if p.done = b.Done; p.done {
			delete(x.held, p)
		}
		x.state = done.State
	}
	x.mu.Unlock()
	if done.State.Over() && done.State != "" && done.State != Done {
		x.run.halt() // the job was canceled on another server
	}
	x.s.metrics.removed.Add(float64(done.Removed))
	x.s.news.changed(x.job.ID)
	return nil
}

// renew extends the leases of parts for which nothing has been recorded for a while.
func (x *sending) renew(ctx context.Context) {
	every := time.NewTicker(x.s.times.lease / 3)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		x.mu.Lock()
		var due []*heldPart
		for p := range x.held {
			if time.Since(p.renewed) >= x.s.times.lease/4 {
				due = append(due, p)
			}
		}
		x.mu.Unlock()
		for _, p := range due {
			x.extend(ctx, p, Batch{Lease: x.s.times.lease})
		}
	}
}

// extend commits a batch that changes only the lease.
func (x *sending) extend(ctx context.Context, p *heldPart, b Batch) {
	p.commit.Lock()
	defer p.commit.Unlock()
	x.mu.Lock()
	over := p.lost || p.done
	x.mu.Unlock()
	if over {
		return
	}
	done, err := x.s.store.CommitPart(ctx, p.Part, b)
	x.mu.Lock()
	switch {
	case err == nil:
		p.renewed = time.Now()
	case errors.Is(err, ErrLost), errors.Is(err, ErrNotFound):
		p.lost = true
		delete(x.held, p)
	}
	x.mu.Unlock()
	if err == nil && done.State.Over() {
		x.run.halt()
	}
}

// release gives back the parts that are not done. Otherwise, another server would have to
// wait until their leases expire.
func (x *sending) release() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.ctx), time.Second)
	defer cancel()
	x.mu.Lock()
	var held []*heldPart
	for p := range x.held {
		held = append(held, p)
	}
	x.mu.Unlock()
	for _, p := range held {
		x.extend(ctx, p, Batch{Release: true})
	}
}

// watch wakes up the readers of jobs that other servers change. While the store cannot
// report changes, it wakes up all readers every second.
func (s *Server) watch(ctx context.Context) {
	for lost := false; ctx.Err() == nil; {
		err := s.store.Watch(ctx, func(id string) {
			lost = false
			if id == "" {
				s.news.allChanged()
			} else {
				s.news.changed(id)
			}
			s.wakeUp()
		})
		if err == nil || ctx.Err() != nil {
			return
		}
		if !lost {
			s.log.Warn("changes by other servers are noticed late", "error", err)
			lost = true
		}
		s.news.allChanged()
		select {
		case <-ctx.Done():
		case <-time.After(pollEvery):
		}
	}
}
