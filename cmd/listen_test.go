package cmd

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// TestListenShows is how messages look on a terminal and in a pipe.
func TestListenShows(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	for name, c := range map[string]struct{ payload, terminal, pipe string }{
		"text":        {"hello", "hello\n", "hello\n"},
		"empty":       {"", "\n", "\n"},
		"line":        {"hello\n", "hello\n", "hello\n"},
		"escape":      {"a\x1b[31m\x07\u009b\rb\u202ec", `a\x1b[31m\a\u009b\rb\u202ec` + "\n", `a\x1b[31m\a\u009b\rb\u202ec` + "\n"},
		"binary":      {"\xff\x00", "(binary, 2 bytes) _wA\n", "(binary, 2 bytes) _wA\n"},
		"classic":     {`{"title":"T\u001b[1m","body":"a\nb","data":{"url":"https://x/"},"actions":[{"action":"a","title":"Open"},7]}`, "T\\x1b[1m\n         a\n         b\n         https://x/\n         [Open]\n", ""},
		"declarative": {`{"web_push":8030,"notification":{"title":"T","navigate":"https://x/\u009d"}}`, "T (declarative)\n         https://x/\\u009d\n", ""},
		"url":         {`{"title":"T","url":"https://x/"}`, "T\n         https://x/\n", ""},
		"no title":    {`{"title":7}`, "{\"title\":7}\n", "{\"title\":7}\n"},
		"damaged":     {`{"title":"T"`, "{\"title\":\"T\"\n", "{\"title\":\"T\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tty := range []bool{false, true} {
				want := c.pipe
				if tty {
					want = "03:04:05 " + c.terminal
				} else if want == "" {
					want = c.payload + "\n" // nothing in JSON acts on a terminal but what is escaped
				}
				var out bytes.Buffer
				l := &listener{streams: &streams{out: &out, outTTY: tty, noColor: true}}
				if err := l.printText(&useragent.ReceivedMessage{Time: at, Payload: []byte(c.payload)}); err != nil {
					t.Fatal(err)
				}
				if out.String() != want {
					t.Errorf("terminal %v: printed %q, want %q", tty, out.String(), want)
				}
			}
		})
	}
	var out bytes.Buffer
	l := &listener{streams: &streams{out: &out, outTTY: true}}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	if err := l.printText(&useragent.ReceivedMessage{Time: at, Payload: []byte(`{"title":"T"}`)}); err != nil || !strings.Contains(out.String(), "\x1b[1mT\x1b[") {
		t.Errorf("the title is not bold: %q, %v", out.String(), err)
	}
}

// TestListenEnvironment: what a message holds cannot end a variable early.
func TestListenEnvironment(t *testing.T) {
	list := messageEnvironment(&useragent.ReceivedMessage{ID: "a\x00b", Urgency: "low", TTL: time.Minute, Payload: []byte(`{"title":"x\ny=z","body":"\u0000"}`)})
	text := strings.Join(list, "|")
	for _, want := range []string{"WEBPUSH_MESSAGE_TTL=60", "WEBPUSH_MESSAGE_TITLE=x\ny=z", "WEBPUSH_MESSAGE_URGENCY=low"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q lacks %q", text, want)
		}
	}
	if strings.ContainsRune(text, 0) || strings.Contains(text, "_ID=") || strings.Contains(text, "_BODY=") {
		t.Errorf("a zero byte is in %q", text)
	}
}

// TestLockState: one at a time has the state file, and the error says which.
func TestLockState(t *testing.T) {
	name := filepath.Join(t.TempDir(), "listen.json")
	file, err := (&listener{streams: &streams{}, o: listenOptions{state: name}}).openState()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&listener{streams: &streams{}, o: listenOptions{state: name}}).openState(); err == nil || !strings.Contains(err.Error(), "another webpush listen is running with "+name) || hintOf(err) == "" {
		t.Errorf("a second lock: %v", err)
	}
	file.Close()
	if _, err := os.Stat(name + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock's file is there: %v", err)
	}
	if file, err := (&listener{streams: &streams{}, o: listenOptions{state: filepath.Join(t.TempDir(), "none", "x.json")}}).openState(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none not found") {
		t.Errorf("no directory: %v, %v", file, err)
	}
}

// TestListenRenewed: a subscription that has been replaced and could not be removed does
// not keep the new one from being used with its key.
func TestListenRenewed(t *testing.T) {
	server, err := pushservice.Start(pushservice.ServerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	file, err := useragent.OpenFile(filepath.Join(t.TempDir(), "listen.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var keys []vapid.PublicKey
	for range 2 {
		key, err := vapid.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.PublicKey())
		sub, err := file.Renew(t.Context(), server.WebSocket(), "a", useragent.Options{ApplicationServerKey: key.PublicKey()})
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Device().Close(); err != nil {
			t.Fatal(err)
		}
	}
	l := &listener{streams: &streams{}, o: listenOptions{cmd: newListenCmd(&streams{}), state: "listen.json"}}
	l.state, _ = file.State()
	all := l.state.Subscriptions()
	if len(all) != 2 {
		t.Fatalf("%d subscriptions", len(all))
	}
	if err := l.agrees(all, keys[1]); err != nil {
		t.Errorf("the new key: %v", err)
	}
	if err := l.agrees(all, keys[0]); !errors.As(err, new(*useragent.MismatchError)) {
		t.Errorf("the old key: %v", err)
	}
}

// closingServer is a push service that closes each WebSocket for good with a
// hostile reason: at once, or after the registration.
func closingServer(t *testing.T, atOnce bool) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		respond := func(format string) {
			var v struct{ ChannelID string }
			if err := wsjson.Read(r.Context(), conn, &v); err != nil {
				t.Error(err)
			}
			_ = conn.Write(r.Context(), websocket.MessageText, []byte(strings.ReplaceAll(format, "ID", v.ChannelID)))
		}
		if !atOnce {
			respond(`{"messageType":"hello","uaid":"5d1ed1b5fb8d4d1c8d0d6ec9a1b5bd1f","status":200,"use_webpush":true}`)
			respond(`{"messageType":"register","channelID":"ID","status":200,"pushEndpoint":"https://push.example.net/x"}`)
		}
		_ = conn.Close(4774, hostile)
	}))
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http")
}

// TestListenCloseReason: the reason with which a push service closes the
// connection is printed, but does not act on the terminal.
func TestListenCloseReason(t *testing.T) {
	for _, atOnce := range []bool{true, false} {
		server := closingServer(t, atOnce)
		t.Chdir(t.TempDir())
		for _, more := range [][]string{nil, {"--json", "--new"}} {
			code, out, talk := command(t, "", append([]string{"listen", "--server", server}, more...)...)
			if text := out + talk; code != exitTemporary || !strings.Contains(text, "4774") || !strings.Contains(text, "31m") || strings.ContainsFunc(text, printable.Harmful) {
				t.Errorf("at once: %v, %q: exit code %d: %q", atOnce, more, code, text)
			}
		}
	}
}
