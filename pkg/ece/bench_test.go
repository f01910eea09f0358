package ece

import (
	"fmt"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/limit"
)

func encryptOnce(tb testing.TB, p256dh, auth, payload []byte) {
	r, err := NewRecipient(p256dh, auth)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := r.Encrypt(payload, Options{}); err != nil {
		tb.Fatal(err)
	}
}

// benchEncrypt returns a function that encrypts a payload of size bytes.
func benchEncrypt(b *testing.B, size int) func() {
	b.Helper()
	id, err := GenerateIdentity()
	if err != nil {
		b.Fatal(err)
	}
	p256dh, auth := id.Recipient().P256DH(), id.Recipient().Auth()
	payload := make([]byte, size)
	return func() { encryptOnce(b, p256dh, auth, payload) }
}

// BenchmarkPrimitives is the limit: what encryption cannot do without.
func BenchmarkPrimitives(b *testing.B) {
	for _, size := range limit.Sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			primitives := limit.Of(b, size)
			b.ReportAllocs()
			for b.Loop() {
				primitives()
			}
		})
	}
}

// BenchmarkEncrypt includes NewRecipient, as a server that reads its
// subscriptions from a database has to call it for every message.
func BenchmarkEncrypt(b *testing.B) {
	for _, size := range limit.Sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			encrypt := benchEncrypt(b, size)
			b.ReportAllocs()
			for b.Loop() {
				encrypt()
			}
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, size := range limit.Sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			id, err := GenerateIdentity()
			if err != nil {
				b.Fatal(err)
			}
			m, err := id.Recipient().Encrypt(make([]byte, size), Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := id.Decrypt(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRatio reports, as x-limit, the time of an encryption divided by that
// of its primitives.
func BenchmarkRatio(b *testing.B) {
	for _, size := range limit.Sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			limit.Ratio(b, size, benchEncrypt(b, size))
		})
	}
}
