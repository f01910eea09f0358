package useragent_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/seed81da77dd/webpush/pkg/useragent"
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
