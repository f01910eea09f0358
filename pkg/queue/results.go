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

// Result is the result of a message.
type Result struct {
	bulk.Result
	// Run is the name of the message's run.
	Run string `json:"-"`
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
	subject := resultSubjects
	if o.Run != "" {
		if err := CheckRun(o.Run); err != nil {
			return err
		}
		subject = resultPrefix + o.Run
	}
	last, err := retry(ctx, func() (uint64, error) { return q.lastResult(ctx, subject) })
	if err != nil || last == 0 && !o.Follow {
		return err
	}
	consumer, err := retry(ctx, func() (jetstream.Consumer, error) {
		return q.opened.Load().results.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}, DeliverPolicy: jetstream.DeliverAllPolicy})
	})
	if err != nil {
		return serverError("the results cannot be read", err)
	}
	seen := make(map[string]map[uint64]uint64) // bits for sequences, by stream
	var n int64
	over := func() (bool, error) { // reports whether every record has a result
		if !o.Follow || o.Run == "" {
			return false, nil
		}
		run, known, err := q.Run(ctx, o.Run)
		return known && run.Complete && n >= run.Records, err
	}
	wait := time.Second
	if o.Follow {
		wait = 500 * time.Millisecond
	}
	for {
		if done, err := over(); done || err != nil && !isTemporary(err) {
			return err
		}
		batch, err := consumer.Fetch(100, jetstream.FetchMaxWait(wait))
		if err == nil {
			for msg := range batch.Messages() {
				meta, err := msg.Metadata()
				if err != nil {
					return serverError("a message of results cannot be read", err)
				}
				run := strings.TrimPrefix(msg.Subject(), resultPrefix)
				stream := msg.Headers().Get(headerStream)
				if seen[stream] == nil {
					seen[stream] = make(map[uint64]uint64)
				}
				for text := range bytes.Lines(msg.Data()) {
					var l resultLine
					if err := json.Unmarshal(text, &l); err != nil {
						return &Error{Problem: fmt.Sprintf("message %d of the stream %s is not a result", meta.Sequence.Stream, ResultStream), Err: err}
					}
					bit := uint64(1) << (l.Sequence % 64)
					if seen[stream][l.Sequence/64]&bit != 0 {
						continue
					}
					seen[stream][l.Sequence/64] |= bit
					n++
					if !yield(Result{l.Result, run, l.Sequence, l.Record}) {
						return nil
					}
				}
				if !o.Follow && meta.Sequence.Stream >= last {
					return nil
				}
			}
			err = batch.Error()
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !isTemporary(err) && !errors.Is(err, nats.ErrTimeout) {
			return serverError("the results cannot be read", err)
		}
		if err != nil {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(250 * time.Millisecond):
			}
		}
	}
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
