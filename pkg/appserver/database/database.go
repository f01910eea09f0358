// Package database opens the store of an application server by the address of its
// database: a file of SQLite, or a PostgreSQL server.
package database

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Address is the address of a database. The zero value is not usable.
type Address struct {
	file string // SQLite
	url  string // PostgreSQL
}

// File returns the address of an SQLite database.
func File(name string) Address { return Address{file: name} }

// AddressError reports an address that [Parse] does not accept. Its text does not contain
// the address, which may contain a password.
type AddressError struct {
	// Problem describes the problem.
	Problem string
}

// Error returns the problem.
func (e *AddressError) Error() string { return e.Problem }

// Hint returns the supported forms.
func (*AddressError) Hint() string { return "write it as sqlite:FILE or postgres://USER@HOST/NAME" }

// Parse reads an address: sqlite:FILE, postgres://USER@HOST/NAME, or the same with
// postgresql. The error is an [*AddressError].
func Parse(address string) (Address, error) {
	if strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://") {
		return Address{url: address}, nil
	}
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok {
		if file == "" {
			return Address{}, &AddressError{"the database address has no file"}
		}
		return Address{file: file}, nil
	}
	scheme, _, found := strings.Cut(address, ":")
	if !found || !schemeName.MatchString(scheme) {
		return Address{}, &AddressError{"the database address has no scheme"}
	}
	return Address{}, &AddressError{fmt.Sprintf("the database address has the scheme %q, which is not supported", scheme)}
}

var schemeName = pattern.New(`^[a-z][a-z0-9+.-]{0,20}$`)

// File returns the file of an SQLite database; empty for PostgreSQL.
func (a Address) File() string { return a.file }

// Same reports whether two addresses are known to be of one database: names of one file,
// or equal URLs.
func (a Address) Same(b Address) bool {
	if a.Shared() || b.Shared() {
		return a.url == b.url
	}
	return fileio.Same(a.file, b.file)
}

// Shared reports whether several servers can use the database at the same time.
func (a Address) Shared() bool { return a.url != "" }

var passwordField = pattern.New(`(?i)[?&]password=[^&\s]`)

// HasPassword reports whether the address contains a password, which other users of a
// machine can see if it is an argument of a command.
func (a Address) HasPassword() bool {
	_, rest, _ := strings.Cut(a.url, "://")
	authority, _, _ := strings.Cut(rest, "/")
	user, _, found := strings.Cut(authority, "@")
	return found && strings.Contains(user, ":") || passwordField.MatchString(a.url)
}

// Database is an open database.
type Database struct {
	// Store is the store of the application server. Closing it closes the database.
	Store appserver.Store
	// Name is the file, or the address without user and password.
	Name string
}

// Open opens a database, and creates or updates its tables. The options apply only to
// PostgreSQL. The errors are those of [sqlite.Open] and [postgres.Open].
func Open(ctx context.Context, a Address, o postgres.Options) (*Database, error) {
	if !a.Shared() {
		store, err := sqlite.Open(a.file)
		if err != nil {
			return nil, err
		}
		return &Database{store, a.file}, nil
	}
	store, err := postgres.Open(ctx, a.url, o)
	if err != nil {
		return nil, err
	}
	return &Database{store, postgres.Name(store)}, nil
}

// Limiter returns a limiter that shares rates between all servers on the database, see
// [postgres.Limiter]; nil for SQLite.
func (d *Database) Limiter(log *slog.Logger) (webpush.Limiter, error) {
	return postgres.Limiter(d.Store, log)
}
