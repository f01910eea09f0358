// Package sqlite keeps the subscriptions and jobs of an application server in a
// file, for one process at a time.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver

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
	appserver.Transactions

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

// checkKind returns an error for a file that is neither a database nor empty.
func checkKind(path string) error {
	const magic = "SQLite format 3\x00"
	f, err := os.Open(path)
	if err != nil {
		return nil // reported when it is opened for writing
	}
	defer f.Close()
	b := make([]byte, len(magic))
	n, err := io.ReadFull(f, b)
	if err == io.EOF || string(b[:n]) == magic[:n] || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return webpush.WithHint(errors.New("it is not an SQLite database"), "name another file; one that does not exist is created")
}

func open(name string) (_ *store, err error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	s := &store{opened: time.Now(), work: make(chan *change, maxGroup), closed: make(chan struct{}), done: make(chan struct{}),
		reads: make(map[string]*sql.Stmt), stmts: make(map[string]*sql.Stmt)}
	s.Transactions = func(ctx context.Context, do func(appserver.Transaction) error) error {
		return s.update(ctx, func(t tx) error { return do(t) })
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if err := checkKind(path); err != nil { // before a file is created next to it
		return nil, err
	}
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

// Announce returns the key of this process, because no other one can use the file.
func (s *store) Announce(_ context.Context, key string, _ time.Duration) ([]string, error) {
	return []string{key}, nil
}

func (s *store) Size(ctx context.Context) (int64, error) {
	rows, err := s.query(ctx, "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
	return one(rows, err, number)
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
