// Package queue sends records through NATS JetStream, to share the work between
// machines: [Queue.Enqueue] puts records into a stream, any number of workers
// ([Queue.Work]) send them, and [Queue.Results] reads the results.
//
// # Message format
//
// Any program can publish records. A message of the stream is one record, as
// package bulk reads it: a subscription, or an object with the field subscription
// and, next to it, payload, ttl, urgency, topic, or vapidKey. A message has at most
// 1 MiB, or the limit of the server.
//
//	subject         webpush.send.fcm, .mozilla, .apple, .wns, or .other: the lane
//	                of the push service; [Lane] returns it
//	Nats-Msg-Id     optional; the stream drops a message whose ID it has seen within
//	                its duplicate window. [MessageID] derives one from run and record
//	Webpush-Run     optional; the name of the run, 1 to 64 of A-Z a-z 0-9 - _;
//	                without it, the run is "unnamed"
//	Webpush-Expires optional; the time after which the message is not sent (RFC
//	                3339); by default, the record's ttl after it was published
//	Webpush-Source  optional; {"index": …, "file": …, "line": …, "element": …},
//	                which the result repeats
//
// A ttl above 0 counts from the time of publishing: a message is sent with the rest
// of it, and becomes [webpush.ClassExpired] when nothing is left. A ttl of 0 means
// now or never at the push service and is sent as 0. The lane only decides which
// messages wait for each other: a record in the wrong lane is also sent.
//
// # Guarantees
//
// A message is acknowledged after its result is stored. If a worker is killed, its
// messages are delivered to others within 15 seconds. The messages that were in flight
// can arrive twice, but have one result.
package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The names of the streams, and the maximum time until the messages of a worker that
// does not respond are delivered to others.
const (
	SendStream   = "WEBPUSH_SEND"
	ResultStream = "WEBPUSH_RESULT"
	AckWait      = 15 * time.Second

	sendSubjects   = "webpush.send.*"
	sendPrefix     = "webpush.send."
	resultSubjects = "webpush.result.*"
	resultPrefix   = "webpush.result."
	runsBucket     = "webpush-runs"
)

// The defaults of a new stream; see [Config].
const (
	DefaultMaxAge          = 7 * 24 * time.Hour
	DefaultDuplicateWindow = time.Hour
)

// Config describes the streams. It is used to create them; streams that exist must
// agree with all fields that are set. The zero value is ready to use.
type Config struct {
	// Replicas is the number of servers that keep a copy of the streams, 1 to 5;
	// zero means 1.
	Replicas int
	// MaxAge is the maximum age of messages that no worker receives, and ResultsMaxAge
	// the maximum age of results; zero means [DefaultMaxAge]. Both streams hold
	// secrets: endpoints and payloads.
	MaxAge, ResultsMaxAge time.Duration
	// MaxBytes limits the size of the stream of messages. When it is full,
	// enqueueing waits and then fails; nothing is dropped. Zero means no limit.
	MaxBytes int64
	// DuplicateWindow is how long the stream remembers IDs and drops repeated records
	// of a run; zero means [DefaultDuplicateWindow].
	DuplicateWindow time.Duration
	// AckWait is the time until the messages of a worker that does not respond are
	// delivered to others, at most [AckWait]; zero means AckWait.
	AckWait time.Duration
}

// Queue represents the streams on a server or cluster. It is safe for concurrent use.
type Queue struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	config  Config
	own     bool // Close closes the connection
	opening sync.Mutex
	opened  atomic.Pointer[streams] // replaced if a stream was missing
}

// Error reports why a stream, a consumer, or a connection cannot be used.
type Error struct {
	// Problem describes the problem.
	Problem string
	// Err is the error of the server or the connection, or nil.
	Err error

	hint string
}

// Error returns the problem and its cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Problem
	}
	return e.Problem + ": " + strings.TrimPrefix(e.Err.Error(), "nats: ")
}

// Hint returns the next step to take, or "".
func (e *Error) Hint() string { return e.hint }

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the server could not be reached or did not respond in
// time. Another attempt may succeed.
func (e *Error) Temporary() bool { return isTemporary(e.Err) }

func isTemporary(err error) bool {
	for _, temporary := range []error{nats.ErrNoServers, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded,
		nats.ErrNoStreamResponse, jetstream.ErrNoStreamResponse, context.DeadlineExceeded, jetstream.ErrAsyncPublishTimeout} {
		if errors.Is(err, temporary) {
			return true
		}
	}
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.Code == 503 || api.Code == 500)
}

// Open returns the queue of a connection, and creates its streams if they do not
// exist. Set [nats.ReconnectBufSize] and [nats.MaxReconnects] of the connection to -1.
// The error is an [*Error].
func Open(ctx context.Context, nc *nats.Conn, c Config) (*Queue, error) {
	if c.AckWait < 0 || c.AckWait > AckWait {
		return nil, &Error{Problem: fmt.Sprintf("the time to acknowledge is %v, expected at most %v", c.AckWait, AckWait)}
	}
	if c.AckWait == 0 {
		c.AckWait = AckWait
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(requestTimeout), jetstream.WithPublishAsyncMaxPending(maxPublishing), jetstream.WithPublishAsyncTimeout(5*time.Second))
	if err != nil {
		return nil, &Error{Problem: "JetStream cannot be used", Err: err}
	}
	q := &Queue{nc: nc, js: js, config: c}
	if err := q.open(ctx); err != nil {
		return nil, err
	}
	return q, nil
}

const (
	requestTimeout = 5 * time.Second
	maxPublishing  = 4000 // messages published but not confirmed
)

// Close closes the connection if [Dial] opened it.
func (q *Queue) Close() {
	if q.own {
		q.nc.Close()
	}
}

// Server returns the address of the connected server, without secrets.
func (q *Queue) Server() string { return q.nc.ConnectedUrlRedacted() }

// Connected reports whether a server is connected now.
func (q *Queue) Connected() bool { return q.nc.IsConnected() }

// Encrypted reports whether the connection uses TLS.
func (q *Queue) Encrypted() bool {
	_, err := q.nc.TLSConnectionState()
	return err == nil
}

// retry calls f again after temporary errors, for at most 10 seconds.
func retry[T any](ctx context.Context, f func() (T, error)) (v T, err error) {
	for begun := time.Now(); ; {
		if v, err = f(); !isTemporary(err) || ctx.Err() != nil || time.Since(begun) > 10*time.Second {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
