package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func (t tx) Outcomes(ctx context.Context, job int64, list []appserver.Outcome) (removed int, err error) {
	rows, err := t.query(ctx, "SELECT EXISTS (SELECT 1 FROM job_again WHERE job = ?)", job)
	pending, err := one(rows, err, number) // rarely true, so checked once for all
	if err != nil {
		return 0, err
	}
	counts := make(appserver.Counts)
	for _, o := range list {
		again, gone, err := t.outcome(job, o)
		if err == nil {
			err = t.keep(job, o)
		}
		if err != nil {
			return 0, err
		}
		if pending > 0 && !again {
			if err := t.exec("DELETE FROM job_again WHERE job = ? AND seq = ?", job, o.Record.Seq); err != nil {
				return 0, err
			}
		}
		if gone {
			removed++
		}
		if !again {
			counts.Add(o.Record.Service, o.Class, 1)
		}
	}
	for service, classes := range counts {
		for class, n := range classes {
			if err := t.exec("INSERT INTO job_count VALUES (?, ?, ?, ?) ON CONFLICT (job, service, class) DO UPDATE SET n = n + excluded.n",
				job, string(service), string(class), n); err != nil {
				return 0, err
			}
		}
	}
	return removed, nil
}

// outcome records the outcome of one message. again reports that the record has changed
// and is sent to again, gone that it was removed.
func (t tx) outcome(job int64, o appserver.Outcome) (again, gone bool, err error) {
	r, effect := o.Record, o.Effect()
	if effect.Gone {
		return t.outcomeGone(job, o)
	}
	if effect.Status {
		err = t.exec("UPDATE subscription SET last_status = ? WHERE seq = ? AND version = ?", o.Status, r.Seq, r.Version)
	}
	if effect.Back && err == nil {
		err = t.exec("UPDATE subscription SET gone_since = 0 WHERE seq = ? AND version = ?", r.Seq, r.Version)
	}
	if effect.Key && err == nil {
		err = t.exec("UPDATE subscription SET public_key = ? WHERE seq = ? AND version = ?", o.Key, r.Seq, r.Version)
	}
	if effect.Failure && err == nil {
		err = t.exec("INSERT OR REPLACE INTO job_failure VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", job, r.Seq, r.ID, string(r.Service), r.Origin,
			string(o.Class), o.Status, o.Problem, o.Hint, o.Attempts, millis(time.Now()))
	}
	return false, false, err
}

// outcomeGone is outcome for a subscription that is gone.
func (t tx) outcomeGone(job int64, o appserver.Outcome) (again, gone bool, err error) {
	removed, kept, err := t.gone(o.Record, o.GoneAfter)
	if err != nil || removed || kept {
		return false, removed, err
	}
	n, err := t.affected(`INSERT INTO job_again SELECT ?1, seq, 1 FROM subscription WHERE seq = ?2
		ON CONFLICT (job, seq) DO UPDATE SET tries = tries + 1 WHERE tries < ?3`, job, o.Record.Seq, appserver.MaxTries)
	return n > 0, false, err
}

func (s *store) Again(ctx context.Context, id string, after int64, limit int) ([]appserver.Record, error) {
	rows, err := s.query(ctx, "SELECT "+recordColumns+` FROM job_again a JOIN subscription s ON s.seq = a.seq
		WHERE a.job = (SELECT seq FROM job WHERE id = ?) AND a.seq > ? ORDER BY a.seq LIMIT ?`, id, after, limit)
	return collect(rows, err, scanRecord)
}

// selected is the condition for the failures of job ?1 that a filter selects.
const selected = `job = ?1 AND CASE WHEN ?2 = '' THEN class IN ('temporary', 'expired') ELSE class = ?2 END
	AND (?3 = '' OR origin = ?3) AND (?4 < 0 OR status = ?4) AND (?5 = '' OR problem = ?5)`

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
		args := []any{job, string(f.Class), f.Origin, status, f.Problem}
		n, err = t.affected("INSERT OR IGNORE INTO job_again SELECT job, seq, 1 FROM job_failure WHERE "+selected, args...)
		if err != nil || n == 0 && state == appserver.Done {
			return err
		}
		return cmp.Or(
			t.exec(`UPDATE job_count SET n = n - (SELECT count(*) FROM job_failure f WHERE f.service = job_count.service AND f.class = job_count.class AND f.`+selected+`)
				WHERE job_count.job = ?1`, args...),
			t.exec("DELETE FROM job_failure WHERE "+selected, args...),
			t.exec("UPDATE job SET state = 'queued', problem = '', finished = 0, retried = ? WHERE seq = ?", millis(time.Now()), job),
			t.exec("UPDATE job_part SET until = 0 WHERE job = ?", job))
	})
	return n, err
}

func (s *store) Failures(ctx context.Context, id string, class webpush.Class, after int64, limit int) ([]appserver.Failure, error) {
	rows, err := s.query(ctx, `SELECT seq, id, service, origin, class, status, problem, hint, attempts, time FROM job_failure
		WHERE job = (SELECT seq FROM job WHERE id = ?1) AND (?2 = '' OR class = ?2) AND seq > ?3 ORDER BY seq LIMIT ?4`, id, string(class), after, limit)
	return collect(rows, err, func(rows *sql.Rows) (f appserver.Failure, err error) {
		var at int64
		err = rows.Scan(&f.Seq, &f.ID, &f.Service, &f.Origin, &f.Class, &f.Status, &f.Problem, &f.Hint, &f.Attempts, &at)
		f.Time = fromMillis(at)
		return f, err
	})
}
