//go:build e2e && unix

package postgres_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/postgres"
	"github.com/seed81da77dd/webpush/pkg/internal/pgtest"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestPostgresReplicasKilled: three servers share a push; one is killed in the
// middle, later another one. Nobody is skipped, and at most what was in flight
// is sent twice.
func TestPostgresReplicasKilled(t *testing.T) {
	const all, concurrency = 30_000, 32
	db := pgtest.Start(t)
	var (
		counts   [all]atomic.Int32
		total    atomic.Int64
		reached  = make(chan struct{})
		reached2 = make(chan struct{})
	)
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var i int
		if _, err := fmt.Sscanf(r.URL.Path, "/%d", &i); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		counts[i].Add(1)
		switch total.Add(1) {
		case all / 4:
			close(reached)
		case all / 2:
			close(reached2)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer sink.Close()
	store, err := postgres.Open(t.Context(), db.URL(), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var fill sync.WaitGroup
	for part := range 8 {
		fill.Go(func() {
			for i := part; i < all; i += 8 {
				if _, _, err := store.Put(t.Context(), appserver.Record{Endpoint: fmt.Sprintf("%s/%d", sink.URL, i), Service: webpush.Other, Origin: sink.URL,
					P256DH: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", Auth: "BTBZMqHH6r4Tts7J_aSIgg"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	fill.Wait()
	dir := t.TempDir()
	program := buildProgram(t, dir)
	var replicas []*replica
	for range 3 {
		replicas = append(replicas, startReplica(t, dir, program, db.URL(), concurrency))
	}
	replicas[0].request(t, "POST", "/push", `{"payload":"x"}`).Close()
	jobs, err := store.Jobs(t.Context(), 0, 1)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%v, %v", jobs, err)
	}
	id := jobs[0].ID
	<-reached
	_ = replicas[0].process.Process.Kill()
	<-reached2
	_ = replicas[1].process.Process.Kill()
	// The last one has it all, and its stream of events ends with the job.
	start := time.Now()
	events := replicas[2].request(t, "GET", "/push/"+id+"/events", "")
	text, err := io.ReadAll(events)
	if err != nil {
		t.Fatal(err)
	}
	ended := strings.Contains(string(text), "event: end")
	job, err := store.FindJob(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	skipped, twice, most := 0, 0, int32(0)
	for i := range counts {
		n := counts[i].Load()
		if n == 0 {
			skipped++
		}
		if n > 1 {
			twice += int(n) - 1
		}
		most = max(most, n)
	}
	t.Logf("of %d, %d were skipped and %d sent twice; it ended %v after the second kill: %v", all, skipped, twice, time.Since(start).Round(time.Second), job.Counts)
	// What was in flight: the requests, and results that were not recorded yet.
	if skipped > 0 || most > 3 || twice > 2*(concurrency+1024) || job.State != appserver.Done || job.Counts[webpush.Other][webpush.ClassDelivered] != all || !ended {
		t.Errorf("the job ended as %+v, %v; %d skipped, %d sent twice, %d to one at most\n%s", job, ended, skipped, twice, most, replicas[2].log.String())
	}
}

// buildProgram builds webpush in a directory, with a key for startReplica.
func buildProgram(t *testing.T, dir string) string {
	t.Helper()
	run := func(name string, args ...string) {
		c := exec.Command(name, args...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	program := filepath.Join(dir, "webpush")
	run("go", "build", "-o", program, "github.com/seed81da77dd/webpush")
	run(program, "gen", "-k", filepath.Join(dir, "key.pem"), "--public-key", filepath.Join(dir, "public.pem"))
	return program
}

type replica struct {
	url     string
	process *exec.Cmd
	log     *strings.Builder
}

func startReplica(t *testing.T, dir, program, db string, concurrency int) *replica {
	t.Helper()
	r := &replica{log: new(strings.Builder)}
	r.process = exec.Command(program, "serve", "--listen", "127.0.0.1:0", "--subject", "mailto:ops@example.com", "-k", filepath.Join(dir, "key.pem"),
		"--allow-private", "--concurrency", fmt.Sprint(concurrency))
	r.process.Env = append(os.Environ(), "WEBPUSH_ADMIN_TOKEN="+token, "WEBPUSH_DATABASE="+db)
	r.process.Stderr = r.log
	out, err := r.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.process.Process.Kill()
		_ = r.process.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("serve printed nothing: %v\n%s", err, r.log.String())
	}
	r.url = strings.Replace(strings.TrimSpace(line), "localhost", "127.0.0.1", 1) // without a resolver
	return r
}

const token = "0123456789abcdef"

// request makes a request as the administrator, and returns the body.
func (r *replica) request(t *testing.T, method, path, body string) io.ReadCloser {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+token)
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s", method, path, answer.Status)
	}
	return answer.Body
}
