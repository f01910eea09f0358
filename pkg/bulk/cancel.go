package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// cancelConcurrency is the maximum number of requests in flight.
const cancelConcurrency = 32

// Canceled is the outcome of canceling one message.
type Canceled struct {
	// Result names the message: its Location, and Origin if known.
	Result Result
	// Err is nil if the push service confirmed it; otherwise, it is the error of
	// [webpush.Client.Cancel].
	Err error
}

// MarshalJSON returns an object with id and index if they are known, origin, service,
// state, and, after a failure, reason. The state is "withdrawn", the code of the error,
// or "failed".
func (c *Canceled) MarshalJSON() ([]byte, error) {
	r := &c.Result
	out := struct {
		ID      json.RawMessage `json:"id,omitempty"`
		Index   *int64          `json:"index,omitempty"`
		Origin  string          `json:"origin"`
		Service webpush.Service `json:"service,omitempty"`
		State   string          `json:"state"`
		Reason  string          `json:"reason,omitempty"`
	}{ID: r.ID, Origin: r.Origin, Service: r.Service, State: "withdrawn"}
	if r.Class != "" { // a result of many, which has an index
		out.Index = &r.Index
	}
	if c.Err != nil {
		out.State, out.Reason = "failed", c.Err.Error()
		var refused *webpush.Error
		if errors.As(c.Err, &refused) {
			out.State = string(refused.Code)
		}
	}
	return text.JSON(out)
}

// CancelCounts counts the outcomes of [Cancel]. The zero value is ready to use.
type CancelCounts struct {
	// Withdrawn is the number of messages that were withdrawn, and Failed the number
	// of the others.
	Withdrawn, Failed int64
	// Failures are the different errors, in the order in which they occurred.
	Failures []CancelFailure
}

// CancelFailure is an error of one or several messages.
type CancelFailure struct {
	Err   error // error of the first message
	Count int64 // number of messages with this text of the error
}

// Add counts an outcome.
func (n *CancelCounts) Add(c *Canceled) {
	if c.Err == nil {
		n.Withdrawn++
		return
	}
	n.Failed++
	i := slices.IndexFunc(n.Failures, func(f CancelFailure) bool { return f.Err.Error() == c.Err.Error() })
	if i < 0 {
		i = len(n.Failures)
		n.Failures = append(n.Failures, CancelFailure{Err: c.Err})
	}
	n.Failures[i].Count++
}

// Cancel asks push services to withdraw the messages of results that they have not
// delivered, several at a time, as [webpush.Client.Cancel] does. Results without a
// Location are skipped. It yields the outcomes as they come and, after those, the
// error of results. When ctx is done, no other message is canceled.
func Cancel(ctx context.Context, client *webpush.Client, results iter.Seq2[Result, error]) iter.Seq2[Canceled, error] {
	return func(yield func(Canceled, error) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		work, outcomes := make(chan Result), make(chan Canceled)
		var workers sync.WaitGroup
		for range cancelConcurrency {
			workers.Go(func() {
				for r := range work {
					outcomes <- Canceled{r, cancel(ctx, client, &r)}
				}
			})
		}
		var failed error
		go func() {
			failed = feed(ctx, work, results)
			close(work)
			workers.Wait()
			close(outcomes)
		}()
		more := true
		for c := range outcomes {
			if more = more && yield(c, nil); !more {
				stop()
			}
		}
		if more && failed != nil {
			yield(Canceled{}, failed)
		}
	}
}

// feed sends the results with a location to work, and returns the error of results.
func feed(ctx context.Context, work chan<- Result, results iter.Seq2[Result, error]) error {
	for r, err := range results {
		if err != nil {
			return err
		}
		if r.Location == "" {
			continue
		}
		select {
		case work <- r:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// cancel cancels one message, and completes its result.
func cancel(ctx context.Context, client *webpush.Client, r *Result) error {
	if r.Origin == "" {
		var err error
		if r.Origin, err = vapid.Origin(r.Location); err != nil {
			return webpush.WithHint(&webpush.InputError{Part: "location", Problem: "the location of the message is not a URL"}, "use the location as the push service returned it")
		}
	}
	return client.Cancel(ctx, &webpush.Receipt{Service: r.Service, Origin: r.Origin, Location: r.Location})
}
