package appserver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	// pageSize is the number of records that are read in one query.
	pageSize = 500
	// storeRetry is the pause after a failure of the store.
	storeRetry = 5 * time.Second
	// pollEvery is the interval at which Run looks for jobs that have become due, and
	// for parts that other servers have given up.
	pollEvery = time.Second
	// pruneEvery is the interval between deletions of old jobs.
	pruneEvery = time.Minute
)

// Run sends the jobs that are due, together with other servers that share the store.
// When ctx is done, it finishes and records the messages in flight, which it aborts
// after ShutdownTimeout, and returns; the rest is sent by the next Run. Only one Run may
// be active at a time.
func (s *Server) Run(ctx context.Context) error {
	cut, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	watching, stopWatching := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() { s.watch(watching) })
	watcher.Go(func() { s.withdraw(watching) })
	watcher.Go(func() { s.warnMissing(watching) })
	watcher.Go(func() { s.announceKey(watching) })
	if s.o.Track {
		watcher.Go(func() { s.recordReports(watching) })
	}
	defer watcher.Wait()
	defer stopWatching()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	var running sync.WaitGroup
	for ctx.Err() == nil {
		wait, err := s.startNext(ctx, cut, &running)
		tick := poll.C
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			s.log.Error("the store failed", "error", err)
			tick, again = nil, time.After(storeRetry)
		}
		if err == nil && !wait {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-tick:
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
	return webpush.WithHint(fmt.Errorf("messages that were in flight for more than %v were aborted", s.o.ShutdownTimeout), "they are sent again after the next start")
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

// startNext starts the oldest job that is due. wait reports whether there is nothing
// more to start at present.
func (s *Server) startNext(ctx, cut context.Context, running *sync.WaitGroup) (wait bool, err error) {
	s.mu.Lock()
	for id, t := range s.idle {
		if time.Since(t) >= pollEvery {
			delete(s.idle, id)
		}
	}
	n, other := len(s.running), len(s.broken)+len(s.idle)
	s.mu.Unlock()
	if n >= s.o.Jobs {
		return true, nil
	}
	if s.pruned.IsZero() || time.Since(s.pruned) >= pruneEvery {
		if err := s.store.Prune(ctx, time.Now().Add(-s.o.KeepJobs)); err != nil {
			return true, err
		}
		s.pruned = time.Now()
	}
	due, err := s.store.Unfinished(ctx, n+other+1)
	if err != nil {
		return true, err
	}
	for _, job := range due {
		s.mu.Lock()
		if _, idle := s.idle[job.ID]; idle || s.running[job.ID] != nil || s.broken[job.ID] {
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

// wakeUp makes Run look for jobs.
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

// outcome returns the outcome to record for a result.
func (x *sending) outcome(record Record, r webpush.Result) Outcome {
	s := x.s
	o := Outcome{Record: record, Class: r.Class, Attempts: r.Attempts, GoneAfter: s.o.GoneAfter}
	if r.Receipt != nil {
		o.Status, o.Key = r.Receipt.Status, s.keys.found(record, r.Receipt)
		if x.job.Message.Cancelable && x.job.Message.TTL > 0 && r.Receipt.Cancelable() {
			o.Location, o.LocationUntil = r.Receipt.Location, x.job.Expires()
		}
	}
	if r.Err != nil {
		o.Problem = r.Err.Error()
		var refused *webpush.Error
		if errors.As(r.Err, &refused) {
			o.Status = refused.Status
		}
		o.Hint = webpush.HintOf(r.Err)
		if refused != nil && refused.Code == webpush.CodeRefused && !s.o.AllowPrivate {
			o.Hint = hintPublic
		}
	}
	return o
}
