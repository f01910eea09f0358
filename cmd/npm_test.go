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

	url := serviceProcess(t, command(bin, "push-service", "--tls", "--ca-out", "ca.pem", "--listen", "127.0.0.1:0"))

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

// npmTesting does what the documentation of the npm package web-push-testing
// says, in its order, and prints each answer; hashes and keys as what they are.
// Without an address it starts that package's own server.
const npmTesting = `
const webpush = require('web-push'), net = require('net');
const keys = webpush.generateVAPIDKeys(), other = webpush.generateVAPIDKeys();
const mask = text => text.replace(/[0-9a-f]{64}/g, 'HASH').replace(/localhost:\d+/g, 'HOST')
  .replace(/"p256dh":"[\w-]{87}"/, '"p256dh":KEY').replace(/"auth":"[\w-]{22}"/, '"auth":SECRET');
const say = async (name, answer) => {
  let text = await answer.text(), data;
  try {
    const object = JSON.parse(text);
    // What is wrong with a message is told in words of each server's own.
    if (answer.url.includes('/notify/') && answer.status === 400 && object.error.message) object.error.message = 'MESSAGE';
    text = JSON.stringify(object);
    data = object.data;
  } catch {}
  console.log(JSON.stringify([name, answer.status, (answer.headers.get('content-type') || '').split(';')[0], mask(text)]));
  return data;
};
const freePort = () => new Promise(resolve => {
  const server = net.createServer().listen(0, () => { const {port} = server.address(); server.close(() => resolve(port)); });
});
(async () => {
  let base = process.argv[2];
  if (!base) {
    const Server = require('web-push-testing/src/server.js'), {PushApiModel} = require('web-push-testing/src/PushApiModel.js');
    const port = await freePort(), log = console.log;
    base = 'http://localhost:' + port;
    await new Promise(resolve => { console.log = resolve; console.error = () => {}; new Server(new PushApiModel(), port).startServer(); });
    console.log = log;
  }
  const post = (path, body, type = 'application/json') => fetch(base + path,
    {method: 'POST', body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body), headers: body === undefined ? {} : {'Content-Type': type}});
  await say('status', await post('/status'));
  const plain = await say('subscribe', await post('/subscribe', {}));
  await say('subscribe without a body', await post('/subscribe'));
  await say('subscribe by form', await post('/subscribe', 'userVisibleOnly=true', 'application/x-www-form-urlencoded'));
  const sub = await say('subscribe with a key', await post('/subscribe', {userVisibleOnly: 'true', applicationServerKey: keys.publicKey}));
  await say('subscribe, another property', await post('/subscribe', {url: 'x'}));
  await say('subscribe, userVisibleOnly', await post('/subscribe', {userVisibleOnly: 'foo'}));
  await say('subscribe, no key', await post('/subscribe', {applicationServerKey: 'AAAA'}));
  const send = (sub, text, options = {}, change = h => h, body = b => b) => {
    const vapid = options.pair === null ? {} : {vapidDetails: {subject: 'mailto:ops@example.com', ...(options.pair || keys)}};
    delete options.pair;
    const r = webpush.generateRequestDetails(sub, text, {TTL: 60, ...vapid, ...options});
    delete r.headers['Content-Length'];
    return fetch(r.endpoint, {method: 'POST', headers: change(r.headers), body: body(r.body)});
  };
  const without = name => h => { delete h[name]; return h; };
  for (const contentEncoding of ['aes128gcm', 'aesgcm']) {
    await say(contentEncoding, await send(sub, 'Grüße, ' + contentEncoding, {contentEncoding}));
    await say(contentEncoding + ' without VAPID', await send(plain, 'plain', {contentEncoding, pair: null}));
    await say(contentEncoding + ', needs VAPID', await send(sub, 'x', {contentEncoding, pair: null}));
    await say(contentEncoding + ', another key', await send(sub, 'x', {contentEncoding, pair: other}));
    await say(contentEncoding + ', no TTL', await send(sub, 'x', {contentEncoding}, without('TTL')));
    await say(contentEncoding + ', TTL', await send(sub, 'x', {contentEncoding}, h => ({...h, TTL: 'x'})));
    await say(contentEncoding + ', not encrypted', await send(sub, 'x', {contentEncoding}, h => h, () => 'hello'));
    await say(contentEncoding + ', no coding', await send(sub, 'x', {contentEncoding}, without('Content-Encoding')));
  }
  await say('unknown', await send({...sub, endpoint: base + '/notify/' + '0'.repeat(64)}, 'x'));
  await say('messages', await post('/get-notifications', {clientHash: sub.clientHash}));
  await say('messages without VAPID', await post('/get-notifications', {clientHash: plain.clientHash}));
  await say('messages by form', await post('/get-notifications', 'clientHash=' + sub.clientHash, 'application/x-www-form-urlencoded'));
  await say('messages of nobody', await post('/get-notifications', {clientHash: 'x'}));
  await say('messages of whom', await post('/get-notifications', {}));
  await say('expire', await post('/expire-subscription/' + sub.clientHash));
  await say('expired', await send(sub, 'x'));
  await say('messages after that', await post('/get-notifications', {clientHash: sub.clientHash}));
  await say('expire again', await post('/expire-subscription/' + sub.clientHash));
  await say('expire nobody', await post('/expire-subscription/x'));
  process.exit(0);
})().catch(e => { console.error(e); process.exit(1); });
`

// TestNpmWebPushTesting: webpush push-service answers the routes of the npm
// package web-push-testing as that does.
func TestNpmWebPushTesting(t *testing.T) {
	for _, tool := range []string{"npm", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %s is not installed", tool)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	command := func(name string, args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, name, args...)
		c.Dir = dir
		return c
	}
	if out, err := command("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "web-push@3.6.7", "web-push-testing@1.2.2").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: npm cannot install web-push-testing: %v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "testing.js"), []byte(npmTesting), 0o600); err != nil {
		t.Fatal(err)
	}
	answers := func(args ...string) []string {
		c := command("node", append([]string{"testing.js"}, args...)...)
		var problem bytes.Buffer
		c.Stderr = &problem
		out, err := c.Output()
		if err != nil {
			t.Fatalf("node testing.js %v: %v\n%s%s", args, err, out, &problem)
		}
		return strings.Split(strings.TrimSpace(string(out)), "\n")
	}
	url, talk, _ := startPushService(t)
	want, got := answers(), answers(strings.Replace(url, "127.0.0.1", "localhost", 1))
	if len(want) != len(got) || len(want) < 30 {
		t.Fatalf("%d answers, web-push-testing has %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("answered %s\n            want %s", got[i], want[i])
		}
	}
	if t.Failed() {
		t.Log(talk.String())
	}
}

// serviceProcess starts a push service in a process of its own, and returns its URL, the
// first line that it prints.
func serviceProcess(t *testing.T, service *exec.Cmd) string {
	t.Helper()
	out, err := service.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = service.Process.Signal(os.Interrupt)
		_ = service.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(url)
}
