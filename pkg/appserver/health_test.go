package appserver_test

import (
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Subscriptions of a key that this server does not have are reported in its health and its
// log: another server on the same database has other keys.
func TestDifferentKeys(t *testing.T) {
	f := newFixture(t, nil)
	if v := f.want(200, "GET", "/healthz", "").json(t); v["warning"] != nil {
		t.Errorf("the health is %v", v)
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	r := appserver.Record{Endpoint: "https://push.example/of-another-server", P256DH: p256dh, Auth: auth, Service: "other", Origin: "https://push.example", Key: key.PublicKey().String()}
	if _, _, err := f.store.Put(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	g := newFixture(t, func(o *appserver.Options) { o.Store = f.store })
	v := g.want(200, "GET", "/healthz", "", "Authorization", "").json(t)
	if text, _ := v["warning"].(string); v["status"] != "ok" || !strings.Contains(text, "key") {
		t.Errorf("the health is %v", v)
	}
	g.run()
	until(t, "the log has it", func() bool {
		return strings.Contains(g.log.String(), "subscriptions of a key that this server does not have")
	})
}
