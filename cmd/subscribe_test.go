package cmd

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestSubscribe does what the page does.
func TestSubscribe(t *testing.T) {
	t.Chdir(t.TempDir())
	if code := run(t.Context(), &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, []string{"gen"}); code != 0 {
		t.Fatalf("gen: exit %d", code)
	}
	const good = `{"endpoint":"https://push.example/a?b=<c>&d","expirationTime":null,"keys":{"p256dh":"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM","auth":"tBHItJI5svbpez7KI4CCXg"}}`
	url, talk, ended := startService(t, t.Context(), "subscribe", "--listen", "localhost:0", "-o", "sub.json")
	post := func(body string) (int, string) {
		t.Helper()
		answer, err := http.Post(url+"subscription", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(b)
	}
	// What is no subscription is refused, and the command waits on.
	if status, text := post(`{"endpoint":"https://push.example/a","keys":{"p256dh":"AAAA"}}`); status != 400 || !strings.Contains(text, "hint") {
		t.Errorf("status %d: %s", status, text)
	}
	// Somebody else makes the file meanwhile: it stays, and the page is told.
	if err := os.WriteFile("sub.json", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, text := post(good); status != 500 || !strings.Contains(text, "sub.json already exists") || !strings.Contains(text, "--force") {
		t.Errorf("status %d: %s", status, text)
	}
	if err := os.Remove("sub.json"); err != nil {
		t.Fatal(err)
	}
	if status, text := post(good); status != 201 {
		t.Errorf("status %d: %s", status, text)
	}
	select {
	case code := <-ended:
		if code != 0 {
			t.Errorf("exit %d: %s", code, talk)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the command does not end")
	}
	b, err := os.ReadFile("sub.json")
	if err != nil {
		t.Fatal(err)
	}
	sub, err := webpush.ParseSubscription(b)
	if err != nil || sub.Endpoint() != "https://push.example/a?b=<c>&d" {
		t.Errorf("%v: %s", err, b)
	}
	if info, err := os.Stat("sub.json"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if log := talk.String(); !strings.Contains(log, "send with: webpush send -f sub.json") || strings.Contains(log, "/a?b") {
		t.Errorf("it says: %s", log)
	}
}

func TestSubscribeInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	if code := run(t.Context(), &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, []string{"gen"}); code != 0 {
		t.Fatalf("gen: exit %d", code)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, talk, ended := startService(t, ctx, "subscribe", "--listen", "localhost:0")
	cancel()
	select {
	case code := <-ended:
		if code != 130 {
			t.Errorf("exit %d: %s", code, talk)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the command does not end")
	}
	if _, err := os.Stat("subscription.json"); !os.IsNotExist(err) {
		t.Errorf("subscription.json: %v, want %v", err, fs.ErrNotExist)
	}
}

func TestSubscribeOpen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the browser is opened in another way here")
	}
	t.Chdir(t.TempDir())
	if code := run(t.Context(), &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard}, []string{"gen"}); code != 0 {
		t.Fatalf("gen: exit %d", code)
	}
	if err := os.WriteFile("xdg-open", []byte("#!/bin/sh\nprintf %s \"$*\" > opening && mv opening opened\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	ctx, cancel := context.WithCancel(t.Context())
	url, talk, ended := startService(t, ctx, "subscribe", "--listen", "localhost:0", "--open")
	for deadline := time.Now().Add(10 * time.Second); !exists("opened"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing was opened: %s", talk)
		}
	}
	cancel()
	<-ended
	if b, err := os.ReadFile("opened"); err != nil || string(b) != url {
		t.Errorf("%v: opened %q, want %q", err, b, url)
	}

	// Without a flag, it is opened for people only.
	for name, value := range map[string]string{"DISPLAY": ":0", "SSH_CONNECTION": "", "SSH_TTY": ""} {
		t.Setenv(name, value)
	}
	for _, c := range []struct {
		name    string
		options subscribeOptions
		streams *streams
		want    bool
	}{
		{"a terminal", subscribeOptions{}, &streams{errTTY: true}, true},
		{"a terminal, --no-open", subscribeOptions{noOpen: true}, &streams{errTTY: true}, false},
		{"a script", subscribeOptions{}, &streams{}, false},
		{"a script, --open", subscribeOptions{open: true}, &streams{}, true},
		{"a program", subscribeOptions{}, &streams{errTTY: true, json: true}, false},
	} {
		if got := c.options.opens(c.streams); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}

	// Without a browser the address is told again.
	t.Setenv("PATH", t.TempDir())
	code := run(t.Context(), &streams{in: strings.NewReader(""), out: io.Discard, err: talk}, []string{"subscribe", "--listen", "localhost:0", "--open", "--timeout", "50ms"})
	if code != exitTemporary || !strings.Contains(talk.String(), "warning: no browser was opened: ") || !strings.Contains(talk.String(), "hint: open http://localhost:") {
		t.Errorf("exit %d: %s", code, talk)
	}
}
