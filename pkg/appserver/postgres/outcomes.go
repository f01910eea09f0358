package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func (t tx) Outcomes(ctx context.Context, job int64, list []appserver.Outcome) (removed int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b appserver.Outcome) int { return cmp.Compare(a.Record.Seq, b.Record.Seq) }) // locks in one order
	var pending bool
	if err := t.row(ctx, "SELECT EXISTS (SELECT 1 FROM {s}.job_again WHERE job = $1)", []any{job}, &pending); err != nil {
		return 0, err
	}
	removed, again, err := t.subscriptionsAfter(ctx, job, list)
	if err != nil {
		return 0, err
	}
	counts := make(map[countKey]int64)
	var settled []int64
	var fail failures
	for _, o := range list {
		if again[o.Record.Seq] {
			continue
		}
		settled = append(settled, o.Record.Seq)
		counts[countKey{o.Record.Service, o.Class}]++
		if o.Effect().Failure {
			fail.add(o)
		}
	}
	if len(fail.seq) > 0 {
		if err := t.exec(ctx, `INSERT INTO {s}.job_failure SELECT $1, x.*, clock_timestamp() FROM
			unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::text[], $9::text[], $10::integer[]) x
			ON CONFLICT (job, seq) DO UPDATE SET class = excluded.class, status = excluded.status, problem = excluded.problem, hint = excluded.hint,
				attempts = excluded.attempts, time = excluded.time`,
			job, fail.seq, fail.id, fail.service, fail.origin, fail.class, fail.status, fail.problem, fail.hint, fail.attempts); err != nil {
			return 0, err
		}
	}
	if err := t.keep(ctx, job, list); err != nil {
		return 0, err
	}
	if pending {
		if err := t.exec(ctx, "DELETE FROM {s}.job_again WHERE job = $1 AND seq = ANY($2)", job, settled); err != nil {
			return 0, err
		}
	}
	return removed, t.count(ctx, job, counts)
}

// subscriptionsAfter stores what outcomes mean for their subscriptions. It returns how
// many it removed, and those that have changed since they were read and are sent to once
// more: their outcome does not count.
func (t tx) subscriptionsAfter(ctx context.Context, job int64, list []appserver.Outcome) (removed int, again map[int64]bool, err error) {
	var gone, goneVersions, goneAfter, status, statusVersions, back, backVersions []int64
	var statuses []int32
	var keyed, keyedVersions []int64
	var keys []string
	for _, o := range list {
		r, effect := o.Record, o.Effect()
		if effect.Gone {
			gone, goneVersions, goneAfter = append(gone, r.Seq), append(goneVersions, r.Version), append(goneAfter, o.GoneAfter.Milliseconds())
		}
		if effect.Status {
			status, statusVersions, statuses = append(status, r.Seq), append(statusVersions, r.Version), append(statuses, int32(o.Status))
		}
		if effect.Back {
			back, backVersions = append(back, r.Seq), append(backVersions, r.Version)
		}
		if effect.Key {
			keyed, keyedVersions, keys = append(keyed, r.Seq), append(keyedVersions, r.Version), append(keys, o.Key)
		}
	}
	again = make(map[int64]bool)
	if len(gone) > 0 {
		left, kept, err := t.gone(ctx, gone, goneVersions, goneAfter)
		if err != nil {
			return 0, nil, err
		}
		removed = len(left)
		gone = slices.DeleteFunc(gone, func(seq int64) bool { return slices.Contains(kept, seq) })
		once, err := t.numbers(ctx, `INSERT INTO {s}.job_again AS a SELECT $1, s.seq, 1 FROM {s}.subscription s WHERE s.seq = ANY($2) ORDER BY s.seq
			ON CONFLICT (job, seq) DO UPDATE SET tries = a.tries + 1 WHERE a.tries < $3 RETURNING seq`, job, gone, appserver.MaxTries)
		if err != nil {
			return 0, nil, err
		}
		for _, seq := range once {
			again[seq] = true
		}
	}
	if len(back) > 0 {
		if err := t.exec(ctx, `UPDATE {s}.subscription s SET gone_since = NULL FROM unnest($1::bigint[], $2::bigint[]) x(seq, version)
			WHERE s.seq = x.seq AND s.version = x.version`, back, backVersions); err != nil {
			return 0, nil, err
		}
	}
	if len(keyed) > 0 {
		if err := t.exec(ctx, `UPDATE {s}.subscription s SET public_key = x.key FROM unnest($1::bigint[], $2::bigint[], $3::text[]) x(seq, version, key)
			WHERE s.seq = x.seq AND s.version = x.version`, keyed, keyedVersions, keys); err != nil {
			return 0, nil, err
		}
	}
	if len(status) > 0 {
		if err := t.exec(ctx, `INSERT INTO {s}.status AS t SELECT x.seq, x.status FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) x(seq, version, status)
			JOIN {s}.subscription s ON s.seq = x.seq AND s.version = x.version ORDER BY x.seq ON CONFLICT (seq) DO UPDATE SET status = excluded.status`,
			status, statusVersions, statuses); err != nil {
			return 0, nil, err
		}
	}
	return removed, again, nil
}

type countKey struct {
	service webpush.Service
	class   webpush.Class
}

// count adds to the counts of a job, always in one order, which is that of the locks.
func (t tx) count(ctx context.Context, job int64, counts map[countKey]int64) error {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b countKey) int {
		return cmp.Or(cmp.Compare(a.service, b.service), cmp.Compare(a.class, b.class))
	})
	for _, k := range keys {
		if err := t.exec(ctx, "INSERT INTO {s}.job_count AS c VALUES ($1, $2, $3, $4) ON CONFLICT (job, service, class) DO UPDATE SET n = c.n + excluded.n",
			job, string(k.service), string(k.class), counts[k]); err != nil {
			return err
		}
	}
	return nil
}

// failures are the columns of job_failure.
type failures struct {
	seq                                       []int64
	id, service, origin, class, problem, hint []string
	status, attempts                          []int32
}

func (f *failures) add(o appserver.Outcome) {
	f.seq, f.id, f.service = append(f.seq, o.Record.Seq), append(f.id, o.Record.ID), append(f.service, string(o.Record.Service))
	f.origin, f.class = append(f.origin, o.Record.Origin), append(f.class, string(o.Class))
	f.problem, f.hint = append(f.problem, text(o.Problem)), append(f.hint, text(o.Hint))
	f.status, f.attempts = append(f.status, int32(o.Status)), append(f.attempts, int32(o.Attempts))
}

func (s *store) Again(ctx context.Context, id string, after int64, limit int) ([]appserver.Record, error) {
	return s.records(ctx, "SELECT "+recordColumns+` FROM {s}.job_again a JOIN {s}.subscription s ON s.seq = a.seq
		WHERE a.job = (SELECT seq FROM {s}.job WHERE id = $1) AND a.seq > $2 ORDER BY a.seq LIMIT $3`, id, after, limit)
}

// selected is the condition for the failures of job $1 that a filter selects.
const selected = `job = $1 AND CASE WHEN $2::text = '' THEN class IN ('temporary', 'expired') ELSE class = $2 END
	AND ($3::text = '' OR origin = $3) AND ($4::integer < 0 OR status = $4) AND ($5::text = '' OR problem = $5)`

func (s *store) Retry(ctx context.Context, id string, f appserver.FailureFilter) (n int64, err error) {
	status := -1
	if f.Status != nil {
		status = *f.Status
	}
	err = s.update(ctx, func(t tx) error {
		job, state, err := t.LockJob(ctx, id)
		if err != nil {
			return err
		}
		if err := state.Retry(); err != nil {
			return err
		}
		args := []any{job, string(f.Class), text(f.Origin), status, text(f.Problem)}
		n, err = t.affected(ctx, "INSERT INTO {s}.job_again SELECT job, seq, 1 FROM {s}.job_failure WHERE "+selected+" ON CONFLICT DO NOTHING", args...)
		if err != nil || n == 0 && state == appserver.Done {
			return err
		}
		for _, query := range []string{
			`UPDATE {s}.job_count c SET n = c.n - x.n FROM (SELECT service, class, count(*) AS n FROM {s}.job_failure WHERE ` + selected + ` GROUP BY service, class) x
				WHERE c.job = $1 AND c.service = x.service AND c.class = x.class`,
			"DELETE FROM {s}.job_failure WHERE " + selected} {
			if err := t.exec(ctx, query, args...); err != nil {
				return err
			}
		}
		for _, query := range []string{"UPDATE {s}.job SET state = 'queued', problem = '', finished = NULL, retried = clock_timestamp() WHERE seq = $1",
			"UPDATE {s}.job_part SET until = '-infinity' WHERE job = $1 AND NOT done"} {
			if err := t.exec(ctx, query, job); err != nil {
				return err
			}
		}
		return t.notify(ctx, id)
	})
	return n, err
}

func (s *store) Failures(ctx context.Context, id string, class webpush.Class, after int64, limit int) ([]appserver.Failure, error) {
	rows, err := s.pool.Query(ctx, s.sql(`SELECT seq, id, service, origin, class, status, problem, hint, attempts, time FROM {s}.job_failure
		WHERE job = (SELECT seq FROM {s}.job WHERE id = $1) AND ($2 = '' OR class = $2) AND seq > $3 ORDER BY seq LIMIT $4`), id, string(class), after, limit)
	if err != nil {
		return nil, failure(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f appserver.Failure, err error) {
		err = row.Scan(&f.Seq, &f.ID, &f.Service, &f.Origin, &f.Class, &f.Status, &f.Problem, &f.Hint, &f.Attempts, &f.Time)
		f.Time = f.Time.UTC()
		return f, err
	})
	return list, failure(err)
}
