//go:build e2e

package cmd

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// npmSender sends with the npm package web-push, in both codings.
const npmSender = `
const webpush = require('web-push'), fs = require('fs');
const keys = JSON.parse(fs.readFileSync('vapid.json')), sub = JSON.parse(fs.readFileSync('sub.json'));
webpush.setVapidDetails('mailto:ops@example.com', keys.publicKey, keys.privateKey);
(async () => {
  for (const contentEncoding of ['aes128gcm', 'aesgcm']) {
    const answer = await webpush.sendNotification(sub, 'Grüße, ' + contentEncoding, {contentEncoding, TTL: 60});
    console.log(answer.statusCode);
  }
})().catch(e => { console.error(e.message, e.body); process.exit(1); });
`

// TestNpmWebPush: what the npm package web-push sends to webpush push-service
// over TLS arrives in webpush listen.
func TestNpmWebPush(t *testing.T) {
	for _, tool := range []string{"npm", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, name, args...)
		c.Dir = dir
		c.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+filepath.Join(dir, "ca.pem"), "XDG_CONFIG_HOME="+dir)
		c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
		c.WaitDelay = 5 * time.Second
		return c
	}
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	if out, err := command("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "web-push@3.6.7").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: npm cannot install web-push: %v\n%s", err, out)
	}
	bin := filepath.Join(dir, "webpush")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}

	service := command(bin, "push-service", "--tls", "--ca-out", "ca.pem", "--listen", "127.0.0.1:0")
	out, err := service.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = service.Process.Signal(os.Interrupt)
		_ = service.Wait()
	}()
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)

	run(bin, "gen")
	run(bin, "convert", "private_key.pem", "--to", "json", "-o", "vapid.json")
	listen := command(bin, "listen", "--server", strings.Replace(url, "https:", "wss:", 1), "--ca-file", "ca.pem",
		"--application-server-key", "public_key.pem", "-f", "sub.json", "--count", "2", "--timeout", "60s")
	var printed, talk bytes.Buffer
	listen.Stdout, listen.Stderr = &printed, &talk
	if err := listen.Start(); err != nil {
		t.Fatal(err)
	}
	for !exists(filepath.Join(dir, "sub.json")) {
		select {
		case <-ctx.Done():
			t.Fatalf("no subscription: %s", &talk)
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "send.js"), []byte(npmSender), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run("node", "send.js"); got != "201\n201\n" {
		t.Errorf("web-push got %q", got)
	}
	if err := listen.Wait(); err != nil {
		t.Fatalf("listen: %v\n%s", err, &talk)
	}
	if got, want := printed.String(), "Grüße, aes128gcm\nGrüße, aesgcm\n"; got != want {
		t.Errorf("listen printed %q, want %q\n%s", got, want, &talk)
	}
}
