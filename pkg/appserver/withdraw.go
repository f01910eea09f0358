package appserver

import (
	"context"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	// withdrawBatch is the maximum number of messages to withdraw in one commit.
	withdrawBatch       = 256
	withdrawConcurrency = 32
	withdrawTimeout     = 10 * time.Second
	withdrawWait        = 10 * time.Second
	// withdrawLease is longer than a batch can last, with one retry for each message.
	withdrawLease = 5 * time.Minute
)

// Location is the URL at which an accepted message can be withdrawn (RFC 8030, section 5).
type Location struct {
	JobID   string          // ID of the canceled job
	Seq     int64           // Seq of the record
	Service webpush.Service // the push service
	Origin  string          // origin of URL
	URL     string          // a secret
}

// Withdrawal is the result of an attempt to withdraw a message.
type Withdrawal struct {
	JobID string // ID of the canceled job
	Seq   int64  // Seq of the record
	OK    bool   // the message will not be delivered
}

// withdraw withdraws the messages of canceled jobs until ctx is done. Results that could
// not be recorded by then are harmless: these messages are withdrawn again later.
func (s *Server) withdraw(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	client := &webpush.Client{HTTP: s.o.HTTP, Attempts: 2, Timeout: withdrawTimeout, MaxWait: withdrawWait}
	for ctx.Err() == nil {
		list, err := s.store.ClaimLocations(ctx, withdrawBatch, withdrawLease)
		if err == nil && len(list) > 0 {
			err = s.withdrawAll(ctx, client, list)
			if err == nil {
				continue
			}
		}
		wait := tick.C
		var again <-chan time.Time
		if err != nil && ctx.Err() == nil {
			s.log.Error("messages cannot be withdrawn", "error", err)
			wait, again = nil, time.After(storeRetry)
		}
		select {
		case <-ctx.Done():
		case <-s.canceled:
		case <-wait:
		case <-again:
		}
	}
}

// withdrawAll withdraws messages and records the results.
func (s *Server) withdrawAll(ctx context.Context, client *webpush.Client, list []Location) error {
	var mu sync.Mutex
	var done []Withdrawal
	jobs := make(map[string]bool)
	var workers sync.WaitGroup
	next := make(chan Location)
	for range withdrawConcurrency {
		workers.Go(func() {
			for l := range next {
				err := client.Cancel(ctx, &webpush.Receipt{Service: l.Service, Origin: l.Origin, Location: l.URL})
				if ctx.Err() != nil {
					continue
				}
				mu.Lock()
				done = append(done, Withdrawal{l.JobID, l.Seq, err == nil})
				jobs[l.JobID] = true
				mu.Unlock()
				if err != nil {
					s.log.Info("a message was not withdrawn", "job", l.JobID, "origin", l.Origin, "error", err)
				}
			}
		})
	}
	for _, l := range list {
		next <- l
	}
	close(next)
	workers.Wait()
	if len(done) == 0 {
		return nil
	}
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err := s.store.Withdrawn(recording, done)
	for id := range jobs {
		s.news.changed(id)
	}
	return err
}
