package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// keep stores where messages can be withdrawn. Messages of a canceled job are withdrawn
// immediately.
func (t tx) keep(ctx context.Context, job int64, list []appserver.Outcome) error {
	var seqs []int64
	var services, origins, urls []string
	var until []time.Time
	for _, o := range list {
		if o.Location != "" {
			seqs, until = append(seqs, o.Record.Seq), append(until, o.LocationUntil)
			services, origins, urls = append(services, string(o.Record.Service)), append(origins, o.Record.Origin), append(urls, text(o.Location))
		}
	}
	if len(seqs) == 0 {
		return nil
	}
	if err := t.exec(ctx, `INSERT INTO {s}.location (job, seq, service, origin, url, until)
		SELECT $1, x.* FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) x
		ON CONFLICT (job, seq) DO UPDATE SET service = excluded.service, origin = excluded.origin, url = excluded.url, until = excluded.until, claimed = '-infinity'`,
		job, seqs, services, origins, urls, until); err != nil {
		return err
	}
	return t.exec(ctx, "UPDATE {s}.job SET withdrawing = true WHERE seq = $1 AND state = 'canceled' AND NOT withdrawing", job)
}

func (t tx) Kept(ctx context.Context, job int64) (kept bool, err error) {
	err = t.row(ctx, "SELECT EXISTS (SELECT 1 FROM {s}.location WHERE job = $1 AND until > clock_timestamp())", []any{job}, &kept)
	return kept, err
}

func (s *store) ClaimLocations(ctx context.Context, limit int, lease time.Duration) (list []appserver.Location, err error) {
	rows, err := s.pool.Query(ctx, s.sql("SELECT seq FROM {s}.job WHERE withdrawing ORDER BY seq LIMIT 100"))
	if err != nil {
		return nil, failure(err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(jobs) == 0 {
		return nil, failure(err)
	}
	err = s.update(ctx, func(t tx) error {
		rows, err := t.t.Query(ctx, t.s.sql(`UPDATE {s}.location l SET claimed = clock_timestamp() + $1 FROM {s}.job j
			WHERE j.seq = l.job AND (l.job, l.seq) IN (SELECT job, seq FROM {s}.location WHERE job = ANY($2) AND claimed <= clock_timestamp()
				AND until > clock_timestamp() ORDER BY job, seq LIMIT $3 FOR UPDATE SKIP LOCKED)
			RETURNING j.id, l.seq, l.service, l.origin, l.url`), lease, jobs, limit)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (l appserver.Location, err error) {
			return l, row.Scan(&l.JobID, &l.Seq, &l.Service, &l.Origin, &l.URL)
		})
		if err != nil || len(list) > 0 {
			return err
		}
		return t.exec(ctx, `UPDATE {s}.job j SET withdrawing = false WHERE j.seq = ANY($1)
			AND NOT EXISTS (SELECT 1 FROM {s}.location l WHERE l.job = j.seq AND l.until > clock_timestamp())`, jobs)
	})
	return list, err
}

func (s *store) Withdrawn(ctx context.Context, list []appserver.Withdrawal) error {
	var ids []string
	var seqs []int64
	var ok []bool
	for _, w := range list {
		ids, seqs, ok = append(ids, w.JobID), append(seqs, w.Seq), append(ok, w.OK)
	}
	return s.update(ctx, func(t tx) error {
		return t.exec(ctx, `WITH w AS (SELECT j.seq AS job, x.seq, x.ok FROM unnest($1::text[], $2::bigint[], $3::boolean[]) x(id, seq, ok) JOIN {s}.job j ON j.id = x.id),
			d AS (DELETE FROM {s}.location l USING w WHERE l.job = w.job AND l.seq = w.seq RETURNING w.job, w.ok),
			n AS (SELECT job, count(*) FILTER (WHERE ok) AS done, count(*) FILTER (WHERE NOT ok) AS failed FROM d GROUP BY job)
			UPDATE {s}.job j SET withdrawn = j.withdrawn + n.done, not_withdrawn = j.not_withdrawn + n.failed FROM n WHERE j.seq = n.job`, ids, seqs, ok)
	})
}
