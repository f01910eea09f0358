package appserver_test

import (
	"strings"
	"sync"
	"testing"
)

// A client that got no response repeats its request, and must not send twice.
func TestIdempotency(t *testing.T) {
	sink := newSink(t, nil)
	f := newFixture(t, nil)
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/a"))
	post := func(status int, body, key string, header ...string) string {
		t.Helper()
		r := f.want(status, "POST", "/push", body, append([]string{"Idempotency-Key", key}, header...)...)
		v := r.json(t)
		id, _ := v["id"].(string)
		if status == 202 && r.Header.Get("Location") != "push/"+id {
			t.Errorf("the location is %q, the push %s", r.Header.Get("Location"), id)
		}
		if status >= 400 && v["part"] != "Idempotency-Key" {
			t.Errorf("the problem is %s", r.text)
		}
		return id
	}
	const body = `{"payload":"x","ttl":60,"sendAt":"1h"}`
	first := post(202, body, "one")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if id := post(202, body, "one"); id != first {
				t.Errorf("the same request created %s and %s", first, id)
			}
		})
	}
	all.Wait()
	if id := post(202, ` { "ttl":60, "payload" : "x","sendAt":"1h"} `, "one"); id != first {
		t.Error("spaces make another push")
	}
	for _, other := range []string{
		`{"payload":"y","ttl":60,"sendAt":"1h"}`, `{"payload":"x","ttl":61,"sendAt":"1h"}`, `{"payload":"x","ttl":60,"sendAt":"2h"}`, `{"payload":"x","ttl":60}`,
		`{"payload":"x","ttl":60,"sendAt":"1h","topic":"t"}`, `{"payload":"x","ttl":60,"sendAt":"1h","urgency":"low"}`, `{"payload":"x","ttl":60,"sendAt":"1h","to":{"tag":"t"}}`,
	} {
		post(422, other, "one")
	}
	if post(202, body, "two") == first {
		t.Error("another key returned the same push")
	}
	text := post(202, "backup done", "three", "Content-Type", "text/plain", "Title", "A")
	if again := post(202, "backup done", "three", "Content-Type", "", "Title", "A"); again != text {
		t.Error("the same text is another push")
	}
	post(422, "backup done", "three", "Content-Type", "text/plain", "Title", "B")
	for _, key := range []string{strings.Repeat("k", 256), "ä", "a\tb"} {
		post(400, body, key)
	}
	if list := f.want(200, "GET", "/push", "").json(t)["jobs"].([]any); len(list) != 3 {
		t.Errorf("there are %d pushes, want 3", len(list))
	}
}
