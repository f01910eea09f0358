package appserver

import (
	"context"
	"errors"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// ErrNotFound is returned by a [Store] for a missing record or job.
var ErrNotFound = errors.New("not found")

// ErrFinished is returned by a [Store] for a job that cannot be canceled because it has
// finished, or cannot be retried because it has not finished.
var ErrFinished = errors.New("the job is not in that state")

// Record is a subscription in a [Store].
type Record struct {
	// Seq numbers the records from 1 in the order of their creation. A record keeps its
	// number, and no number is used again.
	Seq int64
	// ID identifies the record in the API. It is not a secret.
	ID string
	// Version counts the changes of Endpoint, P256DH, and Auth. A push service's
	// response to an older version does not apply to the record.
	Version int64
	// Endpoint is the URL to send to. It is a secret.
	Endpoint string
	// P256DH and Auth are the keys in base64url; both are empty without keys.
	P256DH, Auth string
	// Service and Origin are derived from the endpoint.
	Service webpush.Service
	Origin  string
	// User and Tags select the recipients of a message. Tags are sorted and unique.
	User string
	Tags []string
	// Created is the time of creation.
	Created time.Time
	// Key is the public application server key with which the subscription was
	// created, in base64url; empty if it is not known.
	Key string
	// LastStatus is the HTTP status of the push service's last response, or 0.
	LastStatus int
	// GoneSince is the time of the first response that the subscription is gone, if
	// the record was kept; zero after a message was accepted.
	GoneSince time.Time
}

// Filter selects recipients: all if it is zero, otherwise the subscriptions of a user or
// those with a tag. At most one of the fields is set.
type Filter struct {
	User string `json:"user,omitempty"` // the subscriptions of this user
	Tag  string `json:"tag,omitempty"`  // the subscriptions with this tag
}

// State is the state of a job.
type State string

// The states of a job.
const (
	Scheduled State = "scheduled" // not due yet
	Queued    State = "queued"    // due, but not started
	Running   State = "running"   // being sent; continues when a server starts
	Done      State = "done"      // sent to every recipient
	Canceled  State = "canceled"  // stopped on request
	Failed    State = "failed"    // stopped by an error of this server
)

// Over reports whether a job in that state has finished.
func (s State) Over() bool { return s != Scheduled && s != Queued && s != Running }

// JobMessage is the message of a job.
type JobMessage struct {
	Payload []byte          `json:"payload"`           // nil means a push without payload
	TTL     time.Duration   `json:"ttl"`               // RFC 8030, section 5.2
	Urgency webpush.Urgency `json:"urgency,omitempty"` // RFC 8030, section 5.3
	Topic   string          `json:"topic,omitempty"`   // RFC 8030, section 5.4
	// Cancelable keeps the Location of each message until it expires, to withdraw the
	// message if the job is canceled.
	Cancelable bool `json:"cancelable,omitempty"`
}

// Counts holds the number of messages for each push service and class.
type Counts map[webpush.Service]map[webpush.Class]int64

// Job is a push to many subscriptions. Its recipients are determined when it is created
// or, if it is scheduled, when it is due: the records up to MaxSeq that the filter
// selects. The job is sent in parts; see [Part].
type Job struct {
	Seq     int64      // position of the job; assigned by the store, increasing
	ID      string     // ID in the API
	State   State      // state of the job
	Message JobMessage // the message to send
	To      Filter     // the recipients
	MaxSeq  int64      // Seq of the last recipient
	Total   int64      // number of recipients when they were determined
	Counts  Counts     // the results so far
	Problem string     // cause of a failure

	// Track is the ID that service workers report; empty means that the job is not
	// tracked. Reports counts the reports.
	Track   string
	Reports Reports

	// Kept is the number of messages that can be withdrawn at present. After the job
	// was canceled, Withdrawn and NotWithdrawn count the outcomes.
	Kept, Withdrawn, NotWithdrawn int64

	// Once lets [Store].CreateJob recognize a repeated request. It is empty in jobs
	// that a store returns.
	Once Once
	// Due is when a scheduled job is sent; zero means immediately.
	Due time.Time
	// Retried is the time of the last [Store].Retry; zero means never.
	Retried                    time.Time
	Created, Started, Finished time.Time // zero before they happen
}

// Expires returns when the job's messages expire. Their TTL counts from the request, from
// Due, or from the last retry, whichever is latest, and not from when they are sent.
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

// Outcome is the result of sending a job's message to one record.
type Outcome struct {
	Record   Record        // the record as it was read before sending
	Class    webpush.Class // class of the result
	Status   int           // HTTP status of the push service's last response, or 0
	Problem  string        // cause of a failure
	Hint     string        // what to do about it
	Attempts int           // number of requests
	// GoneAfter is the minimum time between the first response of class gone and the
	// one that removes the subscription; zero means that the first one removes it.
	GoneAfter time.Duration
	// Key is the application server key that the push service accepted, if the
	// record has another key or none; otherwise it is empty.
	Key string
	// Location is the URL at which the message can be withdrawn until LocationUntil.
	// It is a secret, and empty if the message cannot be withdrawn.
	Location      string
	LocationUntil time.Time
}

// Failure describes a message of a job that its push service did not accept.
type Failure struct {
	Seq      int64           // Seq of the record
	ID       string          // ID of the subscription
	Service  webpush.Service // the push service
	Origin   string          // origin of the endpoint
	Class    webpush.Class   // class of the failure
	Status   int             // HTTP status of the last response, or 0
	Problem  string          // cause of the failure
	Hint     string          // what to do about it
	Attempts int             // number of requests
	Time     time.Time       // when the failure was recorded
}

// FailureFilter selects failures of a job. The zero value selects the temporary and the
// expired ones.
type FailureFilter struct {
	// Class selects the failures of another class.
	Class webpush.Class
	// Origin, Status, and Problem select failures with these values; empty or nil means
	// any.
	Origin  string
	Status  *int
	Problem string // as in Failure.Problem
}

// Store keeps subscriptions and jobs. Each method makes all its changes or none, and the
// changes survive if the process is killed. All methods may be called concurrently.
// Packages sqlite and postgres implement Store; package storetest tests any
// implementation.
type Store interface {
	// Put stores a subscription under its endpoint, and returns the record and
	// whether it is new. An existing record keeps its Seq, ID, Created, and
	// LastStatus. It gets the keys of r, the user of r unless it is empty, and the
	// tags of r unless they are nil; Version increases if the keys change. Seq, ID,
	// Version, and Created of r are ignored.
	Put(ctx context.Context, r Record) (Record, bool, error)
	// PutAll is Put for many records in one transaction. A new record gets the ID,
	// Created, and LastStatus of r if they are set.
	PutAll(ctx context.Context, list []Record) ([]Record, []bool, error)
	// Find returns the record of an endpoint, or ErrNotFound.
	Find(ctx context.Context, endpoint string) (Record, error)
	// Change replaces the endpoint old: its record is updated as by Put and also gets
	// the endpoint of r, and Version increases. If another record already has the new
	// endpoint, it is removed, and its user and tags are used if r has none. If there
	// is no record for old, Change is the same as Put.
	Change(ctx context.Context, old string, r Record) (Record, bool, error)
	// Delete removes the record of an endpoint and reports whether it existed.
	Delete(ctx context.Context, endpoint string) (bool, error)
	// Count returns the number of subscriptions for each push service. Its cost does
	// not depend on their number.
	Count(ctx context.Context) (map[webpush.Service]int64, error)
	// CountKeys returns the number of subscriptions for each application server key.
	// It may read all subscriptions.
	CountKeys(ctx context.Context) (map[string]int64, error)
	// List returns at most limit records of a filter, in order of Seq, whose Seq is
	// larger than after and at most upTo (0 for no limit).
	List(ctx context.Context, f Filter, after, upTo int64, limit int) ([]Record, error)
	// Get returns the existing records with these Seqs, in order of Seq.
	Get(ctx context.Context, seqs []int64) ([]Record, error)

	// CreateJob stores a job with ID, Message, To, Track, and Due of j: Scheduled if
	// Due is in the future, otherwise Queued. It determines the recipients of a job
	// that is Queued. If a job was created with the same Once.Key less than Once.For
	// ago and still exists, CreateJob returns that job instead, even if both calls
	// are simultaneous, or ErrOtherRequest if its Once.Request differs.
	CreateJob(ctx context.Context, j Job) (Job, error)
	// FindJob returns a job, or ErrNotFound.
	FindJob(ctx context.Context, id string) (Job, error)
	// Jobs returns at most limit jobs whose Seq is smaller than before (0 for no
	// limit), newest first.
	Jobs(ctx context.Context, before int64, limit int) ([]Job, error)
	// Unfinished returns at most limit jobs that are due and not finished, oldest
	// first.
	Unfinished(ctx context.Context, limit int) ([]Job, error)
	// Scheduled returns at most limit jobs that are not due yet, in the order in
	// which they are due.
	Scheduled(ctx context.Context, limit int) ([]Job, error)
	// Reschedule changes when a scheduled job is due; a time in the past means now. The error is ErrFinished if the job is in another state.
	Reschedule(ctx context.Context, id string, due time.Time) error
	// SetState changes the state of a job to Canceled or Failed and records problem.
	// The error is ErrFinished if the job has finished, except that a job that is
	// Done or Failed and has messages to withdraw can be Canceled. The store itself
	// sets the other states.
	SetState(ctx context.Context, id string, s State, problem string) error
	// Claim leases a part of a job to the caller: a part whose lease has expired, or a
	// new one of at most [PartSize] recipients. The job becomes Running, and the
	// recipients of a scheduled job are determined; if nothing is left to send, the
	// job becomes Done. The error is ErrNoPart if other servers have all remaining
	// parts or the job is not due, and ErrFinished if the job has finished.
	Claim(ctx context.Context, id string, lease time.Duration) (Part, error)
	// CommitPart records a step of a part: it adds the outcomes to the job's counts
	// and failures, stores their status and key in the records, removes records that
	// are gone, advances the part, and extends the lease. If a record's Version has
	// changed, the record is not removed; it is sent to again, at most [MaxTries]
	// times, and counted only then. When all parts are done and no message has to be
	// sent again, the job becomes Done. Outcomes are also recorded for a job that has
	// finished. The error is ErrLost if another server has claimed the part.
	CommitPart(ctx context.Context, p Part, b Batch) (Committed, error)
	// ClaimLocations returns at most limit messages to withdraw, of jobs that are
	// Canceled. Until the lease expires, no other call returns them, unless the store
	// is opened again.
	ClaimLocations(ctx context.Context, limit int, lease time.Duration) ([]Location, error)
	// Withdrawn removes locations that were claimed, and counts each once.
	Withdrawn(ctx context.Context, list []Withdrawal) error
	// Report adds to the Reports of the jobs with these values of Track, each number
	// up to the job's Total, and returns the sum of the additions. Values that no job
	// has are ignored.
	Report(ctx context.Context, reports map[string]Reports) (Reports, error)
	// Gone removes a record as CommitPart does for an outcome of class gone and
	// GoneAfter. It reports whether the record was removed.
	Gone(ctx context.Context, r Record, goneAfter time.Duration) (bool, error)
	// Watch calls changed soon after another process has changed a job, with its ID,
	// or with "" if anything may have changed. It returns when ctx is done.
	Watch(ctx context.Context, changed func(id string)) error
	// Again returns at most limit records to which a job has to send again, in order
	// of Seq, whose Seq is larger than after.
	Again(ctx context.Context, id string, after int64, limit int) ([]Record, error)
	// Retry makes a job that is Done or Failed Queued again and sets Retried. The
	// failures that f selects are sent again and no longer counted; their number is
	// returned. A job that is Done and has no such failure does not change. The error
	// is ErrFinished if the job is in another state.
	Retry(ctx context.Context, id string, f FailureFilter) (int64, error)
	// Failures returns at most limit failures of a job, in order of Seq, whose Seq is
	// larger than after; an empty class means any. Messages to subscriptions that
	// were gone are only counted.
	Failures(ctx context.Context, id string, class webpush.Class, after int64, limit int) ([]Failure, error)
	// Prune removes the jobs that finished before t, and the keys of CreateJob and the
	// locations that are no longer needed.
	Prune(ctx context.Context, t time.Time) error

	// Announce records, for the time lease, that a server with this current application
	// server key uses the store. It returns the current keys of all such servers.
	Announce(ctx context.Context, key string, lease time.Duration) ([]string, error)
	// Size returns the size of the stored data, in bytes.
	Size(ctx context.Context) (int64, error)

	// Probe writes something and commits it. It fails if the store cannot record
	// anything.
	Probe(ctx context.Context) error

	// Close waits for the changes in progress and releases the store.
	Close() error
}
