package useragent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// world is a push service with a device: every test of several subscriptions runs
// over both protocols that have them.
type world struct {
	service *pushservice.Service
	url     string
	options useragent.Options
	client  *http.Client
}

// bothChannels runs a test over the WebSocket and over Chromium's protocols.
func bothChannels(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("websocket", func(t *testing.T) {
		s := start(t, false)
		test(t, &world{s.Service, socketURL(s), useragent.Options{HTTP: s.Client()}, s.Client()})
	})
	t.Run("chromium", func(t *testing.T) {
		s, o, client := startChromium(t, pushservice.ServerOptions{})
		test(t, &world{s.Service, chromiumURL(s), o, client})
	})
}

// openFile opens a state file and the device in it, or creates both.
func (w *world) openFile(t *testing.T, name string) (*useragent.File, *useragent.Device) {
	t.Helper()
	file, err := useragent.OpenFile(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(file.Close)
	var d *useragent.Device
	if _, found := file.State(); found {
		d, err = file.Open(t.Context(), w.options)
	} else {
		d, err = file.New(w.url, w.options)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return file, d
}

// add registers a subscription with a key of its own.
func add(t *testing.T, d *useragent.Device, name string) *useragent.Subscription {
	t.Helper()
	s, err := d.Subscribe(t.Context(), name, newKey(t).PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *world) push(t *testing.T, s *useragent.Subscription, payload string) {
	t.Helper()
	endpoint, r := recipient(t, s)
	key, _ := chromiumKeys.Load(s.ApplicationServerKey())
	push(t, w.client, endpoint, encrypt(t, r, []byte(payload), ece.AES128GCM), key.(*vapid.Key))
}

// gets receives the next message and expects its payload and subscription.
func gets(t *testing.T, d *useragent.Device, name, payload string) *useragent.ReceivedMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	m, err := d.Receive(ctx)
	if err != nil || m.Subscription.Name() != name || string(m.Payload) != payload {
		t.Fatalf("got %+v, %v, want %q for %s", m, err, payload, name)
	}
	return m
}

func acks(t *testing.T, d *useragent.Device, m *useragent.ReceivedMessage) {
	t.Helper()
	if err := d.Ack(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// messages waits until the service has so many messages for all subscriptions
// together.
func (w *world) messages(t *testing.T, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		n := 0
		for _, s := range w.service.Subscriptions() {
			n += s.Messages
		}
		if n == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages are left, want %d", n, want)
		}
	}
}

// TestDevice: several subscriptions of one device receive over one connection, also
// one that is added while it is connected; each message is for its subscription.
func TestDevice(t *testing.T) {
	bothChannels(t, func(t *testing.T, w *world) {
		d, err := useragent.NewDevice(w.url, w.options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Receive(t.Context()); err == nil {
			t.Error("received without a subscription")
		}
		if _, err := d.Subscribe(t.Context(), "../x", newKey(t).PublicKey()); err == nil || !strings.Contains(err.Error(), `"../x" is not a name`) {
			t.Errorf("got %v", err)
		}
		a := add(t, d, "a")
		b := add(t, d, "b")
		w.push(t, a, "1")
		acks(t, d, gets(t, d, "a", "1"))
		c := add(t, d, "c")
		for i, s := range []*useragent.Subscription{b, c, a, b} {
			w.push(t, s, fmt.Sprint(i))
			acks(t, d, gets(t, d, s.Name(), fmt.Sprint(i)))
		}
		w.messages(t, 0)
		if got := fmt.Sprintf("%v, %+v, %v, %v", d, d.State(), b, d.State().Subscriptions()); !strings.HasPrefix(got, "3 subscriptions at ") || strings.Contains(got, "APA91b") || strings.Contains(got, "wpush") {
			t.Errorf("printed %s", got)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := d.Subscribe(t.Context(), "d", newKey(t).PublicKey()); !errors.Is(err, useragent.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// TestDeviceRestarts: messages to both subscriptions that were not acknowledged
// arrive again after a restart from the state file, and acknowledged ones do not.
func TestDeviceRestarts(t *testing.T) {
	bothChannels(t, func(t *testing.T, w *world) {
		name := filepath.Join(t.TempDir(), "state.json")
		file, d := w.openFile(t, name)
		a, b := add(t, d, "a"), add(t, d, "b")
		for i := range 3 {
			w.push(t, a, fmt.Sprint("a", i))
			w.push(t, b, fmt.Sprint("b", i))
		}
		first := gets(t, d, "a", "a0")
		second := gets(t, d, "b", "b0")
		gets(t, d, "a", "a1")
		acks(t, d, second) // and not the first, which is in front of it
		_ = first
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		file.Close()

		_, d = w.openFile(t, name)
		if all := d.Subscriptions(); len(all) != 2 || all[0].Endpoint() != a.Endpoint() || all[1].Endpoint() != b.Endpoint() {
			t.Fatalf("the subscriptions are %v", all)
		}
		for _, want := range []string{"a0", "a1", "b1", "a2", "b2"} {
			acks(t, d, gets(t, d, want[:1], want))
		}
		w.messages(t, 0)
	})
}

// TestDeviceUnsubscribes: one subscription ends while another receives; its
// messages that wait are not received, and do not block those behind them. After
// the last, Receive returns an error that is Gone.
func TestDeviceUnsubscribes(t *testing.T) {
	bothChannels(t, func(t *testing.T, w *world) {
		name := filepath.Join(t.TempDir(), "state.json")
		_, d := w.openFile(t, name)
		a, b := add(t, d, "a"), add(t, d, "b")
		w.push(t, a, "0")
		held := gets(t, d, "a", "0")
		w.push(t, a, "1")
		w.push(t, b, "2")
		w.messages(t, 3)
		if err := a.Unsubscribe(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := gets(t, d, "b", "2")
		acks(t, d, held)
		acks(t, d, m)
		w.messages(t, 0)
		if n := len(w.service.Subscriptions()); n != 1 {
			t.Errorf("%d subscriptions at the service", n)
		}
		state, err := useragent.ReadFile(name)
		if all := state.Subscriptions(); err != nil || len(all) != 1 || all[0].Name() != "b" {
			t.Errorf("the file has %v, %v", all, err)
		}
		if err := a.Unsubscribe(t.Context()); err != nil {
			t.Errorf("again: %v", err)
		}
		w.push(t, b, "3")
		acks(t, d, gets(t, d, "b", "3"))
		if err := b.Unsubscribe(t.Context()); err != nil {
			t.Fatal(err)
		}
		e := (*useragent.Error)(nil)
		if _, err := d.Receive(t.Context()); !errors.As(err, &e) || !e.Gone() {
			t.Errorf("after the last one: %v", err)
		}
	})
}

// TestFileUnsubscribes: subscriptions end without a device at work, one by one, and
// the file with the last.
func TestFileUnsubscribes(t *testing.T) {
	bothChannels(t, func(t *testing.T, w *world) {
		name := filepath.Join(t.TempDir(), "state.json")
		file, d := w.openFile(t, name)
		add(t, d, "a")
		b := add(t, d, "b")
		add(t, d, "c")
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		state, _ := file.State()
		all := state.Subscriptions()
		if err := file.Unsubscribe(t.Context(), w.options, all[0]); err != nil {
			t.Fatal(err)
		}
		state, _ = file.State()
		if left := state.Subscriptions(); len(left) != 2 || left[0].Endpoint() != b.Endpoint() || len(w.service.Subscriptions()) != 2 {
			t.Errorf("left are %v", left)
		}
		if err := file.Unsubscribe(t.Context(), w.options, state.Subscriptions()...); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the file: %v", err)
		}
		if n := len(w.service.Subscriptions()); n != 0 {
			t.Errorf("%d subscriptions at the service", n)
		}
	})
}

// TestFileUnsubscribesForgotten: ending subscriptions at a push service that has
// forgotten the user agent registers nothing; the others stay in the file, for a
// device that registers them again.
func TestFileUnsubscribesForgotten(t *testing.T) {
	s := start(t, false)
	w := &world{s.Service, socketURL(s), useragent.Options{HTTP: s.Client()}, s.Client()}
	name := filepath.Join(t.TempDir(), "state.json")
	file, d := w.openFile(t, name)
	a := add(t, d, "a")
	add(t, d, "b")
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	address := strings.TrimPrefix(s.URL, "http://")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := pushservice.Start(pushservice.ServerOptions{Addr: address}) // without its data
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.options.HTTP = s.Client()
	state, _ := file.State()
	if err := file.Unsubscribe(t.Context(), w.options, state.Subscriptions()[1]); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Service.Subscriptions()); n != 0 {
		t.Errorf("%d subscriptions at the service", n)
	}
	state, _ = file.State()
	if left := state.Subscriptions(); len(left) != 1 || left[0].Endpoint() != a.Endpoint() {
		t.Errorf("left are %v", left)
	}
	file.Close()
	file, d = w.openFile(t, name)
	e := (*useragent.ChangedError)(nil)
	if _, err := d.Receive(t.Context()); !errors.As(err, &e) || e.Subscription.Name() != "a" {
		t.Errorf("got %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	state, _ = file.State()
	if err := file.Unsubscribe(t.Context(), w.options, state.Subscriptions()...); err != nil {
		t.Fatal(err)
	}
	if n := len(s.Service.Subscriptions()); n != 0 {
		t.Errorf("%d subscriptions at the service", n)
	}
}

// restartable starts a push service that keeps its data. restart stops it and starts
// it again on the same ports.
func restartable(t *testing.T, chromium bool) (w *world, restart func()) {
	dir := t.TempDir()
	o := pushservice.ServerOptions{Storage: openStorage(t, dir)}
	if chromium {
		o.Chromium = &pushservice.ChromiumOptions{AuthorityFile: filepath.Join(dir, "ca.pem")}
	}
	s, err := pushservice.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	o.Addr = strings.TrimPrefix(s.URL, "http://")
	w = &world{s.Service, socketURL(s), useragent.Options{}, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	if chromium {
		o.Chromium.Addr = s.Chromium.Addr
		w.url, w.options.CAs, w.client = chromiumURL(s), s.Chromium.CA(), chromiumClient(t, s)
	}
	return w, func() {
		t.Helper()
		w.client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		o.Storage = openStorage(t, dir)
		if s, err = pushservice.Start(o); err != nil {
			t.Fatal(err)
		}
		w.service = s.Service
	}
}

// TestUnsubscribesAndRestarts: one of several subscriptions ends, another takes its
// place, and the service restarts in between, with its data.
func TestUnsubscribesAndRestarts(t *testing.T) {
	t.Parallel()
	for name, chromium := range map[string]bool{"websocket": false, "chromium": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, restart := restartable(t, chromium)
			file, d := w.openFile(t, filepath.Join(t.TempDir(), "state.json"))
			again := func() {
				t.Helper()
				err := d.Close()
				if err != nil {
					t.Error(err)
				}
				restart()
				if d, err = file.Open(t.Context(), w.options); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = d.Close() })
			}
			add(t, d, "a")
			add(t, d, "b")
			add(t, d, "c")
			if err := d.Named("a").Unsubscribe(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.push(t, d.Named("b"), "1")
			if chromium { // it waits 30 seconds if a connection is lost early
				again()
			} else {
				restart()
			}
			acks(t, d, gets(t, d, "b", "1"))
			if n := len(w.service.Subscriptions()); n != 2 {
				t.Errorf("%d subscriptions at the service after a restart, want 2", n)
			}
			add(t, d, "a")
			w.push(t, d.Named("a"), "2")
			acks(t, d, gets(t, d, "a", "2"))
			again()
			if err := d.Named("c").Unsubscribe(t.Context()); err != nil {
				t.Fatal(err)
			}
			again()
			for _, name := range []string{"b", "a"} {
				w.push(t, d.Named(name), "3")
				acks(t, d, gets(t, d, name, "3"))
			}
			w.messages(t, 0)
			state, _ := file.State()
			if all := state.Subscriptions(); len(all) != 2 || len(w.service.Subscriptions()) != 2 || all[0].Name() != "b" || all[1].Name() != "a" {
				t.Errorf("the file has %v, the service %d subscriptions", all, len(w.service.Subscriptions()))
			}
		})
	}
}

// TestMessageAfterUnsubscribe: a message that was on its way when its subscription
// ended here is acknowledged and not received.
func TestMessageAfterUnsubscribe(t *testing.T) {
	s, o, client := startChromium(t, pushservice.ServerOptions{})
	w := &world{s.Service, chromiumURL(s), o, client}
	_, d := w.openFile(t, filepath.Join(t.TempDir(), "state.json"))
	a, b := add(t, d, "a"), add(t, d, "b")
	d.Ended(a) // as Unsubscribe does after the push service has ended it
	w.push(t, a, "1")
	w.push(t, b, "2")
	acks(t, d, gets(t, d, "b", "2"))
	w.messages(t, 0)
}

// TestSupersede: a subscription takes the place of another of its name, and a device
// that of another in the file.
func TestSupersede(t *testing.T) {
	bothChannels(t, func(t *testing.T, w *world) {
		name := filepath.Join(t.TempDir(), "state.json")
		file, d := w.openFile(t, name)
		add(t, d, "a")
		b, again := add(t, d, "b"), add(t, d, "a")
		if d.Named("a") != again || d.Named("c") != nil {
			t.Errorf("Named returned %v, %v", d.Named("a"), d.Named("c"))
		}
		if err := again.Supersede(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all := d.Subscriptions(); len(all) != 2 || all[0] != b || all[1] != again || len(w.service.Subscriptions()) != 2 {
			t.Errorf("left are %v", all)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		d, err := file.New(w.url, w.options)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		a := add(t, d, "a")
		if n := len(w.service.Subscriptions()); n != 3 {
			t.Errorf("%d subscriptions at the service, want the old ones to last", n)
		}
		for range 2 {
			if err := a.Supersede(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(w.service.Subscriptions()); n != 1 {
			t.Errorf("%d subscriptions at the service", n)
		}
	})
}

// TestFileSubscription: a program asks for the subscription with a name, and gets the
// one in the file, or a new one on the same device; a new one takes the place of
// another, even if the push service has forgotten the device.
func TestFileSubscription(t *testing.T) {
	bothChannels(t, func(t *testing.T, w *world) {
		o := w.options
		o.ApplicationServerKey = newKey(t).PublicKey()
		var events []useragent.Event
		o.Notify = func(e useragent.Event) { events = append(events, e) }
		file, err := useragent.OpenFile(filepath.Join(t.TempDir(), "state.json"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		get := func(call func(context.Context, string, string, useragent.Options) (*useragent.Subscription, error), name string) (endpoint string, all int) {
			t.Helper()
			s, err := call(t.Context(), w.url, name, o)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Name() != name || s.ApplicationServerKey() != o.ApplicationServerKey {
				t.Errorf("got %v with %v", s, s.ApplicationServerKey())
			}
			if err := s.Supersede(t.Context()); err != nil {
				t.Error(err)
			}
			return s.Endpoint(), len(s.Device().Subscriptions())
		}
		a, _ := get(file.Subscription, "a")
		if again, all := get(file.Subscription, "a"); again != a || all != 1 {
			t.Errorf("another subscription, of %d", all)
		}
		if b, all := get(file.Subscription, "b"); b == a || all != 2 {
			t.Errorf("the same subscription, or %d of them", all)
		}
		renewed, all := get(file.Renew, "a")
		if renewed == a || all != 2 || len(w.service.Subscriptions()) != 2 {
			t.Errorf("the same subscription, or %d of them", all)
		}
		if len(events) != 0 {
			t.Errorf("events: %v", events)
		}
		if !useragent.RequiresKey(w.url) {
			return
		}
		for _, f := range []pushservice.Fault{{On: pushservice.OnLogin, Error: "1"}, {On: pushservice.OnCheckin, Status: 401}} {
			if err := w.service.AddFault(f); err != nil {
				t.Fatal(err)
			}
		}
		if a, all := get(file.Renew, "a"); a == renewed || all != 1 {
			t.Errorf("the same subscription, or %d of them", all)
		}
		e := (*useragent.Error)(nil)
		if len(events) != 1 || events[0].Retry != 0 || !errors.As(events[0].Err, &e) || !e.Gone() {
			t.Errorf("events: %v", events)
		}
	})
}

// TestUpdateFile: a subscription file follows its subscription, and other files stay.
func TestUpdateFile(t *testing.T) {
	s := start(t, false)
	w := &world{s.Service, socketURL(s), useragent.Options{HTTP: s.Client()}, s.Client()}
	dir := t.TempDir()
	_, d := w.openFile(t, filepath.Join(dir, "state.json"))
	file := filepath.Join(dir, "a.json")
	textOf := func(s *useragent.Subscription) string {
		b, err := s.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	write := func(s *useragent.Subscription) string {
		if err := os.WriteFile(file, []byte(textOf(s)), 0o600); err != nil {
			t.Fatal(err)
		}
		return textOf(s)
	}
	update := func(before useragent.State, changed bool, want string) {
		t.Helper()
		got, err := d.State().UpdateFile(file, before)
		if err != nil || got != changed {
			t.Errorf("changed %v, %v, want %v", got, err, changed)
		}
		if b, _ := os.ReadFile(file); strings.TrimSuffix(string(b), "\n") != want {
			t.Errorf("the file has %q, want %q", b, want)
		}
	}
	a, b := add(t, d, "a"), add(t, d, "b")
	before := d.State()
	text := write(a)
	update(before, false, text)
	update(useragent.State{}, false, text) // the file of another
	again := add(t, d, "a")
	update(before, false, text) // both exist
	if err := again.Supersede(t.Context()); err != nil {
		t.Fatal(err)
	}
	update(useragent.State{}, false, text)
	update(before, true, textOf(again))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	text = write(b)
	if r, ok := before.FindIn(file); !ok || r.Name() != "b" {
		t.Errorf("FindIn returned %v, %v", r, ok)
	}
	update(before, false, text)
	if err := b.Unsubscribe(t.Context()); err != nil {
		t.Fatal(err)
	}
	update(before, true, "")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
	update(before, false, "")
}

// TestDeviceRefused: a registration that is refused leaves the others as they are.
func TestDeviceRefused(t *testing.T) {
	s, o, client := startChromium(t, pushservice.ServerOptions{})
	w := &world{s.Service, chromiumURL(s), o, client}
	_, d := w.openFile(t, filepath.Join(t.TempDir(), "state.json"))
	a := add(t, d, "a")
	if err := s.Service.AddFault(pushservice.Fault{On: pushservice.OnRegistration, Error: "TOO_MANY_REGISTRATIONS"}); err != nil {
		t.Fatal(err)
	}
	refused := (*useragent.RegistrationError)(nil)
	if _, err := d.Subscribe(t.Context(), "b", newKey(t).PublicKey()); !errors.As(err, &refused) || refused.Code != "TOO_MANY_REGISTRATIONS" {
		t.Errorf("got %v", err)
	}
	if n := len(d.Subscriptions()); n != 1 {
		t.Errorf("%d subscriptions", n)
	}
	w.push(t, a, "x")
	acks(t, d, gets(t, d, "a", "x"))
}

// TestDevicePatience: while the second registration waits because of
// PHONE_REGISTRATION_ERROR, the first subscription receives.
func TestDevicePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGoogle(t)
		defer g.close()
		sub, err := useragent.Subscribe(t.Context(), useragent.FCM, g.options)
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Close()
		if err := g.service.AddFault(pushservice.Fault{On: pushservice.OnRegistration, Error: "PHONE_REGISTRATION_ERROR", Count: 3}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		second := make(chan error)
		go func() {
			_, err := sub.Device().Subscribe(t.Context(), "second", newKey(t).PublicKey())
			second <- err
		}()
		time.Sleep(3 * time.Second)
		g.push(t, sub, "x")
		ack(t, sub, gets(t, sub.Device(), "", "x"))
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("received after %v", took)
		}
		if err := <-second; err != nil || time.Since(began).Round(time.Second) != 14*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if n := len(sub.Device().Subscriptions()); n != 2 {
			t.Errorf("%d subscriptions", n)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if dials := strings.Join(g.dials, " "); strings.Count(dials, "mtalk") != 1 {
			t.Errorf("dialed %s", dials)
		}
	})
}

// handled is a transport that calls a handler.
type handled http.HandlerFunc

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h(w, r)
	return w.Result(), nil
}

// push sends a message to a subscription.
func (g *google) push(t *testing.T, s *useragent.Subscription, payload string) {
	t.Helper()
	(&world{client: &http.Client{Transport: handled(g.service.ServeChromium)}}).push(t, s, payload)
}

// TestDeviceForgotten: each subscription of a user agent that the push service has
// forgotten is registered again and reported.
func TestDeviceForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registers := func(c *agentConn, n int) {
			for i := range n {
				c.register("", fmt.Sprint(endpoint, uaid2[:n], i))
			}
		}
		a := newAutopush(t,
			func(c *agentConn) { c.begin(); registers(c, 1); c.hold() },
			func(c *agentConn) {
				c.hello(uaid, uaid2)
				registers(c, 2)
				c.notify("m") // of the second
				c.acked("m", 100)
				c.hold()
			})
		defer a.close()
		sub := a.subscribe()
		second, err := sub.Device().Subscribe(t.Context(), "b", vapid.PublicKey{})
		if err != nil {
			t.Fatal(err)
		}
		before := []string{sub.Endpoint(), second.Endpoint()}
		closeSub(t, sub)
		d, err := useragent.Open(t.Context(), sub.State(), a.options())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		for i := range 2 {
			_, err := d.Receive(t.Context())
			e := (*useragent.ChangedError)(nil)
			if !errors.As(err, &e) || e.Subscription != d.Subscriptions()[i] || e.Subscription.Endpoint() == before[i] {
				t.Fatalf("got %v", err)
			}
		}
		m, err := d.Receive(t.Context())
		if err != nil || m.Subscription.Name() != "b" {
			t.Fatalf("got %+v, %v", m, err)
		}
		if err := d.Ack(t.Context(), m); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}

// TestDeviceForeign: a message to a subscription that the device does not have is
// reported as damaged, acknowledged, and does not return.
func TestDeviceForeign(t *testing.T) {
	s, o, client := startChromium(t, pushservice.ServerOptions{})
	w := &world{s.Service, chromiumURL(s), o, client}
	d, err := useragent.NewDevice(w.url, o)
	if err != nil {
		t.Fatal(err)
	}
	a, b := add(t, d, "a"), add(t, d, "b")
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	// The state without b.
	var v map[string]any
	text, err := json.Marshal(d.State())
	if err != nil || json.Unmarshal(text, &v) != nil {
		t.Fatal(err)
	}
	delete(v, "others")
	if text, err = json.Marshal(v); err != nil {
		t.Fatal(err)
	}
	var state useragent.State
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	if d, err = useragent.Open(t.Context(), state, o); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	w.push(t, b, "foreign")
	w.push(t, a, "own")
	_, err = d.Receive(t.Context())
	damaged := (*useragent.DecryptError)(nil)
	if !errors.As(err, &damaged) || !strings.Contains(err.Error(), "another subscription of this device") || damaged.Message.Subscription != nil {
		t.Fatalf("got %v", err)
	}
	acks(t, d, damaged.Message)
	acks(t, d, gets(t, d, "a", "own"))
	w.messages(t, 0)
}

// TestSingleREST: the REST channel has one subscription per device.
func TestSingleREST(t *testing.T) {
	s := start(t, false)
	sub := subscribe(t, s, vapid.PublicKey{})
	if _, err := sub.Device().Subscribe(t.Context(), "", vapid.PublicKey{}); !errors.Is(err, useragent.ErrSingle) {
		t.Errorf("got %v", err)
	}
	// With it ends its state file: this protocol has nothing else to keep.
	name := filepath.Join(t.TempDir(), "state.json")
	_, d := (&world{url: s.URL, options: useragent.Options{HTTP: s.Client()}}).openFile(t, name)
	other := add(t, d, "a")
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := other.Unsubscribe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}

// TestOldState: states with one subscription, as they were before a device could
// have several, are read.
func TestOldState(t *testing.T) {
	identity, err := ece.GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := json.Marshal(identity)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t).PublicKey()
	for _, old := range []string{
		`{"server":"` + autopushURL + `","endpoint":"` + endpoint + `","uaid":"` + uaid + `","channelID":"a-1","applicationServerKey":null,"keys":KEYS,"acknowledged":["x"]}`,
		`{"server":"http://127.0.0.1:8090","endpoint":"http://127.0.0.1:8090/wpush/v1/a","channelID":"a","applicationServerKey":"` + key.String() + `","keys":KEYS}`,
		`{"server":"fcm","endpoint":"https://fcm.googleapis.com/fcm/send/x:y","device":{"androidID":"1","securityToken":"18446744073709551615","checkin":"2026-01-01T00:00:00Z"},
			"subtype":"wp:https://webpush.invalid/#X-V2","instanceID":"a","applicationServerKey":"` + key.String() + `","keys":KEYS,"unconfirmed":["y"]}`,
	} {
		var state useragent.State
		if err := json.Unmarshal([]byte(strings.Replace(old, "KEYS", string(keys), 1)), &state); err != nil {
			t.Errorf("%.30s: %v", old, err)
			continue
		}
		all := state.Subscriptions()
		if len(all) != 1 || all[0].Name() != "" || !strings.Contains(old, all[0].Endpoint()) {
			t.Errorf("%.30s: %v", old, all)
		}
		again, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		var one, two map[string]any
		if json.Unmarshal([]byte(strings.Replace(old, "KEYS", string(keys), 1)), &one) != nil || json.Unmarshal(again, &two) != nil || fmt.Sprint(one) != fmt.Sprint(two) {
			t.Errorf("was %v, is %v", one, two)
		}
	}
}

// TestDeviceQueue: messages for which there is no room while a subscription begins
// or ends are sent again on another connection; the device receives all of them.
func TestDeviceQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 300
		var first string
		flood := func(c *agentConn, from int) {
			for i := from; i < n; i++ {
				c.notify(fmt.Sprint(i))
			}
		}
		a := newAutopush(t,
			func(c *agentConn) {
				c.begin()
				first = c.channel
				go flood(c, 0)
				c.register("", endpoint2)
				c.drain()
			},
			func(c *agentConn) {
				c.hello(uaid, uaid)
				c.channel = first
				go flood(c, 0)
				c.drain()
			})
		defer a.close()
		sub := a.subscribe()
		synctest.Wait()
		if _, err := sub.Device().Subscribe(t.Context(), "b", vapid.PublicKey{}); err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]bool)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range n {
			m, err := sub.Receive(ctx)
			if err != nil || seen[m.ID] {
				t.Fatalf("after %d messages: got %+v, %v", len(seen), m, err)
			}
			seen[m.ID] = true
			ack(t, sub, m)
		}
		closeSub(t, sub)
	})
}
