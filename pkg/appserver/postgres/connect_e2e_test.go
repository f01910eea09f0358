//go:build e2e && unix

package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/internal/pgtest"
)

// folder is the folder of the server's socket.
func folder(server *pgtest.Server) string {
	_, dir, _ := strings.Cut(server.URL(), "host=")
	return dir
}

// A service of a service file and a password of .pgpass are used, as by other
// programs, and no error has the password.
func TestPostgresServiceAndPassfile(t *testing.T) {
	server := pgtest.Start(t)
	query(t, server, "CREATE ROLE alice LOGIN PASSWORD 'the-secret-of-alice'; GRANT CREATE ON DATABASE postgres TO alice")
	hba := filepath.Join(folder(server), "data", "pg_hba.conf")
	b, err := os.ReadFile(hba)
	if err == nil {
		err = os.WriteFile(hba, append([]byte("local all alice scram-sha-256\n"), b...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	query(t, server, "SELECT pg_reload_conf()")
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) { // the server reads it a moment later
		c, err := pgx.Connect(t.Context(), "postgres:///postgres?user=alice&host="+folder(server))
		if err != nil {
			break
		}
		c.Close(t.Context())
		if time.Since(start) > 20*time.Second {
			t.Fatal("alice needs no password")
		}
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	t.Setenv("PGSERVICEFILE", write("service.conf", fmt.Sprintf("[push]\nhost=%s\ndbname=postgres\nuser=alice\n", folder(server))))
	t.Setenv("PGSERVICE", "push")
	open := func() error {
		s, err := postgres.Open(t.Context(), "postgres://", postgres.Options{Schema: "alice"})
		if err != nil {
			return err
		}
		defer s.Close()
		if name := postgres.Name(s); strings.Contains(name, "alice") || !strings.Contains(name, folder(server)) {
			t.Errorf("the name of the database is %s", name)
		}
		return s.Probe(t.Context())
	}
	for _, line := range []string{"*:*:*:bob:the-secret-of-alice", "*:*:*:alice:wrong-secret"} {
		t.Setenv("PGPASSFILE", write("pgpass", line+"\n"))
		if err := open(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error is %v", line, err)
		}
	}
	t.Setenv("PGPASSFILE", write("pgpass", "*:*:*:alice:the-secret-of-alice\n"))
	if err := open(); err != nil {
		t.Error(err)
	}
	t.Setenv("PGPASSFILE", write("none", ""))
	t.Setenv("PGPASSWORD", "the-secret-of-alice")
	if err := open(); err != nil {
		t.Error(err)
	}
}

// With several hosts in the address, the store uses one that works, and another
// one after that has failed.
func TestPostgresFailover(t *testing.T) {
	first, second := pgtest.Start(t), pgtest.Start(t)
	both := fmt.Sprintf("postgres:///postgres?user=webpush&host=%s,%s,%s&target_session_attrs=read-write", t.TempDir(), folder(first), folder(second))
	onSecond, err := postgres.Open(t.Context(), second.URL(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer onSecond.Close()
	if _, err := onSecond.CreateJob(t.Context(), appserver.Job{ID: "on the second"}); err != nil {
		t.Fatal(err)
	}
	s, err := postgres.Open(t.Context(), both, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.FindJob(t.Context(), "on the second"); !errors.Is(err, appserver.ErrNotFound) {
		t.Fatalf("the first server that works is not used: %v", err)
	}
	first.Down()
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		_, err := s.FindJob(t.Context(), "on the second")
		if err == nil {
			break
		}
		if !errors.Is(err, appserver.ErrUnavailable) || time.Since(start) > 30*time.Second {
			t.Fatalf("after the first server has failed: %v", err)
		}
	}
}

// A database that has no connection free is unavailable for the moment.
func TestPostgresTooManyConnections(t *testing.T) {
	server := pgtest.Start(t)
	s, err := postgres.Open(t.Context(), server.URL(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all []*pgx.Conn
	for {
		c, err := pgx.Connect(t.Context(), server.URL())
		if err != nil {
			break
		}
		if all = append(all, c); len(all) > 200 {
			t.Fatal("the server has no limit")
		}
	}
	if s, err := postgres.Open(t.Context(), server.URL(), postgres.Options{Schema: "other"}); !errors.Is(err, appserver.ErrUnavailable) {
		t.Errorf("opened %v, %v", s, err)
	}
	unavailable := 0
	errs := make(chan error, 32)
	for range cap(errs) {
		go func() { errs <- s.Probe(t.Context()) }()
	}
	for range cap(errs) {
		if err := <-errs; errors.Is(err, appserver.ErrUnavailable) {
			unavailable++
		} else if err != nil {
			t.Errorf("the error is %v", err)
		}
	}
	t.Logf("%d of %d calls found no connection", unavailable, cap(errs))
	for _, c := range all {
		c.Close(t.Context())
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		err := s.Probe(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, appserver.ErrUnavailable) || time.Since(start) > 30*time.Second {
			t.Fatalf("with connections that are free: %v", err)
		}
	}
}
