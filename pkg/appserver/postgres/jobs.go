package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// jobColumns: a single statement reads a job with its counts, because several would read
// them at different times.
const jobColumns = `j.seq, j.id, j.state, j.message, j.to_user, j.to_tag, j.max_seq, j.total, j.problem, j.due, j.created, j.started, j.finished, j.retried, j.withdrawn, j.not_withdrawn, j.track, j.shown, j.clicked, j.closed,
	(SELECT coalesce(json_agg(json_build_object('service', c.service, 'class', c.class, 'n', c.n)), '[]')::text FROM {s}.job_count c WHERE c.job = j.seq AND c.n > 0),
	(SELECT count(*) FROM {s}.location l WHERE l.job = j.seq AND l.until > clock_timestamp())`

func scanJob(row pgx.CollectableRow) (j appserver.Job, err error) {
	var message []byte
	var due, started, finished, retried *time.Time
	err = row.Scan(&j.Seq, &j.ID, &j.State, &message, &j.To.User, &j.To.Tag, &j.MaxSeq, &j.Total, &j.Problem, &due, &j.Created, &started, &finished, &retried, &j.Withdrawn, &j.NotWithdrawn,
		&j.Track, &j.Reports.Shown, &j.Reports.Clicked, &j.Reports.Closed, &j.Counts, &j.Kept)
	if err == nil {
		err = json.Unmarshal(message, &j.Message)
	}
	j.Due, j.Created, j.Started, j.Finished = utc(due), j.Created.UTC(), utc(started), utc(finished)
	j.Retried = utc(retried)
	return j, err
}

func utc(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// jobs returns the jobs that match a condition, with their counts.
func (s *store) jobs(ctx context.Context, condition string, args ...any) ([]appserver.Job, error) {
	rows, err := s.pool.Query(ctx, s.sql("SELECT "+jobColumns+" FROM {s}.job j WHERE "+condition), args...)
	if err != nil {
		return nil, failure(err)
	}
	list, err := pgx.CollectRows(rows, scanJob)
	return list, failure(err)
}

// recipients returns the Seq of the last record and the number of records of a filter.
func (t tx) recipients(ctx context.Context, to appserver.Filter) (maxSeq, total int64, err error) {
	// Wait for records that have a Seq but are not visible yet.
	if err := t.exec(ctx, "SELECT pg_advisory_xact_lock($1)", t.s.key); err != nil {
		return 0, 0, err
	}
	if err := t.row(ctx, "SELECT coalesce(max(seq), 0) FROM {s}.subscription", nil, &maxSeq); err != nil {
		return 0, 0, err
	}
	if to == (appserver.Filter{}) {
		err = t.row(ctx, "SELECT coalesce(sum(n), 0)::bigint FROM {s}.service_count", nil, &total)
	} else {
		from, args := where(to)
		err = t.row(ctx, "SELECT count(*)"+from, append([]any{0, maxSeq}, args...), &total)
	}
	return maxSeq, total, err
}

func (s *store) CreateJob(ctx context.Context, j appserver.Job) (appserver.Job, error) {
	message, err := json.Marshal(j.Message)
	if err != nil {
		return j, err
	}
	once := j.Once
	earlier := ""
	err = s.update(ctx, func(t tx) (err error) {
		j = appserver.NewJob(j, time.Now())
		if j.MaxSeq, j.Total, err = t.recipients(ctx, j.To); err != nil {
			return err
		}
		// The lock of recipients serializes the creation of jobs.
		if earlier, err = t.earlier(ctx, once); err != nil || earlier != "" {
			return err
		}
		if err := t.row(ctx, `INSERT INTO {s}.job (id, state, message, to_user, to_tag, max_seq, total, created, due, track) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING seq`,
			[]any{j.ID, string(j.State), string(message), j.To.User, j.To.Tag, j.MaxSeq, j.Total, j.Created, timeOrNull(j.Due), j.Track}, &j.Seq); err != nil {
			return err
		}
		if once.Key != "" {
			if err := t.exec(ctx, `INSERT INTO {s}.idempotency VALUES ($1, $2, $3, clock_timestamp() + $4)
				ON CONFLICT (key) DO UPDATE SET request = excluded.request, job = excluded.job, until = excluded.until`, once.Key, once.Request, j.Seq, once.For); err != nil {
				return err
			}
		}
		return t.notify(ctx, j.ID)
	})
	if err == nil && earlier != "" {
		return s.FindJob(ctx, earlier)
	}
	return j, err
}

// earlier returns the ID of the job that a request with the same key has
// created, or "".
func (t tx) earlier(ctx context.Context, once appserver.Once) (id string, err error) {
	if once.Key == "" {
		return "", nil
	}
	var request string
	err = t.row(ctx, "SELECT i.request, j.id FROM {s}.idempotency i JOIN {s}.job j ON j.seq = i.job WHERE i.key = $1 AND i.until > clock_timestamp()",
		[]any{once.Key}, &request, &id)
	return once.Earlier(id, request, err)
}

func (s *store) FindJob(ctx context.Context, id string) (appserver.Job, error) {
	return appserver.Only(s.jobs(ctx, "j.id = $1", id))
}

func (s *store) Jobs(ctx context.Context, before int64, limit int) ([]appserver.Job, error) {
	if before == 0 {
		before = math.MaxInt64
	}
	return s.jobs(ctx, "j.seq < $1 ORDER BY j.seq DESC LIMIT $2", before, limit)
}

func (s *store) Unfinished(ctx context.Context, limit int) ([]appserver.Job, error) {
	return s.jobs(ctx, "j.state IN ('queued', 'running', 'scheduled') AND (j.due IS NULL OR j.due <= clock_timestamp()) ORDER BY j.seq LIMIT $1", limit)
}

func (s *store) Scheduled(ctx context.Context, limit int) ([]appserver.Job, error) {
	return s.jobs(ctx, "j.state = 'scheduled' AND j.due > clock_timestamp() ORDER BY j.due, j.seq LIMIT $1", limit)
}

func (s *store) Reschedule(ctx context.Context, id string, due time.Time) error {
	return s.update(ctx, func(t tx) error {
		seq, state, err := t.LockJob(ctx, id)
		if err != nil {
			return err
		}
		if state != appserver.Scheduled {
			return appserver.ErrFinished
		}
		if err := t.exec(ctx, "UPDATE {s}.job SET due = greatest($1, clock_timestamp()) WHERE seq = $2", due.Truncate(time.Millisecond), seq); err != nil {
			return err
		}
		return t.notify(ctx, id)
	})
}

// The statements of [appserver.Transactions].

func (t tx) LockJob(ctx context.Context, id string) (job int64, state appserver.State, err error) {
	err = t.row(ctx, "SELECT seq, state FROM {s}.job WHERE id = $1 FOR UPDATE", []any{id}, &job, &state)
	return job, state, err
}

func (t tx) LockPart(ctx context.Context, id string, number int64) (p appserver.StoredPart, err error) {
	err = t.row(ctx, "SELECT j.seq, j.state, p.lease, p.step FROM {s}.job j JOIN {s}.job_part p ON p.job = j.seq WHERE j.id = $1 AND p.number = $2 FOR UPDATE OF p",
		[]any{id, number}, &p.Job, &p.State, &p.Lease, &p.Step)
	return p, err
}

func (t tx) End(ctx context.Context, job int64, to appserver.State, problem string, withdraw bool) error {
	return t.exec(ctx, "UPDATE {s}.job SET state = $1, problem = $2, finished = clock_timestamp(), withdrawing = $3 WHERE seq = $4", string(to), problem, withdraw, job)
}

func (t tx) Due(ctx context.Context, job int64) (due bool, to appserver.Filter, err error) {
	err = t.row(ctx, "SELECT due <= clock_timestamp(), to_user, to_tag FROM {s}.job WHERE seq = $1", []any{job}, &due, &to.User, &to.Tag)
	return due, to, err
}

func (t tx) Recipients(ctx context.Context, job int64, to appserver.Filter) error {
	maxSeq, total, err := t.recipients(ctx, to)
	if err != nil {
		return err
	}
	return t.exec(ctx, "UPDATE {s}.job SET max_seq = $1, total = $2 WHERE seq = $3", maxSeq, total, job)
}

func (t tx) Start(ctx context.Context, job int64) error {
	return t.exec(ctx, "UPDATE {s}.job SET state = 'running', started = coalesce(started, clock_timestamp()) WHERE seq = $1", job)
}

func (t tx) Free(ctx context.Context, job int64) (number int64, err error) {
	err = t.row(ctx, `SELECT number FROM {s}.job_part WHERE job = $1 AND number > 0 AND NOT done AND until <= clock_timestamp()
		ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED`, []any{job}, &number)
	return number, err
}

func (t tx) Progress(ctx context.Context, job int64) (p appserver.Progress, to appserver.Filter, err error) {
	err = t.row(ctx, `SELECT cut_seq, max_seq, parts, to_user, to_tag, EXISTS (SELECT 1 FROM {s}.job_part WHERE job = $1 AND number > 0 AND NOT done),
		EXISTS (SELECT 1 FROM {s}.job_again a JOIN {s}.subscription s ON s.seq = a.seq WHERE a.job = $1) FROM {s}.job WHERE seq = $1`,
		[]any{job}, &p.Cut, &p.MaxSeq, &p.Parts, &to.User, &to.Tag, &p.Left, &p.Again)
	return p, to, err
}

func (t tx) Bound(ctx context.Context, to appserver.Filter, after, upTo int64) (seq int64, err error) {
	from, args := where(to)
	err = t.row(ctx, fmt.Sprintf("SELECT s.seq%s%s LIMIT 1 OFFSET %d", from, order(to), appserver.PartSize-1), append([]any{after, upTo}, args...), &seq)
	return seq, err
}

func (t tx) Cut(ctx context.Context, job, number, after, upTo int64) error {
	if err := t.exec(ctx, "INSERT INTO {s}.job_part (job, number, after_seq, up_to, cursor_seq) VALUES ($1, $2, $3, $4, $3)", job, number, after, upTo); err != nil {
		return err
	}
	return t.exec(ctx, "UPDATE {s}.job SET cut_seq = $1, parts = $2 WHERE seq = $3", upTo, number, job)
}

func (t tx) Reopen(ctx context.Context, job int64) (free bool, err error) {
	err = t.row(ctx, `INSERT INTO {s}.job_part AS p (job, number, after_seq, up_to, cursor_seq) VALUES ($1, 0, 0, 0, 0)
		ON CONFLICT (job, number) DO UPDATE SET done = false RETURNING p.until <= clock_timestamp()`, []any{job}, &free)
	return free, err
}

func (t tx) Lease(ctx context.Context, job, number int64, lease time.Duration) (p appserver.Part, err error) {
	err = t.row(ctx, `UPDATE {s}.job_part SET lease = lease + 1, until = clock_timestamp() + $1 WHERE job = $2 AND number = $3
		RETURNING number, lease, after_seq, up_to, cursor_seq, open_seqs, step`, []any{lease, job, number}, &p.Number, &p.Lease, &p.After, &p.UpTo, &p.Cursor, &p.Open, &p.Step)
	return p, err
}

func (t tx) Finish(ctx context.Context, job int64) error {
	if err := t.exec(ctx, "DELETE FROM {s}.job_again WHERE job = $1", job); err != nil {
		return err
	}
	return t.exec(ctx, "UPDATE {s}.job SET state = 'done', finished = clock_timestamp() WHERE seq = $1 AND state = 'running'", job)
}

// extension returns the time from now until the lease of a part ends after a batch.
func extension(b appserver.Batch) time.Duration {
	if b.Frees() {
		return -time.Second
	}
	return b.Lease
}

func (t tx) Extend(ctx context.Context, job, number int64, b appserver.Batch) error {
	return t.exec(ctx, "UPDATE {s}.job_part SET until = clock_timestamp() + $1 WHERE job = $2 AND number = $3", extension(b), job, number)
}

func (t tx) Advance(ctx context.Context, job, number int64, b appserver.Batch) error {
	return t.exec(ctx, `UPDATE {s}.job_part SET cursor_seq = greatest(cursor_seq, $1), open_seqs = $2, step = $3, until = clock_timestamp() + $4, done = $5
		WHERE job = $6 AND number = $7`, b.Cursor, append([]int64{}, b.Open...), b.Step, extension(b), b.Done, job, number)
}

func (t tx) Notify(ctx context.Context, id string, progress bool) error {
	if progress && !t.s.due(id) {
		return nil
	}
	return t.notify(ctx, id)
}

// due reports whether it is time to notify other servers of a job's progress.
func (s *store) due(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.notified[id]) < notifyEvery {
		return false
	}
	if len(s.notified) > 1000 {
		clear(s.notified)
	}
	s.notified[id] = now
	return true
}

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
		if o.Class != webpush.ClassDelivered && o.Class != webpush.ClassGone {
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
		r := o.Record
		if o.Class == webpush.ClassGone {
			gone, goneVersions, goneAfter = append(gone, r.Seq), append(goneVersions, r.Version), append(goneAfter, o.GoneAfter.Milliseconds())
		} else if o.Status != r.LastStatus && o.Class != webpush.ClassExpired {
			status, statusVersions, statuses = append(status, r.Seq), append(statusVersions, r.Version), append(statuses, int32(o.Status))
		}
		if o.Class == webpush.ClassDelivered && !r.GoneSince.IsZero() {
			back, backVersions = append(back, r.Seq), append(backVersions, r.Version)
		}
		if o.Key != "" {
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

// numbers runs a statement that returns numbers.
func (t tx) numbers(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := t.t.Query(ctx, t.s.sql(query), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
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

func (s *store) Prune(ctx context.Context, before time.Time) error {
	const old = "finished < $1 AND state NOT IN ('queued', 'running', 'scheduled')"
	// A job may have a million failures, and others want to write too.
	for n := int64(1); n > 0; {
		if err := s.update(ctx, func(t tx) (err error) {
			n, err = t.affected(ctx, "DELETE FROM {s}.job_failure WHERE (job, seq) IN (SELECT job, seq FROM {s}.job_failure WHERE job IN (SELECT seq FROM {s}.job WHERE "+old+") LIMIT 1000)", before)
			return err
		}); err != nil {
			return err
		}
	}
	return s.update(ctx, func(t tx) error {
		if err := t.exec(ctx, "DELETE FROM {s}.job WHERE "+old, before); err != nil {
			return err
		}
		if err := t.exec(ctx, "DELETE FROM {s}.location WHERE until <= clock_timestamp()"); err != nil {
			return err
		}
		return t.exec(ctx, "DELETE FROM {s}.idempotency WHERE until <= clock_timestamp()")
	})
}

func (s *store) Announce(ctx context.Context, key string, lease time.Duration) (keys []string, err error) {
	err = s.update(ctx, func(t tx) error {
		if err := t.exec(ctx, "DELETE FROM {s}.server_key WHERE until <= clock_timestamp()"); err != nil {
			return err
		}
		if err := t.exec(ctx, `INSERT INTO {s}.server_key AS k VALUES ($1, clock_timestamp() + $2)
			ON CONFLICT (key) DO UPDATE SET until = greatest(k.until, excluded.until)`, key, lease); err != nil {
			return err
		}
		rows, err := t.t.Query(ctx, t.s.sql("SELECT key FROM {s}.server_key ORDER BY key"))
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return keys, err
}

func (s *store) Size(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, s.sql("SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relnamespace = '{s}'::regnamespace AND relkind = 'r'")).Scan(&n)
	return n, failure(err)
}

func (s *store) Probe(ctx context.Context) error {
	return s.update(ctx, func(t tx) error {
		return t.exec(ctx, "INSERT INTO {s}.probe VALUES (1, clock_timestamp()) ON CONFLICT (id) DO UPDATE SET time = excluded.time")
	})
}

// text returns s without what PostgreSQL does not store in a text.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
