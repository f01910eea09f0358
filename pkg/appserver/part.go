package appserver

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNoPart is returned by [Store].Claim if all remaining parts of the job are
	// leased to other servers, or if the job is not due yet.
	ErrNoPart = errors.New("no part of the job is free")
	// ErrLost is returned by [Store].CommitPart if the lease has expired and another
	// server has claimed the part.
	ErrLost = errors.New("the lease of the part was lost")
	// ErrInUse is wrapped by the error for a database that only one process at a time
	// can open, and that another process has open.
	ErrInUse = errors.New("another process has it open")
	// ErrUnavailable is wrapped by the errors of a [Store] whose database
	// cannot be reached at the moment. The server waits and retries.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrFull is wrapped by the errors of a [Store] whose disk is full. It wraps
	// [ErrUnavailable], because nothing is lost while the server waits for space.
	ErrFull = fmt.Errorf("%w: its disk is full", ErrUnavailable)
)

// PartSize is the maximum number of recipients in a part of a job.
const PartSize = 5000

// Lease is the duration of a claim of a part. The server
// extends the lease while it sends; when the server is killed, another server
// can claim the part after this time.
const Lease = 15 * time.Second

// Part is a range of a job's recipients that one server at a time sends to: the
// records with a Seq above After and up to UpTo that the job's filter selects.
// All of them up to Cursor have been sent to, except those in Open.
type Part struct {
	JobID string // ID of the job
	// Number counts the parts of a job from 1. Part 0 contains the records to send to
	// again, see [Store].Again; it is free only after all other parts are done.
	Number int64
	// Lease identifies the claim. It increases with each claim, so a server that has
	// lost the part cannot commit.
	Lease       int64
	After, UpTo int64   // bounds of Record.Seq
	Cursor      int64   // Seq of the last record that was sent to
	Open        []int64 // Seqs up to Cursor without an outcome
	// Step is the number of the last commit.
	Step int64
}

// Batch is a step of a part, recorded as a whole.
type Batch struct {
	// Step is one more than the step of the previous commit. A step that is already
	// recorded is not recorded again, so a commit whose response was lost can be
	// repeated. Step 0 only extends the lease: all other fields except Release are
	// ignored.
	Step     int64
	Cursor   int64     // never decreases
	Open     []int64   // replaces the previous list
	Outcomes []Outcome // outcomes since the last commit
	// Done means that the outcomes of all records of the part are recorded.
	Done bool
	// Lease is the new duration of the claim, from now on. Release gives the part back
	// instead.
	Lease   time.Duration
	Release bool
}

// Committed is the result of a commit.
type Committed struct {
	Removed int   // number of subscriptions deleted because they are gone
	State   State // state of the job after the commit
}
