package appserver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// transaction records which of its statements run. Each returns what a job of one part
// returns, unless the fields say otherwise.
type transaction struct {
	calls    []string
	state    appserver.State
	due      bool
	free     error // of Free
	progress appserver.Progress
	reopened bool
	fails    string // the statement that fails
}

var errStatement = errors.New("the statement fails")

func (t *transaction) call(name string) error {
	t.calls = append(t.calls, name)
	if name == t.fails {
		return errStatement
	}
	return nil
}

func (t *transaction) LockJob(context.Context, string) (int64, appserver.State, error) {
	return 7, t.state, t.call("LockJob")
}
func (t *transaction) LockPart(context.Context, string, int64) (appserver.StoredPart, error) {
	return appserver.StoredPart{Job: 7, State: t.state, Lease: 3, Step: 1}, t.call("LockPart")
}
func (t *transaction) Kept(context.Context, int64) (bool, error) { return true, t.call("Kept") }
func (t *transaction) End(_ context.Context, _ int64, _ appserver.State, _ string, withdraw bool) error {
	if withdraw {
		return t.call("End and withdraw")
	}
	return t.call("End")
}
func (t *transaction) Due(context.Context, int64) (bool, appserver.Filter, error) {
	return t.due, appserver.Filter{}, t.call("Due")
}
func (t *transaction) Recipients(context.Context, int64, appserver.Filter) error {
	return t.call("Recipients")
}
func (t *transaction) Start(context.Context, int64) error { return t.call("Start") }
func (t *transaction) Free(context.Context, int64) (int64, error) {
	return 1, errors.Join(t.free, t.call("Free"))
}
func (t *transaction) Progress(context.Context, int64) (appserver.Progress, appserver.Filter, error) {
	return t.progress, appserver.Filter{}, t.call("Progress")
}
func (t *transaction) Bound(context.Context, appserver.Filter, int64, int64) (int64, error) {
	return 0, errors.Join(appserver.ErrNotFound, t.call("Bound"))
}
func (t *transaction) Cut(_ context.Context, _, number, after, upTo int64) error {
	if number != t.progress.Parts+1 || after != t.progress.Cut || upTo != t.progress.MaxSeq {
		return t.call("Cut wrongly")
	}
	return t.call("Cut")
}
func (t *transaction) Reopen(context.Context, int64) (bool, error) {
	return t.reopened, t.call("Reopen")
}
func (t *transaction) Lease(_ context.Context, _, number int64, _ time.Duration) (appserver.Part, error) {
	return appserver.Part{Number: number}, t.call(fmt.Sprintf("Lease %d", number))
}
func (t *transaction) Extend(context.Context, int64, int64, appserver.Batch) error {
	return t.call("Extend")
}
func (t *transaction) Advance(context.Context, int64, int64, appserver.Batch) error {
	return t.call("Advance")
}
func (t *transaction) Outcomes(context.Context, int64, []appserver.Outcome) (int, error) {
	return 2, t.call("Outcomes")
}
func (t *transaction) Finish(context.Context, int64) error { return t.call("Finish") }
func (t *transaction) Notify(_ context.Context, _ string, progress bool) error {
	if progress {
		return t.call("Notify of progress")
	}
	return t.call("Notify")
}

func TestTransactions(t *testing.T) {
	part := appserver.Part{JobID: "j", Number: 1, Lease: 3}
	set := func(to appserver.State) func(appserver.Transactions) error {
		return func(run appserver.Transactions) error { return run.SetState(t.Context(), "j", to, "") }
	}
	claim := func(run appserver.Transactions) error {
		p, err := run.Claim(t.Context(), "j", time.Second)
		if err == nil && p.JobID != "j" {
			t.Errorf("the part is %+v", p)
		}
		return err
	}
	commit := func(b appserver.Batch) func(appserver.Transactions) error {
		return func(run appserver.Transactions) error {
			_, err := run.CommitPart(t.Context(), part, b)
			return err
		}
	}
	left, all, end := appserver.Progress{MaxSeq: 9}, appserver.Progress{Cut: 9, MaxSeq: 9, Again: true}, appserver.Progress{Cut: 9, MaxSeq: 9}
	notFound := appserver.ErrNotFound
	for name, c := range map[string]struct {
		t    transaction
		do   func(appserver.Transactions) error
		want string
		err  error
	}{
		"cancel":                    {transaction{state: "running"}, set(appserver.Canceled), "LockJob, Kept, End and withdraw, Notify", nil},
		"fail":                      {transaction{state: "running"}, set(appserver.Failed), "LockJob, End, Notify", nil},
		"fail one that is done":     {transaction{state: "done"}, set(appserver.Failed), "LockJob", appserver.ErrFinished},
		"claim a free part":         {transaction{state: "running"}, claim, "LockJob, Free, Lease 1", nil},
		"claim the first part":      {transaction{state: "queued", free: notFound, progress: left}, claim, "LockJob, Start, Free, Progress, Bound, Cut, Lease 1", nil},
		"claim of a scheduled job":  {transaction{state: "scheduled", due: true}, claim, "LockJob, Due, Recipients, Start, Free, Lease 1", nil},
		"claim before it is due":    {transaction{state: "scheduled"}, claim, "LockJob, Due", appserver.ErrNoPart},
		"claim of a canceled job":   {transaction{state: "canceled"}, claim, "LockJob", appserver.ErrFinished},
		"claim what is sent again":  {transaction{state: "running", free: notFound, progress: all, reopened: true}, claim, "LockJob, Free, Progress, Reopen, Lease 0", nil},
		"another server sends them": {transaction{state: "running", free: notFound, progress: all}, claim, "LockJob, Free, Progress, Reopen", appserver.ErrNoPart},
		"claim when nothing is left": {transaction{state: "running", free: notFound, progress: end}, claim,
			"LockJob, Free, Progress, Finish, Notify, committed", appserver.ErrFinished},
		"claim when the end cannot be recorded": {transaction{state: "running", free: notFound, progress: end, fails: "Finish"}, claim,
			"LockJob, Free, Progress, Finish", errStatement},
		"the end cannot be recorded": {transaction{state: "running", progress: end, fails: "Finish"}, commit(appserver.Batch{Step: 2, Done: true}),
			"LockJob, LockPart, Outcomes, Advance, Progress, Finish", errStatement},
		"extend":                      {transaction{state: "running"}, commit(appserver.Batch{}), "LockPart, Extend", nil},
		"commit again":                {transaction{state: "running"}, commit(appserver.Batch{Step: 1}), "LockPart, Extend", nil},
		"commit":                      {transaction{state: "running"}, commit(appserver.Batch{Step: 2}), "LockPart, Outcomes, Advance, Notify of progress", nil},
		"commit the end of a part":    {transaction{state: "running", progress: left}, commit(appserver.Batch{Step: 2, Done: true}), "LockJob, LockPart, Outcomes, Advance, Progress, Notify of progress", nil},
		"commit the end of a job":     {transaction{state: "running", progress: end}, commit(appserver.Batch{Step: 2, Done: true}), "LockJob, LockPart, Outcomes, Advance, Progress, Finish, Notify", nil},
		"commit after it is canceled": {transaction{state: "canceled", progress: end}, commit(appserver.Batch{Step: 2, Done: true}), "LockJob, LockPart, Outcomes, Advance, Notify of progress", nil},
	} {
		tx := c.t
		err := c.do(func(_ context.Context, do func(appserver.Transaction) error) error {
			if err := do(&tx); err != nil {
				return err
			}
			tx.calls = nil
			err := do(&tx) // once more, as after a deadlock
			if err == nil && c.err != nil {
				tx.calls = append(tx.calls, "committed")
			}
			return err
		})
		if got := strings.Join(tx.calls, ", "); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %s, %v; want %s, %v", name, got, err, c.want, c.err)
		}
	}
}
