package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// change is one step of a transaction.
type change struct {
	ctx  context.Context
	do   func(t tx) error
	err  error
	done chan struct{}
}

// writer makes all changes, in one transaction for all that wait.
func (s *store) writer() {
	defer close(s.done)
	for {
		var group []*change
		select {
		case c := <-s.work:
			group = append(group, c)
		case <-s.closed:
			select { // changes that were submitted before
			case c := <-s.work:
				group = append(group, c)
			default:
				return
			}
		}
	more:
		for len(group) < maxGroup {
			select {
			case c := <-s.work:
				group = append(group, c)
			default:
				break more
			}
		}
		s.apply(group)
	}
}

func (s *store) apply(group []*change) {
	t := s.newTx()
	failed := t.exec("BEGIN IMMEDIATE")
	for _, c := range group {
		if c.err = failed; failed != nil {
			continue
		}
		if c.err = c.ctx.Err(); c.err != nil {
			continue
		}
		if failed = t.exec("SAVEPOINT one"); failed != nil {
			c.err = failed
			continue
		}
		if c.err = c.do(s.newTx()); c.err != nil {
			failed = t.exec("ROLLBACK TO one")
			if failed != nil && errors.As(c.err, new(*sqlite.Error)) {
				failed = c.err // the error ended the transaction
			}
		}
		if failed == nil {
			failed = t.exec("RELEASE one")
		}
	}
	if failed == nil {
		failed = t.exec("COMMIT")
	}
	if failed != nil {
		_ = s.newTx().exec("ROLLBACK")
	}
	for _, c := range group {
		if c.err == nil {
			c.err = failed
		}
		c.err = failure(c.err)
		close(c.done)
	}
}

// failure wraps [appserver.ErrFull] if the disk is full.
func failure(err error) error {
	var refused *sqlite.Error
	if errors.As(err, &refused) && refused.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: %w", appserver.ErrFull, err)
	}
	return err
}

// update makes a change.
func (s *store) update(ctx context.Context, do func(t tx) error) error {
	c := &change{ctx: ctx, do: do, done: make(chan struct{})}
	select {
	case <-s.closed:
		return errors.New("the store is closed")
	default:
	}
	select {
	case s.work <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errors.New("the store is closed")
	}
	select {
	case <-c.done: // even if ctx is done: only now is it known whether the change was made
		return c.err
	case <-s.done:
		select {
		case <-c.done:
			return c.err
		default:
			return errors.New("the store is closed")
		}
	}
}

// tx runs statements on the writing connection and prepares each of them once. After
// one that fails, it runs no other and returns the same error: some errors end the
// transaction in SQLite, and each later statement would be committed separately.
type tx struct {
	s      *store
	failed *error
}

func (s *store) newTx() tx { return tx{s, new(error)} }

func (t tx) stmt(query string) (*sql.Stmt, error) {
	if *t.failed != nil {
		return nil, *t.failed
	}
	if st := t.s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := t.s.conn.PrepareContext(context.Background(), query)
	if err == nil {
		t.s.stmts[query] = st
	}
	*t.failed = err
	return st, err
}

func (t tx) exec(query string, args ...any) error {
	_, err := t.result(query, args...)
	return err
}

func (t tx) affected(query string, args ...any) (int64, error) {
	r, err := t.result(query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t tx) insert(query string, args ...any) (int64, error) {
	r, err := t.result(query, args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

func (t tx) result(query string, args ...any) (sql.Result, error) {
	st, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	r, err := st.Exec(args...)
	*t.failed = err
	return r, err
}

func (t tx) query(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	rows, err := st.Query(args...)
	*t.failed = err
	return rows, err
}
