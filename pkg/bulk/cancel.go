package bulk

import (
	"context"
	"iter"
	"sync"

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
			return &webpush.InputError{Part: "location", Problem: "the location of the message is not a URL"}
		}
	}
	return client.Cancel(ctx, &webpush.Receipt{Service: r.Service, Origin: r.Origin, Location: r.Location})
}
