package postgres

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
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
