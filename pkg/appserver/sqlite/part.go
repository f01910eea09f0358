package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

func (s *store) SetState(ctx context.Context, id string, to appserver.State, problem string) error {
	return s.update(ctx, func(t tx) error {
		seq, state, err := t.jobState(id)
		if err != nil {
			return err
		}
		kept, err := t.kept(ctx, seq)
		if err != nil {
			return err
		}
		if err := state.Set(to, kept); err != nil {
			return err
		}
		return t.exec("UPDATE job SET state = ?, problem = ?, finished = ?, withdrawing = ? WHERE seq = ?",
			string(to), problem, millis(time.Now()), kept && to == appserver.Canceled, seq)
	})
}

// clock is the time for leases. It does not change when the machine's clock is set,
// because only this process compares it.
func (s *store) clock() int64 { return millis(s.opened.Add(time.Since(s.opened))) }

func scanPart(rows *sql.Rows) (p appserver.Part, err error) {
	var open string
	err = rows.Scan(&p.Number, &p.Lease, &p.After, &p.UpTo, &p.Cursor, &open, &p.Step)
	if err == nil {
		err = json.Unmarshal([]byte(open), &p.Open)
	}
	return p, err
}

func (s *store) Claim(ctx context.Context, id string, lease time.Duration) (p appserver.Part, err error) {
	finished := false
	err = s.update(ctx, func(t tx) error {
		finished = false
		job, state, err := t.jobState(id)
		if err != nil {
			return err
		}
		if state.Over() {
			return appserver.ErrFinished
		}
		if state != appserver.Running {
			if err := t.start(ctx, job, state); err != nil {
				return err
			}
		}
		number, err := t.freePart(ctx, job, s.clock())
		if errors.Is(err, appserver.ErrFinished) { // commit the end of the job
			finished = true
			return t.finish(job)
		}
		if err != nil {
			return err
		}
		if err := t.exec("UPDATE job_part SET lease = lease + 1, until = ? WHERE job = ? AND number = ?", s.clock()+lease.Milliseconds(), job, number); err != nil {
			return err
		}
		rows, err := t.query(ctx, "SELECT number, lease, after_seq, up_to, cursor_seq, open_seqs, step FROM job_part WHERE job = ? AND number = ?", job, number)
		p, err = one(rows, err, scanPart)
		p.JobID = id
		return err
	})
	if err == nil && finished {
		err = appserver.ErrFinished
	}
	return p, err
}

// start makes a job Running, and determines the recipients of a scheduled job.
func (t tx) start(ctx context.Context, job int64, state appserver.State) error {
	now := time.Now()
	if state == appserver.Scheduled {
		var due int64
		var to appserver.Filter
		rows, err := t.query(ctx, "SELECT due, to_user, to_tag FROM job WHERE seq = ?", job)
		if err := scanOne(rows, err, &due, &to.User, &to.Tag); err != nil {
			return err
		}
		if due > millis(now) {
			return appserver.ErrNoPart
		}
		maxSeq, total, err := t.recipients(ctx, to)
		if err != nil {
			return err
		}
		if err := t.exec("UPDATE job SET max_seq = ?, total = ? WHERE seq = ?", maxSeq, total, job); err != nil {
			return err
		}
	}
	return t.exec("UPDATE job SET state = 'running', started = CASE started WHEN 0 THEN ? ELSE started END WHERE seq = ?", millis(now), job)
}

// freePart returns the number of a part without a lease. If necessary, it creates a new
// part.
func (t tx) freePart(ctx context.Context, job, now int64) (int64, error) {
	rows, err := t.query(ctx, "SELECT number FROM job_part WHERE job = ? AND number > 0 AND done = 0 AND until <= ? ORDER BY number LIMIT 1", job, now)
	n, err := one(rows, err, number)
	if err == nil || !errors.Is(err, appserver.ErrNotFound) {
		return n, err
	}
	progress, to, err := t.progress(ctx, job)
	if err != nil {
		return 0, err
	}
	if n, err = progress.Next(); err != nil {
		return 0, err
	}
	if n > 0 {
		from, args := where(to)
		rows, err := t.query(ctx, "SELECT s.seq"+from+" ORDER BY s.seq LIMIT 1 OFFSET ?", append(args, progress.Cut, progress.MaxSeq, appserver.PartSize-1)...)
		upTo, err := one(rows, err, number)
		if errors.Is(err, appserver.ErrNotFound) {
			upTo, err = progress.MaxSeq, nil
		}
		if err != nil {
			return 0, err
		}
		return n, errors.Join(
			t.exec("INSERT INTO job_part (job, number, after_seq, up_to, cursor_seq) VALUES (?1, ?2, ?3, ?4, ?3)", job, n, progress.Cut, upTo),
			t.exec("UPDATE job SET cut_seq = ?, parts = ? WHERE seq = ?", upTo, n, job))
	}
	if err := t.exec("INSERT INTO job_part (job, number, after_seq, up_to, cursor_seq) VALUES (?, 0, 0, 0, 0) ON CONFLICT (job, number) DO UPDATE SET done = 0", job); err != nil {
		return 0, err
	}
	rows, err = t.query(ctx, "SELECT until FROM job_part WHERE job = ? AND number = 0", job)
	until, err := one(rows, err, number)
	if err == nil && until > now {
		err = appserver.ErrNoPart
	}
	return 0, err
}

// progress returns how far a job is, and its recipients.
func (t tx) progress(ctx context.Context, job int64) (p appserver.Progress, to appserver.Filter, err error) {
	rows, err := t.query(ctx, `SELECT cut_seq, max_seq, parts, to_user, to_tag, EXISTS (SELECT 1 FROM job_part WHERE job = ?1 AND number > 0 AND done = 0),
		EXISTS (SELECT 1 FROM job_again a JOIN subscription s ON s.seq = a.seq WHERE a.job = ?1) FROM job WHERE seq = ?1`, job)
	err = scanOne(rows, err, &p.Cut, &p.MaxSeq, &p.Parts, &to.User, &to.Tag, &p.Left, &p.Again)
	return p, to, err
}

// finish makes a job Done.
func (t tx) finish(job int64) error {
	return errors.Join(
		t.exec("DELETE FROM job_again WHERE job = ?", job),
		t.exec("UPDATE job SET state = 'done', finished = ? WHERE seq = ? AND state = 'running'", millis(time.Now()), job))
}

func (s *store) CommitPart(ctx context.Context, p appserver.Part, b appserver.Batch) (out appserver.Committed, err error) {
	open, err := json.Marshal(append([]int64{}, b.Open...))
	if err != nil {
		return out, err
	}
	err = s.update(ctx, func(t tx) error {
		out = appserver.Committed{}
		job, state, err := t.jobState(p.JobID)
		if err != nil {
			return err
		}
		out.State = state
		var lease, step int64
		rows, err := t.query(ctx, "SELECT lease, step FROM job_part WHERE job = ? AND number = ?", job, p.Number)
		if err := scanOne(rows, err, &lease, &step); err != nil {
			return err
		}
		record, err := p.Admit(b, lease, step)
		if err != nil {
			return err
		}
		until := s.clock() + b.Lease.Milliseconds()
		if b.Frees() {
			until = 0
		}
		if !record {
			return t.exec("UPDATE job_part SET until = ? WHERE job = ? AND number = ?", until, job, p.Number)
		}
		if out.Removed, err = t.outcomes(ctx, job, b.Outcomes); err != nil {
			return err
		}
		if err := t.exec("UPDATE job_part SET cursor_seq = max(cursor_seq, ?), open_seqs = ?, step = ?, until = ?, done = ? WHERE job = ? AND number = ?",
			b.Cursor, string(open), b.Step, until, b.Done, job, p.Number); err != nil || !b.Done || state != appserver.Running {
			return err
		}
		progress, _, err := t.progress(ctx, job)
		if err != nil || !progress.Done() {
			return err
		}
		out.State = appserver.Done
		return t.finish(job)
	})
	return out, err
}

// outcomes records the outcomes of messages, and returns the number of removed
// subscriptions.
func (t tx) outcomes(ctx context.Context, job int64, list []appserver.Outcome) (removed int, err error) {
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

// Watch waits until ctx is done: no other process can change the file.
func (s *store) Watch(ctx context.Context, _ func(id string)) error {
	<-ctx.Done()
	return nil
}
