package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// jobColumns has one argument, the time. A single statement reads a job with its counts:
// several would read them at different times.
const jobColumns = `j.seq, j.id, j.state, j.message, j.to_user, j.to_tag, j.max_seq, j.total, j.due, j.problem, j.created, j.started, j.finished, j.retried, j.withdrawn, j.not_withdrawn, j.track, j.shown, j.clicked, j.closed,
	(SELECT json_group_array(json_object('service', service, 'class', class, 'n', n)) FROM job_count WHERE job = j.seq AND n > 0),
	(SELECT count(*) FROM location WHERE job = j.seq AND until > ?)`

func scanJob(rows *sql.Rows) (j appserver.Job, err error) {
	var message string
	var due, created, started, finished, retried int64
	err = rows.Scan(&j.Seq, &j.ID, &j.State, &message, &j.To.User, &j.To.Tag, &j.MaxSeq, &j.Total, &due, &j.Problem, &created, &started, &finished, &retried, &j.Withdrawn, &j.NotWithdrawn,
		&j.Track, &j.Reports.Shown, &j.Reports.Clicked, &j.Reports.Closed, &j.Counts, &j.Kept)
	if err == nil {
		err = json.Unmarshal([]byte(message), &j.Message)
	}
	j.Due, j.Created, j.Started, j.Finished = fromMillis(due), fromMillis(created), fromMillis(started), fromMillis(finished)
	j.Retried = fromMillis(retried)
	return j, err
}

// jobs returns the jobs that match a condition, with their counts.
func (s *store) jobs(ctx context.Context, condition string, args ...any) ([]appserver.Job, error) {
	rows, err := s.query(ctx, "SELECT "+jobColumns+" FROM job j WHERE "+condition, append([]any{millis(time.Now())}, args...)...)
	return collect(rows, err, scanJob)
}

func (s *store) CreateJob(ctx context.Context, j appserver.Job) (appserver.Job, error) {
	message, err := json.Marshal(j.Message)
	if err != nil {
		return j, err
	}
	once := j.Once
	earlier := ""
	err = s.update(ctx, func(t tx) error {
		if earlier, err = t.earlier(ctx, once); err != nil || earlier != "" {
			return err
		}
		j = appserver.NewJob(j, time.Now())
		if j.MaxSeq, j.Total, err = t.recipients(ctx, j.To); err != nil {
			return err
		}
		j.Seq, err = t.insert("INSERT INTO job (id, state, message, to_user, to_tag, max_seq, total, created, due, track) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			j.ID, string(j.State), string(message), j.To.User, j.To.Tag, j.MaxSeq, j.Total, millis(j.Created), dueMillis(j.Due), j.Track)
		if err != nil || once.Key == "" {
			return err
		}
		return t.exec("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?)", once.Key, once.Request, j.Seq, millis(time.Now().Add(once.For)))
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
	rows, err := t.query(ctx, "SELECT i.request, j.id FROM idempotency i JOIN job j ON j.seq = i.job WHERE i.key = ? AND i.until > ?", once.Key, millis(time.Now()))
	err = scanOne(rows, err, &request, &id)
	return once.Earlier(id, request, err)
}

// recipients returns the Seq of the last record and the number of records of a filter.
func (t tx) recipients(ctx context.Context, to appserver.Filter) (maxSeq, total int64, err error) {
	rows, err := t.query(ctx, "SELECT coalesce(max(seq), 0) FROM subscription")
	if maxSeq, err = one(rows, err, number); err != nil {
		return 0, 0, err
	}
	if to == (appserver.Filter{}) {
		rows, err = t.query(ctx, "SELECT coalesce(sum(n), 0) FROM service_count")
	} else {
		from, args := where(to)
		rows, err = t.query(ctx, "SELECT count(*)"+from, append(args, 0, maxSeq)...)
	}
	total, err = one(rows, err, number)
	return maxSeq, total, err
}

func (s *store) FindJob(ctx context.Context, id string) (appserver.Job, error) {
	return appserver.Only(s.jobs(ctx, "j.id = ?", id))
}

func (s *store) Jobs(ctx context.Context, before int64, limit int) ([]appserver.Job, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	return s.jobs(ctx, "j.seq < ? ORDER BY j.seq DESC LIMIT ?", before, limit)
}

func (s *store) Unfinished(ctx context.Context, limit int) ([]appserver.Job, error) {
	return s.jobs(ctx, "j.state IN ('queued', 'running', 'scheduled') AND j.due <= ? ORDER BY j.seq LIMIT ?", millis(time.Now()), limit)
}

func (s *store) Scheduled(ctx context.Context, limit int) ([]appserver.Job, error) {
	return s.jobs(ctx, "j.state = 'scheduled' AND j.due > ? ORDER BY j.due, j.seq LIMIT ?", millis(time.Now()), limit)
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
		return t.exec("UPDATE job SET due = ? WHERE seq = ?", max(millis(due), millis(time.Now())), seq)
	})
}

func (s *store) Prune(ctx context.Context, before time.Time) error {
	const old = "finished > 0 AND finished < ? AND state NOT IN ('queued', 'running', 'scheduled')"
	// A job may have a million failures, and other changes must not wait for long.
	for n := int64(1); n > 0; {
		if err := s.update(ctx, func(t tx) (err error) {
			n, err = t.affected("DELETE FROM job_failure WHERE (job, seq) IN (SELECT job, seq FROM job_failure WHERE job IN (SELECT seq FROM job WHERE "+old+") LIMIT 1000)", millis(before))
			return err
		}); err != nil {
			return err
		}
	}
	return s.update(ctx, func(t tx) error {
		return cmp.Or(
			t.exec("DELETE FROM job WHERE "+old, millis(before)),
			t.exec("DELETE FROM location WHERE until <= ?", millis(time.Now())),
			t.exec("DELETE FROM idempotency WHERE until <= ?", millis(time.Now())))
	})
}
