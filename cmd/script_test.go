package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"webpush": func() { os.Exit(Main()) }, "until": until})
}

// TestScripts runs the command line's specification.
func TestScripts(t *testing.T) {
	t.Parallel() // beside the tests with processes of their own
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds:                scriptCommands,
	})
}

// setupScript gives each script a home of its own and nothing of this
// machine's settings.
func setupScript(e *testscript.Env) error {
	e.Setenv("HOME", e.WorkDir)
	e.Setenv("XDG_CONFIG_HOME", e.WorkDir+"/.config")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy", "NO_COLOR"} {
		e.Setenv(name, "")
	}
	e.Setenv("HTTPS_PROXY", "http://127.0.0.1:9") // nobody: what leaves this machine fails
	e.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	e.Setenv("GORACE", "atexit_sleep_ms=0") // else each run waits a second when built with -race
	e.Values[receiversKey{}] = &receivers{agents: make(map[string]*useragent.Subscription)}
	return nil
}

// receivers are the user agents of a script, by the file of their subscription.
type receivers struct {
	server *pushservice.Server
	agents map[string]*useragent.Subscription
	serve  *served
}

type receiversKey struct{}

// subscribe makes a user agent and its subscription, with the application
// server key in the file that is named, if one is.
func (r *receivers) subscribe(ts *testscript.TestScript, keyFile []string) (*useragent.Subscription, []byte) {
	o := useragent.Options{HTTP: r.server.Client()}
	if len(keyFile) == 1 {
		key, err := vapid.ParsePublicKey([]byte(ts.ReadFile(keyFile[0])))
		ts.Check(err)
		o.ApplicationServerKey = key
	}
	agent, err := useragent.Subscribe(context.Background(), r.server.URL, o)
	ts.Check(err)
	b, err := agent.MarshalJSON()
	ts.Check(err)
	return agent, b
}

func scriptReceivers(ts *testscript.TestScript) *receivers {
	return ts.Value(receiversKey{}).(*receivers)
}

var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"serve":      scriptServe,
	"stop-serve": scriptStopServe,
	"api":        scriptAPI,
	// exits CODE COMMAND…: runs a command and asserts its exit code.
	"exits": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: exits code command [argument…]")
		}
		err := ts.Exec(args[1], args[2:]...)
		got := 0
		if err != nil {
			var exit interface{ ExitCode() int }
			if e, ok := err.(interface{ ExitCode() int }); ok {
				exit = e
			} else {
				ts.Fatalf("%v", err)
			}
			got = exit.ExitCode()
		}
		if strconv.Itoa(got) != args[0] {
			ts.Fatalf("exit code %d, want %s", got, args[0])
		}
	},
	// explain ARGUMENT…: runs webpush explain in this process, for the responses of a
	// whole dictionary. It reads no file, and no settings.
	"explain": func(ts *testscript.TestScript, neg bool, args []string) {
		code := run(context.Background(), &streams{in: strings.NewReader(""), out: ts.Stdout(), err: ts.Stderr()}, append([]string{"explain", "--config", os.DevNull}, args...))
		if (code != exitOK) != neg {
			ts.Fatalf("exit code %d", code)
		}
	},
	// push-service [plain] [chromium]: starts a push service over HTTPS, or plain
	// HTTP, and with a listener for Chromium at CHROMIUM, with CHROMIUM_CA, and sets PUSH to its URL, PUSH_HOST to its host and port, WS to that of its WebSocket and CA to the file of
	// its authority.
	"push-service": func(ts *testscript.TestScript, neg bool, args []string) {
		plain := slices.Contains(args, "plain")
		var chromium *pushservice.ChromiumOptions
		if slices.Contains(args, "chromium") {
			chromium = &pushservice.ChromiumOptions{}
		}
		server, err := pushservice.Start(pushservice.ServerOptions{TLS: !plain, Chromium: chromium, Options: pushservice.Options{
			// Scripts send to these names with --connect-to.
			Hosts: []string{"updates.push.services.mozilla.com", "fcm.googleapis.com", "web.push.apple.com", "push.dev"},
		}})
		ts.Check(err)
		ts.Defer(func() { _ = server.Close() })
		ts.Setenv("PUSH", server.URL)
		ts.Setenv("PUSH_HOST", server.URL[strings.Index(server.URL, "://")+3:])
		ts.Setenv("WS", "ws"+strings.TrimPrefix(server.URL, "http"))
		if !plain {
			ts.Setenv("CA", ts.MkAbs("ca.pem"))
			ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), server.CA(), 0o644))
		}
		if chromium != nil {
			ts.Setenv("CHROMIUM", server.Chromium.Addr)
			ts.Setenv("CHROMIUM_CA", ts.MkAbs("chromium-ca.pem"))
			ts.Check(os.WriteFile(ts.MkAbs("chromium-ca.pem"), server.Chromium.CA(), 0o644))
		}
		scriptReceivers(ts).server = server
	},
	// subscribe FILE [KEYFILE]: subscribes a user agent, with the application
	// server key in KEYFILE if there is one, and writes its subscription.
	// nats [USER PASSWORD] starts a NATS server with JetStream, at $NATS.
	"nats": func(ts *testscript.TestScript, neg bool, args []string) {
		dir := ts.MkAbs("nats-data")
		o := &natsserver.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true}
		if len(args) == 2 {
			o.Username, o.Password = args[0], args[1]
		}
		s, err := natsserver.NewServer(o)
		ts.Check(err)
		go s.Start()
		ts.Defer(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		if !s.ReadyForConnections(20 * time.Second) {
			ts.Fatalf("the NATS server does not start")
		}
		ts.Setenv("NATS", s.ClientURL())
		ts.Setenv("NATSHOST", strings.TrimPrefix(s.ClientURL(), "nats://"))
	},

	"subscribe": func(ts *testscript.TestScript, neg bool, args []string) {
		r := scriptReceivers(ts)
		agent, b := r.subscribe(ts, args[1:])
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
		id, err := json.Marshal(agent.Identity())
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]+".receiver"), id, 0o600))
		r.agents[args[0]] = agent
	},
	// subscribe-many FILE COUNT [KEYFILE]: subscribes that many user agents,
	// FILE:1, FILE:2 and so on, and writes their subscriptions as NDJSON.
	"subscribe-many": func(ts *testscript.TestScript, neg bool, args []string) {
		r := scriptReceivers(ts)
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		var lines []byte
		for i := range n {
			agent, b := r.subscribe(ts, args[2:])
			lines = append(append(lines, b...), '\n')
			r.agents[fmt.Sprintf("%s:%d", args[0], i+1)] = agent
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), lines, 0o600))
	},
	// expire FILE: ends a subscription.
	"expire": func(ts *testscript.TestScript, neg bool, args []string) {
		ts.Check(scriptReceivers(ts).agents[args[0]].Unsubscribe(context.Background()))
	},
	// received FILE PAYLOADFILE|none [urgency=…] [topic=…] [ttl=…] [encoding=…]:
	// takes the next message and compares it.
	"received": func(ts *testscript.TestScript, neg bool, args []string) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		agent := scriptReceivers(ts).agents[args[0]]
		m, err := agent.Receive(ctx)
		ts.Check(err)
		ts.Check(agent.Ack(ctx, m))
		if args[1] == "none" {
			if m.Payload != nil {
				ts.Fatalf("received a payload of %d bytes, want none", len(m.Payload))
			}
		} else if want := []byte(ts.ReadFile(args[1])); !bytes.Equal(m.Payload, want) {
			ts.Fatalf("received %q, want %q", m.Payload, want)
		}
		for _, field := range args[2:] {
			name, want, _ := strings.Cut(field, "=")
			got := map[string]string{"urgency": m.Urgency, "topic": m.Topic, "ttl": fmt.Sprint(m.TTL), "encoding": string(m.Encoding)}[name]
			if got != want {
				ts.Fatalf("%s is %q, want %q", name, got, want)
			}
		}
	},
	// fault JSON: makes the push service misbehave.
	"fault": func(ts *testscript.TestScript, neg bool, args []string) {
		r := scriptReceivers(ts)
		resp, err := r.server.Client().Post(r.server.URL+"/api/faults", "application/json", strings.NewReader(args[0]))
		ts.Check(err)
		defer resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			ts.Fatalf("fault %s: %s", args[0], resp.Status)
		}
	},
	// requests FILE: writes the last message requests of the push service.
	"requests": func(ts *testscript.TestScript, neg bool, args []string) {
		b, err := json.MarshalIndent(scriptReceivers(ts).server.Service.Requests(), "", "  ")
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o644))
	},
	// bytes FILE COUNT [BYTE]: makes a file of that many equal bytes.
	"bytes": func(ts *testscript.TestScript, neg bool, args []string) {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		b := "x"
		if len(args) > 2 {
			b = args[2]
		}
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Repeat(b, n)), 0o644))
	},
	// replace FILE OLD NEW [TARGET]: replaces text in a file.
	"replace": func(ts *testscript.TestScript, neg bool, args []string) {
		unquote := func(s string) string {
			u, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
			ts.Check(err)
			return u
		}
		text := ts.ReadFile(args[0])
		changed := strings.ReplaceAll(text, unquote(args[1]), unquote(args[2]))
		if changed == text {
			ts.Fatalf("%s does not hold %q", args[0], args[1])
		}
		target := args[0]
		if len(args) > 3 {
			target = args[3]
		}
		ts.Check(os.WriteFile(ts.MkAbs(target), []byte(changed), 0o600))
	},
	// mode FILE PERMISSIONS: asserts a file's permissions.
	"mode": func(ts *testscript.TestScript, neg bool, args []string) {
		info, err := os.Stat(ts.MkAbs(args[0]))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
			ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
		}
	},
}
