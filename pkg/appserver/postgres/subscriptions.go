package postgres

import (
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const recordColumns = `s.seq, s.id, s.version, s.endpoint, s.p256dh, s.auth, s.service, s.origin, s.user_name, s.tags, s.created,
	coalesce((SELECT t.status FROM {s}.status t WHERE t.seq = s.seq), 0), s.public_key, s.gone_since`

func scanRecord(row pgx.CollectableRow) (r appserver.Record, err error) {
	var gone *time.Time
	err = row.Scan(&r.Seq, &r.ID, &r.Version, &r.Endpoint, &r.P256DH, &r.Auth, &r.Service, &r.Origin, &r.User, &r.Tags, &r.Created, &r.LastStatus, &r.Key, &gone)
	if len(r.Tags) == 0 {
		r.Tags = nil
	}
	r.Created, r.GoneSince = r.Created.UTC(), utc(gone)
	return r, err
}

func (s *store) records(ctx context.Context, query string, args ...any) ([]appserver.Record, error) {
	rows, err := s.pool.Query(ctx, s.sql(query), args...)
	if err != nil {
		return nil, failure(err)
	}
	list, err := pgx.CollectRows(rows, scanRecord)
	return list, failure(err)
}

func (s *store) Find(ctx context.Context, endpoint string) (r appserver.Record, err error) {
	return appserver.Only(s.records(ctx, "SELECT "+recordColumns+" FROM {s}.subscription s WHERE s.endpoint = $1", endpoint))
}

// find locks the record of an endpoint.
func (t tx) find(ctx context.Context, endpoint string) (r appserver.Record, err error) {
	rows, err := t.t.Query(ctx, t.s.sql("SELECT "+recordColumns+" FROM {s}.subscription s WHERE s.endpoint = $1 FOR UPDATE"), endpoint)
	if err != nil {
		return r, err
	}
	r, err = pgx.CollectExactlyOneRow(rows, scanRecord)
	if errors.Is(err, pgx.ErrNoRows) {
		err = appserver.ErrNotFound
	}
	return r, err
}

// insert adds a record with a new endpoint, under a shared lock. A record gets its number
// before it is visible, so a transaction that determines the recipients of a job waits
// for the records that are being added.
const insert = `WITH n AS (
		INSERT INTO {s}.subscription (id, endpoint, p256dh, auth, service, origin, user_name, tags, created, public_key)
		SELECT $2, $3, $4, $5, $6, $7, $8, $9::text[], $10, $11 FROM (SELECT pg_advisory_xact_lock_shared($1)) l
		WHERE NOT EXISTS (SELECT 1 FROM {s}.subscription WHERE endpoint = $3)
		RETURNING seq
	), t AS (INSERT INTO {s}.tag (tag, seq) SELECT unnest($9::text[]), seq FROM n)
	SELECT seq FROM n`

func (s *store) Put(ctx context.Context, r appserver.Record) (out appserver.Record, created bool, err error) {
	err = s.update(ctx, func(t tx) (err error) {
		out, created, err = t.put(ctx, r, false)
		return err
	})
	return out, created, err
}

func (s *store) PutAll(ctx context.Context, list []appserver.Record) (out []appserver.Record, created []bool, err error) {
	err = s.update(ctx, func(t tx) error {
		out, created = make([]appserver.Record, len(list)), make([]bool, len(list))
		for i, r := range list {
			if out[i], created[i], err = t.put(ctx, r, true); err != nil {
				return err
			}
		}
		return nil
	})
	return out, created, err
}

func (t tx) put(ctx context.Context, r appserver.Record, keep bool) (appserver.Record, bool, error) {
	n := appserver.NewRecord(r, keep)
	err := t.row(ctx, insert, []any{t.s.key, n.ID, n.Endpoint, n.P256DH, n.Auth, string(n.Service), n.Origin, n.User, array(n.Tags), n.Created, n.Key}, &n.Seq)
	if err == nil && n.LastStatus != 0 {
		err = t.exec(ctx, "INSERT INTO {s}.status VALUES ($1, $2) ON CONFLICT (seq) DO UPDATE SET status = excluded.status", n.Seq, n.LastStatus)
	}
	if !errors.Is(err, appserver.ErrNotFound) {
		return n, err == nil, err
	}
	old, err := t.find(ctx, r.Endpoint)
	if err != nil {
		return r, false, err
	}
	now, err := t.replace(ctx, old, r)
	return now, false, err
}

func array(tags []string) []string { return append([]string{}, tags...) }

// replace puts r over old.
func (t tx) replace(ctx context.Context, old, r appserver.Record) (appserver.Record, error) {
	now, changed := appserver.Merge(old, r)
	if !changed {
		return now, nil
	}
	err := t.exec(ctx, `UPDATE {s}.subscription SET version = $1, endpoint = $2, p256dh = $3, auth = $4, service = $5, origin = $6, user_name = $7, tags = $8,
		public_key = $9, gone_since = $11 WHERE seq = $10`, now.Version, now.Endpoint, now.P256DH, now.Auth, string(now.Service), now.Origin, now.User, array(now.Tags), now.Key, now.Seq, timeOrNull(now.GoneSince))
	if err != nil || slices.Equal(now.Tags, old.Tags) {
		return now, err
	}
	if err := t.exec(ctx, "DELETE FROM {s}.tag WHERE seq = $1", now.Seq); err != nil {
		return now, err
	}
	return now, t.exec(ctx, "INSERT INTO {s}.tag (tag, seq) SELECT unnest($1::text[]), $2", array(now.Tags), now.Seq)
}

func (s *store) Change(ctx context.Context, old string, r appserver.Record) (out appserver.Record, created bool, err error) {
	err = s.update(ctx, func(t tx) error {
		was, err := t.find(ctx, old)
		if errors.Is(err, appserver.ErrNotFound) || old == r.Endpoint {
			out, created, err = t.put(ctx, r, false)
			return err
		}
		if err != nil {
			return err
		}
		// The older record stays: the newer one may be beyond the last recipient of
		// a job that has not yet reached the older one.
		to := r
		newer, err := t.find(ctx, r.Endpoint)
		switch {
		case err == nil:
			to = to.Inherit(newer)
			if err := t.exec(ctx, "DELETE FROM {s}.subscription WHERE seq = $1", newer.Seq); err != nil {
				return err
			}
		case !errors.Is(err, appserver.ErrNotFound):
			return err
		}
		created = false
		out, err = t.replace(ctx, was, to)
		return err
	})
	return out, created, err
}

func (s *store) Delete(ctx context.Context, endpoint string) (bool, error) {
	var n int64
	err := s.update(ctx, func(t tx) (err error) {
		n, err = t.affected(ctx, "DELETE FROM {s}.subscription WHERE endpoint = $1", endpoint)
		return err
	})
	return n > 0, err
}

func (s *store) Count(ctx context.Context) (map[webpush.Service]int64, error) {
	rows, err := s.pool.Query(ctx, s.sql("SELECT service, sum(n)::bigint FROM {s}.service_count GROUP BY service HAVING sum(n) > 0"))
	if err != nil {
		return nil, failure(err)
	}
	counts := make(map[webpush.Service]int64)
	var service webpush.Service
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&service, &n}, func() error {
		counts[service] = n
		return nil
	})
	return counts, failure(err)
}

func (s *store) CountKeys(ctx context.Context) (map[string]int64, error) {
	rows, err := s.pool.Query(ctx, s.sql("SELECT public_key, count(*) FROM {s}.subscription GROUP BY public_key"))
	if err != nil {
		return nil, failure(err)
	}
	counts := make(map[string]int64)
	var key string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&key, &n}, func() error {
		counts[key] = n
		return nil
	})
	return counts, failure(err)
}

// where returns the tables and the condition of a filter, for records with a Seq above $1
// and up to $2, and its argument $3.
func where(f appserver.Filter) (string, []any) {
	switch {
	case f.Tag != "":
		return " FROM {s}.tag JOIN {s}.subscription s ON s.seq = tag.seq WHERE tag.seq > $1 AND tag.seq <= $2 AND tag.tag = $3", []any{f.Tag}
	case f.User != "":
		return " FROM {s}.subscription s WHERE s.seq > $1 AND s.seq <= $2 AND s.user_name = $3 AND s.user_name <> ''", []any{f.User}
	}
	return " FROM {s}.subscription s WHERE s.seq > $1 AND s.seq <= $2", nil
}

// order returns the order of the records of a filter.
func order(f appserver.Filter) string {
	if f.Tag != "" {
		return " ORDER BY tag.seq"
	}
	return " ORDER BY s.seq"
}

func (s *store) List(ctx context.Context, f appserver.Filter, after, upTo int64, limit int) ([]appserver.Record, error) {
	if upTo == 0 {
		upTo = math.MaxInt64
	}
	from, args := where(f)
	n := "$3"
	if len(args) > 0 {
		n = "$4"
	}
	return s.records(ctx, "SELECT "+recordColumns+from+order(f)+" LIMIT "+n, append(append([]any{after, upTo}, args...), limit)...)
}

func (s *store) Get(ctx context.Context, seqs []int64) ([]appserver.Record, error) {
	return s.records(ctx, "SELECT "+recordColumns+" FROM {s}.subscription s WHERE s.seq = ANY($1) ORDER BY s.seq", seqs)
}

// gone removes records, or keeps those that are not gone for long enough
// (milliseconds). It does neither with records that have changed.
func (t tx) gone(ctx context.Context, seqs, versions, after []int64) (removed, kept []int64, err error) {
	removed, err = t.numbers(ctx, `WITH d AS (DELETE FROM {s}.subscription s USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) g(seq, version, after)
		WHERE s.seq = g.seq AND s.version = g.version AND (g.after <= 0 OR s.gone_since <= clock_timestamp() - g.after * interval '1 millisecond') RETURNING s.seq) SELECT seq FROM d`,
		seqs, versions, after)
	if err != nil || !slices.ContainsFunc(after, func(ms int64) bool { return ms > 0 }) {
		return removed, nil, err
	}
	kept, err = t.numbers(ctx, `WITH u AS (UPDATE {s}.subscription s SET gone_since = coalesce(s.gone_since, clock_timestamp())
		FROM unnest($1::bigint[], $2::bigint[]) g(seq, version) WHERE s.seq = g.seq AND s.version = g.version RETURNING s.seq) SELECT seq FROM u`, seqs, versions)
	return removed, kept, err
}

func (s *store) Gone(ctx context.Context, r appserver.Record, after time.Duration) (removed bool, err error) {
	err = s.update(ctx, func(t tx) error {
		list, _, err := t.gone(ctx, []int64{r.Seq}, []int64{r.Version}, []int64{after.Milliseconds()})
		removed = len(list) > 0
		return err
	})
	return removed, err
}
