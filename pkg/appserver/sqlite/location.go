package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// keep stores where a message can be withdrawn. A message of a canceled job is withdrawn
// immediately.
func (t tx) keep(job int64, o appserver.Outcome) error {
	if o.Location == "" {
		return nil
	}
	if err := t.exec("INSERT OR REPLACE INTO location (job, seq, service, origin, url, until) VALUES (?, ?, ?, ?, ?, ?)",
		job, o.Record.Seq, string(o.Record.Service), o.Record.Origin, o.Location, millis(o.LocationUntil)); err != nil {
		return err
	}
	return t.exec("UPDATE job SET withdrawing = 1 WHERE seq = ? AND state = 'canceled' AND withdrawing = 0", job)
}

func (t tx) Kept(ctx context.Context, job int64) (bool, error) {
	rows, err := t.query(ctx, "SELECT EXISTS (SELECT 1 FROM location WHERE job = ? AND until > ?)", job, millis(time.Now()))
	n, err := one(rows, err, number)
	return n > 0, err
}

func (s *store) ClaimLocations(ctx context.Context, limit int, lease time.Duration) (list []appserver.Location, err error) {
	rows, err := s.query(ctx, "SELECT seq FROM job WHERE withdrawing = 1 ORDER BY seq LIMIT 100")
	jobs, err := collect(rows, err, number)
	if err != nil || len(jobs) == 0 {
		return nil, err
	}
	err = s.update(ctx, func(t tx) error {
		list = nil
		now := s.clock()
		for _, job := range jobs {
			rows, err := t.query(ctx, `SELECT j.id, l.seq, l.service, l.origin, l.url FROM location l JOIN job j ON j.seq = l.job
				WHERE l.job = ? AND l.claimed <= ? AND l.until > ? ORDER BY l.seq LIMIT ?`, job, now, millis(time.Now()), limit-len(list))
			found, err := collect(rows, err, func(rows *sql.Rows) (l appserver.Location, err error) {
				return l, rows.Scan(&l.JobID, &l.Seq, &l.Service, &l.Origin, &l.URL)
			})
			if err != nil {
				return err
			}
			for _, l := range found {
				if err := t.exec("UPDATE location SET claimed = ? WHERE job = ? AND seq = ?", now+lease.Milliseconds(), job, l.Seq); err != nil {
					return err
				}
			}
			list = append(list, found...)
			if len(found) == 0 {
				left, err := t.Kept(ctx, job)
				if err != nil {
					return err
				}
				if !left {
					if err := t.exec("UPDATE job SET withdrawing = 0 WHERE seq = ?", job); err != nil {
						return err
					}
				}
			}
			if len(list) >= limit {
				break
			}
		}
		return nil
	})
	return list, err
}

func (s *store) Withdrawn(ctx context.Context, list []appserver.Withdrawal) error {
	return s.update(ctx, func(t tx) error {
		for _, w := range list {
			n, err := t.affected("DELETE FROM location WHERE job = (SELECT seq FROM job WHERE id = ?) AND seq = ?", w.JobID, w.Seq)
			if err != nil {
				return err
			}
			if n == 0 { // another server was faster
				continue
			}
			column := "not_withdrawn"
			if w.OK {
				column = "withdrawn"
			}
			if err := t.exec("UPDATE job SET "+column+" = "+column+" + 1 WHERE id = ?", w.JobID); err != nil {
				return err
			}
		}
		return nil
	})
}
