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
// canceled, or is not over and cannot be retried yet.
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
	// Key is the public application server key that the subscription was made
	// with, in base64url; empty if it is not known.
	Key string
	// LastStatus is the HTTP status of the last answer of the push service, 0
	// when there was none.
	LastStatus int
	// GoneSince is the time of the first response that the subscription is
	// gone after which it was kept; zero after a message was accepted.
	GoneSince time.Time
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
	Scheduled State = "scheduled" // is not due yet
	Queued    State = "queued"    // waits for its turn
	Running   State = "running"   // is being sent, or continues when a server starts
	Done      State = "done"      // every recipient has been sent to
	Canceled  State = "canceled"  // stopped on request
	Failed    State = "failed"    // stopped by an error of this server
)

// Over reports whether a job in that state has ended.
func (s State) Over() bool { return s != Scheduled && s != Queued && s != Running }

// JobMessage is what a job sends.
type JobMessage struct {
	Payload []byte          `json:"payload"` // nil is a push without payload
	TTL     time.Duration   `json:"ttl"`
	Urgency webpush.Urgency `json:"urgency,omitempty"`
	Topic   string          `json:"topic,omitempty"`
	// Cancelable keeps where each message can be withdrawn until it expires.
	Cancelable bool `json:"cancelable,omitempty"`
}

// Counts are numbers of messages by push service and by what became of them.
type Counts map[webpush.Service]map[webpush.Class]int64

// Job is a push to many subscriptions. Its recipients are fixed when it is
// created, or when it is due: the records up to MaxSeq that the filter selects.
// They are sent to in parts, see [Part].
type Job struct {
	Seq     int64
	ID      string
	State   State
	Message JobMessage
	To      Filter
	MaxSeq  int64
	Total   int64 // recipients when they were fixed
	Counts  Counts
	Problem string // why it failed

	// Track is the ID by which service workers report; empty means that they
	// do not. Reports counts what they reported.
	Track   string
	Reports Reports

	// Kept is the number of messages that can be withdrawn, now. Withdrawn and
	// NotWithdrawn count what became of them after the job was canceled.
	Kept, Withdrawn, NotWithdrawn int64

	// Once is how [Store].CreateJob treats a request that is repeated. It is
	// empty in jobs that a store returns.
	Once Once
	// Due is when a scheduled job is to be sent; zero means at once.
	Due time.Time
	// Retried is the time of the last [Store].Retry; zero means never.
	Retried                    time.Time
	Created, Started, Finished time.Time // zero before they happen
}

// Expires returns when the job's messages lose their value: their TTL counts
// from the request, the time that it set, or the last retry, not from when the
// server gets to send them.
func (j Job) Expires() time.Time {
	from := j.Created
	if !j.Due.IsZero() {
		from = j.Due
	}
	if j.Retried.After(from) {
		from = j.Retried
	}
	return from.Add(j.Message.TTL)
}

// Outcome is what became of a job's message to one record.
type Outcome struct {
	Record   Record // as it was read before sending
	Class    webpush.Class
	Status   int // of the push service's last answer, or 0
	Problem  string
	Hint     string
	Attempts int
	// GoneAfter keeps a subscription of class gone until another such response
	// comes at least this long after the first one; zero means that it is
	// removed at once.
	GoneAfter time.Duration
	// Key is the application server key that the push service accepted, if the
	// record has another one or none; otherwise empty.
	Key string
	// Location is where the message can be withdrawn until LocationUntil; empty
	// if it cannot be. It is a secret.
	Location      string
	LocationUntil time.Time
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
	// PutAll is Put for many records at once, in one transaction. A record
	// that is new gets the ID, Created, and LastStatus of r if they are set.
	PutAll(ctx context.Context, list []Record) ([]Record, []bool, error)
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
	// CountKeys returns the number of subscriptions of each application server
	// key. It may read all subscriptions.
	CountKeys(ctx context.Context) (map[string]int64, error)
	// List returns the records of a filter whose Seq is larger than after and
	// not larger than upTo (0 is without end), in order of Seq, at most limit.
	List(ctx context.Context, f Filter, after, upTo int64, limit int) ([]Record, error)
	// Get returns the records of these Seqs that are there, in order of Seq.
	Get(ctx context.Context, seqs []int64) ([]Record, error)

	// CreateJob stores a job with ID, Message, To, Track, and Due of j: Scheduled if
	// Due is in the future, otherwise Queued. It fixes the recipients of a
	// job that is Queued. If a job was created with the same Once.Key less
	// than Once.For ago and still exists, it returns that job instead, also
	// when both calls come at the same moment, or ErrOtherRequest if its
	// Once.Request differs.
	CreateJob(ctx context.Context, j Job) (Job, error)
	// FindJob returns a job, or ErrNotFound.
	FindJob(ctx context.Context, id string) (Job, error)
	// Jobs returns the jobs whose Seq is smaller than before (0 is without
	// end), the newest first, at most limit.
	Jobs(ctx context.Context, before int64, limit int) ([]Job, error)
	// Unfinished returns the jobs that are due and not over, the oldest first,
	// at most limit.
	Unfinished(ctx context.Context, limit int) ([]Job, error)
	// Scheduled returns the jobs that are not due yet, those that are due
	// first, at most limit.
	Scheduled(ctx context.Context, limit int) ([]Job, error)
	// Reschedule sets when a scheduled job is due. It is due now if that is in
	// the past. The error is ErrFinished if the job is in another state.
	Reschedule(ctx context.Context, id string, due time.Time) error
	// SetState moves a job that is not over to Canceled or Failed, and returns
	// ErrFinished if it is over, except that a job that is Done or Failed and
	// has messages to withdraw can be Canceled. Problem is kept with it. The store itself
	// sets the other states.
	SetState(ctx context.Context, id string, s State, problem string) error
	// Claim leases a part of a job to the caller: one whose lease has ended,
	// or a new one of at most [PartSize] recipients. The job becomes Running;
	// when a scheduled job is claimed, its recipients are fixed. A job of
	// which nothing is left becomes Done. The error is ErrNoPart if other
	// servers have all that is left or the job is not due, and ErrFinished if
	// the job is over.
	Claim(ctx context.Context, id string, lease time.Duration) (Part, error)
	// CommitPart records a step of a part: it adds the outcomes to the job's
	// counts and failures, keeps their status and key in the records, removes those
	// that are gone, moves the part on, and extends the lease. A record that
	// has another Version by now is not removed but sent to again, at most
	// [MaxTries] times, and not counted before that. When all parts are done
	// and nobody is to be sent to again, the job becomes Done. Outcomes are
	// recorded for a job that is over, too. The error is ErrLost if another
	// server has claimed the part.
	CommitPart(ctx context.Context, p Part, b Batch) (Committed, error)
	// ClaimLocations returns at most limit messages of jobs that are Canceled
	// to withdraw. Until the lease ends, no other call returns them, unless
	// the store has been opened again.
	ClaimLocations(ctx context.Context, limit int, lease time.Duration) ([]Location, error)
	// Withdrawn forgets locations that were claimed, and counts each once.
	Withdrawn(ctx context.Context, list []Withdrawal) error
	// Report adds to the Reports of the jobs with these values of Track, each
	// number up to the job's Total, and returns what was added. Values that no
	// job has are ignored.
	Report(ctx context.Context, reports map[string]Reports) (Reports, error)
	// Gone removes a record as CommitPart does for an outcome of class gone, or
	// keeps it as goneAfter says. It reports whether it was removed.
	Gone(ctx context.Context, r Record, goneAfter time.Duration) (bool, error)
	// Watch calls changed, soon after each change, with the ID of a job that
	// another process has changed, or with "" if anything may have changed.
	// It returns when ctx ends.
	Watch(ctx context.Context, changed func(id string)) error
	// Again returns the records with a Seq larger than after that a job has to
	// send to once more, in order of Seq, at most limit.
	Again(ctx context.Context, id string, after int64, limit int) ([]Record, error)
	// Retry makes a job that is Done or Failed Queued again: its temporary
	// failures and the messages that expired are to be sent once more and count
	// no more, and Retried is set. It returns their number; a job that is done
	// and has none stays as it is. The error is ErrFinished in other states.
	Retry(ctx context.Context, id string) (int64, error)
	// Failures returns a job's failures of a class, or of all when it is
	// empty, with a Seq larger than after, in order, at most limit. Messages
	// to subscriptions that were gone are only counted.
	Failures(ctx context.Context, id string, class webpush.Class, after int64, limit int) ([]Failure, error)
	// Prune forgets the jobs that were over before t, and the keys of
	// CreateJob and the locations that are no longer needed.
	Prune(ctx context.Context, t time.Time) error

	// Probe writes something and commits it, which fails as everything else
	// would that is to be recorded.
	Probe(ctx context.Context) error

	// Close waits for what is being done and releases the store.
	Close() error
}
