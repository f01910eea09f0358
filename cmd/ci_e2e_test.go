//go:build e2e

package cmd

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestReadmeCI runs the README's examples for continuous integration, unchanged and
// with the packages that they name.
func TestReadmeCI(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	example := func(name string) string {
		m := regexp.MustCompile("(?s)<!-- test: " + name + " -->\n```\\w+\n(.*?)```").FindSubmatch(readme)
		if m == nil {
			t.Fatalf("README.md has no example %s", name)
		}
		return string(m[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	dir := t.TempDir()
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+filepath.Join(dir, "push-service-ca.pem"), "REQUESTS_CA_BUNDLE="+filepath.Join(dir, "push-service-ca.pem"), "XDG_CONFIG_HOME="+dir, "PYTHONUTF8=1")
		c.WaitDelay = 5 * time.Second
		return c
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "webpush")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	keys, err := command(bin, "gen", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	write("vapid.json", string(keys))
	for _, tool := range []struct {
		name    string
		install func() ([]byte, error)
		program string
		run     []string
	}{
		{"python", func() ([]byte, error) {
			c := exec.CommandContext(ctx, "python3", "-m", "venv", "venv")
			c.Dir = dir
			if out, err := c.CombinedOutput(); err != nil {
				return out, err
			}
			c = exec.CommandContext(ctx, filepath.Join(dir, "venv", "bin", "pip"), "-q", "install", "pywebpush==2.3.0", "requests")
			return c.CombinedOutput()
		}, "push_test.py", []string{filepath.Join(dir, "venv", "bin", "python"), "push_test.py"}},
		{"node", func() ([]byte, error) {
			c := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "web-push@3.6.7")
			c.Dir = dir
			return c.CombinedOutput()
		}, "push_test.js", []string{"node", "push_test.js"}},
	} {
		t.Run(tool.name, func(t *testing.T) {
			if out, err := tool.install(); err != nil {
				t.Skipf("SKIPPED: cannot install the package: %v\n%s", err, out)
			}
			url := serviceProcess(t, command(bin, "push-service", "--tls", "--listen", "127.0.0.1:0"))
			text := example("ci-" + tool.name)
			if !strings.Contains(text, "https://127.0.0.1:8090") {
				t.Fatal("the example does not name the push service")
			}
			write(tool.program, strings.ReplaceAll(text, "https://127.0.0.1:8090", url))
			if out, err := command(tool.run[0], tool.run[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			// It fails where it should: another message than the one that was sent.
			write(tool.program, strings.Replace(strings.ReplaceAll(text, "https://127.0.0.1:8090", url), "Grüße", "Other", 1))
			if out, err := command(tool.run[0], tool.run[1:]...).CombinedOutput(); err == nil {
				t.Errorf("another message is not noticed\n%s", out)
			}
		})
	}
}
