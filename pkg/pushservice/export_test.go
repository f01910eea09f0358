package pushservice

import (
	"context"
	"strconv"
)

// LimitData makes SQLite take the disk for full when the database has so many
// pages of 4096 bytes.
func LimitData(s *Service, pages int) error {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	// Through the queue, as the connection belongs to the journal's goroutine.
	return s.store.first(func(j *journal) error {
		var n int
		return j.conn.QueryRowContext(context.Background(), "PRAGMA max_page_count = "+strconv.Itoa(pages)).Scan(&n)
	}, func() error { return nil })
}

// ReadAll reads the body of a request.
var ReadAll = readAll
