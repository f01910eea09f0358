//go:build e2e

package appserver_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestContract uses schemathesis to generate requests that the OpenAPI document allows and
// forbids, and checks the responses. It runs in its own network namespace, so no request
// leaves the machine.
func TestContract(t *testing.T) {
	if _, err := exec.LookPath("schemathesis"); err != nil {
		t.Skip("SKIPPED the contract: schemathesis is not installed (pip install schemathesis)")
	}
	isolate := []string{"unshare", "--net"}
	if os.Getuid() != 0 {
		isolate = []string{"unshare", "--map-root-user", "--net"}
	}
	if out, err := exec.CommandContext(t.Context(), isolate[0], append(isolate[1:], "ip", "link", "set", "lo", "up")...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED the contract: no network namespace can be made: %v: %s", err, out)
	}
	script, err := filepath.Abs(filepath.Join("testdata", "contract", "run.sh"))
	if err != nil {
		t.Fatal(err)
	}
	p := buildProgram(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, isolate[0], append(isolate[1:], "sh", script, p.bin, filepath.Join(filepath.Dir(script), "schemathesis.toml"))...)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "XDG_CONFIG_HOME="+p.dir, "HOME="+p.dir, "WEBPUSH_ADMIN_TOKEN=the-token-of-the-contract")
	c.WaitDelay = 10 * time.Second
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
