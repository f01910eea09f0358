//go:build e2e && unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is a PostgreSQL server with its own cluster, reached through a
// Unix socket.
type Server struct {
	dir, bin string
	user     *syscall.SysProcAttr
	cmd      *exec.Cmd
}

// bin returns the directory of PostgreSQL's programs in the PATH, or else the directory of
// the newest version that Debian's packages installed, or "".
func bin() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path)
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // not with a client alone
	return newest(found)
}

// Start makes a cluster and starts a server. Without PostgreSQL on this machine
// it skips the test, loudly.
func Start(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{bin: bin()}
	if s.bin == "" {
		fmt.Fprintln(os.Stderr, "PostgreSQL IS NOT TESTED: it is not installed (Debian: apt-get install postgresql)")
		tb.Skip("PostgreSQL is not installed")
	}
	var err error
	if s.dir, err = os.MkdirTemp("", "pg"); err != nil { // short, because socket names have a limit
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(s.dir) })
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		if err != nil {
			tb.Fatal(err)
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(os.Chmod(s.dir, 0o755), os.Chown(s.dir, int(uid), int(gid))); err != nil {
			tb.Fatal(err)
		}
		s.user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	c := exec.Command(filepath.Join(s.bin, "initdb"), "-D", s.dir+"/data", "-U", "webpush", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	c.SysProcAttr, c.Dir = s.user, s.dir
	if out, err := c.CombinedOutput(); err != nil {
		tb.Fatalf("initdb: %v\n%s", err, out)
	}
	s.Up(tb)
	tb.Cleanup(s.Down)
	return s
}

// URL is the address of the database.
func (s *Server) URL() string { return "postgres:///postgres?user=webpush&host=" + s.dir }

// Up starts the server.
func (s *Server) Up(tb testing.TB) {
	tb.Helper()
	c := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.dir+"/data", "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=60")
	c.SysProcAttr, c.Dir = s.user, s.dir
	log, err := os.Create(s.dir + "/log")
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	c.Stderr = log
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	s.cmd = c
	for range 300 {
		if b, _ := os.ReadFile(log.Name()); strings.Contains(string(b), "ready to accept connections") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.Down()
	b, _ := os.ReadFile(log.Name())
	tb.Fatalf("PostgreSQL does not start:\n%s", b)
}

// Down stops the server: it closes connections and keeps committed data.
func (s *Server) Down() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGINT) // fast shutdown
	_ = s.cmd.Wait()
	s.cmd = nil
}
