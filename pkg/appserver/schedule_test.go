package appserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSendAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sink := newBubbleSink(nil)
		f := newBubbleFixture(t, sink, nil)
		f.want(201, "POST", "/subscription", subscription(sink.URL+"/a"))
		f.run()
		for text, part := range map[string]string{"tomorrow": "sendAt", "9000h": "sendAt", "2999-01-01T00:00:00Z": "sendAt", "2030-01-01": "sendAt", "-": "sendAt"} {
			if r := f.want(400, "POST", "/push", `{"payload":"x","sendAt":"`+text+`"}`); r.json(t)["part"] != part {
				t.Errorf("%s: %s", text, r.text)
			}
		}
		for _, text := range []string{"20261201", "3600", "-3600", "0"} { // can be meant as a date
			v := f.want(400, "POST", "/push", `{"payload":"x","sendAt":"`+text+`"}`).json(t)
			if v["part"] != "sendAt" || !strings.Contains(fmt.Sprint(v["detail"]), "no unit") || !strings.Contains(fmt.Sprint(v["hint"]), "3600s") {
				t.Errorf("%s: %v", text, v)
			}
		}
		for text, wait := range map[string]time.Duration{"90m": 90 * time.Minute, "3600s": time.Hour, "7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour} {
			v := f.want(202, "POST", "/push", `{"payload":"x","sendAt":"`+text+`"}`).json(t)
			if at, err := time.Parse(time.RFC3339, fmt.Sprint(v["sendAt"])); err != nil || (time.Until(at)-wait).Abs() > time.Second {
				t.Errorf("%s: %v", text, v["sendAt"])
			}
		}
		for _, past := range []string{"-1h", "0s", "1999-01-01T00:00:00Z"} {
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
	})
}

// A scheduled push is listed, counted, moved, and sent when it is moved to now.
func TestChangeScheduled(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	f := newFixture(t, nil)
	f.want(201, "POST", "/subscription", subscription(sink.URL+"/a"))
	f.run()
	id, other := f.push(`{"payload":"x","sendAt":"2h"}`), f.push(`{"payload":"x","sendAt":"3h"}`)
	done := f.push(`{"payload":"now"}`)
	f.finished(done)
	list := func() (ids []string) {
		for _, j := range f.want(200, "GET", "/push?state=scheduled", "").json(t)["jobs"].([]any) {
			ids = append(ids, j.(map[string]any)["id"].(string))
		}
		return ids
	}
	if got := list(); !slices.Equal(got, []string{id, other}) {
		t.Errorf("scheduled are %v", got)
	}
	counted := func(line string) bool {
		return strings.Contains(string(f.want(200, "GET", "/metrics", "").text), line+"\n")
	}
	if !counted(`webpush_jobs{state="scheduled"} 2`) {
		t.Error("the metrics do not count the scheduled pushes")
	}
	due := time.Now().Add(5 * time.Hour).UTC().Truncate(time.Second)
	if v := f.want(200, "PATCH", "/push/"+id, `{"sendAt":"`+due.Format(time.RFC3339)+`"}`).json(t); v["sendAt"] != due.Format(time.RFC3339) || v["state"] != "scheduled" {
		t.Errorf("it is %v", v)
	}
	if got := list(); !slices.Equal(got, []string{other, id}) {
		t.Errorf("scheduled are %v", got)
	}
	for body, part := range map[string]string{`{}`: "sendAt", `{"sendAt":"9000h"}`: "sendAt", `{"sendAt":"soon"}`: "sendAt", `{"sendAt":"1h","ttl":1}`: "ttl", `{"sendAt":1}`: "sendAt", `{"sendAt":""}`: "sendAt"} {
		if r := f.want(400, "PATCH", "/push/"+id, body); r.json(t)["part"] != part {
			t.Errorf("%s: %s", body, r.text)
		}
	}
	f.want(409, "PATCH", "/push/"+done, `{"sendAt":"1h"}`)
	f.want(404, "PATCH", "/push/none", `{"sendAt":"1h"}`)
	f.want(401, "PATCH", "/push/"+id, `{"sendAt":"1h"}`, "Authorization", "")
	f.want(400, "GET", "/push?state=done", "")
	f.want(400, "GET", "/push?state=scheduled&before=3", "")
	f.want(200, "PATCH", "/push/"+id, `{"sendAt":"0s"}`)
	if v := f.finished(id); v["state"] != "done" || sink.count("/a") != 2 {
		t.Errorf("it ended as %v, after %d messages", v, sink.count("/a"))
	}
	f.want(409, "PATCH", "/push/"+id, `{"sendAt":"1h"}`)
	f.want(200, "DELETE", "/push/"+other, "")
	if got := list(); len(got) != 0 || !counted(`webpush_jobs{state="scheduled"} 0`) {
		t.Errorf("scheduled are %v", got)
	}
}
