package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// session is a fenced block of the README: commands with their output.
type session struct {
	subscribe bool // a real subscription.json is made before it
	steps     []sessionStep
}

type sessionStep struct {
	command, want string
	succeed       bool // instead of printing want
}

func readmeSessions(t *testing.T) []session {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var out []session
	blocks := regexp.MustCompile("(?s)(?:<!-- test: (subscribe|run) -->\n)?```(console|sh)\n(.*?)```").FindAllStringSubmatch(string(b), -1)
	for _, block := range blocks {
		if block[2] == "sh" && block[1] != "run" {
			continue
		}
		s := session{subscribe: block[1] == "subscribe"}
		for line := range strings.Lines(block[3]) {
			if block[2] == "sh" {
				s.steps = append(s.steps, sessionStep{command: strings.TrimSpace(line), succeed: true})
			} else if command, ok := strings.CutPrefix(line, "$ "); ok {
				s.steps = append(s.steps, sessionStep{command: strings.TrimSpace(command)})
			} else if n := len(s.steps); n > 0 {
				s.steps[n-1].want += line
			} else {
				t.Fatalf("a session begins with output: %q", line)
			}
		}
		out = append(out, s)
	}
	return out
}

// TestReadme runs the README's sessions in an empty directory, in their order, and
// compares their output: "…" matches anything within a line or, alone on a line,
// any number of lines.
func TestReadme(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the sessions are for a POSIX shell")
	}
	sessions := readmeSessions(t)
	if len(sessions) < 5 {
		t.Fatalf("found %d sessions in README.md, expected more", len(sessions))
	}
	dir := t.TempDir()
	server, err := pushservice.Start(pushservice.ServerOptions{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	// The last two are for commands that were built with -race or -cover.
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "WEBPUSH_CA_FILE=" + ca, "GORACE=atexit_sleep_ms=0", "GOCOVERDIR=" + t.TempDir()}
	for _, s := range sessions {
		if s.subscribe {
			pem, err := os.ReadFile(filepath.Join(dir, "public_key.pem"))
			if err != nil {
				t.Fatal(err)
			}
			key, err := vapid.ParsePublicKey(pem)
			if err != nil {
				t.Fatal(err)
			}
			agent, err := useragent.Subscribe(context.Background(), server.URL, useragent.Options{ApplicationServerKey: key, HTTP: server.Client()})
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(agent)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "subscription.json"), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range s.steps {
			c := exec.Command("sh", "-c", step.command)
			c.Dir, c.Env = dir, env
			out, err := c.CombinedOutput()
			got := string(out)
			if err != nil {
				var exit *exec.ExitError
				if e, ok := err.(*exec.ExitError); ok {
					exit = e
				} else {
					t.Fatal(err)
				}
				got += fmt.Sprintf("[exit %d]\n", exit.ExitCode())
			}
			if step.succeed {
				if err != nil {
					t.Errorf("$ %s\nfailed:\n%s", step.command, got)
				}
				continue
			}
			if got != "" && !strings.HasSuffix(got, "\n") {
				got += "\n" // as a terminal's next prompt would begin a line
			}
			if !sessionPattern(step.want).MatchString(got) {
				t.Errorf("$ %s\nprinted:\n%s\nREADME.md has:\n%s", step.command, got, step.want)
			}
		}
	}
}

func sessionPattern(want string) *regexp.Regexp {
	var p strings.Builder
	p.WriteString(`^`)
	for line := range strings.Lines(want) {
		if line == "…\n" {
			p.WriteString(`(?s:.*)`)
			continue
		}
		p.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `[^\n]*`))
	}
	p.WriteString(`$`)
	return regexp.MustCompile(p.String())
}

// TestReadmeNames asserts that every command and help topic that the README and the
// help texts name exists.
func TestReadmeNames(t *testing.T) {
	root := newRootCmd(systemStreams())
	b, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"README.md": string(b)}
	for _, c := range root.Commands() {
		texts["webpush help "+c.Name()] = c.Long + c.Example
	}
	found := 0
	for name, text := range texts {
		for _, m := range regexp.MustCompile("(?m)(?:`|^\\s*|[|$&] )webpush (help )?([a-z][a-z-]+)").FindAllStringSubmatch(text, -1) {
			found++
			if m[2] == "help" {
				continue
			}
			if c, _, err := root.Find([]string{m[2]}); err != nil || c == root || m[1] == "" && !c.IsAvailableCommand() {
				t.Errorf("%s names webpush %s%s, which does not exist", name, m[1], m[2])
			}
		}
	}
	if found < 50 {
		t.Errorf("found %d commands, expected more", found)
	}
}

// TestTemporaryStatuses: texts name the statuses that are temporary failures.
func TestTemporaryStatuses(t *testing.T) {
	for _, name := range []string{"../README.md", "help/send.txt", "help/manual.roff"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte(webpush.TemporaryStatuses)); n == 0 || n != bytes.Count(text, []byte("429")) {
			t.Errorf("%s says %q %d times, and 429 elsewhere", name, webpush.TemporaryStatuses, n)
		}
	}
}

// TestExampleFiles asserts that the commands accept the example files of the top
// level.
func TestExampleFiles(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "claims.example.json"))
	if err != nil {
		t.Fatal(err)
	}
	claims, err := vapid.ParseClaims(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range claims.Check() {
		if p.Part != "exp" {
			t.Errorf("claims.example.json: %v", p)
		}
	}
	if b, err = os.ReadFile(filepath.Join("..", "subscription.example.json")); err != nil {
		t.Fatal(err)
	}
	sub, err := webpush.ParseSubscription(b)
	if err != nil {
		t.Fatal(err)
	}
	if sub.Service() != webpush.FCM || sub.Recipient() == nil {
		t.Errorf("subscription.example.json is a %v with recipient %v", sub, sub.Recipient())
	}
}
