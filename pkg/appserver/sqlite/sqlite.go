// Package sqlite keeps the subscriptions and jobs of an application server in a
// file, for one process at a time.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

//go:embed migrations
var migrations embed.FS

const (
	// busyTimeout is the time limit for waiting for another process, such as a backup.
	busyTimeout = 10 * time.Second
	// maxGroup is the maximum number of changes in one transaction.
	maxGroup = 256
	readers  = 4
)

// store has one connection for writing and several for reading. A goroutine combines the
// changes that wait into one transaction. No transaction stays open between two calls.
type store struct {
	held   *os.File // the locked database file, until the store is closed
	lock   *sql.DB  // the locked .lock file, until the store is closed
	read   *sql.DB
	write  *sql.DB
	conn   *sql.Conn
	work   chan *change
	closed chan struct{}
	done   chan struct{}
	once   sync.Once
	err    error
	opened time.Time

	mu    sync.Mutex
	reads map[string]*sql.Stmt
	stmts map[string]*sql.Stmt // statements of conn, used only by its goroutine
}

// change is one step of a transaction.
type change struct {
	ctx  context.Context
	do   func(t tx) error
	err  error
	done chan struct{}
}

// Open opens the store in a file. If the file does not exist, Open creates it, readable
// only by its owner. Two processes cannot open the same file, because both would send the
// jobs that are due; a file with the additional extension .lock prevents this. SQLite
// keeps two more files next to it, with -wal and -shm at the end of their names.
//
// Changes survive if the process is killed. After a power failure, the most recent
// changes may be lost, but the database stays consistent.
func Open(name string) (appserver.Store, error) {
	s, err := open(name)
	if err != nil {
		return nil, fmt.Errorf("the database %s cannot be opened: %w", name, err)
	}
	return s, nil
}

func open(name string) (_ *store, err error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	s := &store{opened: time.Now(), work: make(chan *change, maxGroup), closed: make(chan struct{}), done: make(chan struct{}),
		reads: make(map[string]*sql.Stmt), stmts: make(map[string]*sql.Stmt)}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	for _, file := range []string{path, path + ".lock"} {
		f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600) // SQLite's own files get the same permissions
		if err != nil {
			var p *fs.PathError
			if errors.As(err, &p) {
				err = p.Err
			}
			return nil, err
		}
		f.Close()
	}
	if s.held, err = hold(path); err != nil {
		return nil, err
	}
	ctx := context.Background()
	if s.lock, err = openDB(path+".lock", "locking_mode(EXCLUSIVE)", "busy_timeout(0)"); err != nil {
		return nil, err
	}
	s.lock.SetMaxOpenConns(1)
	if _, err = s.lock.ExecContext(ctx, "BEGIN EXCLUSIVE"); err != nil {
		if strings.Contains(err.Error(), "locked") {
			err = inUse()
		}
		return nil, err
	}
	busy := fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds())
	if s.write, err = openDB(path, busy, "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"); err != nil {
		return nil, err
	}
	s.write.SetMaxOpenConns(1)
	if s.conn, err = s.write.Conn(ctx); err != nil {
		return nil, err
	}
	if err = s.migrate(ctx); err != nil {
		return nil, err
	}
	// Leases of a process that has exited.
	if _, err = s.conn.ExecContext(ctx, "UPDATE job_part SET until = 0 WHERE until > 0; UPDATE location SET claimed = 0 WHERE claimed > 0"); err != nil {
		return nil, err
	}
	if s.read, err = openDB(path, busy, "query_only(1)"); err != nil {
		return nil, err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)
	go s.writer()
	return s, nil
}

func openDB(path string, pragmas ...string) (*sql.DB, error) {
	u := url.URL{Path: filepath.ToSlash(path)}
	return sql.Open("sqlite", "file:"+u.EscapedPath()+"?"+url.Values{"_pragma": pragmas}.Encode())
}

// migrate updates the schema to the newest version.
func (s *store) migrate(ctx context.Context) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no migrations found: %w", err)
	}
	slices.Sort(files)
	var version int
	if err := s.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version > len(files) {
		return withHint(fmt.Errorf("its schema has version %d, this program knows %d", version, len(files)), "use the newer release of webpush that wrote it")
	}
	for i, file := range files[version:] {
		text, err := migrations.ReadFile(file)
		if err != nil {
			return err
		}
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", text, version+i+1)
		if _, err := s.conn.ExecContext(ctx, script); err != nil {
			_, _ = s.conn.ExecContext(ctx, "ROLLBACK")
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}

// writer makes all changes, in one transaction for all that wait.
func (s *store) writer() {
	defer close(s.done)
	for {
		var group []*change
		select {
		case c := <-s.work:
			group = append(group, c)
		case <-s.closed:
			select { // changes that were submitted before
			case c := <-s.work:
				group = append(group, c)
			default:
				return
			}
		}
	more:
		for len(group) < maxGroup {
			select {
			case c := <-s.work:
				group = append(group, c)
			default:
				break more
			}
		}
		s.apply(group)
	}
}

func (s *store) apply(group []*change) {
	t := tx{s}
	failed := t.exec("BEGIN IMMEDIATE")
	for _, c := range group {
		if c.err = failed; failed != nil {
			continue
		}
		if c.err = c.ctx.Err(); c.err != nil {
			continue
		}
		if failed = t.exec("SAVEPOINT one"); failed != nil {
			c.err = failed
			continue
		}
		if c.err = c.do(t); c.err != nil {
			failed = t.exec("ROLLBACK TO one")
		}
		if failed == nil {
			failed = t.exec("RELEASE one")
		}
	}
	if failed == nil {
		failed = t.exec("COMMIT")
	}
	if failed != nil {
		_ = t.exec("ROLLBACK")
	}
	for _, c := range group {
		if c.err == nil {
			c.err = failed
		}
		c.err = failure(c.err)
		close(c.done)
	}
}

// failure wraps [appserver.ErrFull] if the disk is full.
func failure(err error) error {
	var refused *sqlite.Error
	if errors.As(err, &refused) && refused.Code()&0xff == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: %w", appserver.ErrFull, err)
	}
	return err
}

// update makes a change.
func (s *store) update(ctx context.Context, do func(t tx) error) error {
	c := &change{ctx: ctx, do: do, done: make(chan struct{})}
	select {
	case <-s.closed:
		return errors.New("the store is closed")
	default:
	}
	select {
	case s.work <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closed:
		return errors.New("the store is closed")
	}
	select {
	case <-c.done: // even if ctx is done: only now is it known whether the change was made
		return c.err
	case <-s.done:
		select {
		case <-c.done:
			return c.err
		default:
			return errors.New("the store is closed")
		}
	}
}

// tx runs statements on the writing connection and prepares each of them once.
type tx struct{ s *store }

func (t tx) stmt(query string) (*sql.Stmt, error) {
	if st := t.s.stmts[query]; st != nil {
		return st, nil
	}
	st, err := t.s.conn.PrepareContext(context.Background(), query)
	if err == nil {
		t.s.stmts[query] = st
	}
	return st, err
}

func (t tx) exec(query string, args ...any) error {
	_, err := t.affected(query, args...)
	return err
}

func (t tx) affected(query string, args ...any) (int64, error) {
	st, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := st.Exec(args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t tx) insert(query string, args ...any) (int64, error) {
	st, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	r, err := st.Exec(args...)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

func (t tx) query(_ context.Context, query string, args ...any) (*sql.Rows, error) {
	st, err := t.stmt(query)
	if err != nil {
		return nil, err
	}
	return st.Query(args...)
}

// query runs a statement on a reading connection.
func (s *store) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s.mu.Lock()
	st := s.reads[query]
	if st == nil {
		var err error
		if st, err = s.read.Prepare(query); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		s.reads[query] = st
	}
	s.mu.Unlock()
	return st.QueryContext(ctx, args...)
}

// querier is a [store] or a [tx].
type querier interface {
	query(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// collect scans all rows.
func collect[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

// one scans the only row.
func one[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) (T, error) {
	list, err := collect(rows, err, scan)
	if err == nil && len(list) == 0 {
		err = appserver.ErrNotFound
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return list[0], nil
}

func number(rows *sql.Rows) (n int64, err error) { return n, rows.Scan(&n) }

const recordColumns = "s.seq, s.id, s.version, s.endpoint, s.p256dh, s.auth, s.service, s.origin, s.user, s.tags, s.created, s.last_status, s.public_key, s.gone_since"

func scanRecord(rows *sql.Rows) (r appserver.Record, err error) {
	var tags string
	var created, gone int64
	err = rows.Scan(&r.Seq, &r.ID, &r.Version, &r.Endpoint, &r.P256DH, &r.Auth, &r.Service, &r.Origin, &r.User, &tags, &created, &r.LastStatus, &r.Key, &gone)
	if err == nil && tags != "" {
		err = json.Unmarshal([]byte(tags), &r.Tags)
	}
	r.Created, r.GoneSince = fromMillis(created), fromMillis(gone)
	return r, err
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func find(ctx context.Context, q querier, endpoint string) (appserver.Record, error) {
	rows, err := q.query(ctx, "SELECT "+recordColumns+" FROM subscription s WHERE s.endpoint = ?", endpoint)
	return one(rows, err, scanRecord)
}

func (s *store) Find(ctx context.Context, endpoint string) (appserver.Record, error) {
	return find(ctx, s, endpoint)
}

func tagsText(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	b, _ := json.Marshal(tags) // never fails for strings
	return string(b)
}

func (s *store) Put(ctx context.Context, r appserver.Record) (appserver.Record, bool, error) {
	var created bool
	err := s.update(ctx, func(t tx) (err error) {
		r, created, err = t.put(r, false)
		return err
	})
	return r, created, err
}

func (s *store) PutAll(ctx context.Context, list []appserver.Record) (out []appserver.Record, created []bool, err error) {
	err = s.update(ctx, func(t tx) error {
		out, created = make([]appserver.Record, len(list)), make([]bool, len(list))
		for i, r := range list {
			if out[i], created[i], err = t.put(r, true); err != nil {
				return err
			}
		}
		return nil
	})
	return out, created, err
}

func (t tx) put(r appserver.Record, keep bool) (appserver.Record, bool, error) {
	old, err := find(context.Background(), t, r.Endpoint)
	if err == nil {
		now, err := t.replace(old, r)
		return now, false, err
	}
	if !errors.Is(err, appserver.ErrNotFound) {
		return r, false, err
	}
	r = appserver.NewRecord(r, keep)
	r.Seq, err = t.insert("INSERT INTO subscription (id, endpoint, p256dh, auth, service, origin, user, tags, created, public_key, last_status) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.ID, r.Endpoint, r.P256DH, r.Auth, string(r.Service), r.Origin, r.User, tagsText(r.Tags), millis(r.Created), r.Key, r.LastStatus)
	if err != nil {
		return r, false, err
	}
	return r, true, t.addTags(r)
}

func (t tx) addTags(r appserver.Record) error {
	for _, tag := range r.Tags {
		if err := t.exec("INSERT INTO tag (tag, seq) VALUES (?, ?)", tag, r.Seq); err != nil {
			return err
		}
	}
	return nil
}

// replace updates the record old with r.
func (t tx) replace(old, r appserver.Record) (appserver.Record, error) {
	now, changed := appserver.Merge(old, r)
	if !changed {
		return now, nil
	}
	err := t.exec("UPDATE subscription SET version = ?, endpoint = ?, p256dh = ?, auth = ?, service = ?, origin = ?, user = ?, tags = ?, public_key = ?, gone_since = ? WHERE seq = ?",
		now.Version, now.Endpoint, now.P256DH, now.Auth, string(now.Service), now.Origin, now.User, tagsText(now.Tags), now.Key, dueMillis(now.GoneSince), now.Seq)
	if err != nil || slices.Equal(now.Tags, old.Tags) {
		return now, err
	}
	if err := t.exec("DELETE FROM tag WHERE seq = ?", now.Seq); err != nil {
		return now, err
	}
	return now, t.addTags(now)
}

func (s *store) Change(ctx context.Context, old string, r appserver.Record) (appserver.Record, bool, error) {
	var created bool
	err := s.update(ctx, func(t tx) error {
		was, err := find(ctx, t, old)
		if errors.Is(err, appserver.ErrNotFound) || old == r.Endpoint {
			r, created, err = t.put(r, false)
			return err
		}
		if err != nil {
			return err
		}
		// The older record stays: the newer one may be beyond the last recipient of
		// a job that has not yet reached the older one.
		newer, err := find(ctx, t, r.Endpoint)
		switch {
		case err == nil:
			if r.User == "" {
				r.User = newer.User
			}
			if r.Tags == nil && len(newer.Tags) > 0 {
				r.Tags = newer.Tags
			}
			if err := t.exec("DELETE FROM subscription WHERE seq = ?", newer.Seq); err != nil {
				return err
			}
		case !errors.Is(err, appserver.ErrNotFound):
			return err
		}
		r, err = t.replace(was, r)
		return err
	})
	return r, created, err
}

func (s *store) Delete(ctx context.Context, endpoint string) (bool, error) {
	var n int64
	err := s.update(ctx, func(t tx) (err error) {
		n, err = t.affected("DELETE FROM subscription WHERE endpoint = ?", endpoint)
		return err
	})
	return n > 0, err
}

func (s *store) Count(ctx context.Context) (map[webpush.Service]int64, error) {
	rows, err := s.query(ctx, "SELECT service, n FROM service_count WHERE n > 0")
	counts := make(map[webpush.Service]int64)
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		var service webpush.Service
		var n int64
		err := rows.Scan(&service, &n)
		counts[service] = n
		return struct{}{}, err
	})
	return counts, err
}

func (s *store) CountKeys(ctx context.Context) (map[string]int64, error) {
	rows, err := s.query(ctx, "SELECT public_key, count(*) FROM subscription GROUP BY public_key")
	counts := make(map[string]int64)
	_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
		var key string
		var n int64
		err := rows.Scan(&key, &n)
		counts[key] = n
		return struct{}{}, err
	})
	return counts, err
}

// where returns the table and the condition of a filter, for records in a range of Seq.
func where(f appserver.Filter) (string, []any) {
	switch {
	case f.Tag != "":
		return " FROM tag JOIN subscription s ON s.seq = tag.seq WHERE tag.tag = ? AND tag.seq > ? AND tag.seq <= ?", []any{f.Tag}
	case f.User != "":
		return " FROM subscription s WHERE s.user = ? AND s.user <> '' AND s.seq > ? AND s.seq <= ?", []any{f.User}
	}
	return " FROM subscription s WHERE s.seq > ? AND s.seq <= ?", nil
}

func (s *store) List(ctx context.Context, f appserver.Filter, after, upTo int64, limit int) ([]appserver.Record, error) {
	if upTo == 0 {
		upTo = 1<<63 - 1
	}
	from, args := where(f)
	order := " ORDER BY s.seq LIMIT ?"
	if f.Tag != "" {
		order = " ORDER BY tag.seq LIMIT ?"
	}
	rows, err := s.query(ctx, "SELECT "+recordColumns+from+order, append(args, after, upTo, limit)...)
	return collect(rows, err, scanRecord)
}

func (s *store) Get(ctx context.Context, seqs []int64) ([]appserver.Record, error) {
	text, err := json.Marshal(seqs)
	if err != nil {
		return nil, err
	}
	rows, err := s.query(ctx, "SELECT "+recordColumns+" FROM subscription s WHERE s.seq IN (SELECT value FROM json_each(?)) ORDER BY s.seq", string(text))
	return collect(rows, err, scanRecord)
}

const jobColumns = "j.seq, j.id, j.state, j.message, j.to_user, j.to_tag, j.max_seq, j.total, j.due, j.problem, j.created, j.started, j.finished, j.retried, j.withdrawn, j.not_withdrawn, j.track, j.shown, j.clicked, j.closed"

func scanJob(rows *sql.Rows) (j appserver.Job, err error) {
	var message string
	var due, created, started, finished, retried int64
	err = rows.Scan(&j.Seq, &j.ID, &j.State, &message, &j.To.User, &j.To.Tag, &j.MaxSeq, &j.Total, &due, &j.Problem, &created, &started, &finished, &retried, &j.Withdrawn, &j.NotWithdrawn,
		&j.Track, &j.Reports.Shown, &j.Reports.Clicked, &j.Reports.Closed)
	if err == nil {
		err = json.Unmarshal([]byte(message), &j.Message)
	}
	j.Due, j.Created, j.Started, j.Finished = fromMillis(due), fromMillis(created), fromMillis(started), fromMillis(finished)
	j.Retried = fromMillis(retried)
	return j, err
}

// jobs returns the jobs that match a condition, with their counts.
func (s *store) jobs(ctx context.Context, condition string, args ...any) ([]appserver.Job, error) {
	rows, err := s.query(ctx, "SELECT "+jobColumns+" FROM job j WHERE "+condition, args...)
	list, err := collect(rows, err, scanJob)
	if err != nil {
		return nil, err
	}
	for i := range list {
		counts := make(appserver.Counts)
		rows, err := s.query(ctx, "SELECT service, class, n FROM job_count WHERE job = ? AND n > 0", list[i].Seq)
		_, err = collect(rows, err, func(rows *sql.Rows) (struct{}, error) {
			var service webpush.Service
			var class webpush.Class
			var n int64
			err := rows.Scan(&service, &class, &n)
			counts.Add(service, class, n)
			return struct{}{}, err
		})
		if err != nil {
			return nil, err
		}
		list[i].Counts = counts
		if list[i].Message.Cancelable {
			rows, err := s.query(ctx, "SELECT count(*) FROM location WHERE job = ? AND until > ?", list[i].Seq, millis(time.Now()))
			if list[i].Kept, err = one(rows, err, number); err != nil {
				return nil, err
			}
		}
	}
	return list, nil
}

func (s *store) CreateJob(ctx context.Context, j appserver.Job) (appserver.Job, error) {
	message, err := json.Marshal(j.Message)
	if err != nil {
		return j, err
	}
	once := j.Once
	j.Once = appserver.Once{}
	earlier := ""
	err = s.update(ctx, func(t tx) error {
		if earlier, err = t.earlier(ctx, once); err != nil || earlier != "" {
			return err
		}
		j.State, j.Created = appserver.Queued, time.Now().UTC().Truncate(time.Millisecond)
		if j.Due = j.Due.UTC().Truncate(time.Millisecond); j.Due.After(j.Created) {
			j.State = appserver.Scheduled
		} else {
			j.Due = time.Time{}
		}
		if j.MaxSeq, j.Total, err = t.recipients(ctx, j.To); err != nil {
			return err
		}
		j.Seq, err = t.insert("INSERT INTO job (id, state, message, to_user, to_tag, max_seq, total, created, due, track) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			j.ID, string(j.State), string(message), j.To.User, j.To.Tag, j.MaxSeq, j.Total, millis(j.Created), dueMillis(j.Due), j.Track)
		if err != nil || once.Key == "" {
			return err
		}
		return t.exec("INSERT OR REPLACE INTO idempotency VALUES (?, ?, ?, ?)", once.Key, once.Request, j.Seq, millis(time.Now().Add(once.For)))
	})
	if err == nil && earlier != "" {
		return s.FindJob(ctx, earlier)
	}
	j.Counts = appserver.Counts{}
	return j, err
}

// earlier returns the ID of the job that a request with the same key has
// created, or "".
func (t tx) earlier(ctx context.Context, once appserver.Once) (id string, err error) {
	if once.Key == "" {
		return "", nil
	}
	var request string
	rows, err := t.query(ctx, "SELECT i.request, j.id FROM idempotency i JOIN job j ON j.seq = i.job WHERE i.key = ? AND i.until > ?", once.Key, millis(time.Now()))
	_, err = one(rows, err, func(rows *sql.Rows) (struct{}, error) { return struct{}{}, rows.Scan(&request, &id) })
	switch {
	case errors.Is(err, appserver.ErrNotFound):
		return "", nil
	case err == nil && request != once.Request:
		return "", appserver.ErrOtherRequest
	}
	return id, err
}

// recipients returns the Seq of the last record and the number of records of a filter.
func (t tx) recipients(ctx context.Context, to appserver.Filter) (maxSeq, total int64, err error) {
	rows, err := t.query(ctx, "SELECT coalesce(max(seq), 0) FROM subscription")
	if maxSeq, err = one(rows, err, number); err != nil {
		return 0, 0, err
	}
	if to == (appserver.Filter{}) {
		rows, err = t.query(ctx, "SELECT coalesce(sum(n), 0) FROM service_count")
	} else {
		from, args := where(to)
		rows, err = t.query(ctx, "SELECT count(*)"+from, append(args, 0, maxSeq)...)
	}
	total, err = one(rows, err, number)
	return maxSeq, total, err
}

func dueMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return millis(t)
}

func (s *store) FindJob(ctx context.Context, id string) (appserver.Job, error) {
	list, err := s.jobs(ctx, "j.id = ?", id)
	if err == nil && len(list) == 0 {
		err = appserver.ErrNotFound
	}
	if err != nil {
		return appserver.Job{}, err
	}
	return list[0], nil
}

func (s *store) Jobs(ctx context.Context, before int64, limit int) ([]appserver.Job, error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	return s.jobs(ctx, "j.seq < ? ORDER BY j.seq DESC LIMIT ?", before, limit)
}

func (s *store) Unfinished(ctx context.Context, limit int) ([]appserver.Job, error) {
	return s.jobs(ctx, "j.state IN ('queued', 'running', 'scheduled') AND j.due <= ? ORDER BY j.seq LIMIT ?", millis(time.Now()), limit)
}

func (s *store) Scheduled(ctx context.Context, limit int) ([]appserver.Job, error) {
	return s.jobs(ctx, "j.state = 'scheduled' AND j.due > ? ORDER BY j.due, j.seq LIMIT ?", millis(time.Now()), limit)
}

func (s *store) Reschedule(ctx context.Context, id string, due time.Time) error {
	return s.update(ctx, func(t tx) error {
		seq, state, err := t.jobState(id)
		if err != nil {
			return err
		}
		if state != appserver.Scheduled {
			return appserver.ErrFinished
		}
		return t.exec("UPDATE job SET due = ? WHERE seq = ?", max(millis(due), millis(time.Now())), seq)
	})
}

// jobState returns a job's number and state.
func (t tx) jobState(id string) (seq int64, state appserver.State, err error) {
	rows, err := t.query(context.Background(), "SELECT seq, state FROM job WHERE id = ?", id)
	_, err = one(rows, err, func(rows *sql.Rows) (struct{}, error) { return struct{}{}, rows.Scan(&seq, &state) })
	return seq, state, err
}

// outcome records the outcome of one message. again reports that the record has changed
// and is sent to again, gone that it was removed.
func (t tx) outcome(job int64, o appserver.Outcome) (again, gone bool, err error) {
	r := o.Record
	if o.Class == webpush.ClassGone {
		removed, kept, err := t.gone(r, o.GoneAfter)
		if err != nil || kept {
			return false, false, err
		}
		n := int64(0)
		if removed {
			n = 1
		} else {
			n, err = t.affected(`INSERT INTO job_again SELECT ?1, seq, 1 FROM subscription WHERE seq = ?2
				ON CONFLICT (job, seq) DO UPDATE SET tries = tries + 1 WHERE tries < ?3`, job, r.Seq, appserver.MaxTries)
			if err != nil || n > 0 {
				return err == nil, false, err
			}
		}
		gone = n > 0
	} else {
		if o.Status != r.LastStatus && o.Class != webpush.ClassExpired {
			if err := t.exec("UPDATE subscription SET last_status = ? WHERE seq = ? AND version = ?", o.Status, r.Seq, r.Version); err != nil {
				return false, false, err
			}
		}
		if o.Class == webpush.ClassDelivered && !r.GoneSince.IsZero() {
			if err := t.exec("UPDATE subscription SET gone_since = 0 WHERE seq = ? AND version = ?", r.Seq, r.Version); err != nil {
				return false, false, err
			}
		}
		if o.Key != "" {
			if err := t.exec("UPDATE subscription SET public_key = ? WHERE seq = ? AND version = ?", o.Key, r.Seq, r.Version); err != nil {
				return false, false, err
			}
		}
		if o.Class != webpush.ClassDelivered {
			if err := t.exec("INSERT OR REPLACE INTO job_failure VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", job, r.Seq, r.ID, string(r.Service), r.Origin,
				string(o.Class), o.Status, o.Problem, o.Hint, o.Attempts, millis(time.Now())); err != nil {
				return false, false, err
			}
		}
	}
	return false, gone, nil
}

// gone removes a record, or keeps it until it has been gone for long enough. If the
// record has changed, gone does neither.
func (t tx) gone(r appserver.Record, after time.Duration) (removed, kept bool, err error) {
	now := millis(time.Now())
	n, err := t.affected("DELETE FROM subscription WHERE seq = ? AND version = ? AND (? OR gone_since > 0 AND gone_since <= ?)", r.Seq, r.Version, after <= 0, now-after.Milliseconds())
	if err != nil || n > 0 {
		return n > 0, false, err
	}
	n, err = t.affected("UPDATE subscription SET gone_since = CASE gone_since WHEN 0 THEN ? ELSE gone_since END WHERE seq = ? AND version = ?", now, r.Seq, r.Version)
	return false, n > 0, err
}

func (s *store) Gone(ctx context.Context, r appserver.Record, after time.Duration) (removed bool, err error) {
	err = s.update(ctx, func(t tx) error {
		removed, _, err = t.gone(r, after)
		return err
	})
	return removed, err
}

func (s *store) Again(ctx context.Context, id string, after int64, limit int) ([]appserver.Record, error) {
	rows, err := s.query(ctx, "SELECT "+recordColumns+` FROM job_again a JOIN subscription s ON s.seq = a.seq
		WHERE a.job = (SELECT seq FROM job WHERE id = ?) AND a.seq > ? ORDER BY a.seq LIMIT ?`, id, after, limit)
	return collect(rows, err, scanRecord)
}

// retriable is the condition for failures that a retry sends again.
const retriable = "class IN ('temporary', 'expired')"

func (s *store) Retry(ctx context.Context, id string) (n int64, err error) {
	err = s.update(ctx, func(t tx) error {
		job, state, err := t.jobState(id)
		if err != nil {
			return err
		}
		if state != appserver.Done && state != appserver.Failed {
			return appserver.ErrFinished
		}
		n, err = t.affected("INSERT OR IGNORE INTO job_again SELECT job, seq, 1 FROM job_failure WHERE job = ? AND "+retriable, job)
		if err != nil || n == 0 && state == appserver.Done {
			return err
		}
		return errors.Join(
			t.exec("DELETE FROM job_failure WHERE job = ? AND "+retriable, job),
			t.exec("DELETE FROM job_count WHERE job = ? AND "+retriable, job),
			t.exec("UPDATE job SET state = 'queued', problem = '', finished = 0, retried = ? WHERE seq = ?", millis(time.Now()), job),
			t.exec("UPDATE job_part SET until = 0 WHERE job = ?", job))
	})
	return n, err
}

func (s *store) Failures(ctx context.Context, id string, class webpush.Class, after int64, limit int) ([]appserver.Failure, error) {
	rows, err := s.query(ctx, `SELECT seq, id, service, origin, class, status, problem, hint, attempts, time FROM job_failure
		WHERE job = (SELECT seq FROM job WHERE id = ?1) AND (?2 = '' OR class = ?2) AND seq > ?3 ORDER BY seq LIMIT ?4`, id, string(class), after, limit)
	return collect(rows, err, func(rows *sql.Rows) (f appserver.Failure, err error) {
		var at int64
		err = rows.Scan(&f.Seq, &f.ID, &f.Service, &f.Origin, &f.Class, &f.Status, &f.Problem, &f.Hint, &f.Attempts, &at)
		f.Time = fromMillis(at)
		return f, err
	})
}

func (s *store) Prune(ctx context.Context, before time.Time) error {
	const old = "finished > 0 AND finished < ? AND state NOT IN ('queued', 'running', 'scheduled')"
	// A job may have a million failures, and other changes must not wait for long.
	for n := int64(1); n > 0; {
		if err := s.update(ctx, func(t tx) (err error) {
			n, err = t.affected("DELETE FROM job_failure WHERE (job, seq) IN (SELECT job, seq FROM job_failure WHERE job IN (SELECT seq FROM job WHERE "+old+") LIMIT 1000)", millis(before))
			return err
		}); err != nil {
			return err
		}
	}
	return s.update(ctx, func(t tx) error {
		return errors.Join(
			t.exec("DELETE FROM job WHERE "+old, millis(before)),
			t.exec("DELETE FROM location WHERE until <= ?", millis(time.Now())),
			t.exec("DELETE FROM idempotency WHERE until <= ?", millis(time.Now())))
	})
}

func (s *store) Probe(ctx context.Context) error {
	return s.update(ctx, func(t tx) error {
		return t.exec("INSERT INTO probe VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET time = ?1", millis(time.Now()))
	})
}

func (s *store) Close() error {
	s.once.Do(func() {
		close(s.closed)
		<-s.done
		s.err = s.release()
	})
	return s.err
}

// release closes everything that is open.
func (s *store) release() error {
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.conn != nil {
		for _, st := range s.stmts {
			_ = st.Close()
		}
		errs = append(errs, s.conn.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	if s.held != nil { // last, because closing it releases SQLite's locks
		errs = append(errs, s.held.Close())
	}
	return errors.Join(errs...)
}
