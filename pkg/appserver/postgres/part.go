package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

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
