package appserver_test

import (
	"testing"
	"time"
)

func TestSendAt(t *testing.T) {
	sink := newSink(t, nil)
	f := newFixture(t, nil)
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/a"))
	f.run()
	for text, part := range map[string]string{"tomorrow": "sendAt", "9000h": "sendAt", "2999-01-01T00:00:00Z": "sendAt", "2030-01-01": "sendAt"} {
		if r := f.want(400, "POST", "/push", `{"payload":"x","sendAt":"`+text+`"}`); r.json(t)["part"] != part {
			t.Errorf("%s: %s", text, r.text)
		}
	}
	for _, past := range []string{"-1h", "0s", "2001-01-01T00:00:00Z"} {
		if v := f.finished(f.push(`{"payload":"x","sendAt":"` + past + `"}`)); v["state"] != "done" || v["sendAt"] != nil {
			t.Errorf("%s: %v", past, v)
		}
	}
	// Recipients are chosen when it is due.
	due := time.Now().Add(2 * time.Second).UTC().Truncate(time.Millisecond)
	id := f.push(`{"payload":"later","sendAt":"` + due.Format(time.RFC3339Nano) + `"}`)
	v := f.want(200, "GET", "/push/"+id, "").json(t)
	if v["state"] != "scheduled" || v["started"] != nil || v["sendAt"] != due.Format(time.RFC3339Nano) {
		t.Errorf("it is %v", v)
	}
	f.want(409, "POST", "/push/"+id+"/retry", "")
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/b"))
	canceled := f.push(`{"payload":"never","sendAt":"1s"}`)
	if v := f.want(200, "DELETE", "/push/"+canceled, "").json(t); v["state"] != "canceled" {
		t.Errorf("it is %v", v)
	}
	if v := f.finished(id); v["state"] != "done" || v["total"] != float64(2) {
		t.Errorf("it ended as %v", v)
	}
	if n := sink.count("/b"); n != 1 {
		t.Errorf("who came before it was due got %d messages", n)
	}
	if j, err := f.store.FindJob(t.Context(), id); err != nil || j.Started.Before(due) {
		t.Errorf("started at %v, %v; due at %v", j.Started, err, due)
	}
	if v := f.want(200, "GET", "/push/"+canceled, "").json(t); v["state"] != "canceled" || v["done"] != float64(0) {
		t.Errorf("the canceled one is %v", v)
	}
}
