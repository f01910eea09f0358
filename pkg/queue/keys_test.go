package queue

import (
	"io"
	"net/http"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// TestResultHasKey asserts that the result of a subscription that was made with a
// replaced key names that key, to be stored as the record's vapidKey.
func TestResultHasKey(t *testing.T) {
	t.Parallel()
	e, s := startEngine(t), newSink(t)
	q := e.queue(Config{})
	s.answer = func(w http.ResponseWriter, path string, n int) bool {
		if path == "/old" && n == 1 { // signed with the current key
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"code":401,"errno":109,"error":"Unauthorized","message":"VAPID public key mismatch"}`)
			return true
		}
		return false
	}
	client := testClient(t)
	old, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	client.OldKeys = []*vapid.Key{old}
	enqueue(t, q, EnqueueOptions{Run: "keys", Message: payload("hi")}, subscription(s.URL+"/old"), subscription(s.URL+"/new"))
	defer work(t, q, WorkerOptions{Client: client})()
	for _, r := range follow(t, q, "keys") {
		want := ""
		if r.Index == 0 {
			want = old.PublicKey().String()
		}
		if r.VAPIDKey != want {
			t.Errorf("result %d (%s): the key is %q, want %q", r.Index, r.Class, r.VAPIDKey, want)
		}
	}
}
