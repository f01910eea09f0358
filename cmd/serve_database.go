package cmd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/appserver/database"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
)

// databaseEnv is the environment variable with the address of the database, which can
// contain a password.
const databaseEnv = "WEBPUSH_DATABASE"

// databaseOptions holds the flags that select the database of a server.
type databaseOptions struct {
	flags     *pflag.FlagSet
	database  string // an address
	file      string // a file of SQLite
	flag      string // the flag of database
	schema    string
	plainText bool
}

func (o *databaseOptions) addFlags(f *pflag.FlagSet) {
	o.flags, o.flag = f, "database"
	f.StringVar(&o.file, "db", "", "use the SQLite database `FILE` (default webpush.db in --data)")
	f.StringVar(&o.database, "database", "", "use the database at `ADDRESS`: sqlite:FILE, or postgres://USER@HOST/NAME, which several servers can share")
	f.StringVar(&o.schema, "database-schema", postgres.DefaultSchema, "keep all tables in the PostgreSQL schema `NAME`")
	f.BoolVar(&o.plainText, "allow-plain-database", false, "connect to PostgreSQL on other machines without TLS")
}

// address returns the address of the database; without flags, an SQLite database in the
// directory data.
func (o *databaseOptions) address(s *streams, data string) (a database.Address, err error) {
	switch {
	case o.database != "" && o.file != "":
		return a, usage("use one of them", "--database and --db both name the database")
	case o.file != "":
		return database.File(o.file), nil
	}
	text := o.database
	if text == "" {
		text = strings.TrimSpace(os.Getenv(databaseEnv))
	}
	if text == "" {
		return database.File(filepath.Join(data, "webpush.db")), nil
	}
	if a, err = database.Parse(text); err != nil {
		return a, &usageError{err: err}
	}
	if o.database != "" && a.HasPassword() {
		s.warn("--"+o.flag+": other users of this machine can see the password in the list of processes", "set PGPASSWORD, or use ~/.pgpass")
	}
	return a, nil
}

// check refuses flags for PostgreSQL if no database is there.
func (o *databaseOptions) check(all ...database.Address) error {
	if slices.ContainsFunc(all, database.Address.Shared) {
		return nil
	}
	for _, name := range []string{"database-schema", "allow-plain-database"} {
		if o.flags.Changed(name) {
			return usage("omit it, or add --database postgres://USER@HOST/NAME", "--%s requires a PostgreSQL database", name)
		}
	}
	return nil
}

func (o *databaseOptions) open(ctx context.Context, a database.Address) (*database.Database, error) {
	d, err := database.Open(ctx, a, postgres.Options{Schema: o.schema, AllowUnencrypted: o.plainText})
	if errors.Is(err, postgres.ErrUnencrypted) {
		err = withHint(err, "add ?sslmode=verify-full to the address, or use --allow-plain-database in a network that you trust")
	}
	return d, err
}
