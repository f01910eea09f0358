//go:build e2e

package appserver_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// program is the built binary and a directory with a key pair in which it runs.
type program struct {
	t   *testing.T
	bin string
	dir string
}

func buildProgram(t *testing.T) *program {
	t.Helper()
	p := &program{t: t, dir: t.TempDir()}
	p.bin = filepath.Join(p.dir, "webpush")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.bin, "../..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p.run("gen")
	return p
}

func (p *program) command(args ...string) *exec.Cmd {
	c := exec.CommandContext(p.t.Context(), p.bin, args...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+p.dir, "HOME="+p.dir)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 30 * time.Second
	return c
}

// run runs a command until it exits.
func (p *program) run(args ...string) string {
	p.t.Helper()
	out, err := p.command(args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("webpush %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// service is a command that runs until it is stopped.
type service struct {
	t    *testing.T
	c    *exec.Cmd
	URL  string // the first line that it printed
	log  *outputBuffer
	done chan struct{}
	err  error
}

type outputBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *outputBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *outputBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start starts a command and waits for its first line.
func (p *program) start(args ...string) *service {
	p.t.Helper()
	s := &service{t: p.t, c: p.command(args...), log: new(outputBuffer), done: make(chan struct{})}
	s.c.Stderr = s.log
	out, err := s.c.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := s.c.Start(); err != nil {
		p.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		p.t.Fatalf("webpush %v printed no line: %v\n%s", args, err, s.log)
	}
	s.URL = strings.TrimSuffix(strings.TrimSpace(line), "/")
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		s.err = s.c.Wait()
		close(s.done)
	}()
	p.t.Cleanup(func() { _ = s.stop() })
	return s
}

// stop interrupts the command and waits until it exits.
func (s *service) stop() error {
	_ = s.c.Process.Signal(os.Interrupt)
	return s.wait()
}

func (s *service) wait() error {
	select {
	case <-s.done:
		return s.err
	case <-time.After(60 * time.Second):
		_ = s.c.Process.Kill()
		return fmt.Errorf("%v does not end:\n%s", s.c.Args, s.log)
	}
}

// address returns the host and port of the service.
func (s *service) address() string { return s.URL[strings.Index(s.URL, "://")+3:] }

// site is a running webpush serve with its administrator's token.
type site struct {
	*service
	token string
}

// serve starts webpush serve, which keeps its data in the subdirectory data.
func (p *program) serve(listen string, args ...string) *site {
	p.t.Helper()
	s := p.start(append([]string{"serve", "--listen", listen, "--data", "data", "--subject", "mailto:ops@example.com", "--allow-private"}, args...)...)
	b, err := os.ReadFile(filepath.Join(p.dir, "data", "admin-token"))
	if err != nil {
		p.t.Fatal(err)
	}
	return &site{s, strings.TrimSpace(string(b))}
}

// ask makes a request as the administrator and reads the response into v.
func (s *site) ask(method, path, body string, v any) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode/100 != 2 {
		s.t.Fatalf("%s %s: %s, %v: %s", method, path, answer.Status, err, b)
	}
	if v != nil {
		if err := json.Unmarshal(b, v); err != nil {
			s.t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
}

// subscriptions returns the endpoints in the store.
func (s *site) subscriptions() (endpoints []string) {
	s.t.Helper()
	var list struct {
		Subscriptions []struct{ Endpoint string }
	}
	s.ask("GET", "/subscriptions?endpoints=true", "", &list)
	for _, e := range list.Subscriptions {
		endpoints = append(endpoints, e.Endpoint)
	}
	return endpoints
}

// push sends to all subscriptions, waits until the push is done, and returns the counts.
func (s *site) push(body string) map[string]int {
	s.t.Helper()
	var job struct {
		ID, State string
		Counts    map[string]int
	}
	s.ask("POST", "/push", body, &job)
	// The stream of events ends with the job.
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/push/"+job.ID+"/events", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err != nil {
		s.t.Fatal(err)
	}
	s.ask("GET", "/push/"+job.ID, "", &job)
	if job.State != "done" {
		s.t.Fatalf("the push is %s", job.State)
	}
	return job.Counts
}
