package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// served is a webpush serve that runs in a process of its own.
type served struct {
	url, token string
	process    *exec.Cmd
	log        *buffer
}

// startServe runs webpush serve in a folder until it says where it listens.
func startServe(dir string, env []string, args ...string) (*served, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &served{log: new(buffer)}
	// By this name the test binary is the command; see TestMain.
	s.process = &exec.Cmd{Path: self, Dir: dir, Env: env, Stderr: s.log,
		Args: append([]string{"webpush", "serve", "--listen", "127.0.0.1:0", "--subject", "mailto:ops@example.com"}, args...)}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		_ = s.process.Wait()
		return nil, fmt.Errorf("serve said nothing: %s", s.log)
	}
	// A name, which this machine may have no resolver for.
	s.url = strings.Replace(lines.Text(), "localhost", "127.0.0.1", 1)
	token, err := os.ReadFile(filepath.Join(dir, "webpush-data", "admin-token"))
	s.token = strings.TrimSpace(string(token))
	return s, err
}

// ask makes a request with the token.
func (s *served) ask(ctx context.Context, method, path, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	return (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
}

// watch reads a push's events to their end and returns the last state.
func (s *served) watch(ctx context.Context, id string) (last map[string]any, err error) {
	answer, err := s.ask(ctx, "GET", "/push/"+id+"/events", "")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			last = nil
			if err := json.Unmarshal([]byte(data), &last); err != nil {
				return nil, err
			}
		}
	}
	return last, nil
}

// scriptServe is serve [ARG…]: starts webpush serve, and sets SERVE to its URL. Its log
// goes to the file serve.log when stop-serve ends it.
func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	env := append(os.Environ(), "HOME="+ts.Getenv("HOME"), "XDG_CONFIG_HOME="+ts.Getenv("XDG_CONFIG_HOME"))
	s, err := startServe(ts.MkAbs("."), env, args...)
	ts.Check(err)
	ts.Setenv("SERVE", s.url)
	ts.Setenv("TOKEN", s.token)
	scriptReceivers(ts).serve = s
	ts.Defer(func() {
		_ = s.process.Process.Kill() // when the script failed
		_ = s.process.Wait()
	})
}

// scriptStopServe is stop-serve: interrupts it and asserts that it ends well.
func scriptStopServe(ts *testscript.TestScript, neg bool, args []string) {
	s := scriptReceivers(ts).serve
	ts.Check(s.process.Process.Signal(os.Interrupt))
	err := s.process.Wait()
	ts.Check(os.WriteFile(ts.MkAbs("serve.log"), []byte(s.log.String()), 0o600))
	if err != nil {
		ts.Fatalf("serve: %v\n%s", err, s.log)
	}
}

// scriptAPI is api STATUS METHOD PATH [JSON|FILE]: makes a request with the token and
// writes the answer to the file answer. $ID in the path is that of the last
// answer that had one.
func scriptAPI(ts *testscript.TestScript, neg bool, args []string) {
	body := ""
	if len(args) > 3 {
		if body = args[3]; !strings.HasPrefix(body, "{") {
			body = ts.ReadFile(body)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	answer, err := scriptReceivers(ts).serve.ask(ctx, args[1], args[2], body)
	ts.Check(err)
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Logf("%s\n%s", answer.Status, b)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), b, 0o600))
	if fmt.Sprint(answer.StatusCode) != args[0] {
		ts.Fatalf("%s %s: %s, want %s", args[1], args[2], answer.Status, args[0])
	}
	var v struct{ ID string }
	if json.Unmarshal(b, &v) == nil && v.ID != "" {
		ts.Setenv("ID", v.ID)
	}
}

// TestServeKilled kills the server twice in the middle of a push: nobody is
// skipped, and at most what was in flight is sent twice.
func TestServeKilled(t *testing.T) {
	const (
		all         = 10_000
		concurrency = 40
	)
	t.Parallel()
	dir := t.TempDir()
	if out, err := commandIn(dir, "gen").CombinedOutput(); err != nil {
		t.Fatalf("gen: %v\n%s", err, out)
	}

	var (
		mu     sync.Mutex
		counts = make(map[string]int)
		total  int
		kill   = func(int) {}
	)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		counts[r.URL.Path]++
		total++
		kill(total)
		mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "50") { // every hundredth has ended
			w.WriteHeader(http.StatusGone)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer sink.Close()

	if err := os.Mkdir(filepath.Join(dir, "webpush-data"), 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(filepath.Join(dir, "webpush-data", "webpush.db"))
	if err != nil {
		t.Fatal(err)
	}
	var fill sync.WaitGroup
	for part := range 50 {
		fill.Go(func() {
			for i := part; i < all; i += 50 {
				if _, _, err := store.Put(t.Context(), appserver.Record{Endpoint: fmt.Sprintf("%s/%d", sink.URL, i), Service: webpush.Other, Origin: sink.URL,
					P256DH: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", Auth: "BTBZMqHH6r4Tts7J_aSIgg"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	fill.Wait()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	id := ""
	for _, at := range []int{2500, 6000, 0} {
		s, err := startServe(dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir), "--allow-private", "--concurrency", fmt.Sprint(concurrency))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.process.Process.Kill() })
		mu.Lock()
		kill = func(n int) {
			if n == at {
				_ = s.process.Process.Kill() // SIGKILL
			}
		}
		mu.Unlock()
		if id == "" {
			answer, err := s.ask(t.Context(), "POST", "/push", `{"payload":"hi"}`)
			if err != nil {
				t.Fatal(err)
			}
			var v struct{ ID string }
			err = json.NewDecoder(answer.Body).Decode(&v)
			answer.Body.Close()
			if err != nil || v.ID == "" {
				t.Fatalf("%s: %v", answer.Status, err)
			}
			id = v.ID
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		last, err := s.watch(ctx, id)
		cancel()
		if at > 0 {
			if err := s.process.Wait(); err == nil {
				t.Fatalf("it was not killed: %v", last)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		sum, _ := last["counts"].(map[string]any)
		if last["state"] != "done" || sum["delivered"] != float64(all-all/100) || sum["gone"] != float64(all/100) {
			t.Errorf("it ended as %v\n%s", last, s.log)
		}
		answer, err := s.ask(t.Context(), "GET", "/subscriptions?limit=1", "")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(b), fmt.Sprintf(`"total":%d,`, all-all/100)) {
			t.Errorf("left are %s, %v", b, err)
		}
		_ = s.process.Process.Signal(os.Interrupt)
		if err := s.process.Wait(); err != nil {
			t.Errorf("serve: %v\n%s", err, s.log)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for i := range all {
		n := counts[fmt.Sprintf("/%d", i)]
		if n == 0 {
			t.Errorf("%d was skipped", i)
		}
		twice += max(0, n-1)
	}
	if twice > 2*concurrency {
		t.Errorf("%d messages were sent once more, want at most %d for each kill", twice, concurrency)
	}
	t.Logf("%d messages were sent once more", twice)
}

// TestServeTokenOfEnvironment: a variable that was a file, with its line's end.
func TestServeTokenOfEnvironment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if out, err := commandIn(dir, "gen").CombinedOutput(); err != nil {
		t.Fatalf("gen: %v\n%s", err, out)
	}
	const token = "a-token-of-the-environment"
	s, err := startServe(dir, append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, adminTokenEnv+"="+token+"\n"))
	if !errors.Is(err, fs.ErrNotExist) { // no file is made
		t.Fatalf("the file with a token: %v", err)
	}
	t.Cleanup(func() { _ = s.process.Process.Kill() })
	s.token = token
	answer, err := s.ask(t.Context(), "GET", "/push", "")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("it answers %s", answer.Status)
	}
	_ = s.process.Process.Signal(os.Interrupt)
	if err := s.process.Wait(); err != nil || strings.Contains(s.log.String(), token) {
		t.Errorf("serve: %v\n%s", err, s.log)
	}
}
