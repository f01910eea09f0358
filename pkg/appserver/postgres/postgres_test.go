package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// A connection that shows the subscriptions to a network is refused before it
// is made, and no error has the password.
func TestAddress(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // nothing is dialed
	for url, refused := range map[string]bool{
		"postgres://u:hunter2@db.example/x":                              true,
		"postgres://u:hunter2@db.example/x?sslmode=disable":              true,
		"postgres://u:hunter2@db.example/x?sslmode=allow":                true,
		"postgres://u:hunter2@db.example/x?sslmode=require":              false,
		"postgres://u:hunter2@127.0.0.1,db.example/x":                    true,
		"postgres://u:hunter2@127.0.0.1:1/x":                             false,
		"postgres://u:hunter2@[::1]:1/x":                                 false,
		"postgres://u:hunter2@localhost:1/x":                             false,
		"host=/var/run/postgresql user=u password=hunter2 dbname=x":      false,
		"host=192.0.2.1 user=u password=hunter2 dbname=x":                true,
		"postgres://u:hunter2@db.example/x?sslmode=nonsense":             false,
		"postgres://u:hunter2@db.example:nonsense/x?sslmode=verify-full": false,
	} {
		_, err := Open(ctx, url, Options{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Fatalf("%s: %v", url, err)
		}
		if got := strings.Contains(err.Error(), "may be unencrypted"); got != refused {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := Open(ctx, url, Options{AllowUnencrypted: true}); err == nil || strings.Contains(err.Error(), "may be unencrypted") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, schema := range []string{`a"b`, "a b", strings.Repeat("a", 51)} {
		_, err := Open(ctx, "postgres://127.0.0.1/x", Options{Schema: schema})
		var hint interface{ Hint() string }
		if !errors.As(err, &hint) || !strings.Contains(err.Error(), "schema") {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// TestOpenError gives the next step for a database that cannot be opened, on one line.
func TestOpenError(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		hint string
	}{
		"no such user":   {&pgconn.PgError{Code: "28000"}, "check the user"},
		"wrong password": {&pgconn.PgError{Code: "28P01"}, "the password"},
		"no database":    {&pgconn.PgError{Code: "3D000"}, "create the database"},
		"no right":       {&pgconn.PgError{Code: "42501"}, "create a schema"},
		"standby":        {&pgconn.PgError{Code: "25006"}, "primary server"},
		"busy":           {&pgconn.PgError{Code: "53300"}, "max_connections"},
		"unreachable":    {errors.New("dial tcp 127.0.0.1:1: connect: connection refused"), "is running"},
		"own hint":       {webpush.WithHint(errors.New("it is newer"), "update"), "update"},
		"another":        {&pgconn.PgError{Code: "42601"}, ""},
	} {
		err := openError(c.err)
		if hint := webpush.HintOf(err); (hint == "") != (c.hint == "") || !strings.Contains(hint, c.hint) || !errors.Is(err, c.err) || !strings.HasPrefix(err.Error(), "the database cannot be opened: ") {
			t.Errorf("%s: %v, hint %q", name, err, hint)
		}
	}
}
