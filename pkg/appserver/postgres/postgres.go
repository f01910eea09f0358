// Package postgres keeps the subscriptions and jobs of application servers in a
// PostgreSQL database, version 13 or later, which any number of servers share.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/puddle/v2"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

//go:embed migrations
var migrations embed.FS

// compatible is the lowest schema version of a program that can use the newest schema:
// later migrations only add things that it does not need.
const compatible = 1

// DefaultSchema is the schema that holds all tables unless [Options] name another.
const DefaultSchema = "webpush"

// notifyEvery is the minimum time between two notifications of a job's progress, because
// NOTIFY locks the whole database when its transaction commits.
const notifyEvery = 300 * time.Millisecond

// ErrUnencrypted is wrapped by the error of [Open] for an address that allows
// connections without TLS to another machine.
var ErrUnencrypted = errors.New("the connection to the database may be unencrypted, which shows all subscriptions to the network")

// Options change how [Open] works. The zero value is usable.
type Options struct {
	// Schema holds all tables; empty means [DefaultSchema]. It is created if
	// it does not exist.
	Schema string
	// AllowUnencrypted allows connections without TLS to other machines.
	AllowUnencrypted bool
}

type store struct {
	appserver.Transactions

	pool    *pgxpool.Pool
	config  *pgx.ConnConfig
	schema  string // quoted
	channel string
	key     int64 // key of advisory locks

	mu       sync.Mutex
	queries  map[string]string
	notified map[string]time.Time
	limiter  *limiter // nil until it is used
}

var plainName = pattern.New(`^[A-Za-z_][A-Za-z0-9_]{0,49}$`)

// Open connects to the database at url (postgres://user@host/database, or
// key=value pairs) and creates or updates the tables. PGPASSWORD, PGSERVICE,
// .pgpass, and the other means of libpq work. Errors never contain the password.
//
// Changes survive if the process or the database is killed. While the database cannot be
// reached, errors wrap [appserver.ErrUnavailable]. Subscribing to changes requires a
// session, which a pooler in transaction mode does not provide.
func Open(ctx context.Context, url string, o Options) (appserver.Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, webpush.WithHint(fmt.Errorf("the address of the database cannot be used: %w", err), "write it as postgres://user@host:5432/database")
	}
	if o.Schema == "" {
		o.Schema = DefaultSchema
	}
	if !plainName.MatchString(o.Schema) {
		return nil, webpush.WithHint(fmt.Errorf("the schema %q cannot be used", o.Schema), "use up to 50 of A-Z a-z 0-9 _")
	}
	if !o.AllowUnencrypted {
		if host := unencrypted(&config.ConnConfig.Config); host != "" {
			return nil, webpush.WithHint(fmt.Errorf("%w: %q", ErrUnencrypted, host),
				"add sslmode=verify-full to the address, or allow unencrypted connections explicitly")
		}
	}
	if config.MaxConns < 8 && !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = 8
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "webpush"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, failure(err)
	}
	hash := fnv.New64a()
	hash.Write([]byte("webpush " + o.Schema))
	s := &store{pool: pool, config: config.ConnConfig, schema: pgx.Identifier{o.Schema}.Sanitize(), channel: "webpush_" + o.Schema,
		key: int64(hash.Sum64()), queries: make(map[string]string), notified: make(map[string]time.Time)}
	s.Transactions = func(ctx context.Context, do func(appserver.Transaction) error) error {
		return s.update(ctx, func(t tx) error { return do(t) })
	}
	if err := s.migrate(ctx); err != nil {
		pool.Close()
		return nil, openError(err)
	}
	return s, nil
}

// openError is the error of a database that cannot be opened, with the next step.
func openError(err error) error {
	err = failure(err)
	if webpush.HintOf(err) != "" {
		return fmt.Errorf("the database cannot be opened: %w", err)
	}
	hint := ""
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		switch {
		case strings.HasPrefix(refused.Code, "28"): // invalid authorization
			hint = "check the user in the address, and the password in PGPASSWORD or .pgpass"
		case refused.Code == "3D000": // invalid catalog name
			hint = "create the database, or name another one in the address"
		case refused.Code == "25006": // read-only transaction
			hint = "name the primary server in the address, not a standby"
		case refused.Code == "53300": // too many connections
			hint = "close other connections, or raise max_connections of PostgreSQL"
		case refused.Code == "42501": // insufficient privilege
			hint = "let the user create a schema in the database, or create the schema for it"
		}
	case errors.Is(err, appserver.ErrUnavailable):
		hint = "check that PostgreSQL is running at this address"
	}
	if errors.As(err, new(*pgconn.ConnectError)) && !errors.As(err, new(oneLine)) {
		err = oneLine{err}
	}
	err = fmt.Errorf("the database cannot be opened: %w", err)
	if hint != "" {
		err = webpush.WithHint(err, hint)
	}
	return err
}

// Name returns the address of the database that a store of this package uses,
// without user and password; empty for another store.
func Name(st appserver.Store) string {
	s, ok := st.(*store)
	if !ok {
		return ""
	}
	c := s.config
	if strings.HasPrefix(c.Host, "/") {
		return fmt.Sprintf("postgres:///%s?host=%s", c.Database, c.Host)
	}
	return fmt.Sprintf("postgres://%s/%s", net.JoinHostPort(c.Host, fmt.Sprint(c.Port)), c.Database)
}

// unencrypted returns a host, other than this machine, for which the configuration allows
// connections without TLS.
func unencrypted(c *pgconn.Config) string {
	check := func(host string, tls bool) bool {
		return !tls && !strings.HasPrefix(host, "/") && !netaddr.Loopback(host)
	}
	if check(c.Host, c.TLSConfig != nil) {
		return c.Host
	}
	for _, f := range c.Fallbacks {
		if check(f.Host, f.TLSConfig != nil) {
			return f.Host
		}
	}
	return ""
}

// sql puts the schema into a statement.
func (s *store) sql(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.queries[text]
	if !ok {
		q = strings.ReplaceAll(text, "{s}", s.schema)
		s.queries[text] = q
	}
	return q
}

// failure wraps [appserver.ErrUnavailable] or [appserver.ErrFull] where one applies.
func failure(err error) error {
	var refused *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !errors.As(err, &connect),
		errors.Is(err, appserver.ErrNotFound), errors.Is(err, appserver.ErrFinished), errors.Is(err, appserver.ErrNoPart),
		errors.Is(err, appserver.ErrLost), errors.Is(err, appserver.ErrOtherRequest), errors.Is(err, appserver.ErrUnavailable):
		return err
	case errors.As(err, &refused):
		switch {
		case refused.Code == "53100":
			return fmt.Errorf("%w: %w", appserver.ErrFull, err)
		case strings.HasPrefix(refused.Code, "08"), strings.HasPrefix(refused.Code, "57P"), strings.HasPrefix(refused.Code, "53"), refused.Code == "25006":
			// Broken connections, shutdown and start, no free connection, and a server that
			// has become read-only.
		default:
			return err
		}
	}
	if errors.Is(err, puddle.ErrClosedPool) {
		return errors.New("the store is closed")
	}
	if webpush.HintOf(err) != "" { // of this package
		return err
	}
	if connect != nil || errors.As(err, &connect) {
		err = oneLine{err}
	}
	return fmt.Errorf("%w: %w", appserver.ErrUnavailable, err)
}

// oneLine is an error of a connection, whose text has a line for each attempt.
type oneLine struct{ err error }

func (e oneLine) Error() string {
	head, rest, _ := strings.Cut(e.err.Error(), "\n")
	var attempts []string
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(attempts, line) {
			attempts = append(attempts, line)
		}
	}
	if attempts != nil {
		head += " " + strings.Join(attempts, "; ")
	}
	return head
}

func (e oneLine) Unwrap() error { return e.err }

// update makes a change in one transaction, which it repeats after a deadlock.
func (s *store) update(ctx context.Context, do func(t tx) error) error {
	for try := 0; ; try++ {
		err := pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error { return do(tx{s, t}) })
		var refused *pgconn.PgError
		if errors.As(err, &refused) && slices.Contains([]string{"40P01", "40001", "23505"}, refused.Code) && try < 10 {
			continue
		}
		return failure(err)
	}
}

// tx runs statements of one transaction.
type tx struct {
	s *store
	t pgx.Tx
}

func (t tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.t.Exec(ctx, t.s.sql(query), args...)
	return err
}

func (t tx) affected(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := t.t.Exec(ctx, t.s.sql(query), args...)
	return tag.RowsAffected(), err
}

func (t tx) row(ctx context.Context, query string, args []any, into ...any) error {
	err := t.t.QueryRow(ctx, t.s.sql(query), args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		err = appserver.ErrNotFound
	}
	return err
}

// notify informs other servers of a change of a job when the transaction commits.
func (t tx) notify(ctx context.Context, id string) error {
	return t.exec(ctx, "SELECT pg_notify($1, $2)", t.s.channel, id)
}

func (s *store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no migrations found: %w", err)
	}
	slices.Sort(files)
	return pgx.BeginFunc(ctx, s.pool, func(pt pgx.Tx) error {
		t := tx{s, pt}
		if err := t.exec(ctx, "SELECT pg_advisory_xact_lock($1)", s.key+1); err != nil {
			return err
		}
		// A user without permission to create schemas can use an existing one.
		var exists bool
		if err := t.row(ctx, "SELECT to_regclass($1) IS NOT NULL", []any{s.schema + ".migration"}, &exists); err != nil {
			return err
		}
		version, oldest := 0, 0
		if exists {
			if err := t.row(ctx, "SELECT version, oldest FROM {s}.migration", nil, &version, &oldest); err != nil {
				return err
			}
		} else if err := t.exec(ctx, "CREATE SCHEMA IF NOT EXISTS {s}"); err != nil {
			return err
		} else if err := t.exec(ctx, "CREATE TABLE {s}.migration (version integer NOT NULL, oldest integer NOT NULL)"); err != nil {
			return err
		} else if err := t.exec(ctx, "INSERT INTO {s}.migration VALUES (0, 0)"); err != nil {
			return err
		}
		if oldest > len(files) {
			return webpush.WithHint(fmt.Errorf("its schema has version %d, this program knows %d", version, len(files)), "use the newer release of webpush that wrote it")
		}
		for _, file := range files[min(version, len(files)):] {
			text, err := migrations.ReadFile(file)
			if err != nil {
				return err
			}
			if _, err := pt.Exec(ctx, strings.ReplaceAll(string(text), "{s}", s.schema), pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
		if version >= len(files) {
			return nil
		}
		return t.exec(ctx, "UPDATE {s}.migration SET version = $1, oldest = $2", len(files), compatible)
	})
}

// Watch listens to the notifications of all servers.
func (s *store) Watch(ctx context.Context, changed func(id string)) error {
	c, err := pgx.ConnectConfig(ctx, s.config.Copy())
	if err == nil {
		defer func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = c.Close(closing)
		}()
		_, err = c.Exec(ctx, "LISTEN "+pgx.Identifier{s.channel}.Sanitize())
	}
	if err == nil {
		changed("") // there may have been changes before
	}
	for err == nil {
		var n *pgconn.Notification
		if n, err = c.WaitForNotification(ctx); err == nil {
			changed(n.Payload)
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return failure(err)
}

func (s *store) Close() error {
	s.mu.Lock()
	l := s.limiter
	s.mu.Unlock()
	if l != nil {
		l.end()
	}
	s.pool.Close()
	return nil
}

// numbers runs a statement that returns numbers.
func (t tx) numbers(ctx context.Context, query string, args ...any) ([]int64, error) {
	rows, err := t.t.Query(ctx, t.s.sql(query), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

func (s *store) Announce(ctx context.Context, key string, lease time.Duration) (keys []string, err error) {
	err = s.update(ctx, func(t tx) error {
		if err := t.exec(ctx, "DELETE FROM {s}.server_key WHERE until <= clock_timestamp()"); err != nil {
			return err
		}
		if err := t.exec(ctx, `INSERT INTO {s}.server_key AS k VALUES ($1, clock_timestamp() + $2)
			ON CONFLICT (key) DO UPDATE SET until = greatest(k.until, excluded.until)`, key, lease); err != nil {
			return err
		}
		rows, err := t.t.Query(ctx, t.s.sql("SELECT key FROM {s}.server_key ORDER BY key"))
		if err != nil {
			return err
		}
		keys, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return keys, err
}

func (s *store) Size(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, s.sql("SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relnamespace = '{s}'::regnamespace AND relkind = 'r'")).Scan(&n)
	return n, failure(err)
}

func (s *store) Probe(ctx context.Context) error {
	return s.update(ctx, func(t tx) error {
		return t.exec(ctx, "INSERT INTO {s}.probe VALUES (1, clock_timestamp()) ON CONFLICT (id) DO UPDATE SET time = excluded.time")
	})
}

// text returns s without what PostgreSQL does not store in a text.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}
