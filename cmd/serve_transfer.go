package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/database"
	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// transferOptions holds the flags of the subcommands of serve.
type transferOptions struct {
	data     string
	database databaseOptions
	server   appserver.Options // which endpoints to accept
	to       string
}

func (o *transferOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.data, "data", "webpush-data", "`DIRECTORY` of the SQLite database")
	inGroup(f, "Flags")
	o.database.addFlags(f)
	inGroup(f, "Database")
}

// use opens the database that the flags name, and closes it after f; see with.
func (o *transferOptions) use(ctx context.Context, s *streams, route string, f func(appserver.Store) error) error {
	address, err := o.database.address(s, o.data)
	if err == nil {
		err = o.database.check(address)
	}
	if err != nil {
		return err
	}
	return o.with(ctx, address, route, f)
}

// curl returns a command for the route of a server that has the database open.
func (o *transferOptions) curl(route string) string {
	with := `-H "Accept: application/x-ndjson"`
	if route == "POST" {
		with = `-H "Content-Type: application/x-ndjson" --data-binary @FILE`
	}
	return fmt.Sprintf(`curl -H "Authorization: Bearer $(cat %s)" %s http://localhost:8080/subscriptions`, shellWord(filepath.Join(o.data, "admin-token")), with)
}

// with opens a database, and closes it after f. It creates the database only for the route
// POST. If a server has an SQLite database open, the hint names the route to use instead.
func (o *transferOptions) with(ctx context.Context, address database.Address, route string, f func(appserver.Store) error) error {
	switch file := address.File(); {
	case file == "":
	case route == "POST" && file == filepath.Join(o.data, "webpush.db"):
		if err := makeDir(o.data); err != nil {
			return err
		}
	case route != "POST" && !exists(file):
		return fileProblem(file, fs.ErrNotExist)
	}
	d, err := o.database.open(ctx, address)
	if errors.Is(err, appserver.ErrInUse) && route != "" {
		err = withHint(err, "stop the server, or use its route: "+route+" /subscriptions, such as: "+o.curl(route))
	}
	if err != nil {
		return err
	}
	return errors.Join(f(d.Store), d.Store.Close())
}

func newServeImportCmd(s *streams) *cobra.Command {
	var o transferOptions
	c := &cobra.Command{
		Use: "import FILE",
		Args: cobra.MatchAll(atMostOne, func(_ *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "" {
				return usage("use: webpush serve import FILE, or - for standard input", "no file to import")
			}
			return nil
		}),
		RunE: func(c *cobra.Command, args []string) error { return runServeImport(c.Context(), s, &o, args[0]) },
	}
	o.addFlags(c)
	c.Flags().BoolVar(&o.server.AllowPrivate, "allow-private", false, "accept endpoints that are not https or not at a public address")
	addPortsFlag(c.Flags(), &o.server.Ports)
	inGroup(c.Flags(), "Flags")
	return c
}

func runServeImport(ctx context.Context, s *streams, o *transferOptions, name string) error {
	sources, err := inputs(s, []string{name})
	if err != nil {
		return err
	}
	in, err := bulk.Open(sources...)
	if err != nil {
		return wrongFile(err)
	}
	defer in.Close()
	return o.use(ctx, s, "POST", func(store appserver.Store) error {
		sum, err := appserver.Import(ctx, store, in, o.server, func(r appserver.ImportResult) error {
			if s.json {
				return s.printJSON(r)
			}
			if r.Problem != "" {
				s.warn(fmt.Sprintf("%s: %s", r.Position, r.Problem), r.Hint)
			}
			return nil
		})
		s.note("subscriptions: %d created, %d updated, %d invalid", sum.Created, sum.Updated, sum.Invalid)
		if err == nil && sum.Invalid > 0 {
			err = fmt.Errorf("invalid records: %d", sum.Invalid)
		}
		return err
	})
}

func newServeExportCmd(s *streams) *cobra.Command {
	var o transferOptions
	c := &cobra.Command{
		Use:  "export",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return o.use(c.Context(), s, "GET", func(store appserver.Store) error {
				n, err := appserver.Export(c.Context(), store, s.out)
				if err == nil {
					s.note("subscriptions exported: %d", n)
				}
				return err
			})
		},
	}
	o.addFlags(c)
	return c
}

func newServeCopyCmd(s *streams) *cobra.Command {
	var o transferOptions
	c := &cobra.Command{
		Use:  "copy --to-database ADDRESS",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runServeCopy(c.Context(), s, &o) },
	}
	o.addFlags(c)
	c.Flags().StringVar(&o.to, "to-database", "", "copy to the database at `ADDRESS`")
	inGroup(c.Flags(), "Database")
	return c
}

func runServeCopy(ctx context.Context, s *streams, o *transferOptions) error {
	if o.to == "" {
		return usage("pass the address of the database to copy to", "--to-database is missing")
	}
	source, err := o.database.address(s, o.data)
	if err != nil {
		return err
	}
	target := o.database
	target.file, target.database, target.flag = "", o.to, "to-database"
	dest, err := target.address(s, o.data)
	if err != nil {
		return err
	}
	if source.Same(dest) {
		return usage("name another database", "--to-database is the database to copy from")
	}
	if err := o.database.check(source, dest); err != nil {
		return err
	}
	return o.with(ctx, source, "", func(from appserver.Store) error {
		return o.with(ctx, dest, "POST", func(to appserver.Store) error {
			n, scheduled, err := appserver.Copy(ctx, from, to)
			s.note("copied: subscriptions: %d, scheduled pushes: %d", n, scheduled)
			return err
		})
	})
}
