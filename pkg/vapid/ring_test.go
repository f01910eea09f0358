package vapid_test

import (
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func TestRing(t *testing.T) {
	a, b, c := newTestKey(t), newTestKey(t), newTestKey(t)
	ring, err := vapid.NewRing(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if ring.Current() != a || ring.Find(b.PublicKey()) != b || ring.Find(c.PublicKey()) != nil || len(ring.Others(a)) != 1 || ring.Others(a)[0] != b {
		t.Errorf("%v", ring)
	}
	for name, keys := range map[string][]*vapid.Key{"none": nil, "nil": {a, nil}, "twice": {a, b, a}} {
		if _, err := vapid.NewRing(keys...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if vapid.Ring(nil).Current() != nil || vapid.Ring(nil).Find(a.PublicKey()) != nil {
		t.Error("the empty ring has a key")
	}
}
