package queue

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// headerStream is the header of a message of results with the creation time of the
// stream of messages: sequences begin again in a new stream.
const headerStream = "Webpush-Stream"

// Result is the result of a message. As JSON, it is like [bulk.Result], with the run
// unless that is empty.
type Result struct {
	// Run is the name of the message's run.
	Run string `json:"run,omitempty"`
	bulk.Result
	// Sequence is the sequence of the message in the stream.
	Sequence uint64 `json:"-"`
	// Record is the record without the message, a secret, if its subscription is
	// gone and can be deleted; otherwise, nil.
	Record json.RawMessage `json:"-"`
}

// resultLine is a result in the stream: one line of a message.
type resultLine struct {
	Sequence uint64          `json:"seq"`
	Result   bulk.Result     `json:"result"`
	Record   json.RawMessage `json:"record,omitempty"`
}

// ResultsOptions configures [Queue.Results].
type ResultsOptions struct {
	// Run selects a run; "" means all.
	Run string
	// Follow waits for more results, until the context is done or, if the run is
	// complete, every record of it has a result.
	Follow bool
}

// Results yields the stored results, the oldest first, one for each message: if a
// message was sent again after a crash, the first result counts. It uses about 16
// bytes of memory for 64 messages. The error is an [*Error] or the context's.
func (q *Queue) Results(ctx context.Context, o ResultsOptions) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		if err := q.readResults(ctx, o, func(r Result) bool { return yield(r, nil) }); err != nil {
			yield(Result{}, err)
		}
	}
}

func (q *Queue) readResults(ctx context.Context, o ResultsOptions, yield func(Result) bool) error {
	r := &resultsReader{q: q, o: o, yield: yield, seen: make(map[string]map[uint64]uint64)}
	if some, err := r.open(ctx); !some || err != nil {
		return err
	}
	for {
		if complete, err := r.complete(ctx); complete || err != nil && !isTemporary(err) {
			return err
		}
		ended, err := r.read(ctx)
		switch {
		case ended:
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !isTemporary(err) && !errors.Is(err, nats.ErrTimeout):
			return serverError("the results cannot be read", err)
		case err != nil:
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(250 * time.Millisecond):
			}
		}
	}
}

// resultsReader is one call of Results.
type resultsReader struct {
	q        *Queue
	o        ResultsOptions
	yield    func(Result) bool
	consumer jetstream.Consumer
	last     uint64                       // sequence of the last message when the reader was opened, or 0
	seen     map[string]map[uint64]uint64 // bits for sequences, by stream
	n        int64                        // results
}

// open creates the consumer. It reports whether there is anything to wait for.
func (r *resultsReader) open(ctx context.Context) (some bool, err error) {
	subject := resultSubjects
	if r.o.Run != "" {
		if err := CheckRun(r.o.Run); err != nil {
			return false, err
		}
		subject = resultPrefix + r.o.Run
	}
	r.last, err = retry(ctx, func() (uint64, error) { return r.q.lastResult(ctx, subject) })
	if err != nil || r.last == 0 && !r.o.Follow {
		return false, err
	}
	r.consumer, err = retry(ctx, func() (jetstream.Consumer, error) {
		return r.q.opened.Load().results.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverAllPolicy})
	})
	if err != nil {
		return false, serverError("the results cannot be read", err)
	}
	return true, nil
}

// complete reports whether every record of the run that is followed has a result.
func (r *resultsReader) complete(ctx context.Context) (bool, error) {
	if !r.o.Follow || r.o.Run == "" {
		return false, nil
	}
	run, known, err := r.q.Run(ctx, r.o.Run)
	return known && run.Complete && r.n >= run.Records, err
}

// read reads the next messages. The results have ended if the caller wants no more, if
// the last one was read, or after an error that another attempt does not change.
func (r *resultsReader) read(ctx context.Context) (ended bool, err error) {
	wait := time.Second
	if r.o.Follow {
		wait = 500 * time.Millisecond
	}
	batch, err := r.consumer.Fetch(100, jetstream.FetchMaxWait(wait))
	if err != nil {
		return false, err
	}
	for msg := range batch.Messages() {
		meta, err := msg.Metadata()
		if err != nil {
			return true, serverError("a message of results cannot be read", err)
		}
		if more, err := r.message(msg, meta.Sequence.Stream); !more || err != nil {
			return true, err
		}
		if !r.o.Follow && meta.Sequence.Stream >= r.last {
			return true, nil
		}
	}
	return false, batch.Error()
}

// message yields the results of a message, except those that were already yielded.
func (r *resultsReader) message(msg jetstream.Msg, sequence uint64) (more bool, err error) {
	stream := msg.Headers().Get(headerStream)
	if r.seen[stream] == nil {
		r.seen[stream] = make(map[uint64]uint64)
	}
	seen := r.seen[stream]
	for text := range bytes.Lines(msg.Data()) {
		var l resultLine
		if err := json.Unmarshal(text, &l); err != nil {
			return false, &Error{Problem: fmt.Sprintf("message %d of the stream %s is not a result", sequence, ResultStream), Err: err}
		}
		bit := uint64(1) << (l.Sequence % 64)
		if seen[l.Sequence/64]&bit != 0 {
			continue
		}
		seen[l.Sequence/64] |= bit
		r.n++
		if !r.yield(Result{Run: strings.TrimPrefix(msg.Subject(), resultPrefix), Result: l.Result, Sequence: l.Sequence, Record: l.Record}) {
			return false, nil
		}
	}
	return true, nil
}

// lastResult returns the sequence of the last message of results, or 0.
func (q *Queue) lastResult(ctx context.Context, subject string) (uint64, error) {
	if subject == resultSubjects {
		info, err := q.opened.Load().results.Info(ctx)
		if err != nil {
			return 0, serverError("the results cannot be read", err)
		}
		if info.State.Msgs == 0 {
			return 0, nil
		}
		return info.State.LastSeq, nil
	}
	msg, err := q.opened.Load().results.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, serverError("the results cannot be read", err)
	}
	return msg.Sequence, nil
}
