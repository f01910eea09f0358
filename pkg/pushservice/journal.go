package pushservice

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// sweepInterval is the time between two removals of expired messages.
const sweepInterval = time.Minute

// journal stores the changes of a store in their order. Its goroutine commits
// together all changes that have accumulated during the previous commit. The store's
// lock protects the queue.
type journal struct {
	store   *store
	storage Storage
	logger  *slog.Logger

	queue  []*entry
	last   *entry
	closed bool
	wake   chan struct{}
	ended  chan struct{}
	err    error // set before ended is closed
}

// entry is a change of the store.
type entry struct {
	change Change
	// apply makes the change, with the store's lock held, after it is stored. It is
	// nil for a change that has already been made: storing such a change is retried
	// until it succeeds.
	apply func() error
	err   error
	done  chan struct{} // closed after err is set
	tried bool
}

// first makes a change with apply after the journal, if there is one, has stored
// it. The store's lock is held, but released while waiting.
func (st *store) first(change Change, apply func() error) error {
	if st.journal == nil {
		return apply()
	}
	e := st.journal.add(change, apply)
	st.mu.Unlock()
	<-e.done
	st.mu.Lock()
	return e.err
}

// note makes the journal, if there is one, store a change that has been made. The
// store's lock is held.
func (st *store) note(change Change) {
	if st.journal != nil {
		st.journal.add(change, nil)
	}
}

// settle waits until noted changes are stored, and returns the error if they could
// not be. The store's lock is held, but released while waiting.
func (st *store) settle() error {
	if st.journal == nil || st.journal.last == nil {
		return nil
	}
	e := st.journal.last
	st.mu.Unlock()
	<-e.done
	st.mu.Lock()
	return e.err
}

func (j *journal) add(change Change, apply func() error) *entry {
	e := &entry{change: change, apply: apply, done: make(chan struct{})}
	if j.closed {
		e.finish(notStored(errors.New("the push service stops")))
		return e
	}
	j.queue = append(j.queue, e)
	if apply == nil {
		j.last = e
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return e
}

// finish wakes the goroutines that wait for the entry, once.
func (e *entry) finish(err error) {
	if !e.tried {
		e.tried = true
		e.err = err
		close(e.done)
	}
}

// notStored returns the response if the storage fails, with autopush's error
// number.
func notStored(err error) *Error {
	e := refuse(http.StatusServiceUnavailable, errnoStorage, "Storage failed", "%v", err)
	e.header = map[string]string{"Retry-After": "120"}
	return e
}

// run stores changes until the journal is closed and none is left.
func (j *journal) run() {
	defer close(j.ended)
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	var failed []*entry // to be retried
	for closed := false; !closed; {
		select {
		case <-j.wake:
		case <-sweep.C:
			j.store.list() // removes expired messages
		}
		j.store.mu.Lock()
		batch := append(failed, j.queue...)
		j.queue = nil
		closed = j.closed
		j.store.mu.Unlock()
		failed = j.write(batch)
	}
	if len(failed) > 0 {
		j.err = errNotAllStored
	}
	j.err = errors.Join(j.err, j.storage.Close())
}

// errNotAllStored is the error of closing a service whose storage has failed until
// then.
var errNotAllStored = notAllStored{}

type notAllStored struct{}

// Error describes the problem.
func (notAllStored) Error() string { return "some changes could not be stored" }

// Hint describes the consequence.
func (notAllStored) Hint() string { return "acknowledged messages may arrive again" }

// write stores entries and returns the entries to be retried.
func (j *journal) write(batch []*entry) (failed []*entry) {
	if len(batch) == 0 {
		return nil
	}
	errs := make([]error, len(batch))
	if err := j.commit(batch); err != nil {
		// One by one, so a failure affects only its own entry.
		for i := range batch {
			errs[i] = j.commit(batch[i : i+1])
		}
	}
	j.store.mu.Lock()
	defer j.store.mu.Unlock()
	for i, e := range batch {
		err := errs[i]
		if err != nil {
			if e.apply == nil {
				failed = append(failed, e)
				if !e.tried {
					j.logger.Warn("storing failed", "reason", err.Error(), "again", "with the next change")
				}
			}
			err = notStored(err)
		} else if e.apply != nil {
			err = e.apply()
		}
		e.finish(err)
	}
	return failed
}

// close stores the remaining changes. Later changes are refused.
func (j *journal) close() error {
	j.store.mu.Lock()
	j.closed = true
	select {
	case j.wake <- struct{}{}:
	default:
	}
	j.store.mu.Unlock()
	<-j.ended
	return j.err
}

// commit stores all of the entries or none.
func (j *journal) commit(batch []*entry) error {
	changes := make([]Change, len(batch))
	for i, e := range batch {
		changes[i] = e.change
	}
	return j.storage.Commit(changes)
}

func newJournal(st *store, storage Storage, logger *slog.Logger) *journal {
	return &journal{store: st, storage: storage, logger: logger, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}
