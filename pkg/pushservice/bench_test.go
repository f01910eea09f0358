package pushservice_test

import (
	"testing"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// BenchmarkMessage accepts a message of the maximum size and acknowledges it, without
// a network: in memory, in a directory, and in a directory with many simultaneous
// senders, which share its transactions.
func BenchmarkMessage(b *testing.B) {
	body := aes128gcmBody(b, 4096, point(b), 4010)
	once := func(b *testing.B, s *pushservice.Service, path string) {
		w := do(s, request(path, body))
		if w.Code != 201 {
			b.Fatalf("status %d: %s", w.Code, w.Body)
		}
		if w = do(s, newRequest("DELETE", w.Header().Get("Location"), nil)); w.Code != 204 {
			b.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}
	b.Run("memory", func(b *testing.B) {
		s := pushservice.New(pushservice.Options{})
		path := subscribe(b, s, vapid.PublicKey{}).Path
		for b.Loop() {
			once(b, s, path)
		}
	})
	b.Run("data", func(b *testing.B) {
		s := open(b, b.TempDir(), pushservice.Options{})
		path := subscribe(b, s, vapid.PublicKey{}).Path
		for b.Loop() {
			once(b, s, path)
		}
	})
	b.Run("data-64", func(b *testing.B) {
		s := open(b, b.TempDir(), pushservice.Options{})
		path := subscribe(b, s, vapid.PublicKey{}).Path
		b.SetParallelism(32)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				once(b, s, path)
			}
		})
	})
}
