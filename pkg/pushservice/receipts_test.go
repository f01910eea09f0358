package pushservice_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func TestReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pushservice.New(pushservice.Options{MaxSubscriptions: 1})
		sub := subscribe(t, s, vapid.PublicKey{})
		link := ""
		ask := func(header ...string) string {
			t.Helper()
			r := request(sub.Path, nil)
			r.Header.Set("Prefer", "wait=5, respond-async")
			if link != "" {
				r.Header.Set("Link", link)
			}
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := do(s, r)
			if w.Code != 202 {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if got := w.Header().Get("Link"); link != "" && got != link {
				t.Fatalf("Link is %q, want %q", got, link)
			}
			link = w.Header().Get("Link")
			return strings.TrimPrefix(w.Header().Get("Location"), origin)
		}
		delivered := ask()
		target, ok := strings.CutSuffix(strings.TrimPrefix(link, "<"+origin), `>; rel="urn:ietf:params:push:receipt"`)
		if !ok || !strings.HasPrefix(target, "/r/") {
			t.Fatalf("Link is %q", link)
		}
		read := func(query string) (text string) {
			t.Helper()
			var v struct {
				Receipts []struct {
					Seq     int
					Message string
					Status  int
				}
			}
			if err := json.Unmarshal([]byte(call(t, s, "GET", target+query, "", 200)), &v); err != nil {
				t.Fatal(err)
			}
			for _, r := range v.Receipts {
				text += r.Message + map[int]string{204: " delivered\n", 410: " expired\n"}[r.Status]
			}
			return text
		}
		if got := read(""); got != "" {
			t.Errorf("receipts before anything was delivered: %s", got)
		}
		call(t, s, "DELETE", delivered, "", 204)
		_, lost := ask("Topic", "t"), ask("Topic", "t", "TTL", "10")
		never := ask("TTL", "0")
		start := time.Now()
		if got, want := read("?after=2&wait=30"), lost+" expired\n"; got != want || time.Since(start) != 10*time.Second {
			t.Errorf("got %q after %v, want %q", got, time.Since(start), want)
		}
		if got, want := read(""), delivered+" delivered\n"+never+" expired\n"+lost+" expired\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := read("?wait=5&after=3"); got != "" {
			t.Errorf("got %q", got)
		}

		r := request(sub.Path, nil)
		r.Header.Set("Prefer", "respond-async")
		if w := do(s, r); w.Code != 429 { // the link is left out
			t.Errorf("a second receipt subscription: status %d", w.Code)
		}
		r.Header.Set("Link", `<http://localhost/r/x>; rel="urn:ietf:params:push:receipt"`)
		if w := do(s, r); w.Code != 400 {
			t.Errorf("an unknown receipt subscription: status %d", w.Code)
		}
		call(t, s, "GET", "/r/x", "", 404)
		call(t, s, "POST", target, "", 405)
		call(t, s, "GET", target+"?wait=x", "", 400)
	})
}

// TestReceiptsBound: a receipt subscription keeps its last 1000 receipts, in
// memory and in a storage.
func TestReceiptsBound(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, pushservice.Options{})
	sub := subscribe(t, s, vapid.PublicKey{})
	link := ""
	for range 1003 {
		r := request(sub.Path, nil)
		r.Header.Set("Prefer", "respond-async")
		r.Header.Set("TTL", "0")
		if link != "" {
			r.Header.Set("Link", link)
		}
		w := do(s, r)
		if w.Code != 202 {
			t.Fatalf("status %d: %s", w.Code, w.Body)
		}
		link = w.Header().Get("Link")
	}
	path, _, _ := strings.Cut(strings.TrimPrefix(link, "<"+origin), ">")
	check := func() {
		t.Helper()
		var v struct{ Receipts []struct{ Seq int } }
		if err := json.Unmarshal([]byte(call(t, s, "GET", path, "", 200)), &v); err != nil {
			t.Fatal(err)
		}
		if n := len(v.Receipts); n != 1000 || v.Receipts[0].Seq != 4 || v.Receipts[n-1].Seq != 1003 {
			t.Fatalf("%d receipts: %v", n, v)
		}
	}
	check()
	closeService(t, s)
	db := database(t, dir)
	n := 0
	if err := db.QueryRow("SELECT count(*) FROM receipts").Scan(&n); err != nil || n != 1000 {
		t.Errorf("%d receipts are stored, %v", n, err)
	}
	_ = db.Close()
	s = open(t, dir, pushservice.Options{})
	check()
}
