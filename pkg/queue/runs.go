package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Run is the state of a run that [Queue.Enqueue] started or [Queue.Cancel] canceled.
type Run struct {
	Name string `json:"name"` // name of the run
	// Records is the number of records of this run in the stream. It is final once
	// Complete reports that all were enqueued.
	Records  int64     `json:"records"`
	Complete bool      `json:"complete"`
	Canceled bool      `json:"canceled"` // no more messages are sent
	Started  time.Time `json:"started"`  // when it was first enqueued to, or canceled
}

// NewRunName returns a name for a run: the time, and four random digits.
func NewRunName() string {
	return time.Now().UTC().Format("20060102-150405-") + fmt.Sprintf("%04x", rand.N(1<<16))
}

// Outcome counts the results of a run, or of all runs.
type Outcome struct {
	// Run is the state of the run, if Known; see [Queue.Run].
	Run   Run
	Known bool
	// Counts are the results so far.
	Counts bulk.Counts
}

// Add counts a result.
func (o *Outcome) Add(r *Result) {
	if o.Counts == nil {
		o.Counts = make(bulk.Counts)
	}
	o.Counts[r.Class]++
}

// String returns the outcome in words, such as "2 of 3 records have a result: 1
// delivered, 1 gone; enqueueing is not finished".
func (o *Outcome) String() string {
	n := o.Counts.Total()
	of := text.Count(n, "record")
	verb := " have a result"
	if n == 1 {
		verb = " has a result"
	}
	if o.Known && o.Run.Complete {
		of, verb = fmt.Sprintf("%d of %s", n, text.Count(o.Run.Records, "record")), " have a result"
	}
	s := of + verb
	if n > 0 {
		s += ": " + o.Counts.String()
	}
	switch {
	case o.Known && o.Run.Canceled:
		s += "; the run is canceled"
	case o.Known && !o.Run.Complete:
		s += "; enqueueing is not finished"
	}
	return s
}

// MarshalJSON returns an object with results, counts, and, if the run is known, run,
// complete, canceled, and records.
func (o *Outcome) MarshalJSON() ([]byte, error) {
	fields := map[string]any{"results": o.Counts.Total(), "counts": o.Counts}
	if o.Run.Name != "" {
		fields["run"] = o.Run.Name
	}
	if o.Known {
		fields["complete"], fields["canceled"] = o.Run.Complete, o.Run.Canceled
		if o.Run.Complete {
			fields["records"] = o.Run.Records
		}
	}
	return json.Marshal(fields)
}

// ErrCanceled is the error of a message that was not sent because its run was
// canceled. Its class is [webpush.ClassSkipped].
var ErrCanceled = errors.New("the run was canceled before this message was sent")

// CanceledError reports that records cannot be added to a run that was canceled.
type CanceledError struct {
	Run string // name of the run
}

// Error names the run.
func (e *CanceledError) Error() string { return fmt.Sprintf("the run %q was canceled", e.Run) }

// Hint returns the next step to take.
func (e *CanceledError) Hint() string { return "use another name for the run" }

// Run returns the state of a run, or ok false if the run is unknown.
func (q *Queue) Run(ctx context.Context, name string) (run Run, ok bool, err error) {
	run, _, err = q.getRun(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return run, false, nil
	}
	return run, err == nil, err
}

func (q *Queue) getRun(ctx context.Context, name string) (Run, uint64, error) {
	run := Run{Name: name}
	entry, err := retry(ctx, func() (jetstream.KeyValueEntry, error) { return q.opened.Load().runs.Get(ctx, name) })
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return run, 0, err
	}
	if err != nil {
		return run, 0, serverError(fmt.Sprintf("the state of the run %q cannot be read", name), err)
	}
	if err := json.Unmarshal(entry.Value(), &run); err != nil {
		return run, 0, &Error{Problem: fmt.Sprintf("the state of the run %q is not JSON", name), Err: err}
	}
	return run, entry.Revision(), nil
}

// changeRun changes the state of a run, which may be new.
func (q *Queue) changeRun(ctx context.Context, name string, change func(*Run) error) error {
	for {
		run, revision, err := q.getRun(ctx, name)
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return err
		}
		if err := change(&run); err != nil {
			return err
		}
		value, err := json.Marshal(run)
		if err != nil {
			return err
		}
		if revision == 0 {
			_, err = q.opened.Load().runs.Create(ctx, name, value)
		} else {
			_, err = q.opened.Load().runs.Update(ctx, name, value, revision)
		}
		if conflicts(err) {
			continue
		}
		if err != nil {
			return serverError(fmt.Sprintf("the state of the run %q cannot be written", name), err)
		}
		return nil
	}
}

// conflicts reports whether a value could not be stored because another process
// stored one at the same time.
func conflicts(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrKeyExists) || errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// Cancel withdraws the messages of a run that have not been sent: workers remove them
// from the stream with a result of [webpush.ClassSkipped]. Messages that a worker has
// already received can still be sent. A canceled run stays canceled.
func (q *Queue) Cancel(ctx context.Context, name string) error {
	if err := CheckRun(name); err != nil {
		return err
	}
	return q.changeRun(ctx, name, func(r *Run) error {
		if r.Started.IsZero() {
			r.Started = time.Now().UTC()
		}
		r.Canceled = true
		return nil
	})
}

// canceled is the set of canceled runs.
type canceled struct {
	mu   sync.RWMutex
	runs map[string]bool
}

func (c *canceled) has(run string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.runs[run]
}

// watch follows the runs until ctx is done. It returns once it knows all runs that
// were already canceled.
func (c *canceled) watch(ctx context.Context, q *Queue) error {
	w, err := q.opened.Load().runs.WatchAll(ctx)
	if err != nil {
		return serverError("the runs cannot be watched", err)
	}
	known := make(chan struct{})
	go func() {
		defer w.Stop()
		first := true
		for {
			select {
			case <-ctx.Done():
				return
			case entry, ok := <-w.Updates():
				switch {
				case !ok:
					return
				case entry == nil: // end of the existing runs
					if first {
						close(known)
						first = false
					}
					continue
				}
				var run Run
				c.mu.Lock()
				if json.Unmarshal(entry.Value(), &run) == nil && run.Canceled {
					c.runs[entry.Key()] = true
				} else {
					delete(c.runs, entry.Key())
				}
				c.mu.Unlock()
			}
		}
	}()
	select {
	case <-known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(requestTimeout):
		return &Error{Problem: "the runs cannot be watched", Err: context.DeadlineExceeded}
	}
}
