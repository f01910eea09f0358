package appserver_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// With tracking, notifications carry an ID, and reports with it change numbers
// and nothing else.
func TestTrack(t *testing.T) {
	t.Parallel()
	sink := newSink(t, nil)
	f := newFixture(t, func(o *appserver.Options) { o.Track, o.Origins = true, []string{"https://www.example.com"} })
	for i := range 3 {
		f.want(201, "POST", "/subscription", subscription(fmt.Sprint(sink.URL, "/", i)))
	}
	stop := f.run()
	track := func(body string) (id, track string) {
		t.Helper()
		id = f.push(body)
		j, err := f.store.FindJob(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		var n struct {
			Data         struct{ Webpush struct{ Track string } }
			Notification struct {
				Data struct{ Webpush struct{ Track string } }
			}
		}
		_ = json.Unmarshal(j.Message.Payload, &n)
		if sent := n.Data.Webpush.Track + n.Notification.Data.Webpush.Track; sent != j.Track {
			t.Errorf("the payload %s has %q, the push %q", j.Message.Payload, sent, j.Track)
		}
		f.finished(id)
		return id, j.Track
	}
	id, secret := track(`{"notification":{"title":"T","url":"https://example.com/","data":{"own":1}}}`)
	other, otherSecret := track(`{"notification":{"title":"T","navigate":"https://example.com/","declarative":true}}`)
	if secret == "" || otherSecret == "" || secret == otherSecret {
		t.Fatalf("the IDs are %q and %q", secret, otherSecret)
	}
	for _, raw := range []string{`{"payload":"x"}`, `{"payload":{"title":"T","data":{}}}`, `{}`, `{"notification":{"title":"T","data":[1]}}`, `{"notification":{"title":"T","data":{"webpush":1}}}`} {
		if id, got := track(raw); got != "" || f.want(200, "GET", "/push/"+id, "").json(t)["reports"] != nil {
			t.Errorf("%s is tracked", raw)
		}
	}
	report := func(status int, id, event string, header ...string) {
		t.Helper()
		f.want(status, "POST", "/report", fmt.Sprintf(`{"id":%q,"event":%q}`, id, event), append([]string{"Authorization", ""}, header...)...)
	}
	for range 5 {
		report(204, secret, "shown")
	}
	report(204, secret, "clicked", "Origin", "https://www.example.com")
	report(403, secret, "clicked", "Origin", "https://evil.example")
	report(204, secret, "closed")
	report(204, otherSecret, "clicked")
	report(204, strings.Repeat("A", 26), "shown") // which says nothing about whether there is one
	report(400, "short", "shown")
	report(400, secret, "read")
	f.want(400, "POST", "/report", `{"id":"`+secret+`","event":"shown","user":"u"}`)
	f.want(405, "GET", "/report", "")
	stop()                                                                                   // which records what waits
	want := map[string]any{"shown": float64(3), "clicked": float64(1), "closed": float64(1)} // not more than were sent
	if v := f.want(200, "GET", "/push/"+id, "").json(t)["reports"]; fmt.Sprint(v) != fmt.Sprint(want) {
		t.Errorf("the reports are %v, want %v", v, want)
	}
	if v := f.want(200, "GET", "/push/"+other, "").json(t)["reports"]; at(v, "clicked") != float64(1) || at(v, "shown") != float64(0) {
		t.Errorf("the reports are %v", v)
	}
	metrics := string(f.want(200, "GET", "/metrics", "").text)
	for _, line := range []string{`webpush_reports_total{event="shown"} 3`, `webpush_reports_total{event="clicked"} 2`, `webpush_reports_total{event="closed"} 1`} {
		if !strings.Contains(metrics, line+"\n") {
			t.Errorf("the metrics do not have %s", line)
		}
	}
	if log := f.log.String(); strings.Contains(log, "route=/report status=204") || strings.Contains(log, secret) {
		t.Error("the log has who reported, or the ID")
	}
}

// Whoever reports too much is refused, and the memory that reports take is
// bounded.
func TestTrackLimits(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.Track = true })
	refused := 0
	for i := range 1100 {
		id := fmt.Sprintf("%026s", strings.Map(func(c rune) rune { return 'A' + c - '0' }, fmt.Sprint(i)))
		id = strings.ReplaceAll(id, "0", "A")
		if !f.server.AddReport(id) {
			refused++
		}
	}
	if refused != 0 {
		t.Errorf("%d of 1,100 IDs were refused", refused)
	}
	for i := range 20_000 {
		f.server.AddReport(fmt.Sprint(i))
	}
	if n := f.server.WaitingReports(); n > 10_000 {
		t.Errorf("reports for %d IDs wait", n)
	}
	tooMany := false
	for range 3000 {
		r := f.do("POST", "/report", `{"id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","event":"shown"}`)
		if tooMany = r.StatusCode == 429; tooMany {
			break
		}
	}
	if !tooMany {
		t.Error("3,000 reports at once are accepted")
	}
}

// Without tracking, there is no ID in a message and no route for reports.
func TestNoTrack(t *testing.T) {
	f := newFixture(t, nil)
	id := f.push(`{"notification":{"title":"T"}}`)
	if j, err := f.store.FindJob(t.Context(), id); err != nil || j.Track != "" || string(j.Message.Payload) != `{"title":"T"}` {
		t.Errorf("%+v, %v", j, err)
	}
	f.want(404, "POST", "/report", `{"id":"ABCDEFGHIJKLMNOPQRSTUVWXYZ","event":"shown"}`)
}

// A repeated request is the same push, although each would get an ID of its own.
func TestTrackIdempotency(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.Track = true })
	body := `{"notification":{"title":"T"}}`
	first := f.want(202, "POST", "/push", body, "Idempotency-Key", "k").json(t)["id"]
	if again := f.want(202, "POST", "/push", body, "Idempotency-Key", "k").json(t)["id"]; again != first {
		t.Errorf("created %v and %v", first, again)
	}
}
