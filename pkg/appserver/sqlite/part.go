package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// The statements of [appserver.Transactions]. No other transaction runs at the same time,
// so LockJob and LockPart only read, and no other process can be notified.

func (t tx) LockJob(ctx context.Context, id string) (job int64, state appserver.State, err error) {
	rows, err := t.query(ctx, "SELECT seq, state FROM job WHERE id = ?", id)
	err = scanOne(rows, err, &job, &state)
	return job, state, err
}

func (t tx) LockPart(ctx context.Context, id string, number int64) (p appserver.StoredPart, err error) {
	rows, err := t.query(ctx, "SELECT j.seq, j.state, p.lease, p.step FROM job j JOIN job_part p ON p.job = j.seq WHERE j.id = ? AND p.number = ?", id, number)
	err = scanOne(rows, err, &p.Job, &p.State, &p.Lease, &p.Step)
	return p, err
}

func (t tx) Notify(context.Context, string, bool) error { return nil }

func (t tx) End(_ context.Context, job int64, to appserver.State, problem string, withdraw bool) error {
	return t.exec("UPDATE job SET state = ?, problem = ?, finished = ?, withdrawing = ? WHERE seq = ?", string(to), problem, millis(time.Now()), withdraw, job)
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

func (t tx) Due(ctx context.Context, job int64) (due bool, to appserver.Filter, err error) {
	rows, err := t.query(ctx, "SELECT due <= ?, to_user, to_tag FROM job WHERE seq = ?", millis(time.Now()), job)
	err = scanOne(rows, err, &due, &to.User, &to.Tag)
	return due, to, err
}

func (t tx) Recipients(ctx context.Context, job int64, to appserver.Filter) error {
	maxSeq, total, err := t.recipients(ctx, to)
	if err != nil {
		return err
	}
	return t.exec("UPDATE job SET max_seq = ?, total = ? WHERE seq = ?", maxSeq, total, job)
}

func (t tx) Start(_ context.Context, job int64) error {
	return t.exec("UPDATE job SET state = 'running', started = CASE started WHEN 0 THEN ? ELSE started END WHERE seq = ?", millis(time.Now()), job)
}

func (t tx) Free(ctx context.Context, job int64) (int64, error) {
	rows, err := t.query(ctx, "SELECT number FROM job_part WHERE job = ? AND number > 0 AND done = 0 AND until <= ? ORDER BY number LIMIT 1", job, t.s.clock())
	return one(rows, err, number)
}

func (t tx) Bound(ctx context.Context, to appserver.Filter, after, upTo int64) (int64, error) {
	from, args := where(to)
	rows, err := t.query(ctx, "SELECT s.seq"+from+" ORDER BY s.seq LIMIT 1 OFFSET ?", append(args, after, upTo, appserver.PartSize-1)...)
	return one(rows, err, number)
}

func (t tx) Cut(_ context.Context, job, number, after, upTo int64) error {
	return cmp.Or(
		t.exec("INSERT INTO job_part (job, number, after_seq, up_to, cursor_seq) VALUES (?1, ?2, ?3, ?4, ?3)", job, number, after, upTo),
		t.exec("UPDATE job SET cut_seq = ?, parts = ? WHERE seq = ?", upTo, number, job))
}

func (t tx) Reopen(ctx context.Context, job int64) (free bool, err error) {
	rows, err := t.query(ctx, `INSERT INTO job_part (job, number, after_seq, up_to, cursor_seq) VALUES (?, 0, 0, 0, 0)
		ON CONFLICT (job, number) DO UPDATE SET done = 0 RETURNING until <= ?`, job, t.s.clock())
	err = scanOne(rows, err, &free)
	return free, err
}

func (t tx) Lease(ctx context.Context, job, number int64, lease time.Duration) (appserver.Part, error) {
	rows, err := t.query(ctx, `UPDATE job_part SET lease = lease + 1, until = ? WHERE job = ? AND number = ?
		RETURNING number, lease, after_seq, up_to, cursor_seq, open_seqs, step`, t.s.clock()+lease.Milliseconds(), job, number)
	return one(rows, err, scanPart)
}

func (t tx) Progress(ctx context.Context, job int64) (p appserver.Progress, to appserver.Filter, err error) {
	rows, err := t.query(ctx, `SELECT cut_seq, max_seq, parts, to_user, to_tag, EXISTS (SELECT 1 FROM job_part WHERE job = ?1 AND number > 0 AND done = 0),
		EXISTS (SELECT 1 FROM job_again a JOIN subscription s ON s.seq = a.seq WHERE a.job = ?1) FROM job WHERE seq = ?1`, job)
	err = scanOne(rows, err, &p.Cut, &p.MaxSeq, &p.Parts, &to.User, &to.Tag, &p.Left, &p.Again)
	return p, to, err
}

func (t tx) Finish(_ context.Context, job int64) error {
	return cmp.Or(
		t.exec("DELETE FROM job_again WHERE job = ?", job),
		t.exec("UPDATE job SET state = 'done', finished = ? WHERE seq = ? AND state = 'running'", millis(time.Now()), job))
}

// until returns when the lease of a part ends after a batch.
func (t tx) until(b appserver.Batch) int64 {
	if b.Frees() {
		return 0
	}
	return t.s.clock() + b.Lease.Milliseconds()
}

func (t tx) Extend(_ context.Context, job, number int64, b appserver.Batch) error {
	return t.exec("UPDATE job_part SET until = ? WHERE job = ? AND number = ?", t.until(b), job, number)
}

func (t tx) Advance(_ context.Context, job, number int64, b appserver.Batch) error {
	open, err := json.Marshal(append([]int64{}, b.Open...))
	if err != nil {
		return err
	}
	return t.exec("UPDATE job_part SET cursor_seq = max(cursor_seq, ?), open_seqs = ?, step = ?, until = ?, done = ? WHERE job = ? AND number = ?",
		b.Cursor, string(open), b.Step, t.until(b), b.Done, job, number)
}

// Watch waits until ctx is done: no other process can change the file.
func (s *store) Watch(ctx context.Context, _ func(id string)) error {
	<-ctx.Done()
	return nil
}
