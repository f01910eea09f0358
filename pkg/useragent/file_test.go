package useragent_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// TestFileRepeats: autopush sends acknowledged messages again until a whole batch
// is acknowledged. A user agent that was started again acknowledges them silently,
// as the state file remembers them.
func TestFileRepeats(t *testing.T) {
	name := filepath.Join(t.TempDir(), "state.json")
	synctest.Test(t, func(t *testing.T) {
		var channel string
		a := newAutopush(t,
			func(c *agentConn) {
				c.begin()
				channel = c.channel
				c.notify("m1")
				c.acked("m1", 100)
				c.hold()
			},
			func(c *agentConn) {
				c.hello(uaid, uaid)
				c.channel = channel
				c.notify("m1")
				c.acked("m1", 100)
				c.notify("m2")
				c.acked("m2", 100)
				c.hold()
			})
		defer a.close()
		file, err := useragent.OpenFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, found := file.State(); found {
			t.Fatal("a new file has a state")
		}
		if _, err := useragent.OpenFile(name); !errors.Is(err, useragent.ErrLocked) {
			t.Errorf("a second lock: %v", err)
		}
		sub, err := begin(t, file, autopushURL, a.options())
		if err != nil {
			t.Fatal(err)
		}
		ack(t, sub, receive(t, sub, "m1"))
		synctest.Wait()
		closeSub(t, sub)
		file.Close()

		if file, err = useragent.OpenFile(name); err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if sub, err = only(file.Open(t.Context(), a.options())); err != nil {
			t.Fatal(err)
		}
		ack(t, sub, receive(t, sub, "m2")) // and not m1
		synctest.Wait()
		closeSub(t, sub)
	})
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the state file: %v, %v", info, err)
	}
	if _, err := os.Stat(name + ".lock"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the lock's file is there: %v", err)
	}
	state, err := useragent.ReadFile(name)
	if err != nil || state.Subscriptions()[0].Endpoint() != endpoint {
		t.Errorf("%v: %v", state, err)
	}
}

// TestFileMismatch: a file continues only with what was asked for, and a renewed
// subscription keeps its key.
func TestFileMismatch(t *testing.T) {
	s := start(t, false)
	own, other := newKey(t).PublicKey(), newKey(t).PublicKey()
	file, err := useragent.OpenFile(filepath.Join(t.TempDir(), "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sub, err := file.Subscription(t.Context(), s.WebSocket(), "a", useragent.Options{ApplicationServerKey: own})
	if err != nil {
		t.Fatal(err)
	}
	closeSub(t, sub)
	state, _ := file.State()
	if n := len(state.Named("a")); n != 1 || len(state.Named("b")) != 0 {
		t.Errorf("%d subscriptions with the name", n)
	}
	for _, c := range []struct {
		server  string
		key     vapid.PublicKey
		problem string
	}{
		{"", vapid.PublicKey{}, ""},
		{s.WebSocket() + "/", own, ""},
		{"wss://push.example.net", own, "not at wss://push.example.net"},
		{s.WebSocket(), other, "requires messages signed with " + own.String() + ", not with " + other.String()},
	} {
		err := state.Check(c.server, c.key, state.Named("a")...)
		wrong, ok := errors.AsType[*useragent.MismatchError](err)
		if ok != (c.problem != "") || ok && (!strings.Contains(err.Error(), c.problem) || wrong.Hint() == "") {
			t.Errorf("%q, %v: %v", c.server, c.key, err)
		}
		if c.problem == "" {
			continue
		}
		if _, err := file.Subscription(t.Context(), c.server, "a", useragent.Options{ApplicationServerKey: c.key}); !errors.As(err, &wrong) {
			t.Errorf("%q, %v: continued, %v", c.server, c.key, err)
		}
	}
	renewed, err := file.Renew(t.Context(), s.WebSocket(), "a", useragent.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if state, _ := file.State(); len(state.Named("a")) != 2 || state.Named("a")[1].ApplicationServerKey() != own {
		t.Errorf("renewed: %v", state.Named("a"))
	}
	closeSub(t, renewed)
	// The last one counts, even if those that it replaces have not ended.
	renewed, err = file.Renew(t.Context(), s.WebSocket(), "a", useragent.Options{ApplicationServerKey: other})
	if err != nil {
		t.Fatal(err)
	}
	closeSub(t, renewed)
	if _, err := file.Subscription(t.Context(), s.WebSocket(), "a", useragent.Options{ApplicationServerKey: own}); !errors.As(err, new(*useragent.MismatchError)) {
		t.Errorf("continued with the key of an old subscription, %v", err)
	}
	last, err := file.Subscription(t.Context(), s.WebSocket(), "a", useragent.Options{ApplicationServerKey: other})
	if err != nil {
		t.Fatal(err)
	}
	defer closeSub(t, last)
	if last.Endpoint() != renewed.Endpoint() {
		t.Errorf("continued with %s, want %s", last.Endpoint(), renewed.Endpoint())
	}
}
