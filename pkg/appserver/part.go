package appserver

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNoPart is returned by [Store].Claim when all parts of the job that are
	// left are leased to other servers, or the job is not due yet.
	ErrNoPart = errors.New("no part of the job is free")
	// ErrLost is returned by [Store].CommitPart when the lease has ended and
	// another server has claimed the part.
	ErrLost = errors.New("the lease of the part was lost")
	// ErrInUse is wrapped by the error for a database that only one process
	// at a time can open, and another one has.
	ErrInUse = errors.New("another process has it open")
	// ErrUnavailable is wrapped by the errors of a [Store] whose database
	// cannot be reached at the moment. The server waits and tries again.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrFull is wrapped by the errors of a [Store] that has no space left to
	// write. It wraps [ErrUnavailable], since nothing is lost while the server
	// waits for space.
	ErrFull = fmt.Errorf("%w: its disk is full", ErrUnavailable)
)

// PartSize is the maximum number of recipients in a part of a job.
const PartSize = 5000

// Lease is how long a part belongs to the server that claimed it. The server
// extends the lease while it sends; when the server is killed, another server
// can claim the part after this time.
const Lease = 15 * time.Second

// Part is a range of a job's recipients that one server at a time sends to: the
// records with a Seq above After and up to UpTo that the job's filter selects.
// All of them up to Cursor have been sent to, except those in Open.
type Part struct {
	JobID string
	// Number counts the parts of a job from 1. Number 0 is the part with the
	// records to send to once more, see [Store].Again; it is free only after
	// all other parts are done.
	Number int64
	// Lease identifies the claim. It grows each time the part is claimed, so
	// a server that has lost the part cannot commit.
	Lease       int64
	After, UpTo int64
	Cursor      int64
	Open        []int64
	// Step is the number of the last commit.
	Step int64
}

// Batch is a step of a part, recorded as a whole.
type Batch struct {
	// Step is one more than that of the commit before; a step that is already
	// recorded is not recorded again, so a commit whose response was lost can
	// be repeated. Step 0 only extends the lease: everything else is ignored
	// except Release.
	Step     int64
	Cursor   int64   // never moves back
	Open     []int64 // replaces the previous list
	Outcomes []Outcome
	// Done means that each record of the part has been sent to.
	Done bool
	// Lease is how long the part remains this server's, from now on; Release
	// gives the part back instead.
	Lease   time.Duration
	Release bool
}

// Committed is the result of a commit.
type Committed struct {
	Removed int   // number of subscriptions deleted because they are gone
	State   State // of the job, after the commit
}
