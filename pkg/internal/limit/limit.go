// Package limit is what the benchmarks measure everything against: the
// cryptography that no sender of Web Push can do without. It is for tests only.
package limit

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"slices"
	"testing"
	"time"
)

// Sizes are the sizes, in bytes, of a short notification and of the longest
// payload that every push service accepts.
var Sizes = []int{100, 3993}

// Of returns a function that does, for one payload of size bytes, what RFC 8291
// asks of every sender: parse the point of the subscription's key, make a key
// pair, agree on a secret, set a cipher up and seal one record.
func Of(tb testing.TB, size int) func() {
	tb.Helper()
	receiver, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	p256dh := receiver.PublicKey().Bytes()
	record := make([]byte, size+1, size+1+16) // a delimiter, and room for the tag
	cek, nonce := make([]byte, 16), make([]byte, 12)
	return func() {
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
}

// Ratio reports, as x-limit, the time of work divided by the time of the limit,
// for payloads of size bytes. It times both in turn within one run, in chunks
// so short that a change of the machine's speed affects both, and uses the
// median of all pairs of chunks, which a single interrupted chunk does not
// change.
func Ratio(b *testing.B, size int, work func()) {
	const chunk = 50
	timed := func(f func()) time.Duration {
		start := time.Now()
		for range chunk {
			f()
		}
		return time.Since(start)
	}
	base := Of(b, size)
	timed(base)
	timed(work)
	var ratios []float64
	for b.Loop() {
		baseTime := timed(base)
		ratios = append(ratios, float64(timed(work))/float64(baseTime))
	}
	b.ReportMetric(Median(ratios), "x-limit")
	b.ReportMetric(0, "ns/op") // would be the time of a chunk of both, which is meaningless
}

// Median sorts the values, at least one, and returns the middle one.
func Median[T ~int64 | ~float64](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
