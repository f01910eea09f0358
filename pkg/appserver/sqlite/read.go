package sqlite

import (
	"context"
	"database/sql"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// query runs a statement on a reading connection.
func (s *store) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s.mu.Lock()
	st := s.reads[query]
	if st == nil {
		var err error
		if st, err = s.read.Prepare(query); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.reads[query] = st
	}
	s.mu.Unlock()
	return st.QueryContext(ctx, args...)
}

// querier is a [store] or a [tx].
type querier interface {
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// collect scans all rows.
func collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// one scans the only row.
func one[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) (T, error) {
	return appserver.Only(collect(rows, err, scan))
}

// scanOne scans the only row into variables.
func scanOne(rows *sql.Rows, err error, into ...any) error {
	_, err = one(rows, err, func(rows *sql.Rows) (struct{}, error) { return struct{}{}, rows.Scan(into...) })
	return err
}

func number(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func dueMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return millis(t)
}
