package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	// limiterTimeout is the time limit of one statement.
	limiterTimeout = 2 * time.Second
	// lowestFor is the time after which the lowest requested rate no longer applies.
	lowestFor = 30 * time.Second
	// pruneEvery is the time between two removals of rows that are no longer used.
	pruneEvery = 5 * time.Minute
	// maxRateName is the maximum length of a stored name, because origins are untrusted.
	// Longer names are hashed.
	maxRateName = 300
	// slowest is the lowest rate, one request in 100 years.
	slowest = 1.0 / (100 * 365 * 24 * 3600)
)

// limiter shares rates between all servers on a database. Each row is the state of a
// generic cell rate algorithm. Only the database's clock counts, because it tells servers
// how long to wait. Each statement is its own transaction on separate connections, so it
// does not wait for other work of this server.
//
// A hold changes the row too. Other servers read it within the 100 ms of a reservation,
// so they need no notification.
type limiter struct {
	s    *store
	pool *pgxpool.Pool
	log  *slog.Logger

	ctx   context.Context // done when the store is closed
	close context.CancelFunc
	all   sync.WaitGroup

	mu     sync.Mutex
	closed bool
	pruned time.Time
	lower  map[string]float64 // logged lower rates of other servers
	holds  map[string]hold    // not stored yet
	busy   bool               // a goroutine is storing holds
}

type hold struct {
	cell  webpush.Cell
	until time.Time
}

// Limiter returns a limiter that shares rates between all servers on the database of a
// store that [Open] returned, or nil for another store. If servers request different
// rates, the lowest applies, and the others log a warning. The limiter is closed with the
// store. While the database is unavailable, Reserve fails.
func Limiter(st appserver.Store, log *slog.Logger) (webpush.Limiter, error) {
	s, ok := st.(*store)
	if !ok {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.limiter != nil {
		return s.limiter, nil
	}
	config := s.pool.Config()
	config.MaxConns, config.MinConns = 2, 0
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "off"
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, failure(err)
	}
	l := &limiter{s: s, pool: pool, log: log, pruned: time.Now(), lower: make(map[string]float64), holds: make(map[string]hold)}
	l.ctx, l.close = context.WithCancel(context.Background())
	s.limiter = l
	return l, nil
}

// end closes the limiter.
func (l *limiter) end() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.close()
	l.all.Wait()
	l.pool.Close()
}

// row returns the name and the rate of a cell in the table.
func row(c webpush.Cell) (name string, perSecond float64) {
	if name = c.Name; len(name) > maxRateName {
		sum := sha256.Sum256([]byte(name))
		name = "sha256:" + hex.EncodeToString(sum[:])
	}
	return name, max(c.PerSecond, slowest)
}

// Reserve implements [webpush.Limiter].
func (l *limiter) Reserve(ctx context.Context, c webpush.Cell, n int) (webpush.Grant, error) {
	ctx, cancel := context.WithTimeout(ctx, limiterTimeout)
	defer cancel()
	name, perSecond := row(c)
	var wait, lowest float64
	// clock_timestamp is the time after the row was locked, which now() is not.
	err := l.pool.QueryRow(ctx, l.s.sql(`INSERT INTO {s}.rate AS r (name, next, per_second, asked)
		VALUES ($1, clock_timestamp() + make_interval(secs => $2::float8 / $3::float8), $3, clock_timestamp())
		ON CONFLICT (name) DO UPDATE SET
			next = greatest(r.next, clock_timestamp()) + make_interval(secs => $2::float8 / CASE WHEN r.per_second < $3 AND r.asked > clock_timestamp() - $4::interval THEN r.per_second ELSE $3 END),
			per_second = CASE WHEN r.per_second < $3 AND r.asked > clock_timestamp() - $4::interval THEN r.per_second ELSE $3 END,
			asked = CASE WHEN r.per_second < $3 AND r.asked > clock_timestamp() - $4::interval THEN r.asked ELSE clock_timestamp() END
		RETURNING extract(epoch FROM r.next - clock_timestamp())::float8 - $2::float8 / r.per_second, r.per_second`),
		name, float64(n), perSecond, lowestFor).Scan(&wait, &lowest)
	if err != nil {
		return webpush.Grant{}, failure(fmt.Errorf("the rate of %s cannot be reserved: %w", c.Name, err))
	}
	now := time.Now()
	l.compare(c, lowest)
	l.prune(now)
	const most = 100 * 365 * 24 * 3600
	return webpush.Grant{N: n, At: now.Add(time.Duration(min(wait, most) * float64(time.Second))), Every: webpush.Cell{PerSecond: lowest}.Every()}, nil
}

// compare logs once that another server requests a lower rate.
func (l *limiter) compare(c webpush.Cell, lowest float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lowest >= max(c.PerSecond, slowest) {
		delete(l.lower, c.Name)
		return
	}
	if l.lower[c.Name] == lowest || len(l.lower) >= 1000 {
		return
	}
	l.lower[c.Name] = lowest
	l.log.Warn("another server on this database has a lower rate, which applies to all", "service", c.Name, "rate", lowest, "here", c.PerSecond)
}

// prune removes the rows of push services that have not been used for a while.
func (l *limiter) prune(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || now.Sub(l.pruned) < pruneEvery {
		return
	}
	l.pruned = now
	l.all.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, 10*limiterTimeout)
		defer cancel()
		if _, err := l.pool.Exec(ctx, l.s.sql("DELETE FROM {s}.rate WHERE next < clock_timestamp() - $1::interval AND asked < clock_timestamp() - $1::interval"), lowestFor); err != nil && l.ctx.Err() == nil {
			l.log.Warn("old rates cannot be removed", "error", failure(err))
		}
	})
}

// Hold implements [webpush.Limiter].
func (l *limiter) Hold(c webpush.Cell, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := time.Now().Add(wait)
	if l.closed || !until.After(l.holds[c.Name].until) {
		return
	}
	l.holds[c.Name] = hold{c, until}
	if !l.busy {
		l.busy = true
		l.all.Go(l.storeHolds)
	}
}

// storeHolds stores all holds, until each is stored or has expired.
func (l *limiter) storeHolds() {
	for {
		l.mu.Lock()
		var h hold
		for _, h = range l.holds {
			break
		}
		delete(l.holds, h.cell.Name)
		l.busy = h.cell.Name != ""
		l.mu.Unlock()
		if !l.busy {
			return
		}
		for wait := time.Until(h.until); wait > 0; wait = time.Until(h.until) {
			if l.storeHold(h.cell, wait) == nil {
				break
			}
			select {
			case <-l.ctx.Done():
				return
			case <-time.After(limiterTimeout / 2):
			}
		}
	}
}

func (l *limiter) storeHold(c webpush.Cell, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(l.ctx, limiterTimeout)
	defer cancel()
	name, perSecond := row(c)
	_, err := l.pool.Exec(ctx, l.s.sql(`INSERT INTO {s}.rate AS r (name, next, per_second, asked)
		VALUES ($1, clock_timestamp() + $2::interval, $3, clock_timestamp())
		ON CONFLICT (name) DO UPDATE SET next = greatest(r.next, clock_timestamp() + $2::interval)`), name, wait, perSecond)
	return err
}
