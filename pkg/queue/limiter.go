package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	ratesBucket = "webpush-rates"
	// cellsKept is the lifetime of an unused cell. The names of cells come from
	// endpoints, which are untrusted.
	cellsKept = time.Hour
	// reservedAhead limits how far all workers together reserve in advance. Beyond
	// it, they ask again, to learn about holds.
	reservedAhead = 300 * time.Millisecond
	// rateHolds is how long the rate of a worker applies to the others after its last
	// reservation.
	rateHolds = 30 * time.Second
	// clockKept is the maximum age of the difference to the server's clock.
	clockKept = time.Minute
	// maxCells is the maximum number of cells that a worker remembers.
	maxCells = 1 << 14
)

// limiter shares rates between workers: a generic cell rate algorithm on cells of a
// key-value bucket, which each worker changes by comparing revisions. It supports
// about 20 workers per cell. All times are the server's.
type limiter struct {
	q    *Queue
	warn func(string)

	mu     sync.Mutex
	bucket jetstream.KeyValue
	cells  map[string]cellState // last known states, by key
	warned map[string]bool
	ahead  time.Duration // server time minus local time
	asked  time.Time     // time of that measurement; zero to measure again
}

// cellState is the value of a cell.
type cellState struct {
	Name string `json:"name"`
	// Next is the earliest time of the next request, in nanoseconds since 1970.
	Next int64 `json:"next"`
	// Rate is the lowest rate of the workers, until RateUntil.
	Rate      float64 `json:"rate"`
	RateUntil int64   `json:"rateUntil"`

	revision uint64
}

// newLimiter returns the limiter of a worker. It watches the cells until ctx is done.
func newLimiter(ctx context.Context, q *Queue, warn func(string)) (*limiter, error) {
	l := &limiter{q: q, warn: warn, cells: make(map[string]cellState), warned: make(map[string]bool)}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	w, err := l.bucket.WatchAll(ctx)
	if err != nil {
		return nil, serverError("the bucket "+ratesBucket+" cannot be watched", err)
	}
	go func() {
		for entry := range w.Updates() {
			if entry != nil {
				l.saw(entry)
			}
		}
	}()
	reconnected := q.nc.StatusChanged(nats.CONNECTED)
	go func() {
		defer w.Stop()
		defer q.nc.RemoveStatusListener(reconnected)
		for {
			select {
			case <-ctx.Done():
				return
			case <-reconnected: // another server may have another clock
				l.mu.Lock()
				l.asked = time.Time{}
				l.mu.Unlock()
			}
		}
	}()
	return l, nil
}

// open opens the bucket, and creates it if it does not exist.
func (l *limiter) open(ctx context.Context) error {
	bucket, err := l.q.js.KeyValue(ctx, ratesBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		bucket, err = l.q.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: ratesBucket, Description: "webpush: shared rates", History: 1, TTL: cellsKept,
			Storage: jetstream.FileStorage, Replicas: cmp.Or(l.q.config.Replicas, 1)})
		if errors.Is(err, jetstream.ErrBucketExists) {
			bucket, err = l.q.js.KeyValue(ctx, ratesBucket)
		}
	}
	if err != nil {
		return serverError("the bucket "+ratesBucket+" cannot be used", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bucket = bucket
	clear(l.cells)
	return nil
}

// saw stores the state of a cell on the server.
func (l *limiter) saw(entry jetstream.KeyValueEntry) {
	state := cellState{revision: entry.Revision()}
	if json.Unmarshal(entry.Value(), &state) != nil {
		state.Next = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(entry.Key(), state)
}

func (l *limiter) remember(key string, state cellState) {
	if len(l.cells) >= maxCells {
		clear(l.cells) // they are read again when needed
	}
	if state.revision >= l.cells[key].revision {
		l.cells[key] = state
	}
}

// keyOfCell returns the key of a cell: its name may have any characters.
func keyOfCell(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:16])
}

// now returns the time of the server.
func (l *limiter) now(ctx context.Context) (time.Time, error) {
	l.mu.Lock()
	ahead, asked := l.ahead, l.asked
	l.mu.Unlock()
	if begun := time.Now(); begun.Sub(asked) > clockKept {
		s, err := l.q.js.Stream(ctx, "KV_"+ratesBucket)
		if err != nil {
			return time.Time{}, err
		}
		took := time.Since(begun)
		ahead = s.CachedInfo().TimeStamp.Sub(begun.Add(took / 2))
		l.mu.Lock()
		l.ahead, l.asked = ahead, begun
		l.mu.Unlock()
	}
	return time.Now().Add(ahead), nil
}

// local converts a time of the server to a time of this process.
func (l *limiter) local(at time.Time) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now() // has a monotonic reading
	return now.Add(at.Sub(now.Add(l.ahead)))
}

// Reserve implements [webpush.Limiter].
func (l *limiter) Reserve(ctx context.Context, c webpush.Cell, n int) (webpush.Grant, error) {
	g := webpush.Grant{Every: c.Every()}
	var at time.Time
	err := l.change(ctx, c.Name, func(s *cellState, now time.Time) bool {
		lowest := c.PerSecond
		if s.Rate > 0 && s.Rate < lowest && s.RateUntil > now.UnixNano() {
			lowest = s.Rate
		} else {
			s.Rate, s.RateUntil = lowest, now.Add(rateHolds).UnixNano()
		}
		if lowest < c.PerSecond {
			l.disagree(c, lowest)
		}
		at = time.Unix(0, max(s.Next, now.UnixNano()))
		if at.Sub(now) > reservedAhead {
			g.N, at = 0, at.Add(-reservedAhead/2+rand.N(reservedAhead/10))
			return false
		}
		g.N = max(1, int(float64(n)*lowest/c.PerSecond))
		g.Every = webpush.Cell{PerSecond: lowest}.Every()
		s.Next = at.Add(time.Duration(g.N) * g.Every).UnixNano()
		return true
	})
	if err != nil {
		return webpush.Grant{}, err
	}
	g.At = l.local(at)
	return g, nil
}

// disagree warns once that another worker has a lower rate.
func (l *limiter) disagree(c webpush.Cell, lowest float64) {
	l.mu.Lock()
	warned := l.warned[c.Name] || len(l.warned) > 100
	l.warned[c.Name] = true
	l.mu.Unlock()
	if !warned {
		l.warn(fmt.Sprintf("another worker has a lower rate for %s, which applies: %v/s instead of %v/s", c.Name, lowest, c.PerSecond))
	}
}

// Hold implements [webpush.Limiter].
func (l *limiter) Hold(c webpush.Cell, wait time.Duration) {
	begun := time.Now()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), max(wait, requestTimeout))
		defer cancel()
		for ctx.Err() == nil {
			err := l.change(ctx, c.Name, func(s *cellState, now time.Time) bool {
				until := now.Add(wait - time.Since(begun)).UnixNano()
				if until <= s.Next {
					return false
				}
				s.Next = until
				return true
			})
			if err == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	}()
}

// change changes a cell with f, which reports whether there is a change to store.
func (l *limiter) change(ctx context.Context, name string, f func(s *cellState, now time.Time) bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	key := keyOfCell(name)
	for attempt := 0; ; attempt++ {
		now, err := l.now(ctx)
		if err == nil {
			l.mu.Lock()
			state, known := l.cells[key]
			bucket := l.bucket
			l.mu.Unlock()
			if !known || attempt > 0 {
				state = cellState{}
				var entry jetstream.KeyValueEntry
				if entry, err = bucket.Get(ctx, key); err == nil {
					l.saw(entry)
					state.revision = entry.Revision()
					_ = json.Unmarshal(entry.Value(), &state)
				}
			}
			if err == nil || errors.Is(err, jetstream.ErrKeyNotFound) {
				if state.Name = name; !f(&state, now) {
					return nil
				}
				var value []byte
				if value, err = json.Marshal(state); err != nil {
					return err
				}
				if state.revision == 0 {
					state.revision, err = bucket.Create(ctx, key, value)
				} else {
					state.revision, err = bucket.Update(ctx, key, value, state.revision)
				}
				if err == nil {
					l.mu.Lock()
					l.remember(key, state)
					l.mu.Unlock()
					return nil
				}
			}
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrNoResponders), errors.Is(err, jetstream.ErrNoStreamResponse):
			if err := l.open(ctx); err != nil {
				return err
			}
		case !conflicts(err):
			return serverError("the shared rate cannot be used", err)
		}
		time.Sleep(rand.N(time.Millisecond << min(attempt, 5)))
	}
}
