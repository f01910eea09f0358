//go:build e2e

package appserver_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/browsertest"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// firefox shows the page of pkg/appserver in a real Firefox.
type firefox struct {
	*browsertest.Browser
	t *testing.T
}

// startFirefox starts a Firefox that uses the push service at url, or skips the test.
func startFirefox(t *testing.T, push string) *firefox {
	t.Helper()
	return &firefox{browsertest.Start(t, browsertest.Options{Name: "firefox", PushService: browsertest.PushService{WebSocket: strings.Replace(push, "http", "ws", 1)}}), t}
}

// until waits until an expression is true on the page.
func (f *firefox) until(expression string) {
	f.t.Helper()
	got := f.Run(`
		for (let i = 0; i < 800; i++) {
			if (` + expression + `) return 'yes';
			await new Promise(resolve => setTimeout(resolve, 50));
		}
		return document.querySelector('main').innerText;`)
	if got != "yes" {
		f.t.Fatalf("within 40 s the page has not: %s\n%s", expression, got)
	}
}

// state waits for the badge to show a text.
func (f *firefox) state(want string) {
	f.t.Helper()
	f.until(fmt.Sprintf(`document.getElementById('state').textContent === %q`, want))
}

// arrived waits until the page shows one more message, and returns its text.
func (f *firefox) arrived(n int) (name, body, kind, payload string) {
	f.t.Helper()
	f.until(fmt.Sprintf(`document.querySelectorAll('#arrived > li[data-shown]').length >= %d`, n))
	var shown struct{ Name, Body, Kind, Payload string }
	text := f.Run(`
		const item = document.querySelector('#arrived > li[data-shown]');
		return JSON.stringify({
			name: item.querySelector('.name').textContent + (item.querySelector('.error')?.textContent ?? ''),
			body: item.querySelector('.name + p:not(.when)')?.textContent ?? '',
			kind: item.dataset.kind,
			payload: item.querySelector('pre.payload')?.textContent ?? '',
		});`)
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		f.t.Fatal(err)
	}
	return shown.Name, shown.Body, shown.Kind, shown.Payload
}

// TestFirefoxCircle tests the complete flow in a real Firefox: subscribing with a click,
// messages from the page and the API, a new key, a push service that loses its data, and
// the removal of a subscription.
func TestFirefoxCircle(t *testing.T) {
	p := buildProgram(t)
	push := p.start("push-service", "--listen", "127.0.0.1:0")
	server := p.serve("127.0.0.1:0")
	f := startFirefox(t, push.URL)

	f.Open(server.URL)
	f.state("Not subscribed")
	f.Click("subscribe")
	f.state("Subscribed")

	// The page shows the subscription that the server has and webpush send accepts.
	sub, err := webpush.ParseSubscription([]byte(f.Run(`return document.getElementById('json').textContent;`)))
	if err != nil {
		t.Fatal(err)
	}
	if list := server.subscriptions(); len(list) != 1 || list[0] != sub.Endpoint() {
		t.Fatalf("the server has %d subscriptions, want that of the page", len(list))
	}

	// From the page.
	arrived := 0
	expect := func(name, body, kind, payload string) {
		t.Helper()
		arrived++
		n, b, k, text := f.arrived(arrived)
		if n != name || b != body || k != kind || !strings.Contains(text, payload) {
			t.Errorf("the page shows %q, %q, %q, %q; want %q, %q, %q, %q", n, b, k, text, name, body, kind, payload)
		}
	}
	f.Click("test-send")
	expect("Hello", "A message from this server", "notification", `"title":"Hello"`)
	f.until(`document.getElementById('test-status').textContent.includes('accepted')`)

	// From the API: a notification with data, text, and nothing.
	one := map[string]int{"delivered": 1}
	for _, m := range []struct{ body, name, text, kind, payload string }{
		{`{"notification":{"title":"Grüße 👋","body":"drei","tag":"t","url":"https://example.com/x","data":{"id":7}}}`, "Grüße 👋", "drei", "notification", `"data":{"id":7,"url":"https://example.com/x"}`},
		{`{"payload":"nur Text"}`, "A push message", "nur Text", "text", "nur Text"},
		{`{"payload":{"no":"title"}}`, "A push message", `{"no":"title"}`, "json", `{"no":"title"}`},
		{`{"payload":""}`, "A push message", "It is empty.", "text", ""},
		{`{"ttl":60,"urgency":"high"}`, "A push message", "It has no payload.", "none", ""},
	} {
		if got := server.push(m.body); !maps.Equal(got, one) {
			t.Errorf("%s: %v", m.body, got)
		}
		expect(m.name, m.text, m.kind, m.payload)
	}

	// After unsubscribing on the page, the server no longer has the subscription.
	f.Click("unsubscribe")
	f.state("Not subscribed")
	if n := len(server.subscriptions()); n != 0 {
		t.Errorf("after unsubscribing the server has %d subscriptions", n)
	}

	// Another subscription, with a user and tags, is removed without informing the
	// server: the next push finds it gone and removes it.
	f.Run(`document.getElementById('user').value = 'ann'; document.getElementById('tags').value = 'news, sport';`)
	f.Click("subscribe")
	f.state("Subscribed")
	if got := server.push(`{"payload":"for ann","to":{"user":"ann"}}`); !maps.Equal(got, one) {
		t.Errorf("to the user: %v", got)
	}
	expect("A push message", "for ann", "text", "for ann")
	if got := server.push(`{"payload":"for nobody","to":{"tag":"weather"}}`); len(got) != 0 {
		t.Errorf("to a tag of nobody: %v", got)
	}
	f.Run(`
		const registration = await navigator.serviceWorker.ready;
		await (await registration.pushManager.getSubscription()).unsubscribe();`)
	if n := len(server.subscriptions()); n != 1 {
		t.Errorf("the server has %d subscriptions, want the one that has ended without a word", n)
	}
	counts := server.push(`{"payload":"too late"}`)
	for i := 0; i < 5 && counts["gone"] == 0; i++ { // Firefox tells its push service a little later
		counts = server.push(`{"payload":"too late"}`)
	}
	if counts["gone"] != 1 {
		t.Errorf("to a subscription that has ended: %v", counts)
	}
	if n := len(server.subscriptions()); n != 0 {
		t.Errorf("after the push the server has %d subscriptions", n)
	}

	// The server has another key: the page subscribes again automatically, because
	// the visitor has allowed notifications.
	f.Open(server.URL)
	arrived = 0
	f.state("Not subscribed")
	f.Click("subscribe")
	f.state("Subscribed")
	if err := server.stop(); err != nil {
		t.Fatalf("%v\n%s", err, server.log)
	}
	p.run("gen", "--force")
	server = p.serve(server.address())
	f.Open(server.URL)
	f.state("Subscribed")
	f.Click("test-send")
	expect("Hello", "A message from this server", "notification", "")
	if n := len(server.subscriptions()); n != 1 {
		t.Errorf("with a new key the server has %d subscriptions, want the new one alone", n)
	}

	// The push service loses its data: Firefox removes the subscription, and the
	// service worker sends the server a new one.
	before := server.subscriptions()[0]
	if err := push.stop(); err != nil {
		t.Fatalf("%v\n%s", err, push.log)
	}
	p.start("push-service", "--listen", push.address())
	deadline := time.Now().Add(60 * time.Second)
	for list := server.subscriptions(); len(list) != 1 || list[0] == before; list = server.subscriptions() {
		if time.Now().After(deadline) {
			t.Fatalf("the subscription was not changed; the page:\n%s", f.Run(`return document.querySelector('main').innerText;`))
		}
		time.Sleep(100 * time.Millisecond)
	}
	server.push(`{"payload":"after the change"}`)
	expect("A push message", "after the change", "text", "")

	// No secret is in a log.
	for _, secret := range []string{server.token, before[strings.LastIndexByte(before, '/')+1:]} {
		if strings.Contains(server.log.String(), secret) {
			t.Errorf("the log has the secret %q:\n%s", secret, server.log)
		}
	}
}

// TestFirefoxKeyRotation replaces the application server key as the README says:
// the subscription of a real Firefox gets messages under the old key, is renewed
// at the next visit, and gets them when the old key is gone.
func TestFirefoxKeyRotation(t *testing.T) {
	p := buildProgram(t)
	push := p.start("push-service", "--listen", "127.0.0.1:0")
	server := p.serve("127.0.0.1:0")
	f := startFirefox(t, push.URL)
	f.Open(server.URL)
	f.state("Not subscribed")
	f.Click("subscribe")
	f.state("Subscribed")
	first := server.subscriptions()
	restart := func(keys ...string) {
		t.Helper()
		if err := server.stop(); err != nil {
			t.Fatalf("%v\n%s", err, server.log)
		}
		server = p.serve(server.address(), keys...)
	}
	delivered := func(when string) {
		t.Helper()
		if got := server.push(`{"payload":"` + when + `"}`); got["delivered"] != 1 || len(got) != 1 {
			t.Fatalf("%s: %v\n%s", when, got, server.log)
		}
	}

	p.run("gen", "--next")
	restart("-k", "private_key.next.pem", "-k", "private_key.pem")
	delivered("under the old key")
	_, body, _, _ := f.arrived(1)
	if body != "under the old key" {
		t.Errorf("the page shows %q", body)
	}
	f.Open(server.URL) // the next visit
	f.state("Subscribed")
	renewed := server.subscriptions()
	for deadline := time.Now().Add(30 * time.Second); len(renewed) != 1 || renewed[0] == first[0]; renewed = server.subscriptions() {
		if time.Now().After(deadline) {
			t.Fatalf("the subscription was not renewed: %d of them; the page:\n%s", len(renewed), f.Run(`return document.querySelector('main').innerText;`))
		}
		time.Sleep(100 * time.Millisecond)
	}
	f.state("Subscribed")
	restart("-k", "private_key.next.pem")
	delivered("under the new key")
	if _, body, _, _ := f.arrived(1); body != "under the new key" {
		t.Errorf("the page shows %q", body)
	}
}

// TestFirefoxSubscribe: webpush subscribe saves the subscription of a real Firefox to a
// file, and webpush send reaches the browser with it.
func TestFirefoxSubscribe(t *testing.T) {
	p := buildProgram(t)
	push := p.start("push-service", "--listen", "127.0.0.1:0")
	f := startFirefox(t, push.URL)

	command := p.start("subscribe", "-o", "sub.json", "--listen", "localhost:0", "--timeout", "3m")
	f.Open(command.URL)
	f.state("Not subscribed")
	if got := f.Run(`return [...document.querySelectorAll('section, #about, #nav')].filter(e => e.checkVisibility()).map(e => e.id).join();`); got != "browser" {
		t.Errorf("the page shows %s, want the section browser alone", got)
	}
	f.Click("subscribe")
	f.state("Saved")
	if err := command.wait(); err != nil {
		t.Fatalf("%v\n%s", err, command.log)
	}
	if info, err := os.Stat(filepath.Join(p.dir, "sub.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	p.run("send", "-f", "sub.json", "--title", "From a terminal", "--subject", "mailto:ops@example.com")
	if name, _, kind, _ := f.arrived(1); name != "From a terminal" || kind != "notification" {
		t.Errorf("the page got %q, a %s", name, kind)
	}

	// At the same address, the browser returns its existing subscription.
	command = p.start("subscribe", "-o", "again.json", "--listen", command.address(), "--timeout", "3m")
	f.Open(command.URL)
	f.state("Subscribed, not saved")
	f.Click("subscribe")
	f.state("Saved")
	if err := command.wait(); err != nil {
		t.Fatalf("%v\n%s", err, command.log)
	}
	first, err1 := os.ReadFile(filepath.Join(p.dir, "sub.json"))
	second, err2 := os.ReadFile(filepath.Join(p.dir, "again.json"))
	if err1 != nil || err2 != nil || string(first) != string(second) {
		t.Errorf("%v, %v: the two files differ", err1, err2)
	}
}
