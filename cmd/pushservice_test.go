package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// buffer may be written to and read at the same time.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	on func(text string) // called after each write with everything written so far
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.b.Write(p)
	if b.on != nil {
		b.on(b.b.String())
	}
	return n, err
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// startService runs a command that prints one line and goes on. It returns that
// line, and the exit code when the command ends.
func startService(t *testing.T, ctx context.Context, args ...string) (first string, talk *buffer, ended <-chan int) {
	t.Helper()
	out, w := io.Pipe()
	talk = new(buffer)
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, &streams{in: strings.NewReader(""), out: w, err: talk}, args)
		w.Close()
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("nothing was printed: %s", talk)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return lines.Text(), talk, code
}

// startPushService runs the command until stop is called, which returns its
// exit code, and returns its first line of output.
func startPushService(t *testing.T, args ...string) (first string, talk *buffer, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	first, talk, ended := startService(t, ctx, append([]string{"push-service", "--listen", "127.0.0.1:0"}, args...)...)
	return first, talk, func() int {
		cancel()
		select {
		case c := <-ended:
			return c
		case <-time.After(10 * time.Second):
			t.Fatal("the command does not stop")
			return 0
		}
	}
}

// sendAlone runs webpush send in a process of its own, whose connections end with it:
// a push service waits a second for others when it stops. It returns the exit code and
// what was printed.
func sendAlone(t *testing.T, args ...string) (code int, text string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	c := commandIn(dir, append([]string{"send"}, args...)...)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

func TestPushService(t *testing.T) {
	t.Chdir(t.TempDir())
	url, talk, stop := startPushService(t, "--fault", "status=503,after=1,count=1,retry-after=7")
	post := func(url, body string, header ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest("POST", url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer, string(b)
	}
	_, text := post(url+"/api/subscriptions", "")
	var sub struct{ ID, Endpoint string }
	if err := json.Unmarshal([]byte(text), &sub); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{201, 503, 201, 400} {
		ttl := "60"
		if want == 400 {
			ttl = "x"
		}
		answer, text := post(sub.Endpoint, "", "TTL", ttl)
		if answer.StatusCode != want {
			t.Errorf("status %d, want %d: %s", answer.StatusCode, want, text)
		}
		if want == 503 && answer.Header.Get("Retry-After") != "7" {
			t.Errorf("headers are %v", answer.Header)
		}
	}

	// The routes of web-push-testing have real keys.
	_, text = post(url+"/subscribe", "{}", "Content-Type", "application/json")
	var v struct{ Data json.RawMessage }
	var hash struct{ ClientHash string }
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(v.Data, &hash); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("subscription.json", v.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, encoding := range []string{"aes128gcm", "aesgcm"} {
		var sent buffer
		args := []string{"send", "-f", "subscription.json", "-p", "Grüße", "--encoding", encoding, "--config", os.DevNull}
		if code := run(t.Context(), &streams{in: strings.NewReader(""), out: &sent, err: &sent}, args); code != 0 {
			t.Logf("send: exit %d: %s", code, sent.String())
			t.Errorf("webpush send --encoding %s: exit %d", encoding, code)
		}
	}
	if _, text = post(url+"/get-notifications", `{"clientHash":"`+hash.ClientHash+`"}`, "Content-Type", "application/json"); text != `{"data":{"messages":["Grüße","Grüße"]}}`+"\n" {
		t.Errorf("received %s", text)
	}

	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	log := talk.String()
	for _, want := range []string{
		"listening on " + url, "dom.push.serverURL = ws" + strings.TrimPrefix(url, "http") + "/", "allowInsecureServerURL",
		`level=INFO msg="message accepted" status=201`, `level=WARN msg="fault injected into a message request" status=503`,
		`level=WARN msg="message refused" status=400`, "Invalid TTL value", "webpush: stopping",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	for _, secret := range []string{sub.ID, sub.Endpoint[strings.LastIndex(sub.Endpoint, "/")+1:], hash.ClientHash} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has the secret %q:\n%s", secret, log)
		}
	}
}

func TestPushServiceTLS(t *testing.T) {
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	t.Chdir(dir)
	url, talk, stop := startPushService(t, "--tls", "--ca-out", ca, "--as", "apple")
	info, err := os.Stat("ca-key.pem")
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key is %v, %v", info, err)
	}
	if b, err := os.ReadFile(ca); err != nil || !bytes.Contains(b, []byte("BEGIN CERTIFICATE")) || bytes.Contains(b, []byte("PRIVATE")) {
		t.Errorf("the authority is %s, %v", b, err)
	}
	// The sender trusts it, and reports Apple's reason.
	if err := os.WriteFile("subscription.json", []byte(`{"endpoint":"`+url+`/Qx"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := sendAlone(t, "-f", "subscription.json", "--ca-file", ca); code != 4 || !strings.Contains(out, "BadPath") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code := stop(); code != 0 || !strings.HasPrefix(url, "https://127.0.0.1:") || !strings.Contains(talk.String(), "webpush send --ca-file") {
		t.Errorf("exit %d, %s: %s", code, url, talk)
	}
}

// TestPushServiceData: with --data endpoints, messages and the authority are
// there after a restart.
func TestPushServiceData(t *testing.T) {
	t.Chdir(t.TempDir())
	webpush := func(args ...string) string {
		t.Helper()
		var out, talk buffer
		if code := run(t.Context(), &streams{in: strings.NewReader(""), out: &out, err: &talk}, append(args, "--config", os.DevNull)); code != 0 {
			t.Fatalf("%v: exit %d: %s", args, code, talk.String())
		}
		return out.String()
	}
	url, _, stop := startPushService(t, "--data", "data", "--tls")
	ca := filepath.Join("data", "push-service-ca.pem")
	socket := "wss" + strings.TrimPrefix(url, "https")
	webpush("gen")
	ctx, cancel := context.WithCancel(t.Context())
	said, say := io.Pipe()
	go func() {
		run(ctx, &streams{in: strings.NewReader(""), out: io.Discard, err: say},
			[]string{"listen", "--server", socket, "--ca-file", ca, "--application-server-key", "public_key.pem", "--config", os.DevNull})
		say.Close()
	}()
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if strings.Contains(lines.Text(), "wrote the subscription") {
			cancel()
		}
	}
	cancel()
	send := func(text string) {
		t.Helper()
		if code, out := sendAlone(t, "-f", "subscription.json", "--subject", "mailto:ops@example.com", "--ca-file", ca, "-p", text); code != 0 {
			t.Fatalf("send: exit %d: %s", code, out)
		}
	}
	send("one")
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	before, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	url2, talk, stop := startPushService(t, "--data", "data", "--tls", "--listen", strings.TrimPrefix(url, "https://"))
	if url2 != url {
		t.Fatalf("it listens at %s, not at %s", url2, url)
	}
	send("two")
	if got := webpush("listen", "--ca-file", ca, "--count", "2", "--timeout", "20s"); got != "one\ntwo\n" {
		t.Errorf("listen printed %q\n%s", got, talk.String())
	}
	if after, err := os.ReadFile(ca); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the authority is another one, or %v", err)
	}
	if !strings.Contains(talk.String(), "the data in data has 1 subscription and 1 message\n") {
		t.Errorf("it says %s", talk.String())
	}
	// A second one with the same directory is refused.
	var out, problem buffer
	code := run(t.Context(), &streams{in: strings.NewReader(""), out: &out, err: &problem}, []string{"push-service", "--listen", "127.0.0.1:0", "--data", "data"})
	if code != 1 || !strings.Contains(problem.String(), "push-service.db: another push service uses it") || !strings.Contains(problem.String(), "hint: stop that one, or use another directory") {
		t.Errorf("exit %d: %s", code, problem.String())
	}
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestPushServiceHost: a request for another host is refused, and the response
// says which option allows it.
func TestPushServiceHost(t *testing.T) {
	url, _, stop := startPushService(t, "--host", "push")
	for host, want := range map[string]string{"push:8090": "200", "evil.example": `421 "evil.example" is not a host name of this push service; to accept it, use --host NAME`} {
		r, err := http.NewRequest("GET", url+"/api/subscriptions", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		status, text, _ := strings.Cut(want, " ")
		if err != nil || strconv.Itoa(answer.StatusCode) != status || !strings.Contains(strings.ReplaceAll(string(b), `\"`, `"`), text) {
			t.Errorf("%s: status %d: %s, want %s", host, answer.StatusCode, b, want)
		}
	}
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// TestPushServiceChromium: the flags that it prints reach the endpoint of a
// browser that is based on Chromium, whose host is Google's.
func TestPushServiceChromium(t *testing.T) {
	t.Chdir(t.TempDir())
	service, talk, stop := startPushService(t, "--data", "data", "--chromium", "--chromium-listen", "127.0.0.1:0")
	key := filepath.Join("data", "push-service-chromium-ca-key.pem")
	if info, err := os.Stat(key); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key is %v, %v", info, err)
	}
	ca := filepath.Join("data", "push-service-chromium-ca.pem")
	before, err := os.ReadFile(ca)
	if err != nil || bytes.Contains(before, []byte("PRIVATE")) {
		t.Errorf("the authority is %s, %v", before, err)
	}
	for i := 0; !strings.Contains(talk.String(), "never install "+ca); i++ {
		if i == 1000 {
			t.Fatalf("it says %s", talk)
		}
		time.Sleep(10 * time.Millisecond)
	}
	_, after, _ := strings.Cut(talk.String(), "send to Chromium with: webpush ")
	line, _, _ := strings.Cut(after, "\n")
	if !strings.Contains(talk.String(), "HTTPS_PROXY=http://127.0.0.1:") {
		t.Errorf("it says %s", talk)
	}
	webpush := func(want int, args ...string) string {
		t.Helper()
		var out, problem buffer
		if code := run(t.Context(), &streams{in: strings.NewReader(""), out: &out, err: &problem}, append(args, "--config", os.DevNull)); code != want {
			t.Fatalf("%v: exit %d: %s", args, code, problem.String())
		}
		return out.String()
	}
	webpush(0, "gen")
	form := url.Values{"app": {"org.chromium.linux"}, "X-subtype": {"wp:https://app.example/#1"}, "sender": {strings.TrimSpace(webpush(0, "app-server-key"))}}
	r, err := http.NewRequest("POST", service+"/c2dm/register3", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "AidLogin 1:1")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	token, ok := strings.CutPrefix(string(b), "token=")
	if err != nil || !ok {
		t.Fatalf("%s, %v", b, err)
	}
	if err := os.WriteFile("subscription.json", []byte(`{"endpoint":"https://fcm.googleapis.com/fcm/send/`+token+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	flags, ok := strings.CutPrefix(line, "send ")
	if code, out := sendAlone(t, append(strings.Fields(flags), "-f", "subscription.json", "--subject", "mailto:ops@example.com")...); !ok || code != 0 {
		t.Errorf("%s: exit %d: %s", line, code, out)
	}
	if code := stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
	_, talk, stop = startPushService(t, "--data", "data", "--chromium", "--chromium-listen", "127.0.0.1:0")
	if again, err := os.ReadFile(ca); err != nil || !bytes.Equal(before, again) {
		t.Errorf("the authority is another one, or %v", err)
	}
	if code := stop(); code != 0 || !strings.Contains(talk.String(), "the data in data has 1 subscription and 1 message") {
		t.Errorf("exit %d: %s", code, talk)
	}
}
