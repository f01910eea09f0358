//go:build e2e && unix

package postgres

import (
	"log/slog"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/pgtest"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestPostgresLimiterPrunes: endpoints come from strangers, so the rows of their push
// services do not stay.
func TestPostgresLimiterPrunes(t *testing.T) {
	server := pgtest.Start(t)
	st, err := Open(t.Context(), server.URL(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	shared, err := Limiter(st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l := shared.(*limiter)
	for _, name := range []string{"old", "held", "new"} {
		if _, err := l.Reserve(t.Context(), webpush.Cell{Name: name, PerSecond: 1000}, 1); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.pool.Exec(t.Context(), l.s.sql("UPDATE {s}.rate SET asked = asked - interval '1 h', next = next - CASE name WHEN 'old' THEN 1 ELSE -1 END * interval '1 h' WHERE name <> 'new'")); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.pruned = time.Now().Add(-pruneEvery)
	l.mu.Unlock()
	if _, err := l.Reserve(t.Context(), webpush.Cell{Name: "new", PerSecond: 1000}, 1); err != nil {
		t.Fatal(err)
	}
	l.all.Wait()
	rows, err := l.pool.Query(t.Context(), l.s.sql("SELECT name FROM {s}.rate ORDER BY name"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil || len(names) != 2 || names[0] != "held" || names[1] != "new" {
		t.Errorf("the rows of %v are left, want those of held and new: %v", names, err)
	}
}
