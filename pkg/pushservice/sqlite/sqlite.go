// Package sqlite keeps the data of a push service in a SQLite database.
//
//	storage, err := sqlite.Open("push-data")
//	service, err := pushservice.Open(storage, pushservice.Options{})
//
// It is a separate package, so programs and tests with a push service in memory do
// not link a database.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/seed81da77dd/webpush/pkg/internal/diskfull"
	"github.com/seed81da77dd/webpush/pkg/internal/filelock"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// schema holds the statements that upgrade the database from version N-1 to N, in
// N.sql.
//
//go:embed schema/*.sql
var schema embed.FS

const (
	schemaVersion = 1
	// applicationID is in the header of the database and identifies databases of
	// this package.
	applicationID = 0x77707368
	// dataFile is the name of the database in its directory.
	dataFile = "push-service.db"
)

// Error reports why the database cannot be opened, read, or written.
type Error struct {
	// Path is the path of the file or directory.
	Path string
	// Problem describes the problem.
	Problem string
	// Err is the error of the file system or of SQLite if it was the cause, or
	// nil.
	Err error

	hint string
}

// Error returns the path and the problem.
func (e *Error) Error() string { return e.Path + ": " + e.Problem }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the next step to take, or "".
func (e *Error) Hint() string { return e.hint }

// Storage is a [pushservice.Storage] in a SQLite database.
//
// Changes are first written to a log, which is synchronized with the disk only from
// time to time: committed changes survive if the process is killed, but the latest
// can be lost if the machine loses power.
type Storage struct {
	path  string
	db    *sql.DB
	conn  *sql.Conn
	mu    sync.Mutex // guards the connection
	ready map[string]*sql.Stmt
}

// Commit stores changes, as [pushservice.Storage] describes.
func (s *Storage) Commit(changes []pushservice.Change) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.exec("BEGIN IMMEDIATE")
	for _, c := range changes {
		if err == nil {
			err = s.write(c)
		}
	}
	if err == nil {
		err = s.exec("COMMIT")
	}
	if err != nil {
		// This fails if SQLite has already rolled back.
		_ = s.exec("ROLLBACK")
	}
	var cause *sqlite.Error
	if errors.As(err, &cause) && cause.Code()&0xff == sqlite3.SQLITE_FULL {
		return diskfull.Error
	}
	return err
}

// Close closes the database.
func (s *Storage) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for _, statement := range s.ready {
		err = errors.Join(err, statement.Close())
	}
	return errors.Join(err, s.conn.Close(), s.db.Close())
}

// exec runs a statement. It prepares each statement only once.
func (s *Storage) exec(query string, args ...any) error {
	statement := s.ready[query]
	if statement == nil {
		var err error
		if statement, err = s.conn.PrepareContext(context.Background(), query); err != nil {
			return err
		}
		s.ready[query] = statement
	}
	_, err := statement.Exec(args...)
	return err
}

// Open opens the database in the directory dir, and creates both if necessary.
// Only one Storage at a time can have the directory; its files are readable only
// by their owner. All errors are of type [*Error].
func Open(dir string) (_ *Storage, err error) {
	path := filepath.Join(dir, dataFile)
	defer func() {
		if err != nil {
			err = explain(path, err)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// Created here because SQLite would let other users read it; the log gets the
	// same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if info, e := f.Stat(); e == nil && info.Mode().IsRegular() {
		if info.Mode().Perm()&0o077 != 0 {
			err = f.Chmod(0o600)
		}
		if several := filelock.OneName(info); several != nil && err == nil {
			err = &Error{Problem: several.Error(), hint: "remove the other names, or use another directory"}
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if absolute = filepath.ToSlash(absolute); !strings.HasPrefix(absolute, "/") {
		absolute = "/" + absolute // a drive's letter
	}
	name := url.URL{Scheme: "file", Path: absolute}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, err
	}
	s := &Storage{path: path, db: db, ready: make(map[string]*sql.Stmt)}
	defer func() {
		if err != nil {
			_ = db.Close()
		}
	}()
	if s.conn, err = db.Conn(context.Background()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.conn.Close()
		}
	}()
	// Only one process can have the database open: the lock is released when the
	// process exits, even if it is killed. The lock comes first, so SQLite does not
	// need a file for memory that processes share.
	for _, pragma := range []string{"locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL", "journal_size_limit = 4194304"} {
		if _, err := s.conn.ExecContext(context.Background(), "PRAGMA "+pragma); err != nil {
			return nil, err
		}
	}
	if err := s.migrate(); err != nil {
		return nil, err
	}
	return s, nil
}

// migrate brings the schema up to date.
func (s *Storage) migrate() error {
	// This acquires the lock.
	if err := s.exec("BEGIN EXCLUSIVE"); err != nil {
		return err
	}
	number := func(query string) (n int, err error) {
		err = s.conn.QueryRowContext(context.Background(), query).Scan(&n)
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
		return &Error{Problem: "it is the database of another program", hint: "use another directory"}
	case version > schemaVersion:
		return &Error{Problem: fmt.Sprintf("it was written by a newer version: its schema is %d, but this version supports %d", version, schemaVersion),
			hint: "use the newer version, or use another directory"}
	}
	var damage string
	if err := s.conn.QueryRowContext(context.Background(), "PRAGMA quick_check(1)").Scan(&damage); err != nil {
		return err
	} else if damage != "ok" {
		return damaged(errors.New(damage))
	}
	run := func(query string) error {
		_, err := s.conn.ExecContext(context.Background(), query)
		return err
	}
	if version == schemaVersion {
		return s.exec("COMMIT") // writes nothing, since the disk may be full
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
	return s.exec("COMMIT")
}

func damaged(err error) *Error {
	return &Error{Problem: "it is damaged: " + err.Error(), Err: err, hint: "move it away to start with an empty one; its subscriptions and messages are lost"}
}

// explain converts an error of the file system or of SQLite.
func explain(path string, err error) error {
	var (
		e      *Error
		cause  *sqlite.Error
		inFile *fs.PathError
	)
	switch {
	case errors.As(err, &e):
	case errors.As(err, &inFile):
		return &Error{Path: inFile.Path, Problem: inFile.Err.Error(), Err: inFile.Err, hint: "use a directory that you can write to"}
	case errors.As(err, &cause):
		switch cause.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			e = &Error{Problem: "another push service uses it", hint: "stop that one, or use another directory"}
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			e = damaged(err)
		case sqlite3.SQLITE_FULL:
			e = &Error{Err: diskfull.Error, hint: "make room, or use a directory on another disk"}
		case sqlite3.SQLITE_IOERR:
			e = &Error{Err: err, hint: "check that the disk has free space and is not defective"}
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			e = &Error{Err: err, hint: "use a directory that you can write to"}
		}
	}
	if e == nil {
		e = &Error{Err: err}
	}
	if e.Problem == "" {
		e.Problem = e.Err.Error()
	}
	if e.Path == "" {
		e.Path = path
	}
	return e
}
