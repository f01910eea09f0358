package appserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// The decisions of a [Store], as functions without a database: each store reads the
// arguments and carries out the result in its transaction.

// NewJob returns the job that [Store].CreateJob stores for j at the time now, without its
// Seq, MaxSeq, and Total. Times have milliseconds.
func NewJob(j Job, now time.Time) Job {
	j.State, j.Once, j.Counts = Queued, Once{}, Counts{}
	j.Created = now.UTC().Truncate(time.Millisecond)
	if j.Due = j.Due.UTC().Truncate(time.Millisecond); j.Due.After(j.Created) {
		j.State = Scheduled
	} else {
		j.Due = time.Time{}
	}
	return j
}

// Earlier returns the ID of the job that a request with the same Key has created, or "".
// A store passes what it has found: that job's ID, the Request that created it, and the
// error. The error is [ErrOtherRequest] if the Request of o differs.
func (o Once) Earlier(id, request string, err error) (string, error) {
	switch {
	case errors.Is(err, ErrNotFound):
		return "", nil
	case err == nil && request != o.Request:
		return "", ErrOtherRequest
	}
	return id, err
}

// Only returns the only element of a list, such as the rows of a query, or [ErrNotFound].
func Only[T any](list []T, err error) (one T, _ error) {
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return one, err
	}
	return list[0], nil
}

// Set returns an error if [Store].SetState must not change a job in state s to another
// one: [ErrFinished] if the job has finished. kept reports whether messages of the job can
// be withdrawn.
func (s State) Set(to State, kept bool) error {
	switch {
	case to != Canceled && to != Failed:
		return fmt.Errorf("a job cannot be set to %s", to)
	case s == Canceled, s.Over() && !(kept && to == Canceled):
		return ErrFinished
	}
	return nil
}

// Retry returns [ErrFinished] if a job in state s cannot be sent again.
func (s State) Retry() error {
	if s != Done && s != Failed {
		return ErrFinished
	}
	return nil
}

// Progress describes how much of a job is divided into parts and done.
type Progress struct {
	Cut    int64 // recipients up to this Seq belong to parts
	MaxSeq int64 // Seq of the last recipient
	Parts  int64 // number of parts
	Left   bool  // a part other than part 0 is not done
	Again  bool  // there are records to send to again
}

// Next returns the number of the part to create when no part is free: part 0 contains the
// records to send to again. The error is [ErrNoPart] if other servers have the parts that
// are left, and [ErrFinished] if nothing is left to send.
func (p Progress) Next() (number int64, err error) {
	switch {
	case p.Cut < p.MaxSeq:
		return p.Parts + 1, nil
	case p.Left:
		return 0, ErrNoPart
	case !p.Again:
		return 0, ErrFinished
	}
	return 0, nil
}

// Done reports whether nothing is left to send.
func (p Progress) Done() bool {
	_, err := p.Next()
	return errors.Is(err, ErrFinished)
}

// Admit reports whether [Store].CommitPart records b, or only changes the lease of the
// part. The error is [ErrLost] if another server has claimed the part since.
func (p Part) Admit(b Batch, stored StoredPart) (record bool, err error) {
	if stored.Lease != p.Lease {
		return false, ErrLost
	}
	return b.Step > stored.Step, nil
}

// Frees reports whether the claim of the part ends with this batch.
func (b Batch) Frees() bool { return b.Release || b.Done }

// Effect lists the changes that an [Outcome] makes besides the counts of its job. The record
// changes only if it still has the version that was sent to.
type Effect struct {
	Gone    bool // the record is removed, or its GoneSince is set; see Outcome.GoneAfter
	Back    bool // GoneSince is cleared
	Status  bool // LastStatus becomes the outcome's
	Key     bool // Key becomes the outcome's
	Failure bool // a [Failure] of the job is recorded
}

// Effect returns what the outcome changes.
func (o Outcome) Effect() Effect {
	if o.Class == webpush.ClassGone {
		return Effect{Gone: true}
	}
	return Effect{
		Back:    o.Class == webpush.ClassDelivered && !o.Record.GoneSince.IsZero(),
		Status:  o.Class != webpush.ClassExpired && o.Status != o.Record.LastStatus, // nothing was sent for an expired message
		Key:     o.Key != "",
		Failure: o.Class != webpush.ClassDelivered,
	}
}

// Inherit returns r with the user and the tags of other, unless r has its own.
func (r Record) Inherit(other Record) Record {
	if r.User == "" {
		r.User = other.User
	}
	if r.Tags == nil && len(other.Tags) > 0 {
		r.Tags = other.Tags
	}
	return r
}

// Scan reads counts from a column with a JSON array of objects with service, class, and n,
// for the Scan methods of database drivers. Without a single statement for a job and its
// counts, the two could be from different times.
func (c *Counts) Scan(src any) error {
	var b []byte
	switch v := src.(type) {
	case string:
		b = []byte(v)
	case []byte:
		b = v
	default:
		return fmt.Errorf("counts are stored as %T, expected text", src)
	}
	var rows []struct {
		Service webpush.Service
		Class   webpush.Class
		N       int64
	}
	if err := json.Unmarshal(b, &rows); err != nil {
		return err
	}
	*c = make(Counts)
	for _, row := range rows {
		c.Add(row.Service, row.Class, row.N)
	}
	return nil
}
