package bulk

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Summary is the outcome of a run.
type Summary struct {
	DryRun bool // nothing was sent
	// Records is the number of records with a result. Sent is the number of records
	// that a message was sent to, delivered or not.
	Records, Sent int64
	// Counts has the number of results per class, and Services the number of
	// results per class for each push service.
	Counts   Counts
	Services map[webpush.Service]Counts
	// FinishedBefore is the number of records that were skipped because the journal
	// has them.
	FinishedBefore int64
	// Journal has the number of finished records of each class over all runs of
	// the journal, this one included, or is nil without one.
	Journal Counts
	// Took is the duration of the run.
	Took time.Duration
	// P50, P95, and P99 are quantiles of the time from a request to its response,
	// with an error of at most 1/16; 0 if nothing was sent.
	P50, P95, P99 time.Duration
	// Reasons are the kinds of failures, the most frequent first.
	Reasons []Reason
	// Slowed are the push services that asked for fewer messages, most often first.
	Slowed []Slowed
	// Ignored has the fields of records that had no effect.
	Ignored Ignored
	// Complete reports whether the input was read completely.
	Complete bool
	// Stopped is the reason why the run stopped early, or "".
	Stopped Stop
	// GoneWritten and RetryLaterWritten are the numbers of records in the files
	// Options.Gone and Options.RetryLater, or -1 if the file is not set or
	// could not be written.
	GoneWritten, RetryLaterWritten int64

	journalName string
}

// Stop is the reason why a run stopped early.
type Stop string

// The reasons.
const (
	StopAsked    Stop = "stopped"
	StopDeadline Stop = "deadline"
	StopFailures Stop = "failures"
)

// Slowed is a push service that asked for fewer messages: it rejected requests with 429, or
// with Retry-After. Whether it gets fewer for a while is said at [webpush.Client.SendAll];
// the messages are sent again.
type Slowed struct {
	Origin string `json:"origin"` // origin of the push service
	Count  int64  `json:"count"`  // number of requests that it rejected so
}

// String returns, for example, "https://push.example.net rejected 3 requests with 429 or Retry-After".
func (s Slowed) String() string {
	return fmt.Sprintf("%s rejected %s with 429 or Retry-After", s.Origin, text.Count(s.Count, "request"))
}

// Reason is a kind of failure.
type Reason struct {
	Class   webpush.Class   `json:"class"`             // class of the results
	Service webpush.Service `json:"service,omitempty"` // the push service
	Code    string          `json:"code,omitempty"`    // kind of failure
	Status  int             `json:"status,omitempty"`  // HTTP status, or 0 without a response
	Count   int64           `json:"count"`             // number of results
	// First is the position of the first record with this failure, Reason its error,
	// and Hint the next step.
	First  string `json:"first"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
}

// Delivered returns the number of delivered messages; in a dry run, the number
// of messages that could be sent.
func (s *Summary) Delivered() int64 {
	if s.DryRun {
		return s.Counts[webpush.ClassSkipped]
	}
	return s.Counts[webpush.ClassDelivered]
}

// Later returns the number of records that are worth another run.
func (s *Summary) Later() int64 {
	if s.DryRun {
		return 0
	}
	return s.Counts[webpush.ClassTemporary] + s.Counts[webpush.ClassSkipped]
}

// IncompleteError is the error of a run that finished without delivering every
// message.
type IncompleteError struct {
	// Summary has the counts of the run.
	Summary *Summary
	// Problem says how many messages were not delivered, and why the run stopped.
	Problem string
}

// Error returns the number of messages that were not delivered.
func (e *IncompleteError) Error() string { return e.Problem }

// Temporary reports whether nothing was delivered and all records are worth another run.
func (e *IncompleteError) Temporary() bool {
	s := e.Summary
	return s.Delivered() == 0 && s.Later() == s.Records && (s.Records > 0 || !s.Complete)
}

// err returns the error of the run, or nil if all messages were delivered. Gone
// subscriptions that were written to a file are not failures unless FailOnGone is set.
func (s *Summary) err(o *Options) error {
	total, good, excused := s.Records, s.Delivered(), int64(0)
	if s.GoneWritten >= 0 && !o.FailOnGone {
		excused = s.Counts[webpush.ClassGone]
	}
	stopped := map[Stop]string{StopAsked: "stopped", StopDeadline: "the deadline has passed", StopFailures: fmt.Sprintf("stopped after %d failures", o.Send.MaxFailures)}[s.Stopped]
	fail := func(problem string) error {
		if stopped != "" {
			problem = stopped + ": " + problem
		}
		return &IncompleteError{s, problem}
	}
	later := &IncompleteError{Summary: s}
	were := "were"
	if total-good == 1 {
		were = "was"
	}
	switch {
	case good+excused == total && s.Complete:
		return nil
	case s.DryRun && stopped == "":
		return fail(fmt.Sprintf("%d of %d messages could not be sent", total-good, total))
	case good+excused == total && total > 0:
		return fail("the input was not read completely")
	case later.Temporary():
		return fail(fmt.Sprintf("none of %d messages could be delivered yet", total))
	}
	return fail(fmt.Sprintf("%d of %d messages %s not delivered", total-good, total, were))
}

// tally counts results.
type tally struct {
	*Progress
	dryRun    bool
	start     time.Time
	n         Counts
	services  map[webpush.Service]Counts
	reasons   map[reasonKey]*Reason
	latencies histogram
	sent      int64
	ignored   Ignored
}

// reasonKey groups failures that are alike.
type reasonKey struct {
	class   webpush.Class
	service webpush.Service
	code    string
	status  int
}

// maxReasons is the maximum number of distinct kinds of failures.
const maxReasons = 200

func newTally(p *Progress, dryRun bool) *tally {
	return &tally{Progress: p, dryRun: dryRun, start: time.Now(), n: make(Counts), services: make(map[webpush.Service]Counts), reasons: make(map[reasonKey]*Reason)}
}

func (t *tally) add(r *webpush.Result, rec *Record) {
	t.n[r.Class]++
	t.done.Add(1)
	switch r.Class {
	case webpush.ClassDelivered:
		t.delivered.Add(1)
	case webpush.ClassGone:
		t.gone.Add(1)
	case webpush.ClassSkipped:
	default:
		t.wrong.Add(1)
	}
	t.ignored.Add(rec)
	key := reasonKey{class: r.Class}
	if sub := r.Job.Subscription; sub != nil {
		key.service = sub.Service()
		if t.services[key.service] == nil {
			t.services[key.service] = make(Counts)
		}
		t.services[key.service][r.Class]++
	}
	if r.Attempts > 0 {
		t.sent++
		if r.Latency > 0 {
			t.latencies.add(r.Latency)
		}
	}
	if r.Err == nil || r.Class == webpush.ClassSkipped {
		return
	}
	var rejection *webpush.Error
	var input *webpush.InputError
	var end *inputEnd
	switch {
	case errors.As(r.Err, &end):
		key.code = string(PartInput)
	case errors.As(r.Err, &rejection):
		key.code, key.status = string(rejection.Code), rejection.Status
	case errors.As(r.Err, &input):
		key.code = input.Part
	default:
		key.code, _, _ = strings.Cut(r.Err.Error(), " ")
		key.code = strings.TrimRight(key.code, ":")
	}
	if t.reasons[key] == nil {
		if len(t.reasons) >= maxReasons {
			key = reasonKey{class: r.Class}
		}
		if t.reasons[key] == nil {
			t.reasons[key] = &Reason{Class: key.class, Service: key.service, Code: key.code, Status: key.status, First: rec.Position(), Reason: r.Err.Error(), Hint: webpush.HintOf(r.Err)}
		}
	}
	t.reasons[key].Count++
}

func (t *tally) total() int64 { return t.done.Load() }

// failures returns the number of failures that MaxFailures limits.
func (t *tally) failures() int64 { return t.wrong.Load() }

// summary returns the summary of the tally.
func (t *tally) summary() *Summary {
	s := &Summary{DryRun: t.dryRun, Records: t.total(), Sent: t.sent, Counts: t.n, Services: t.services, FinishedBefore: t.already.Load(), Took: time.Since(t.start),
		P50: t.latencies.quantile(0.5), P95: t.latencies.quantile(0.95), P99: t.latencies.quantile(0.99),
		Ignored: t.ignored, GoneWritten: -1, RetryLaterWritten: -1}
	for _, r := range t.reasons {
		s.Reasons = append(s.Reasons, *r)
	}
	slices.SortFunc(s.Reasons, func(a, b Reason) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.First, b.First)) })
	return s
}

// histogram counts times with an error of at most 1/16, in bounded memory: 16
// buckets for each power of two of a microsecond.
type histogram struct {
	n       int64
	buckets [16 * 48]int64
}

func bucketOf(us uint64) int {
	if us < 16 {
		return int(us)
	}
	e := bits.Len64(us) - 5 // us>>e is 16 to 31
	return min(16*e+int(us>>e), len(histogram{}.buckets)-1)
}

// bucketEnd is the largest time of a bucket, in microseconds.
func bucketEnd(i int) uint64 {
	if i < 32 {
		return uint64(i)
	}
	e := i/16 - 1
	return uint64(16+i%16+1)<<e - 1
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0)/time.Microsecond))]++
	h.n++
}

// quantile returns the smallest time that is not exceeded by the part q of all times.
func (h *histogram) quantile(q float64) time.Duration {
	left := int64(q*float64(h.n) + 0.9999999)
	for i, n := range h.buckets {
		if left -= n; n > 0 && left <= 0 {
			return time.Duration(bucketEnd(i)) * time.Microsecond
		}
	}
	return 0
}
