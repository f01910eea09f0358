package appserver_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
)

// What is exported can be imported elsewhere, with all that stands beside it.
func TestTransfer(t *testing.T) {
	f := newFixture(t, nil)
	f.want(201, "POST", "/subscription", subscription("https://push.example/a", `"user":"alice"`, `"tags":["x","y"]`))
	f.want(201, "POST", "/subscription", subscription("https://push.example/b"))
	lines := f.want(200, "GET", "/subscriptions", "", "Accept", "application/x-ndjson")
	if strings.Count(string(lines.text), "\n") != 2 {
		t.Fatalf("exported %s", lines.text)
	}
	g := newFixture(t, func(o *appserver.Options) { o.AllowPrivate = false })
	r := g.want(200, "POST", "/subscriptions", string(lines.text)+`{"endpoint":"https://127.0.0.1/x","keys":{"p256dh":"`+p256dh+`","auth":"`+auth+`"}}`+"\nnonsense\n", "Content-Type", "application/x-ndjson")
	for what, want := range map[string]int{`"state":"created"`: 2, `"state":"invalid"`: 2, `"problem":"the endpoint is not on the Internet"`: 1} {
		if n := strings.Count(string(r.text), what); n != want {
			t.Errorf("%s: %d times, want %d: %s", what, n, want, r.text)
		}
	}
	for _, name := range []string{"a", "b"} {
		was, err := f.store.Find(t.Context(), "https://push.example/"+name)
		if err != nil {
			t.Fatal(err)
		}
		is, err := g.store.Find(t.Context(), was.Endpoint)
		if err != nil || fmt.Sprint(is) != fmt.Sprint(was) || is.Key != f.key.PublicKey().String() {
			t.Errorf("%+v became %+v, %v", was, is, err)
		}
	}
	if again := g.want(200, "GET", "/subscriptions", "", "Accept", "application/x-ndjson"); string(again.text) != string(lines.text) {
		t.Errorf("exported %s, want %s", again.text, lines.text)
	}
	csv := "endpoint,p256dh,auth\nhttps://push.example/c," + p256dh + "," + auth + "\n"
	if r := g.want(200, "POST", "/subscriptions", csv, "Content-Type", "text/csv"); !strings.Contains(string(r.text), `"created"`) {
		t.Errorf("the result is %s", r.text)
	}
	for _, kind := range []string{"text/csv; charset=", "Text/CSV; charset=utf-8; x"} { // the parameter does not count
		g.want(200, "POST", "/subscriptions", csv, "Content-Type", kind)
	}
	g.want(415, "POST", "/subscriptions", "x", "Content-Type", "text/plain")
	g.want(401, "POST", "/subscriptions", csv, "Content-Type", "text/csv", "Authorization", "")
}

func TestCopy(t *testing.T) {
	var stores [2]appserver.Store
	for i := range stores {
		s, err := sqlite.Open(filepath.Join(t.TempDir(), "x.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		stores[i] = s
	}
	from, to := stores[0], stores[1]
	for i := range 1200 {
		if _, _, err := from.Put(t.Context(), appserver.Record{Endpoint: fmt.Sprint("https://push.example/", i), User: fmt.Sprint(i), Tags: []string{"t"}, Key: "k"}); err != nil {
			t.Fatal(err)
		}
	}
	due := time.Now().Add(time.Hour).UTC().Truncate(time.Millisecond)
	if _, err := from.CreateJob(t.Context(), appserver.Job{ID: "later", Due: due, To: appserver.Filter{Tag: "t"}, Message: appserver.JobMessage{Payload: []byte("hi")}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{1, 0} { // and once more
		n, scheduled, err := appserver.Copy(t.Context(), from, to)
		if n != 1200 || scheduled != want || err != nil {
			t.Errorf("copied %d and %d, %v", n, scheduled, err)
		}
	}
	was, err := from.Find(t.Context(), "https://push.example/700")
	if err != nil {
		t.Fatal(err)
	}
	if is, err := to.Find(t.Context(), was.Endpoint); err != nil || fmt.Sprint(is) != fmt.Sprint(was) {
		t.Errorf("%+v became %+v, %v", was, is, err)
	}
	if j, err := to.FindJob(t.Context(), "later"); err != nil || j.State != appserver.Scheduled || !j.Due.Equal(due) || j.To.Tag != "t" || string(j.Message.Payload) != "hi" {
		t.Errorf("the push is %+v, %v", j, err)
	}
	if _, err := from.CreateJob(t.Context(), appserver.Job{ID: "now"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := appserver.Copy(t.Context(), from, to); err == nil || !strings.Contains(err.Error(), "now is not finished") {
		t.Errorf("the error is %v", err)
	}
}
