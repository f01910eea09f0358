package appserver

import (
	"context"
	"errors"
	"time"
)

// Transaction is a transaction of a [Store], with the statements that SetState, Claim, and
// CommitPart consist of. job is the Seq of a job. Unless stated otherwise, the errors are
// the database's, and end the transaction.
type Transaction interface {
	// LockJob returns the Seq and the state of a job, or ErrNotFound. Until the end of the
	// transaction, no other transaction changes the job or creates parts of it.
	LockJob(ctx context.Context, id string) (job int64, s State, err error)
	// LockPart returns the stored values of a part and of its job, or ErrNotFound. Until
	// the end of the transaction, no other transaction changes the part.
	LockPart(ctx context.Context, id string, number int64) (StoredPart, error)
	// Kept reports whether messages of a job can be withdrawn.
	Kept(ctx context.Context, job int64) (bool, error)
	// End sets the state and the problem of a job that ends now, and whether its messages
	// are to be withdrawn.
	End(ctx context.Context, job int64, to State, problem string, withdraw bool) error
	// Due reports whether a scheduled job is due, and returns its recipients.
	Due(ctx context.Context, job int64) (due bool, to Filter, err error)
	// Recipients determines the recipients of a job: the existing records of a filter.
	Recipients(ctx context.Context, job int64, to Filter) error
	// Start makes a job Running, and records when it was started for the first time.
	Start(ctx context.Context, job int64) error
	// Free returns the number of a part, other than part 0, that is not done and has no
	// lease, or ErrNotFound.
	Free(ctx context.Context, job int64) (number int64, err error)
	// Progress returns how far a job is, and its recipients.
	Progress(ctx context.Context, job int64) (Progress, Filter, error)
	// Bound returns the Seq of the PartSize-th record of a filter whose Seq is larger than
	// after and at most upTo, or ErrNotFound if there are fewer.
	Bound(ctx context.Context, to Filter, after, upTo int64) (seq int64, err error)
	// Cut creates a part for the records with a Seq above after and up to upTo.
	Cut(ctx context.Context, job, number, after, upTo int64) error
	// Reopen makes part 0 not done, and creates it if necessary. It reports whether the
	// part has no lease.
	Reopen(ctx context.Context, job int64) (free bool, err error)
	// Lease leases a part for a time, with the next number of Part.Lease, and returns it
	// without its JobID.
	Lease(ctx context.Context, job, number int64, lease time.Duration) (Part, error)
	// Extend changes the lease of a part: to Batch.Lease from now on, or to none if
	// Batch.Frees.
	Extend(ctx context.Context, job, number int64, b Batch) error
	// Advance is Extend, and records the progress of a part: Cursor, Open, Step, and Done
	// of the batch.
	Advance(ctx context.Context, job, number int64, b Batch) error
	// Outcomes records the outcomes of messages, as [Store].CommitPart describes, and
	// returns the number of removed records.
	Outcomes(ctx context.Context, job int64, list []Outcome) (removed int, err error)
	// Finish makes a job Done that is Running, and forgets the records to send to again.
	Finish(ctx context.Context, job int64) error
	// Notify informs the Watch of other processes that a job has changed, when the
	// transaction is committed. If only its progress has changed, a store can omit that for
	// a while.
	Notify(ctx context.Context, id string, progress bool) error
}

// StoredPart holds the stored values of a part and its job.
type StoredPart struct {
	Job   int64 // Seq of the job
	State State // state of the job
	Lease int64 // as in [Part]
	Step  int64 // as in [Part]
}

// Transactions runs do in a transaction, and commits it if do returns nil. It can run do
// several times, such as after a deadlock. A [Store] that embeds it has the methods
// SetState, Claim, and CommitPart.
type Transactions func(ctx context.Context, do func(Transaction) error) error

// SetState implements [Store].SetState.
func (run Transactions) SetState(ctx context.Context, id string, to State, problem string) error {
	return run(ctx, func(t Transaction) error {
		job, state, err := t.LockJob(ctx, id)
		if err != nil {
			return err
		}
		withdraw := false
		if to == Canceled {
			if withdraw, err = t.Kept(ctx, job); err != nil {
				return err
			}
		}
		if err := state.Set(to, withdraw); err != nil {
			return err
		}
		if err := t.End(ctx, job, to, problem, withdraw); err != nil {
			return err
		}
		return t.Notify(ctx, id, false)
	})
}

// Claim implements [Store].Claim.
func (run Transactions) Claim(ctx context.Context, id string, lease time.Duration) (p Part, err error) {
	finished := false
	err = run(ctx, func(t Transaction) error {
		finished = false
		job, state, err := t.LockJob(ctx, id)
		if err != nil {
			return err
		}
		if err := start(ctx, t, job, state); err != nil {
			return err
		}
		number, err := freePart(ctx, t, job)
		if errors.Is(err, ErrFinished) { // commit the end of the job
			finished = true
			if err := t.Finish(ctx, job); err != nil {
				return err
			}
			return t.Notify(ctx, id, false)
		}
		if err != nil {
			return err
		}
		p, err = t.Lease(ctx, job, number, lease)
		p.JobID = id
		return err
	})
	if err == nil && finished {
		err = ErrFinished
	}
	return p, err
}

// start makes a job Running if it is not, and determines the recipients of a scheduled job.
func start(ctx context.Context, t Transaction, job int64, state State) error {
	switch {
	case state.Over():
		return ErrFinished
	case state == Running:
		return nil
	case state == Scheduled:
		due, to, err := t.Due(ctx, job)
		if err != nil {
			return err
		}
		if !due {
			return ErrNoPart
		}
		if err := t.Recipients(ctx, job, to); err != nil {
			return err
		}
	}
	return t.Start(ctx, job)
}

// freePart returns the number of a part without a lease. If necessary, it creates a new
// part. The error can come from [Progress.Next].
func freePart(ctx context.Context, t Transaction, job int64) (number int64, err error) {
	if number, err = t.Free(ctx, job); !errors.Is(err, ErrNotFound) {
		return number, err
	}
	progress, to, err := t.Progress(ctx, job)
	if err != nil {
		return 0, err
	}
	if number, err = progress.Next(); err != nil {
		return 0, err
	}
	if number == 0 {
		free, err := t.Reopen(ctx, job)
		if err == nil && !free {
			err = ErrNoPart
		}
		return 0, err
	}
	upTo, err := t.Bound(ctx, to, progress.Cut, progress.MaxSeq)
	if errors.Is(err, ErrNotFound) {
		upTo, err = progress.MaxSeq, nil
	}
	if err != nil {
		return 0, err
	}
	return number, t.Cut(ctx, job, number, progress.Cut, upTo)
}

// CommitPart implements [Store].CommitPart.
func (run Transactions) CommitPart(ctx context.Context, p Part, b Batch) (out Committed, err error) {
	err = run(ctx, func(t Transaction) error {
		out = Committed{}
		if b.Done { // the same order of locks as in Claim
			if _, _, err := t.LockJob(ctx, p.JobID); err != nil {
				return err
			}
		}
		stored, err := t.LockPart(ctx, p.JobID, p.Number)
		if err != nil {
			return err
		}
		out.State = stored.State
		record, err := p.Admit(b, stored)
		if err != nil {
			return err
		}
		if !record {
			return t.Extend(ctx, stored.Job, p.Number, b)
		}
		if out.Removed, err = t.Outcomes(ctx, stored.Job, b.Outcomes); err != nil {
			return err
		}
		if err := t.Advance(ctx, stored.Job, p.Number, b); err != nil {
			return err
		}
		if b.Done && stored.State == Running {
			progress, _, err := t.Progress(ctx, stored.Job)
			if err != nil {
				return err
			}
			if progress.Done() {
				out.State = Done
				if err := t.Finish(ctx, stored.Job); err != nil {
					return err
				}
				return t.Notify(ctx, p.JobID, false)
			}
		}
		return t.Notify(ctx, p.JobID, true)
	})
	return out, err
}
