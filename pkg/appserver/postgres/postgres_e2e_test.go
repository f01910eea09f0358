//go:build e2e && unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/appserver/storetest"
	"github.com/seed81da77dd/webpush/pkg/internal/pgtest"
)

func TestPostgresStore(t *testing.T) {
	server := pgtest.Start(t)
	var n atomic.Int64
	schemas := make(map[appserver.Store]string)
	open := func(t *testing.T, schema string) appserver.Store {
		t.Helper()
		s, err := postgres.Open(t.Context(), server.URL(), postgres.Options{Schema: schema})
		if err != nil {
			t.Fatal(err)
		}
		schemas[s] = schema
		return s
	}
	storetest.Run(t,
		func(t *testing.T) appserver.Store { return open(t, fmt.Sprint("Test_", n.Add(1))) },
		func(t *testing.T, s appserver.Store) appserver.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, schemas[s])
		})
}

func query(t *testing.T, server *pgtest.Server, text string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.Exec(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}

// Many programs may start at once; a program that is too old does not.
func TestPostgresMigrate(t *testing.T) {
	server := pgtest.Start(t)
	ended := make(chan error, 5)
	for range cap(ended) {
		go func() {
			s, err := postgres.Open(t.Context(), server.URL(), postgres.Options{})
			if err == nil {
				err = s.Close()
			}
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	query(t, server, "UPDATE webpush.migration SET version = 999")
	s, err := postgres.Open(t.Context(), server.URL(), postgres.Options{})
	if err != nil {
		t.Fatalf("a newer schema that this program may use: %v", err)
	}
	s.Close()
	query(t, server, "UPDATE webpush.migration SET oldest = 999")
	if _, err := postgres.Open(t.Context(), server.URL(), postgres.Options{}); err == nil || !strings.Contains(err.Error(), "version 999") {
		t.Errorf("the error is %v", err)
	}
}

// Each store hears of what another one changes. While the database is down,
// errors say so, and it works again afterwards.
func TestPostgresWatchAndRestart(t *testing.T) {
	server := pgtest.Start(t)
	var stores [2]appserver.Store
	for i := range stores {
		var err error
		if stores[i], err = postgres.Open(t.Context(), server.URL(), postgres.Options{}); err != nil {
			t.Fatal(err)
		}
		defer stores[i].Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	heard := make(chan string, 100)
	ended := make(chan error, 1)
	go func() { ended <- stores[1].Watch(ctx, func(id string) { heard <- id }) }()
	if id := <-heard; id != "" {
		t.Errorf("first heard of %q", id)
	}
	if _, err := stores[0].CreateJob(ctx, appserver.Job{ID: "job"}); err != nil {
		t.Fatal(err)
	}
	select {
	case id := <-heard:
		if id != "job" {
			t.Errorf("heard of %q", id)
		}
	case <-ctx.Done():
		t.Fatal("nothing was heard")
	}
	server.Down()
	if err := <-ended; !errors.Is(err, appserver.ErrUnavailable) {
		t.Errorf("watching ended with %v", err)
	}
	for range 10 { // all connections
		if _, err := stores[0].Count(ctx); !errors.Is(err, appserver.ErrUnavailable) {
			t.Fatalf("the error is %v", err)
		}
		if _, err := stores[0].Claim(ctx, "job", appserver.Lease); !errors.Is(err, appserver.ErrUnavailable) {
			t.Fatalf("the error is %v", err)
		}
	}
	server.Up(t)
	for {
		_, err := stores[0].Claim(ctx, "job", appserver.Lease)
		if errors.Is(err, appserver.ErrFinished) {
			break
		}
		if !errors.Is(err, appserver.ErrUnavailable) || ctx.Err() != nil {
			t.Fatalf("after the restart: %v", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
