package pushservice

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// schema holds what makes version N of the database out of version N-1, as
// N.sql.
//
//go:embed schema/*.sql
var schema embed.FS

const (
	schemaVersion = 1
	// applicationID is in the header of the database, so that no other program's
	// is taken for one of this package.
	applicationID = 0x77707368
	// dataFile is the database's name in its folder.
	dataFile = "push-service.db"
	// sweepInterval is how often messages are removed whose TTL has ended.
	sweepInterval = time.Minute
)

// DataError is why the data of a service cannot be read or used.
type DataError struct {
	// Path is that of the file or folder.
	Path string
	// Err is what is wrong.
	Err  error
	hint string
}

// Error tells the path and what is wrong.
func (e *DataError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *DataError) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *DataError) Hint() string { return e.hint }

// journal writes the changes of a store to a SQLite database, in the order in
// which they happened. A goroutine does it: all that has gathered while it wrote
// is the next transaction. The store's lock protects the queue.
//
// The database is written ahead of a log that is synchronised with the disk from
// time to time only: what is written is safe when the process is killed, but the
// last of it may be lost when the machine's power is.
type journal struct {
	store  *store
	path   string
	db     *sql.DB
	conn   *sql.Conn
	ready  map[string]*sql.Stmt
	logger *slog.Logger

	queue  []*entry
	last   *entry
	closed bool
	wake   chan struct{}
	ended  chan struct{}
	err    error // set before ended is closed
}

// entry is a change of the store.
type entry struct {
	write func(*journal) error
	// apply makes the change, with the store's lock held, after it is written.
	// It is nil for a change that was made already: that is tried again until it
	// is written.
	apply func() error
	err   error
	done  chan struct{} // closed after err is set
	tried bool
}

// first has the journal, if there is one, write a change before apply makes it.
// The store's lock is held, but not meanwhile.
func (st *store) first(write func(*journal) error, apply func() error) error {
	if st.journal == nil {
		return apply()
	}
	e := st.journal.add(write, apply)
	st.mu.Unlock()
	<-e.done
	st.mu.Lock()
	return e.err
}

// note has the journal, if there is one, write a change that was made. The
// store's lock is held.
func (st *store) note(write func(*journal) error) {
	if st.journal != nil {
		st.journal.add(write, nil)
	}
}

// settle waits until what was noted is written, and says why it is not. The
// store's lock is held, but not meanwhile.
func (st *store) settle() error {
	if st.journal == nil || st.journal.last == nil {
		return nil
	}
	e := st.journal.last
	st.mu.Unlock()
	<-e.done
	st.mu.Lock()
	return e.err
}

func (j *journal) add(write func(*journal) error, apply func() error) *entry {
	e := &entry{write: write, apply: apply, done: make(chan struct{})}
	if j.closed {
		e.finish(notStored(errors.New("the push service stops")))
		return e
	}
	j.queue = append(j.queue, e)
	if apply == nil {
		j.last = e
	}
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return e
}

// finish tells who waits, once.
func (e *entry) finish(err error) {
	if !e.tried {
		e.tried = true
		e.err = err
		close(e.done)
	}
}

// notStored is the answer when the database cannot be written, with autopush's
// number for that.
func notStored(err error) *Error {
	e := refuse(http.StatusServiceUnavailable, errnoStorage, "Storage failed", "%v", err)
	e.header = map[string]string{"Retry-After": "120"}
	return e
}

// run writes until the journal is closed and nothing is left to write.
func (j *journal) run() {
	defer close(j.ended)
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	var failed []*entry // that are tried again
	for closed := false; !closed; {
		select {
		case <-j.wake:
		case <-sweep.C:
			j.store.list() // which removes what has expired
		}
		j.store.mu.Lock()
		batch := append(failed, j.queue...)
		j.queue = nil
		closed = j.closed
		j.store.mu.Unlock()
		failed = j.write(batch)
	}
	if len(failed) > 0 {
		j.err = &DataError{Path: j.path, Err: errors.New("not all that happened could be written"), hint: "messages that were acknowledged may come again"}
	}
	for _, s := range j.ready {
		j.err = errors.Join(j.err, s.Close())
	}
	j.err = errors.Join(j.err, j.conn.Close(), j.db.Close())
}

// write writes entries, and returns those to be tried again.
func (j *journal) write(batch []*entry) (failed []*entry) {
	if len(batch) == 0 {
		return nil
	}
	errs := make([]error, len(batch))
	if err := j.transact(batch); err != nil {
		// One by one, so that each fails for itself only.
		for i := range batch {
			errs[i] = j.transact(batch[i : i+1])
		}
	}
	j.store.mu.Lock()
	defer j.store.mu.Unlock()
	for i, e := range batch {
		err := errs[i]
		if err != nil {
			if e.apply == nil {
				failed = append(failed, e)
				if !e.tried {
					j.logger.Warn("storing failed", "reason", err.Error(), "again", "with the next change")
				}
			}
			err = notStored(err)
		} else if e.apply != nil {
			err = e.apply()
		}
		e.finish(err)
	}
	return failed
}

// transact writes all of the entries or nothing.
func (j *journal) transact(batch []*entry) error {
	err := j.exec("BEGIN IMMEDIATE")
	for _, e := range batch {
		if err == nil {
			err = e.write(j)
		}
	}
	if err == nil {
		err = j.exec("COMMIT")
	}
	if err != nil {
		// The error is that SQLite has done so already.
		_ = j.exec("ROLLBACK")
	}
	return err
}

// exec runs a statement, which is prepared once.
func (j *journal) exec(query string, args ...any) error {
	s := j.ready[query]
	if s == nil {
		var err error
		if s, err = j.conn.PrepareContext(context.Background(), query); err != nil {
			return err
		}
		j.ready[query] = s
	}
	_, err := s.Exec(args...)
	return err
}

// close writes what is left. Later changes are refused.
func (j *journal) close() error {
	j.store.mu.Lock()
	j.closed = true
	select {
	case j.wake <- struct{}{}:
	default:
	}
	j.store.mu.Unlock()
	<-j.ended
	return j.err
}

// openJournal reads the database in the folder into the store, which is empty,
// and writes to it from then on. All errors are of type [*DataError].
func openJournal(st *store, dir string, logger *slog.Logger) (err error) {
	path := filepath.Join(dir, dataFile)
	defer func() {
		if err != nil {
			err = dataError(path, err)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// Made here, as SQLite would let others read it; its log gets the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if info, e := f.Stat(); e == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		err = f.Chmod(0o600)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if absolute = filepath.ToSlash(absolute); !strings.HasPrefix(absolute, "/") {
		absolute = "/" + absolute // a drive's letter
	}
	name := url.URL{Scheme: "file", Path: absolute}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return err
	}
	j := &journal{store: st, path: path, db: db, ready: make(map[string]*sql.Stmt), logger: logger, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	defer func() {
		if err != nil {
			_ = db.Close()
		}
	}()
	if j.conn, err = db.Conn(context.Background()); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = j.conn.Close()
		}
	}()
	// Nobody else may have it open: the lock is given up when the process ends,
	// however that happens. It is asked for first, so that SQLite needs no memory
	// to share with others, which is a file.
	for _, pragma := range []string{"locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL", "journal_size_limit = 4194304"} {
		if _, err := j.conn.ExecContext(context.Background(), "PRAGMA "+pragma); err != nil {
			return err
		}
	}
	if err := j.migrate(); err != nil {
		return err
	}
	if err := j.load(); err != nil {
		return err
	}
	st.journal = j
	go j.run()
	return nil
}

// migrate brings the schema up to date.
func (j *journal) migrate() error {
	// This takes the lock.
	if err := j.exec("BEGIN EXCLUSIVE"); err != nil {
		return err
	}
	number := func(query string) (n int, err error) {
		err = j.conn.QueryRowContext(context.Background(), query).Scan(&n)
		return n, err
	}
	var tables, id, version int
	var err error
	for query, to := range map[string]*int{"SELECT count(*) FROM sqlite_schema": &tables, "PRAGMA application_id": &id, "PRAGMA user_version": &version} {
		if *to, err = number(query); err != nil {
			return err
		}
	}
	switch {
	case tables > 0 && id != applicationID:
		return &DataError{Err: errors.New("it is the database of another program"), hint: "name another folder"}
	case version > schemaVersion:
		return &DataError{Err: fmt.Errorf("it was written by a newer version: its schema is %d, this one knows %d", version, schemaVersion),
			hint: "use the newer version, or name another folder"}
	}
	var damage string
	if err := j.conn.QueryRowContext(context.Background(), "PRAGMA quick_check(1)").Scan(&damage); err != nil {
		return err
	} else if damage != "ok" {
		return damaged(errors.New(damage))
	}
	run := func(query string) error {
		_, err := j.conn.ExecContext(context.Background(), query)
		return err
	}
	if version == schemaVersion {
		return j.exec("COMMIT") // nothing is written, for which there may be no room
	}
	for ; version < schemaVersion; version++ {
		text, err := schema.ReadFile(fmt.Sprintf("schema/%d.sql", version+1))
		if err == nil {
			err = run(string(text))
		}
		if err != nil {
			return err
		}
	}
	if err := run(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schemaVersion)); err != nil {
		return err
	}
	return j.exec("COMMIT")
}

func damaged(err error) *DataError {
	return &DataError{Err: fmt.Errorf("it is damaged: %w", err), hint: "move it away to begin anew; subscriptions and messages in it are lost"}
}

// dataError says what an error of the file system or SQLite means.
func dataError(path string, err error) error {
	var (
		e      *DataError
		cause  *sqlite.Error
		inFile *fs.PathError
	)
	switch {
	case errors.As(err, &e):
	case errors.As(err, &inFile):
		return &DataError{Path: inFile.Path, Err: inFile.Err, hint: "name a folder that you may write to"}
	case errors.As(err, &cause):
		switch cause.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			e = &DataError{Err: errors.New("another push service uses it"), hint: "stop that one, or name another folder"}
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			e = damaged(err)
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
			e = &DataError{Err: err, hint: "is there room on the disk, and is the disk in order?"}
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			e = &DataError{Err: err, hint: "name a folder that you may write to"}
		}
	}
	if e == nil {
		e = &DataError{Err: err}
	}
	if e.Path == "" {
		e.Path = path
	}
	return e
}
