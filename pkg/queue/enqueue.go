package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// EnqueueOptions configures [Queue.Enqueue].
type EnqueueOptions struct {
	// Run is the name of the run; see [CheckRun]. Within the duplicate window of the
	// stream, a record is enqueued only once, even if the run is repeated or the
	// record occurs several times.
	Run string
	// Message is sent to every record; the fields of a record take precedence. Its
	// payload must be UTF-8, of at most 3993 bytes. Encoding, Pad, Header, and GCM
	// must be zero; set them for the worker. See [CheckMessage].
	Message webpush.Message
	// Empty also enqueues messages without payload to database rows (see
	// [bulk.CheckEmpty]).
	Empty bool
	// Journal is the name of a file that remembers the records in the stream: when
	// repeated with the same journal, run, and message, Enqueue skips them. "" means
	// none.
	Journal string
	// Refused, if set, is called with each record that was not enqueued and the error.
	Refused func(*bulk.Record, error)
	// Progress, if set, shows the progress to other goroutines, and then the outcome.
	Progress *EnqueueProgress
	// Stop, when closed, stops the run gracefully: it waits until the published
	// records are confirmed, and does not enqueue others.
	Stop <-chan struct{}
}

// EnqueueProgress counts the records of a call of [Queue.Enqueue]. The zero value is
// ready to use.
type EnqueueProgress struct {
	// Enqueued records are in the stream; Duplicates of them were already there.
	// Skipped records were in the journal. Refused records are not in the stream.
	Enqueued, Duplicates, Skipped, Refused atomic.Int64
	// Ignored has the fields of records that have no effect, after Enqueue has
	// returned.
	Ignored bulk.Ignored

	run, journal string       // set before the records are counted
	begun        atomic.Int64 // nanoseconds since 1970
}

func (p *EnqueueProgress) took() time.Duration {
	if begun := p.begun.Load(); begun != 0 {
		return time.Since(time.Unix(0, begun))
	}
	return 0
}

// Text returns the number of records enqueued so far in words, such as "enqueued 600
// records in 5s, 120/s".
func (p *EnqueueProgress) Text() string {
	n, took := p.Enqueued.Load(), p.took()
	return fmt.Sprintf("enqueued %s in %s, %s", text.Count(n, "record"), text.Duration(took), text.PerSecond(float64(n)/max(took.Seconds(), 1e-3)))
}

// Lines returns the outcome in words after Enqueue has returned, one line each: Text,
// the number of duplicates, and the number of records that the journal has.
func (p *EnqueueProgress) Lines() []string {
	lines := []string{p.Text()}
	if n := p.Duplicates.Load(); n > 0 {
		lines = append(lines, fmt.Sprintf("%d of them were already in the run and are not sent again", n))
	}
	if n := p.Skipped.Load(); n > 0 {
		verb := "were"
		if n == 1 {
			verb = "was"
		}
		lines = append(lines, fmt.Sprintf("%s %s enqueued in earlier runs of %s", text.Count(n, "record"), verb, p.journal))
	}
	return lines
}

// MarshalJSON returns the outcome as an object with run, enqueued, duplicates,
// finishedBefore, refused, and seconds.
func (p *EnqueueProgress) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"run": p.run, "enqueued": p.Enqueued.Load(), "duplicates": p.Duplicates.Load(), "finishedBefore": p.Skipped.Load(),
		"refused": p.Refused.Load(), "seconds": float64(p.took().Milliseconds()) / 1e3})
}

// CheckMessage returns the error of [Queue.Enqueue] for a message that no record can
// have, or nil.
func CheckMessage(m *webpush.Message) error {
	if m.Encoding != "" || m.Pad != 0 || len(m.Header) > 0 || m.GCM != nil {
		return &Error{Problem: "the encoding, padding, and headers of a message are not kept in a record", hint: "set them where the records are sent"}
	}
	if most := ece.AES128GCM.MaxPayload(ece.MaxBody); len(m.Payload) > most {
		return &Error{Problem: fmt.Sprintf("the payload has %d bytes, but push services accept at most %d", len(m.Payload), most), hint: "shorten the payload"}
	}
	if !utf8.Valid(m.Payload) {
		return &Error{Problem: "the payload is not UTF-8, and a record is JSON", hint: "send it without a queue, or encode it as text"}
	}
	return nil
}

// Enqueue publishes records and returns when the stream has all of them. Records that
// cannot be sent are also published, because the results include them. Records that
// cannot be read, or that exceed the server's limit, are not. The error is an [*Error],
// a [*CanceledError], a [*bulk.Error] of the journal, or the context's.
func (q *Queue) Enqueue(ctx context.Context, records iter.Seq2[*bulk.Record, error], o EnqueueOptions) error {
	if err := CheckRun(o.Run); err != nil {
		return err
	}
	if err := CheckMessage(&o.Message); err != nil {
		return err
	}
	if o.Progress == nil {
		o.Progress = new(EnqueueProgress)
	}
	if o.Refused == nil {
		o.Refused = func(*bulk.Record, error) {}
	}
	o.Progress.run, o.Progress.journal = o.Run, o.Journal
	o.Progress.begun.Store(time.Now().UnixNano())
	e := &enqueuing{q: q, o: &o, distinct: make(map[uint64]uint64)}
	if o.Journal != "" {
		var err error
		if e.journal, err = openJournal(&o); err != nil {
			return err
		}
		defer e.journal.Close()
	}
	err := q.changeRun(ctx, o.Run, func(r *Run) error {
		if r.Canceled {
			return &CanceledError{o.Run}
		}
		if r.Started.IsZero() {
			r.Started = time.Now().UTC()
		}
		r.Complete = false
		return nil
	})
	if err != nil {
		return err
	}
	whole, err := e.run(ctx, records)
	if err != nil {
		return err
	}
	return q.changeRun(context.WithoutCancel(ctx), o.Run, func(r *Run) error {
		r.Records = e.records + o.Progress.Skipped.Load()
		r.Complete = whole
		return nil
	})
}

// openJournal opens the journal, which belongs to one run and one message.
func openJournal(o *EnqueueOptions) (*bulk.Journal, error) {
	m := o.Message
	digest, err := json.Marshal(struct {
		To         string
		HasPayload bool
		Payload    []byte
		TTL        *time.Duration
		Urgency    webpush.Urgency
		Topic      string
	}{o.Run, m.Payload != nil, m.Payload, m.TTL, m.Urgency, m.Topic})
	if err != nil {
		return nil, err
	}
	return bulk.OpenJournal(o.Journal, "enqueue "+string(digest))
}

// enqueuing is a call of Enqueue.
type enqueuing struct {
	q        *Queue
	o        *EnqueueOptions
	journal  *bulk.Journal // nil without one
	waiting  []published
	distinct map[uint64]uint64 // bits for sequences in the stream, 64 per entry
	records  int64             // bits in distinct
	max      int64
}

// published is a message without its confirmation.
type published struct {
	future jetstream.PubAckFuture
	msg    *nats.Msg
	raw    []byte
}

// confirmEvery is the number of messages whose confirmations are collected and
// committed to the journal together.
const confirmEvery = 1000

func (e *enqueuing) run(ctx context.Context, records iter.Seq2[*bulk.Record, error]) (whole bool, err error) {
	e.max = e.q.nc.MaxPayload()
	whole = true
	for rec, err := range records {
		select {
		case <-e.o.Stop: // of a nil channel, never
			whole = false
		default:
		}
		if !whole || ctx.Err() != nil {
			break
		}
		if e.journal != nil && rec.Raw != nil && e.journal.Done(rec.Raw) {
			e.o.Progress.Skipped.Add(1)
			continue
		}
		msg, err := e.message(rec, err)
		if err != nil {
			e.o.Progress.Refused.Add(1)
			e.o.Refused(rec, err)
			continue
		}
		future, err := e.publish(ctx, msg)
		if err != nil {
			return false, err
		}
		e.waiting = append(e.waiting, published{future, msg, rec.Raw})
		if len(e.waiting) >= 2*confirmEvery {
			if err := e.confirm(ctx, confirmEvery); err != nil {
				return false, err
			}
		}
	}
	if err := e.confirm(context.WithoutCancel(ctx), len(e.waiting)); err != nil {
		return false, err
	}
	return whole, ctx.Err()
}

// message returns the message of a record.
func (e *enqueuing) message(rec *bulk.Record, err error) (*nats.Msg, error) {
	if err != nil && (rec.Raw == nil || errors.As(err, new(*bulk.Error))) {
		return nil, err
	}
	if rec.Raw == nil {
		return nil, errors.New("the record could not be read")
	}
	job, jobErr := rec.Job(e.o.Message, new(bulk.Keys)) // the result will have this error
	e.o.Progress.Ignored.Add(rec)
	if jobErr == nil && !e.o.Empty {
		if err := bulk.CheckEmpty(job); err != nil {
			return nil, err
		}
	}
	body, err := complete(rec.Raw, rec.ID, &e.o.Message)
	if err != nil {
		return nil, err
	}
	lane := "other"
	if job.Subscription != nil {
		lane = Lane(job.Subscription.Service())
	}
	origin, err := json.Marshal(source{&rec.Index, rec.File, rec.Line, rec.Element})
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: sendPrefix + lane, Data: body, Header: nats.Header{HeaderMsgID: {MessageID(e.o.Run, body)}, HeaderRun: {e.o.Run}, HeaderSource: {string(origin)}}}
	if ttl := job.Message.TTL; jobErr == nil && ttl != nil && *ttl > 0 {
		msg.Header[HeaderExpires] = []string{time.Now().Add(*ttl).UTC().Format(time.RFC3339)}
	}
	if int64(msg.Size()) > e.max {
		return nil, fmt.Errorf("the record needs a message of %d bytes, but the server allows %d", msg.Size(), e.max)
	}
	return msg, nil
}

// publish publishes a message without waiting for its confirmation. It waits while the
// connection is lost.
func (e *enqueuing) publish(ctx context.Context, msg *nats.Msg) (jetstream.PubAckFuture, error) {
	for {
		future, err := e.q.js.PublishMsgAsync(msg, jetstream.WithStallWait(10*time.Second), jetstream.WithRetryAttempts(10))
		if err == nil {
			return future, nil
		}
		if !isTemporary(err) && !errors.Is(err, jetstream.ErrTooManyStalledMsgs) {
			return nil, serverError("a record cannot be enqueued", err)
		}
		if err := e.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// pause waits briefly for the server.
func (e *enqueuing) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.o.Stop:
		return context.Canceled
	case <-time.After(250 * time.Millisecond):
		return nil
	}
}

// confirm waits for the confirmations of the first n messages. Messages that the server
// did not confirm are published again; their IDs prevent duplicates.
func (e *enqueuing) confirm(ctx context.Context, n int) error {
	for _, p := range e.waiting[:n] {
		ack, err := e.confirmed(ctx, p)
		if err != nil {
			return err
		}
		e.o.Progress.Enqueued.Add(1)
		if ack.Duplicate {
			e.o.Progress.Duplicates.Add(1)
		}
		if bit := uint64(1) << (ack.Sequence % 64); e.distinct[ack.Sequence/64]&bit == 0 {
			e.distinct[ack.Sequence/64] |= bit
			e.records++
		}
		if e.journal != nil {
			e.journal.Record(p.raw, webpush.ClassDelivered)
		}
	}
	e.waiting = append(e.waiting[:0], e.waiting[n:]...)
	if e.journal != nil && n > 0 {
		return e.journal.Commit()
	}
	return nil
}

func (e *enqueuing) confirmed(ctx context.Context, p published) (*jetstream.PubAck, error) {
	for begun := time.Now(); ; {
		select {
		case ack := <-p.future.Ok():
			return ack, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-p.future.Err():
			var api *jetstream.APIError
			full := errors.As(err, &api) && (api.ErrorCode == 10077 || api.ErrorCode == 10047) // full stream, or full storage of the server
			if full && time.Since(begun) > fullWait {
				e := serverError("the stream "+SendStream+" is full", nil)
				e.hint = "start more workers, or allow it to be larger; then repeat the run"
				return nil, e
			}
			if !full && !isTemporary(err) {
				return nil, serverError("a record cannot be enqueued", err)
			}
			if err := e.pause(ctx); err != nil {
				return nil, err
			}
			if p.future, err = e.publish(ctx, p.msg); err != nil {
				return nil, err
			}
		}
	}
}

// fullWait is the time to wait for room in a full stream.
const fullWait = 30 * time.Second
