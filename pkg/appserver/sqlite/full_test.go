package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// limit sets the maximum size of a database, in pages.
func limit(t *testing.T, s *store, pages int) {
	t.Helper()
	ctx := t.Context()
	if err := s.update(ctx, func(t tx) error {
		rows, err := t.query(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		_, err = one(rows, err, number)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// A database that cannot grow says so, for a probe as for everything else, and
// works again when there is space.
func TestFull(t *testing.T) {
	st, err := Open(filepath.Join(t.TempDir(), "full.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := st.(*store)
	limit(t, s, 1) // which means the present number
	put := func(i int) error {
		_, _, err := st.Put(t.Context(), appserver.Record{Endpoint: fmt.Sprintf("https://push.example/%d/%s", i, strings.Repeat("x", 3000)), Service: "other"})
		return err
	}
	for i := 0; err == nil && i < 100; i++ {
		err = put(i)
	}
	if !errors.Is(err, appserver.ErrFull) || !errors.Is(err, appserver.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	limit(t, s, 1<<20)
	if err := put(1000); err != nil {
		t.Error(err)
	}
}

// openFull returns a store whose database cannot grow, with a table for fill.
func openFull(t *testing.T) *store {
	t.Helper()
	st, err := Open(filepath.Join(t.TempDir(), "full.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	s := st.(*store)
	if err := s.update(t.Context(), func(t tx) error { return t.exec("CREATE TABLE large (text TEXT)") }); err != nil {
		t.Fatal(err)
	}
	limit(t, s, 1)
	return s
}

// fill is a statement that needs more space than a full database has. SQLite then ends
// the whole transaction, not only the statement.
func fill(t tx) error { return t.exec("INSERT INTO large VALUES (?)", strings.Repeat("x", 1<<20)) }

// Nothing that follows a failed statement is stored, even if SQLite has ended the transaction.
func TestFullChange(t *testing.T) {
	s := openFull(t)
	if err := s.update(t.Context(), func(t tx) error {
		return errors.Join(fill(t), t.exec("INSERT INTO probe VALUES (1, 1)"))
	}); !errors.Is(err, appserver.ErrFull) {
		t.Errorf("the error is %v", err)
	}
	rows, err := s.query(t.Context(), "SELECT count(*) FROM probe")
	if n, err := one(rows, err, number); err != nil || n != 0 {
		t.Errorf("%d rows are stored, %v", n, err)
	}
}

// A transaction that cannot be committed is rolled back, and the next one works.
func TestCommitFails(t *testing.T) {
	s := openFull(t)
	limit(t, s, 1<<20)
	err := s.update(t.Context(), func(t tx) error {
		if err := t.exec("PRAGMA defer_foreign_keys = 1"); err != nil {
			return err
		}
		return t.exec("INSERT INTO idempotency VALUES ('key', '', 1, 0)")
	})
	if err == nil || !strings.Contains(err.Error(), "FOREIGN KEY") {
		t.Errorf("the error is %v", err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// All changes of a group that a full disk ends get that error.
func TestFullGroup(t *testing.T) {
	s := openFull(t)
	var group []*change
	for _, do := range []func(tx) error{
		func(t tx) error { return t.exec("INSERT INTO probe VALUES (1, 1)") },
		fill,
		func(tx) error { return nil },
	} {
		group = append(group, &change{ctx: t.Context(), do: do, done: make(chan struct{})})
	}
	// Only the writer may use its connection, so it waits in this change and applies the
	// others afterwards, as one group.
	if err := s.update(t.Context(), func(tx) error {
		for _, c := range group {
			s.work <- c
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for i, c := range group {
		if <-c.done; !errors.Is(c.err, appserver.ErrFull) {
			t.Errorf("change %d: the error is %v", i, c.err)
		}
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
