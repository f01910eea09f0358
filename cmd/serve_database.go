package cmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
)

// databaseEnv names the database, for an address that must not be an argument.
const databaseEnv = "WEBPUSH_DATABASE"

// databaseOptions say where the store of a server is.
type databaseOptions struct {
	database  string // sqlite:FILE, or the address of PostgreSQL
	file      string // the short form of the former
	schema    string
	plainText bool
}

func (o *databaseOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.file, "db", "", "use the SQLite database `FILE` (default webpush.db in --data)")
	f.StringVar(&o.database, "database", "", "use the database at `ADDRESS`: sqlite:FILE, or postgres://USER@HOST/NAME, which several servers can share")
	f.StringVar(&o.schema, "database-schema", postgres.DefaultSchema, "keep all tables in the PostgreSQL schema `NAME`")
	f.BoolVar(&o.plainText, "allow-plain-database", false, "connect to PostgreSQL on other machines without TLS")
}

var passwordField = regexp.MustCompile(`(?i)(^|[?&\s])password=[^&\s]`)

// resolve decides where the store is: file is set for SQLite, address for
// PostgreSQL.
func (o *databaseOptions) resolve(s *streams, data string) (file, address string, err error) {
	if o.database != "" && o.file != "" {
		return "", "", usage("use one of them", "--database and --db both name the database")
	}
	address = o.database
	if address != "" && hasPassword(address) {
		s.warn("--database: other users of this machine can see the password in the list of processes", "set "+databaseEnv+" or PGPASSWORD, or use ~/.pgpass")
	}
	if address == "" && o.file == "" {
		address = strings.TrimSpace(os.Getenv(databaseEnv))
	}
	switch {
	case address == "" && o.file == "":
		return filepath.Join(data, "webpush.db"), "", nil
	case address == "":
		return o.file, "", nil
	case strings.HasPrefix(address, "postgres://"), strings.HasPrefix(address, "postgresql://"):
		return "", address, nil
	}
	if file, ok := strings.CutPrefix(address, "sqlite:"); ok && file != "" {
		return file, "", nil
	}
	scheme, _, _ := strings.Cut(address, ":") // the rest may have a password
	return "", "", usage("write it as sqlite:FILE or postgres://USER@HOST/NAME", "the database address of the kind %q is not supported", scheme)
}

func hasPassword(address string) bool {
	_, rest, _ := strings.Cut(address, "://")
	authority, _, _ := strings.Cut(rest, "/")
	user, _, found := strings.Cut(authority, "@")
	return found && strings.Contains(user, ":") || passwordField.MatchString(address)
}

// open opens the store and returns a name for it without secrets.
func (o *databaseOptions) open(ctx context.Context, file, address string) (appserver.Store, string, error) {
	if address == "" {
		store, err := sqlite.Open(file)
		return store, file, err
	}
	store, err := postgres.Open(ctx, address, postgres.Options{Schema: o.schema, AllowUnencrypted: o.plainText})
	if err != nil {
		if errors.Is(err, postgres.ErrUnencrypted) {
			err = withHint(err, "add ?sslmode=verify-full to the address, or use --allow-plain-database in a network that you trust")
		}
		return nil, "", err
	}
	return store, postgres.Name(store), nil
}
