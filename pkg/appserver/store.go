package appserver

import (
	"context"
	"errors"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// ErrNotFound is what a [Store] answers for what it does not have.
var ErrNotFound = errors.New("there is no such thing")

// ErrFinished is what a [Store] answers when a job is over and can no more be
// cancelled, or is not over and cannot be retried yet.
var ErrFinished = errors.New("the job is not in that state")

// Record is a subscription as a [Store] keeps it.
type Record struct {
	// Seq numbers the records in the order in which they came, from 1. No
	// number is used twice, and a record keeps its own for life.
	Seq int64
	// ID names the record to people and in the API. It is no secret.
	ID string
	// Version counts the changes of Endpoint, P256DH and Auth: what a push
	// service said of an older one means nothing for this.
	Version int64
	// Endpoint is the URL to send to, a secret.
	Endpoint string
	// P256DH and Auth are the keys in base64url, both empty when there are none.
	P256DH, Auth string
	// Service and Origin are those of the endpoint.
	Service webpush.Service
	Origin  string
	// User and Tags are what messages can be addressed to. Tags are sorted and
	// have no doubles.
	User string
	Tags []string
	// Created is when the record was made.
	Created time.Time
	// LastStatus is the HTTP status of the last answer of the push service, 0
	// when there was none.
	LastStatus int
}

// Filter says to whom a message goes: to all when it is zero, else to those of
// that user, or of that tag. At most one of the two is set.
type Filter struct {
	User string `json:"user,omitempty"`
	Tag  string `json:"tag,omitempty"`
}

// State is where a job is.
type State string

// The states of a job.
const (
	Queued    State = "queued"    // waits for its turn
	Running   State = "running"   // is sent, or goes on when the server starts again
	Done      State = "done"      // everybody had their turn
	Cancelled State = "cancelled" // stopped on request
	Failed    State = "failed"    // stopped by an error of this server
)

// Over reports whether a job in that state has ended.
func (s State) Over() bool { return s != Queued && s != Running }

// Message is what a job sends.
type Message struct {
	Payload []byte          `json:"payload"` // nil is a push without payload
	TTL     time.Duration   `json:"ttl"`
	Urgency webpush.Urgency `json:"urgency,omitempty"`
	Topic   string          `json:"topic,omitempty"`
}

// Counts are numbers of messages by push service and by what became of them.
type Counts map[webpush.Service]map[webpush.Class]int64

// Job is a push to many subscriptions. Its recipients are fixed when it is
// made: the records up to MaxSeq that the filter names. Its progress is Cursor
// and Open: sent to are all records up to Cursor but those in Open.
type Job struct {
	Seq     int64
	ID      string
	State   State
	Message Message
	To      Filter
	MaxSeq  int64
	Total   int64 // recipients when the job was made
	Cursor  int64
	Open    []int64
	Counts  Counts
	Problem string // why it failed

	Created, Started, Finished time.Time // zero before they happen
}

// Outcome is what became of a job's message to one record.
type Outcome struct {
	Record   Record // as it was read before sending
	Class    webpush.Class
	Status   int // of the push service's last answer, or 0
	Problem  string
	Hint     string
	Attempts int
}

// Batch is a step of a job, to be recorded all at once.
type Batch struct {
	Cursor   int64   // never goes back
	Open     []int64 // replaces the former
	Outcomes []Outcome
}

// Failure is a message of a job that did not reach its push service.
type Failure struct {
	Seq      int64 // of the record
	ID       string
	Service  webpush.Service
	Origin   string
	Class    webpush.Class
	Status   int
	Problem  string
	Hint     string
	Attempts int
	Time     time.Time
}

// Store keeps subscriptions and jobs. Everything that a method changes, it
// changes at once or not at all, and it is kept when the process is killed. All
// methods may be called concurrently. Package sqlite has
// one; package storetest tests any.
type Store interface {
	// Put stores a subscription under its endpoint, and returns the record
	// and whether it is new. A record that is there keeps its Seq, ID, Created
	// and LastStatus and gets the keys of r, its user unless that is empty and
	// its tags unless they are nil; Version grows if keys change. Seq, ID,
	// Version and Created of r do not count.
	Put(ctx context.Context, r Record) (Record, bool, error)
	// Find returns the record of an endpoint, or ErrNotFound.
	Find(ctx context.Context, endpoint string) (Record, error)
	// Change is Put for a record that is there under the endpoint old: it gets
	// the endpoint of r, too, and Version grows. A record that has the new
	// endpoint already is removed, and its user and tags count where r has
	// none. Without a record of old it is Put.
	Change(ctx context.Context, old string, r Record) (Record, bool, error)
	// Delete removes the record of an endpoint and reports whether there was one.
	Delete(ctx context.Context, endpoint string) (bool, error)
	// Count returns the number of subscriptions of each service. It is cheap
	// however many there are.
	Count(ctx context.Context) (map[webpush.Service]int64, error)
	// List returns the records of a filter whose Seq is larger than after and
	// not larger than upTo (0 is without end), in order of Seq, at most limit.
	List(ctx context.Context, f Filter, after, upTo int64, limit int) ([]Record, error)
	// Get returns the records of these Seqs that are there, in order of Seq.
	Get(ctx context.Context, seqs []int64) ([]Record, error)

	// CreateJob stores a job with ID, Message and To of j, Queued, and fixes
	// its recipients.
	CreateJob(ctx context.Context, j Job) (Job, error)
	// FindJob returns a job, or ErrNotFound.
	FindJob(ctx context.Context, id string) (Job, error)
	// Jobs returns the jobs whose Seq is smaller than before (0 is without
	// end), the newest first, at most limit.
	Jobs(ctx context.Context, before int64, limit int) ([]Job, error)
	// Unfinished returns the jobs that are not over, the oldest first, at most limit.
	Unfinished(ctx context.Context, limit int) ([]Job, error)
	// SetState moves a job that is not over to another state, and returns
	// ErrFinished when it is over. Problem is kept with it.
	SetState(ctx context.Context, id string, s State, problem string) error
	// Commit records a step of a job: it adds the outcomes to the job's counts
	// and failures, keeps their status in the records, removes those that are
	// gone, and moves the job on. A record that has another Version by now is
	// not removed but sent to again, at most three times, and not counted before
	// it is. It returns the number of records removed.
	Commit(ctx context.Context, id string, b Batch) (removed int, err error)
	// Again returns the records with a Seq larger than after that a job has to
	// send to once more, in order of Seq, at most limit.
	Again(ctx context.Context, id string, after int64, limit int) ([]Record, error)
	// Retry makes a job that is Done or Failed Queued again: its temporary
	// failures are to be sent once more and count no more. It returns their
	// number; a job that is done and has none stays as it is. The error is
	// ErrFinished in other states.
	Retry(ctx context.Context, id string) (int64, error)
	// Failures returns a job's failures of a class, or of all when it is
	// empty, with a Seq larger than after, in order, at most limit. Messages
	// to subscriptions that were gone are only counted.
	Failures(ctx context.Context, id string, class webpush.Class, after int64, limit int) ([]Failure, error)
	// Prune forgets the jobs that were over before t.
	Prune(ctx context.Context, t time.Time) error

	// Close waits for what is being done and releases the store.
	Close() error
}
