// Package bulk sends a message to any number of subscriptions from files, and
// records the outcome of each: results, subscriptions that are gone, records to
// send again later, and a journal that lets a killed run continue.
//
//	source, err := bulk.Open(bulk.Files("subscriptions.ndjson")...)
//	summary, err := bulk.Run(ctx, source, bulk.Options{
//		Client:  &webpush.Client{Key: key, Subject: "mailto:ops@example.com"},
//		Message: webpush.Message{Payload: []byte("hi")},
//		Journal: "journal",     // repeat the call to continue
//		Gone:    "gone.ndjson", // the records to delete
//	})
//	if e, ok := errors.AsType[*bulk.IncompleteError](err); ok {
//		// some messages were not delivered: see summary.Counts and summary.Failures()
//	}
package bulk

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Options configures [Run]. Client is required.
type Options struct {
	// Client sends. Its OnRetry is called as in [webpush.Client.SendAll].
	Client *webpush.Client
	// Message is sent to every record; the overrides of a record take precedence.
	Message webpush.Message
	// Empty allows messages without a payload to database rows (see [CheckEmpty]).
	Empty bool
	// Send configures SendAll. Its Commit is set by the run. Closing its Stop
	// stops the run gracefully: requests in flight are finished, and the rest
	// of the input is recorded in RetryLater.
	Send webpush.BulkOptions
	// Deadline stops the run after this time; 0 means never.
	Deadline time.Duration

	// Results, Gone, and RetryLater name the files for the result of each
	// record (see [Result]), for the records whose subscription is gone and can
	// be deleted, and for the records to send again in another run. They are
	// created with mode 0600. "" means none.
	Results, Gone, RetryLater string
	// Output, if set, also receives the results; OutputName names it in errors.
	Output     io.Writer
	OutputName string
	// Endpoints writes the endpoints, which are secrets, into the results.
	Endpoints bool
	// Overwrite replaces these files if they exist.
	Overwrite bool

	// Journal is the name of the file that remembers the finished records. A run with
	// the same journal and message skips them and appends to Results and Gone. ""
	// means none.
	Journal string

	// FailOnGone makes gone subscriptions a failure even if they are written to
	// Gone.
	FailOnGone bool

	// Progress, if set, shows the progress to other goroutines.
	Progress *Progress
	// Committing, if set, is locked while results are written, from the first file to
	// the journal. A program that exits early must lock it first.
	Committing sync.Locker
}

// run is a run in progress.
type run struct {
	o       *Options
	source  *Reader
	keys    Keys
	journal *Journal
	outputs outputs
	tally   *tally

	concurrency int // messages in flight at most
	commits     commitTimes
	final       Counts // results of this run in the journal
	lost        int64  // delivered messages that may not be recorded everywhere
	unjournaled bool   // the journal could not be written in the end

	reading sync.Mutex // held while the source is read
	cut     bool       // an input that blocked was left before its end
}

// Run sends to all records of the source and returns a summary. The error is an [*Error]
// if a file was refused or could not be read or written, an [*IncompleteError] if
// messages were not delivered, and nil if all were. If the summary is nil, nothing was
// sent. Run closes the source.
func Run(ctx context.Context, source *Reader, o Options) (*Summary, error) {
	defer source.Close()
	if o.Progress == nil {
		o.Progress = new(Progress)
	}
	if o.Committing == nil {
		o.Committing = new(sync.Mutex)
	}
	r := &run{o: &o, source: source, keys: Keys{Own: o.Client.Ring()}, tally: newTally(o.Progress, o.Send.DryRun), final: make(Counts)}
	o.Progress.begin(source.Size(), o.Send.DryRun)
	end, err := r.open()
	if err != nil {
		return nil, err
	}
	defer end()
	return r.send(ctx)
}

// open opens the journal and the outputs. If it fails, it removes a new journal, because
// the next run would otherwise continue it.
func (r *run) open() (end func(), err error) {
	o := r.o
	resumed := o.Journal != "" && exists(o.Journal)
	inputs := r.source.inputFiles()
	if o.Output != nil {
		if r.source.output = streamFile(o.OutputName, o.Output); r.source.output != nil && !r.source.output.info.Mode().IsRegular() {
			r.source.output = nil
		}
	}
	if err := r.outputs.check(o, r.source.output, inputs, resumed); err != nil {
		return nil, err
	}
	end = func() {}
	if o.Journal != "" {
		if err := newUsedFile(o.Journal).apart(PartJournal, inputs); err != nil { // another file of the run
			return nil, err
		}
		if r.journal, err = OpenJournal(o.Journal, r.digest()); err != nil {
			return nil, err
		}
		end = func() { r.journal.Close() }
	}
	if err := r.outputs.open(o, resumed); err != nil {
		end()
		if r.journal != nil {
			if old, _ := r.journal.Resumed(); !old {
				_ = os.Remove(o.Journal)
			}
		}
		return nil, err
	}
	return end, nil
}

// send sends to all records, after all files were opened.
func (r *run) send(parent context.Context) (*Summary, error) {
	defer CollectLess()()
	ctx := parent
	if r.o.Deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.o.Deadline)
		defer cancel()
	}
	reading, endReading := context.WithCancel(ctx) // ends blocking reads, such as from a pipe
	defer endReading()
	r.source.ctx = reading
	defer r.onStop(endReading)()

	failed := r.sendAll(ctx, endReading)
	if failed == nil {
		failed = r.rest()
	} else if r.journal != nil {
		r.unjournaled = r.journal.Commit() != nil // includes the records that keep has noted
	}
	if err := r.outputs.close(); failed == nil {
		failed = err
	}
	s := r.summary()
	s.Stopped = r.stopped(ctx)
	if failed != nil {
		return s, r.unwritten(failed)
	}
	if err := parent.Err(); err != nil {
		return s, err
	}
	return s, s.err(r.o)
}

// onStop ends reading when the caller stops the run, until the function that it
// returns is called.
func (r *run) onStop(endReading func()) (end func()) {
	sent := make(chan struct{})
	if r.o.Send.Stop != nil {
		go func() {
			select {
			case <-r.o.Send.Stop:
				r.tally.phase.CompareAndSwap(int32(Sending), int32(Finishing))
				endReading()
			case <-sent:
			}
		}()
	}
	return func() { close(sent) }
}

// stopped returns the reason why the run stopped early, or "".
func (r *run) stopped(ctx context.Context) Stop {
	select {
	case <-r.o.Send.Stop: // never if it is nil
		return StopAsked
	default:
	}
	switch {
	case ctx.Err() != nil:
		return StopDeadline
	case r.tooManyFailures():
		return StopFailures
	}
	return ""
}

func (r *run) tooManyFailures() bool {
	return r.o.Send.MaxFailures > 0 && r.tally.failures() >= int64(r.o.Send.MaxFailures)
}

// sendAll sends to the records until the input ends or the run stops. The error is that
// of an output or the journal.
func (r *run) sendAll(ctx context.Context, endReading func()) (failed error) {
	send := r.o.Send
	if send.Concurrency == 0 {
		send.Concurrency = 128 * runtime.GOMAXPROCS(0)
		if r.journal != nil { // part of the messages wait for the journal
			send.Concurrency *= 2
		}
	}
	r.concurrency = send.Concurrency
	r.tally.limit.Store(int64(send.Concurrency))
	send.Commit = func(results []webpush.Result) error {
		failed = cmp.Or(failed, r.commit(results, r.journal != nil))
		if failed != nil || r.tooManyFailures() {
			endReading()
		}
		return failed
	}
	var yielded int64
	for result := range r.client().SendAll(ctx, r.jobs(), send) {
		if yielded++; yielded > r.tally.total() { // requests that were in flight when commit failed
			r.keep([]webpush.Result{result}, true)
		}
		if yielded == r.tally.total() { // no result is left
			r.commits.wait()
		}
	}
	return failed
}

// client returns a client that also reports its retries to the progress.
func (r *run) client() *webpush.Client {
	c := r.o.Client
	report := c.OnRetry
	c.OnRetry = func(e *webpush.Error, wait time.Duration) {
		r.o.Progress.wait(e, wait)
		if report != nil {
			report(e, wait)
		}
	}
	return c
}

// summary returns the summary of the run.
func (r *run) summary() *Summary {
	s := r.tally.summary()
	s.Complete, s.Slowed = r.o.Progress.ended.Load() && !r.cut, r.o.Progress.slowed()
	lines := func(o *Output) int64 {
		if o == nil || !o.whole() {
			return -1
		}
		return o.lines
	}
	s.GoneWritten, s.RetryLaterWritten = lines(r.outputs.gone), lines(r.outputs.retryLater)
	if r.journal != nil {
		_, before := r.journal.Resumed()
		s.Journal, s.journalName = make(Counts), r.o.Journal
		for _, class := range webpush.Classes() {
			if n := before[class] + r.final[class]; n > 0 {
				s.Journal[class] = n
			}
		}
	}
	return s
}

// digest identifies the message for the journal: a record is finished only for one
// message.
func (r *run) digest() string {
	key := ""
	if r.o.Client.Key != nil {
		key = r.o.Client.Key.PublicKey().String()
	}
	m := r.o.Message
	text, err := json.Marshal(struct {
		HasPayload bool
		Payload    []byte
		Encoding   ece.Encoding
		Pad        int
		TTL        *time.Duration
		Urgency    webpush.Urgency
		Topic      string
		Header     http.Header
		GCM        bool
		Key        string
	}{m.Payload != nil, m.Payload, m.Encoding, m.Pad, m.TTL, m.Urgency, m.Topic, m.Header, m.GCM != nil, key})
	if err != nil {
		panic(err) // impossible for these types
	}
	return string(text)
}

// jobs reads the records and returns the jobs of unfinished ones.
func (r *run) jobs() iter.Seq2[webpush.Job, error] {
	return func(yield func(webpush.Job, error) bool) {
		for {
			rec := r.next()
			if rec == nil {
				return
			}
			job, err := rec.Job(r.o.Message, &r.keys)
			if err == nil && !r.o.Empty {
				err = CheckEmpty(job)
			}
			if !yield(job, err) {
				return
			}
		}
	}
}

// next returns the next record that is not finished, or nil at the end.
func (r *run) next() *Record {
	r.reading.Lock()
	defer r.reading.Unlock()
	for {
		rec, ok := r.source.next()
		if !ok || errors.Is(rec.err, context.Canceled) || errors.Is(rec.err, context.DeadlineExceeded) {
			r.o.Progress.ended.Store(!ok)
			r.cut = r.cut || ok
			return nil
		}
		var end *inputEnd
		r.cut = r.cut || errors.As(rec.err, &end)
		r.tally.readBytes.Store(r.source.Read())
		r.tally.readRecords.Add(1)
		if r.journal != nil && rec.Raw != nil && r.journal.Done(rec.Raw) {
			r.tally.already.Add(1)
			continue
		}
		return rec
	}
}

// commit writes the new results: first the result files, then the journal.
func (r *run) commit(results []webpush.Result, durable bool) error {
	r.o.Committing.Lock()
	defer r.o.Committing.Unlock()
	var err error
	for i := range results {
		result := &results[i]
		rec := result.Job.Value.(*Record)
		r.tally.add(result, rec)
		err = cmp.Or(err, r.outputs.write(result, rec))
	}
	if err = cmp.Or(err, r.outputs.flush(durable)); err != nil {
		r.keep(results, false)
		return err
	}
	if r.journal == nil {
		return nil
	}
	for i := range results {
		r.finish(&results[i])
	}
	begun := time.Now()
	err = r.journal.Commit()
	if err != nil {
		r.lost += delivered(results)
		return err
	}
	r.commits.end(begun, len(results), r.concurrency)
	return nil
}

// finish notes in the journal that a record is finished, if it is.
func (r *run) finish(result *webpush.Result) {
	if rec := result.Job.Value.(*Record); rec.Raw != nil && result.Class != webpush.ClassSkipped && webpush.Final(result.Err) {
		r.journal.Record(rec.Raw, result.Class)
		r.final[result.Class]++
	}
}

// commitTimes determines the time of the next commit to a journal. Until then, results
// are collected, because a commit makes many durable at the cost of one.
type commitTimes struct {
	first, last time.Time     // ends of commits
	next        time.Duration // time from the last commit to the next
	n           int           // results of all commits after the first
}

// end notes a commit of n results, with at most inFlight messages in flight.
func (c *commitTimes) end(begun time.Time, n, inFlight int) {
	now := time.Now()
	if c.last = now; c.first.IsZero() {
		c.first = now
		return
	}
	c.n += n
	// Commits may use a twentieth of the time. Part of the messages in flight wait for a
	// commit; the rest keeps the sender busy.
	part := now.Sub(c.first) * time.Duration(inFlight) / time.Duration(4*c.n)
	c.next = min(20*now.Sub(begun), 10*time.Millisecond, part)
}

// wait waits until the next commit is due.
func (c *commitTimes) wait() {
	if !c.last.IsZero() {
		time.Sleep(c.next - time.Since(c.last))
	}
}

func delivered(results []webpush.Result) (n int64) {
	for i := range results {
		if results[i].Class == webpush.ClassDelivered {
			n++
		}
	}
	return n
}

// keep records results when a file could not be written, to prevent that delivered
// messages are sent again. The next run repeats the others and writes them to the file.
// more reports that the results are not counted yet.
func (r *run) keep(results []webpush.Result, more bool) {
	r.lost += delivered(results)
	for i := range results {
		result := &results[i]
		rec := result.Job.Value.(*Record)
		if more {
			r.tally.add(result, rec)
			_ = r.outputs.write(result, rec) // write to the files that still work
		}
		if r.journal != nil && result.Class == webpush.ClassDelivered {
			r.finish(result)
		}
	}
}

// unwritten adds the next step to the error of a file.
func (r *run) unwritten(err error) error {
	var file *Error
	if !errors.As(err, &file) {
		return err
	}
	var steps []string
	if fileio.DiskFull(err) {
		steps = append(steps, "make room")
	}
	if r.journal != nil {
		steps = append(steps, "repeat the run: delivered messages are not sent again")
	}
	switch {
	case r.lost == 0:
	case r.unjournaled:
		steps[len(steps)-1] = fmt.Sprintf("repeat the run, but note: up to %d delivered messages are missing from the journal and would be sent again", r.lost)
	case file.Part != PartJournal:
		steps = append(steps, fmt.Sprintf("the results of up to %d delivered messages are not written", r.lost))
	}
	if len(steps) == 0 {
		return err
	}
	shown := *file
	shown.hint = strings.Join(steps, "; ")
	return &shown
}

// rest records the records that were not reached before the run stopped early, if another
// run needs them.
func (r *run) rest() error {
	if r.outputs.retryLater == nil || r.o.Progress.ended.Load() || !r.reading.TryLock() { // locked: a read from a pipe still waits
		return nil
	}
	r.reading.Unlock()
	r.tally.phase.Store(int32(Recording))
	var batch []webpush.Result
	for {
		rec := r.next()
		if rec == nil || len(batch) == 1000 {
			if err := r.commit(batch, rec == nil && r.journal != nil); err != nil || rec == nil {
				return err
			}
			r.tally.rest.Add(int64(len(batch)))
			batch = batch[:0]
		}
		job, err := rec.Job(r.o.Message, &r.keys)
		class := webpush.ClassSkipped
		if err != nil {
			class = webpush.ClassInvalid
		}
		batch = append(batch, webpush.Result{Job: job, Class: class, Err: cmp.Or(err, errNotReached)})
	}
}

var errNotReached = errors.New("stopped before its turn")
