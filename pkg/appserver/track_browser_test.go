//go:build e2e

package appserver_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTrackingWorkers runs the page's service worker and the one in webpush help pushes
// with a notification that has an ID, and with one that does not: the latter
// makes no request at all.
func TestTrackingWorkers(t *testing.T) {
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("SKIPPED the test of service workers: node is not installed")
	}
	topic, err := os.ReadFile(filepath.Join("..", "..", "cmd", "help", "pushes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, snippet, ok := strings.Cut(string(topic), "service worker needs this")
	_, snippet, found := strings.Cut(snippet, ":\n\n")
	if !ok || !found {
		t.Fatal("the topic has no snippet")
	}
	own, err := os.ReadFile(filepath.Join("page", "sw.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, worker := range map[string]string{"page": string(own), "topic": snippet} {
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
