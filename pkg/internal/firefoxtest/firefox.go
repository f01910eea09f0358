// Package firefoxtest drives a real Firefox in tests, by WebDriver BiDi over the
// remote debugging port, with nothing but Firefox installed.
package firefoxtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// preferences let Firefox use a push service on this machine over plain HTTP,
// with the permission that a visitor gives, and keep it off the network.
const preferences = `
user_pref("dom.push.serverURL", "%s/");
user_pref("dom.push.enabled", true);
user_pref("dom.push.connection.enabled", true);
user_pref("dom.push.testing.allowInsecureServerURL", true);
user_pref("dom.push.retryBaseInterval", 200);
user_pref("dom.push.maxQuotaPerSubscription", 1000);
user_pref("permissions.default.desktop-notification", 1);
user_pref("alerts.useSystemBackend", false);
user_pref("remote.prefs.recommended", false);
user_pref("network.proxy.type", 1);
user_pref("network.proxy.allow_bypass", false);
user_pref("network.proxy.http", "127.0.0.1");
user_pref("network.proxy.http_port", 9);
user_pref("network.proxy.ssl", "127.0.0.1");
user_pref("network.proxy.ssl_port", 9);
user_pref("network.proxy.no_proxies_on", "127.0.0.1,localhost");
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("app.update.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.startup.page", 0);
`

// Browser is a headless Firefox with a profile of its own, and one page. What
// fails ends the test.
type Browser struct {
	tb      testing.TB
	ws      *websocket.Conn
	id      int
	context string // the page's
}

// Start starts a Firefox that uses the push service at the http or https URL
// push and ends with the test. Where there is no Firefox it skips the test.
func Start(tb testing.TB, push string) *Browser {
	tb.Helper()
	name := ""
	for _, candidate := range []string{"firefox-esr", "firefox"} {
		if path, err := exec.LookPath(candidate); err == nil {
			name = path
			break
		}
	}
	if name == "" {
		tb.Skip("SKIPPED the test with a real Firefox: neither firefox-esr nor firefox is installed")
	}
	profile := tb.TempDir()
	user := fmt.Appendf(nil, preferences, strings.Replace(push, "http", "ws", 1))
	if err := os.WriteFile(filepath.Join(profile, "user.js"), user, 0o600); err != nil {
		tb.Fatal(err)
	}
	c := exec.Command(name, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "--remote-allow-system-access", "about:blank")
	c.Env = append(os.Environ(), "HOME="+tb.TempDir(), "MOZ_CRASHREPORTER_DISABLE=1")
	stderr, err := c.StderrPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = c.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = c.Process.Kill()
			<-done
		}
	})
	address := make(chan string, 1)
	go func() {
		line := regexp.MustCompile(`WebDriver BiDi listening on (ws://\S+)`)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			if m := line.FindStringSubmatch(scanner.Text()); m != nil {
				address <- m[1]
			}
		}
	}()
	b := &Browser{tb: tb}
	select {
	case url := <-address:
		if b.ws, _, err = websocket.Dial(tb.Context(), url+"/session", nil); err != nil {
			tb.Fatal(err)
		}
		b.ws.SetReadLimit(16 << 20)
	case <-time.After(60 * time.Second):
		tb.Fatal("Firefox has not started within a minute")
	}
	tb.Cleanup(func() { _ = b.ws.CloseNow() })
	b.call("session.new", `{"capabilities":{}}`, nil)
	b.context = b.topContext(`{}`)
	return b
}

// topContext is the first of the top-level browsing contexts that the
// parameters choose.
func (b *Browser) topContext(params string) string {
	b.tb.Helper()
	var tree struct{ Contexts []struct{ Context string } }
	b.call("browsingContext.getTree", params, &tree)
	if len(tree.Contexts) == 0 {
		b.tb.Fatalf("browsingContext.getTree %s gave no context", params)
	}
	return tree.Contexts[0].Context
}

// call makes a command of WebDriver BiDi and reads its result.
func (b *Browser) call(method, params string, result any) {
	b.tb.Helper()
	ctx, cancel := context.WithTimeout(b.tb.Context(), 90*time.Second)
	defer cancel()
	b.id++
	if err := b.ws.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"id":%d,"method":%q,"params":%s}`, b.id, method, params)); err != nil {
		b.tb.Fatal(err)
	}
	for {
		_, text, err := b.ws.Read(ctx)
		if err != nil {
			b.tb.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Type   string
			Result json.RawMessage
		}
		if err := json.Unmarshal(text, &answer); err != nil {
			b.tb.Fatal(err)
		}
		if answer.ID != b.id {
			continue // an event
		}
		if answer.Type != "success" {
			b.tb.Fatalf("%s: %s", method, text)
		}
		if result != nil {
			if err := json.Unmarshal(answer.Result, result); err != nil {
				b.tb.Fatal(err)
			}
		}
		return
	}
}

// value is a value of the page: a string, or a reference to an element.
type value struct {
	Value    any
	SharedID string
}

// evaluate runs the body of an async function and returns what it resolves to.
func (b *Browser) evaluate(context, script string) value {
	b.tb.Helper()
	expression, err := json.Marshal("(async () => {" + script + "})()")
	if err != nil {
		b.tb.Fatal(err)
	}
	var v struct {
		Type             string
		Result           value
		ExceptionDetails struct{ Text string }
	}
	b.call("script.evaluate", fmt.Sprintf(`{"expression":%s,"awaitPromise":true,"target":{"context":%q}}`, expression, context), &v)
	if v.Type != "success" {
		b.tb.Fatalf("the page: %s\n%s", v.ExceptionDetails.Text, script)
	}
	return v.Result
}

// Open goes to a URL and waits until the page is loaded.
func (b *Browser) Open(url string) {
	b.tb.Helper()
	b.call("browsingContext.navigate", fmt.Sprintf(`{"context":%q,"url":%q,"wait":"complete"}`, b.context, url), nil)
}

// Run runs the body of an async function in the page. It returns the string
// that it resolves to, or an empty one for anything else.
func (b *Browser) Run(script string) string {
	b.tb.Helper()
	s, _ := b.evaluate(b.context, script).Value.(string)
	return s
}

// RunPrivileged is [Browser.Run] with the rights of the browser itself.
func (b *Browser) RunPrivileged(script string) string {
	b.tb.Helper()
	s, _ := b.evaluate(b.topContext(`{"moz:scope":"chrome"}`), script).Value.(string)
	return s
}

// Click scrolls to the element with an id and clicks on it with the mouse.
func (b *Browser) Click(id string) {
	b.tb.Helper()
	e := b.evaluate(b.context, fmt.Sprintf(`const e = document.getElementById(%q); e.scrollIntoView({block: 'center', behavior: 'instant'}); return e;`, id))
	if e.SharedID == "" {
		b.tb.Fatalf("there is no element %s", id)
	}
	b.call("input.performActions", fmt.Sprintf(`{"context":%q,"actions":[{"type":"pointer","id":"mouse","actions":[
		{"type":"pointerMove","x":0,"y":0,"origin":{"type":"element","element":{"sharedId":%q}}},
		{"type":"pointerDown","button":0},{"type":"pointerUp","button":0}]}]}`, b.context, e.SharedID), nil)
}
