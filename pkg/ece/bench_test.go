package ece

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"
)

// What encryption cannot do without, for a payload of size bytes: parse the
// subscription's key, make a key pair, agree on a secret, and seal one record
// with a key used once.
func primitives(tb testing.TB, p256dh []byte, cek, nonce, record []byte) {
	peer, err := ecdh.P256().NewPublicKey(p256dh)
	if err != nil {
		tb.Fatal(err)
	}
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := key.ECDH(peer); err != nil {
		tb.Fatal(err)
	}
	block, err := aes.NewCipher(cek)
	if err != nil {
		tb.Fatal(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		tb.Fatal(err)
	}
	aead.Seal(record[:0], nonce, record, nil)
}

func encryptOnce(tb testing.TB, p256dh, auth, payload []byte) {
	r, err := NewRecipient(p256dh, auth)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := r.Encrypt(payload, Options{}); err != nil {
		tb.Fatal(err)
	}
}

var benchSizes = []int{100, 3993}

// benchPair returns one function that runs the primitives and one that
// encrypts, both for a payload of size bytes.
func benchPair(b *testing.B, size int) (base, encrypt func()) {
	id, err := GenerateIdentity()
	if err != nil {
		b.Fatal(err)
	}
	p256dh, auth := id.Recipient().P256DH(), id.Recipient().Auth()
	payload := make([]byte, size)
	record := make([]byte, size+1, size+1+tagSize)
	cek, nonce := make([]byte, cekSize), make([]byte, nonceSize)
	return func() { primitives(b, p256dh, cek, nonce, record) },
		func() { encryptOnce(b, p256dh, auth, payload) }
}

func BenchmarkPrimitives(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			base, _ := benchPair(b, size)
			b.ReportAllocs()
			for b.Loop() {
				base()
			}
		})
	}
}

// BenchmarkEncrypt includes NewRecipient, as a server that reads its
// subscriptions from a database has to call it for every message.
func BenchmarkEncrypt(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, encrypt := benchPair(b, size)
			b.ReportAllocs()
			for b.Loop() {
				encrypt()
			}
		})
	}
}

func BenchmarkDecrypt(b *testing.B) {
	for _, size := range benchSizes {
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
// of its primitives. It times both in turn within one run, in chunks short
// enough that a change of the machine's speed meets both, and takes the median
// of all pairs of chunks, which one interrupted chunk does not move.
func BenchmarkRatio(b *testing.B) {
	const chunk = 50
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			base, encrypt := benchPair(b, size)
			timed := func(f func()) time.Duration {
				start := time.Now()
				for range chunk {
					f()
				}
				return time.Since(start)
			}
			timed(base)
			timed(encrypt)
			var ratios []float64
			for b.Loop() {
				baseTime := timed(base)
				ratios = append(ratios, float64(timed(encrypt))/float64(baseTime))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x-limit")
			b.ReportMetric(0, "ns/op") // of a chunk of both, which says nothing
		})
	}
}
