//go:build e2e

package appserver_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrackingWorkers runs the page's service worker and the one in the README
// with a notification that has an ID, and with one that does not: the latter
// makes no request at all.
func TestTrackingWorkers(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("SKIPPED the test of service workers: node is not installed")
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "### Tracking")
	_, after, ok := strings.Cut(after, "```js\n")
	snippet, _, closed := strings.Cut(after, "\n```")
	if !ok || !closed {
		t.Fatal("the README has no snippet")
	}
	own, err := os.ReadFile(filepath.Join("page", "sw.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, worker := range map[string]string{"page": string(own), "README": snippet} {
		file := filepath.Join(t.TempDir(), "sw.js")
		if err := os.WriteFile(file, []byte(worker), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "node", filepath.Join("testdata", "browser", "worker.mjs"), file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
