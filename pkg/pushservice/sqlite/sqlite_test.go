package sqlite

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// limit makes SQLite report a full disk when the database has that many pages of
// 4096 bytes.
func (s *Storage) limit(t *testing.T, pages int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int
	if err := s.conn.QueryRowContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)).Scan(&n); err != nil {
		t.Fatal(err)
	}
}

func openService(t *testing.T, dir string) (*pushservice.Service, *Storage) {
	t.Helper()
	storage, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pushservice.Open(storage, pushservice.Options{Origin: "https://push.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, storage
}

func do(s *pushservice.Service, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "https://push.example.net"+path, strings.NewReader(body))
	r.Header.Set("TTL", "600")
	if body != "" {
		r.Header.Set("Content-Encoding", "aesgcm")
		r.Header.Set("Encryption", "salt=AAAAAAAAAAAAAAAAAAAAAA")
		r.Header.Set("Crypto-Key", "dh=BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestFull: on a full disk messages are refused, those that are there stay, and
// what was acknowledged is stored as soon as there is room.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	s, storage := openService(t, dir)
	sub, err := s.Subscribe(vapid.PublicKey{})
	if err != nil {
		t.Fatal(err)
	}
	send := func(body string) *httptest.ResponseRecorder { return do(s, "POST", sub.Path, body) }
	waiting := func() int {
		t.Helper()
		list, err := s.Messages(t.Context(), sub.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	full := func(w *httptest.ResponseRecorder) {
		t.Helper()
		if w.Code != 503 || !strings.Contains(w.Body.String(), `"errno":201`) || !strings.Contains(w.Body.String(), "the disk is full") || w.Header().Get("Retry-After") != "120" {
			t.Errorf("response is %d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	w := send("")
	if w.Code != 201 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	first := w.Header().Get("Location")
	first = first[strings.Index(first, "/m/"):]
	storage.limit(t, 40)
	body := strings.Repeat("x", 4096)
	n := 0
	for ; n < 100; n++ {
		if w = send(body); w.Code != 201 {
			break
		}
	}
	full(w)
	if got := waiting(); got != n+1 || n == 0 {
		t.Errorf("%d messages are there, want %d", got, n+1)
	}
	for range 1000 {
		if w = do(s, "POST", "/api/subscriptions", ""); w.Code != 201 {
			break
		}
	}
	full(w)
	storage.limit(t, 1000)
	if w = send(""); w.Code != 201 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if w = do(s, "DELETE", first, ""); w.Code != 204 {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s, _ = openService(t, dir)
	if got := waiting(); got != n+1 {
		t.Errorf("%d messages are there again, want %d", got, n+1)
	}
}
