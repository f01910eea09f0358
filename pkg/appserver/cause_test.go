package appserver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// A retry can be limited to the failures with one cause, even if they were rejected.
func TestRetryOneCause(t *testing.T) {
	t.Parallel()
	var fixed atomic.Bool
	sink := newSink(t, func(path string, _ int) int {
		switch {
		case fixed.Load() || path == "/0":
			return 201
		case path == "/1":
			return 400
		}
		return 413
	})
	f := newFixture(t, nil)
	f.fill(sink, 4)
	f.run()
	id := f.push(`{"payload":"x"}`)
	if v := f.finished(id); at(v, "counts", "rejected") != float64(3) {
		t.Fatalf("the job is %v", v)
	}
	retry := func(status int, body string, header ...string) *reply {
		t.Helper()
		return f.want(status, "POST", "/push/"+id+"/retry", body, header...)
	}
	for body, part := range map[string]string{`{"class":"gone"}`: "class", `{"class":"delivered"}`: "class", `{"status":600}`: "status", `{"status":-1}`: "status", `{"state":"x"}`: "state", `[]`: "body", `{"status":"413"}`: "status"} {
		if got := f.do("POST", "/push/"+id+"/retry", body, "Content-Type", "application/json; charset=utf-8"); got.StatusCode != 400 || got.json(t)["part"] != part {
			t.Errorf("%s: %d %s", body, got.StatusCode, got.text)
		}
	}
	if r := retry(415, `{}`, "Content-Type", "text/plain"); r.json(t)["part"] != "Content-Type" {
		t.Errorf("%s", r.text)
	}
	// What has failed for another reason stays.
	fixed.Store(true)
	results := f.want(200, "GET", "/push/"+id+"?results=rejected", "").json(t)["results"].([]any)
	at413 := slices.IndexFunc(results, func(r any) bool { return r.(map[string]any)["status"] == float64(413) }) // in the order of the responses
	cause := results[at413].(map[string]any)
	retry(202, fmt.Sprintf(`{"class":"rejected","origin":%q,"status":413,"problem":%q}`, cause["origin"], cause["problem"]))
	if v := f.finished(id); at(v, "counts", "delivered") != float64(3) || at(v, "counts", "rejected") != float64(1) || sink.count("/1") != 1 || sink.count("/2") != 2 {
		t.Errorf("after a retry of one cause the job is %v", v)
	}
	retry(202, `{"class":null,"origin":"","status":null}`) // temporary and expired ones
	if v := f.finished(id); at(v, "counts", "rejected") != float64(1) {
		t.Errorf("after a retry of nothing the job is %v", v)
	}
	retry(202, `{"class":"rejected"}`)
	if v := f.finished(id); v["state"] != "done" || at(v, "counts", "delivered") != float64(4) || at(v, "counts", "rejected") != nil || sink.count("/0") != 1 {
		t.Errorf("after all retries the job is %v", v)
	}
}

// otherServer is a store that another server uses, too.
type otherServer struct {
	appserver.Store
	key atomic.Pointer[string]
}

func (s *otherServer) Announce(ctx context.Context, key string, lease time.Duration) ([]string, error) {
	list, err := s.Store.Announce(ctx, key, lease)
	if other := s.key.Load(); other != nil {
		list = append(list, *other)
	}
	return list, err
}

// Servers on one database notice that their current keys differ, before a browser has
// subscribed with the other one.
func TestOtherCurrentKey(t *testing.T) {
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []*string{nil, new(key.PublicKey().String())} {
		store := new(otherServer)
		store.key.Store(other)
		f := newFixture(t, func(o *appserver.Options) {
			store.Store = o.Store
			o.Store = store
		})
		f.run()
		warning := func() string {
			text, _ := f.want(200, "GET", "/healthz", "", "Authorization", "").json(t)["warning"].(string)
			return text
		}
		if other == nil {
			id := f.push(`{"payload":"x"}`)
			f.finished(id)
			if text := warning(); text != "" {
				t.Errorf("a single server warns: %s", text)
			}
			continue
		}
		until(t, "the health has a warning", func() bool { return strings.Contains(warning(), "another current key") })
		until(t, "the log has it", func() bool { return strings.Contains(f.log.String(), key.PublicKey().Fingerprint()) })
	}
}

// The page needs to know what a server that tracks adds to a notification.
func TestTrackIsStated(t *testing.T) {
	for _, track := range []bool{false, true} {
		f := newFixture(t, func(o *appserver.Options) { o.Track = track })
		v := f.want(200, "GET", "/subscription", "", "Authorization", "").json(t)
		if got, _ := v["track"].(bool); got != track {
			t.Errorf("with Track %v: %v", track, v)
		}
	}
}

// The size of the database is a metric.
func TestDatabaseSize(t *testing.T) {
	f := newFixture(t, nil)
	text := string(f.want(200, "GET", "/metrics", "").text)
	var size float64
	for line := range strings.Lines(text) {
		_, _ = fmt.Sscanf(line, "webpush_database_bytes %g", &size)
	}
	if size < 4096 {
		t.Errorf("the size of the database is %v", size)
	}
}
