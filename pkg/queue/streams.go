package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// maxAckPending is the maximum number of messages of a lane that workers have or that
// wait for another attempt.
const maxAckPending = 200_000

// streams are the streams and the bucket of a queue.
type streams struct {
	send, results jetstream.Stream
	runs          jetstream.KeyValue
	made          string // creation time of send
}

// open creates the streams and the bucket, or compares those that exist.
func (q *Queue) open(ctx context.Context) (err error) {
	c, s := q.config, new(streams)
	if s.send, err = q.stream(ctx, jetstream.StreamConfig{Name: SendStream, Description: "webpush: records to send", Subjects: []string{sendSubjects}, Retention: jetstream.WorkQueuePolicy,
		Discard: jetstream.DiscardNew, MaxBytes: c.MaxBytes, MaxAge: c.MaxAge, Replicas: c.Replicas, Duplicates: c.DuplicateWindow}); err != nil {
		return err
	}
	if s.results, err = q.stream(ctx, jetstream.StreamConfig{Name: ResultStream, Description: "webpush: results", Subjects: []string{resultSubjects}, Retention: jetstream.LimitsPolicy,
		MaxAge: c.ResultsMaxAge, Replicas: c.Replicas, Duplicates: 10 * time.Minute}); err != nil {
		return err
	}
	s.runs, err = q.js.KeyValue(ctx, runsBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		s.runs, err = q.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: runsBucket, Description: "webpush: runs", History: 1, Storage: jetstream.FileStorage,
			TTL: max(cmp.Or(c.MaxAge, DefaultMaxAge), cmp.Or(c.ResultsMaxAge, DefaultMaxAge)), Replicas: cmp.Or(c.Replicas, 1)})
		if errors.Is(err, jetstream.ErrBucketExists) { // another process has just created it
			s.runs, err = q.js.KeyValue(ctx, runsBucket)
		}
	}
	if err != nil {
		return serverError("the bucket "+runsBucket+" cannot be used", err)
	}
	s.made = s.send.CachedInfo().Created.UTC().Format(time.RFC3339Nano)
	q.opened.Store(s)
	return nil
}

// stream returns a stream, which it creates if it does not exist. An existing stream
// must have all nonzero values of want.
func (q *Queue) stream(ctx context.Context, want jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := q.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		made := want
		made.Replicas, made.MaxAge = cmp.Or(want.Replicas, 1), cmp.Or(want.MaxAge, DefaultMaxAge)
		made.MaxBytes = cmp.Or(want.MaxBytes, -1)
		made.Duplicates = min(cmp.Or(want.Duplicates, DefaultDuplicateWindow), made.MaxAge)
		s, err = q.js.CreateStream(ctx, made)
		if err == nil || !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			if err != nil {
				return nil, serverError(fmt.Sprintf("the stream %s cannot be created", want.Name), err)
			}
			return s, nil
		}
		s, err = q.js.Stream(ctx, want.Name) // another process has just created it
	}
	if err != nil {
		return nil, serverError(fmt.Sprintf("the stream %s cannot be used", want.Name), err)
	}
	if diff := differences(s.CachedInfo().Config, want); diff != "" {
		return nil, &Error{Problem: fmt.Sprintf("the stream %s exists and differs: %s", want.Name, diff),
			hint: "omit these options, change the stream with the nats command, or delete it if it is empty"}
	}
	return s, nil
}

// differences describes the differences between two configurations, or returns "".
func differences(have, want jetstream.StreamConfig) string {
	var list []string
	differs := func(name string, have, want any) {
		list = append(list, fmt.Sprintf("%s is %v, expected %v", name, have, want))
	}
	if !slices.Equal(have.Subjects, want.Subjects) {
		differs("subjects", fmt.Sprintf("%q", have.Subjects), fmt.Sprintf("%q", want.Subjects))
	}
	if have.Retention != want.Retention {
		differs("retention", have.Retention, want.Retention)
	}
	if have.Storage != want.Storage {
		differs("storage", have.Storage, want.Storage)
	}
	if have.Discard != want.Discard {
		differs("discard", have.Discard, want.Discard)
	}
	if want.Replicas != 0 && have.Replicas != want.Replicas {
		differs("replicas", have.Replicas, want.Replicas)
	}
	if want.MaxAge != 0 && have.MaxAge != want.MaxAge {
		differs("maximum age", have.MaxAge, want.MaxAge)
	}
	if want.MaxBytes != 0 && have.MaxBytes != want.MaxBytes {
		differs("maximum size in bytes", have.MaxBytes, want.MaxBytes)
	}
	if want.Name == SendStream && want.Duplicates != 0 && have.Duplicates != want.Duplicates {
		differs("duplicate window", have.Duplicates, want.Duplicates)
	}
	return strings.Join(list, "; ")
}

// consumer returns the consumer of a lane, which all workers share.
func (q *Queue) consumer(ctx context.Context, lane string) (jetstream.Consumer, error) {
	name := "webpush-" + lane
	c, err := q.opened.Load().send.Consumer(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		c, err = q.opened.Load().send.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: name, Description: "webpush: workers of the lane " + lane, AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.config.AckWait,
			MaxDeliver: -1, FilterSubject: sendPrefix + lane, MaxAckPending: maxAckPending, MaxWaiting: 4096})
		if errors.Is(err, jetstream.ErrConsumerExists) {
			c, err = q.opened.Load().send.Consumer(ctx, name)
		}
	}
	if err != nil {
		return nil, serverError(fmt.Sprintf("the consumer %s cannot be used", name), err)
	}
	have := c.CachedInfo().Config
	var diff string
	switch {
	case have.FilterSubject != sendPrefix+lane:
		diff = fmt.Sprintf("subject is %q, expected %q", have.FilterSubject, sendPrefix+lane)
	case have.AckPolicy != jetstream.AckExplicitPolicy:
		diff = fmt.Sprintf("acknowledgment is %v, expected %v", have.AckPolicy, jetstream.AckExplicitPolicy)
	case have.MaxDeliver != -1:
		diff = fmt.Sprintf("maximum deliveries is %d, expected -1", have.MaxDeliver)
	case have.AckWait != q.config.AckWait:
		diff = fmt.Sprintf("time to acknowledge is %v, expected %v", have.AckWait, q.config.AckWait)
	}
	if diff != "" {
		return nil, &Error{Problem: fmt.Sprintf("the consumer %s exists and differs: %s", name, diff), hint: "delete the consumer with the nats command; a worker creates it again"}
	}
	return c, nil
}

// serverError returns the error for an operation that the server refused.
func serverError(problem string, err error) *Error {
	e := &Error{Problem: problem, Err: err}
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		e.hint = "start nats-server with -js, or enable JetStream for the account"
	case errors.As(err, &api) && api.ErrorCode == 10074, errors.As(err, &api) && api.ErrorCode == 10005: // replicas
		e.hint = "use as many replicas as the cluster has servers, or fewer"
	case isTemporary(err):
		e.hint = "check that the server runs with JetStream and that the user has access to it"
	}
	return e
}
