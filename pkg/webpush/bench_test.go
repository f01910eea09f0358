package webpush

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// benchSizes are a short notification and the longest payload that every push
// service takes.
var benchSizes = []int{100, 3993}

// benchPair returns one function that runs what no sender can do without, for
// a payload of size bytes (parse the subscription's key, make a key pair, agree
// on a secret, set a cipher up and seal one record) and one that makes the
// whole request, for a subscription that is parsed and with a token that is
// kept, as a server has them from the second message on.
func benchPair(b *testing.B, size int) (base, request func()) {
	b.Helper()
	id, err := ece.GenerateIdentity()
	if err != nil {
		b.Fatal(err)
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		b.Fatal(err)
	}
	sub, err := NewSubscription("https://updates.push.services.mozilla.com/wpush/v2/"+testToken,
		encode64(id.Recipient().P256DH()), encode64(id.Recipient().Auth()))
	if err != nil {
		b.Fatal(err)
	}
	c := &Client{Key: key, Subject: "mailto:ops@example.com"}
	ctx := context.Background()
	ttl := time.Hour
	msg := Message{Payload: make([]byte, size), TTL: &ttl, Urgency: High, Topic: "bench"}

	p256dh := id.Recipient().P256DH()
	record := make([]byte, size+1, size+1+16)
	cek, nonce := make([]byte, 16), make([]byte, 12)
	base = func() {
		peer, err := ecdh.P256().NewPublicKey(p256dh)
		if err != nil {
			b.Fatal(err)
		}
		ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ephemeral.ECDH(peer); err != nil {
			b.Fatal(err)
		}
		block, err := aes.NewCipher(cek)
		if err != nil {
			b.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			b.Fatal(err)
		}
		aead.Seal(record[:0], nonce, record, nil)
	}
	request = func() {
		if _, err := c.NewRequest(ctx, sub, msg); err != nil {
			b.Fatal(err)
		}
	}
	request() // signs
	return base, request
}

// BenchmarkNewRequest is a message to a known subscription: encryption with a
// new key pair, and the token that is kept for the origin.
func BenchmarkNewRequest(b *testing.B) {
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			_, request := benchPair(b, size)
			b.ReportAllocs()
			for b.Loop() {
				request()
			}
		})
	}
}

// BenchmarkRatio reports, as x-limit, the time of NewRequest divided by that of
// its primitives. It times both in turn within one run, in chunks short enough
// that a change of the machine's speed meets both, and takes the median of all
// pairs of chunks, which one interrupted chunk does not move.
func BenchmarkRatio(b *testing.B) {
	const chunk = 50
	for _, size := range benchSizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			base, request := benchPair(b, size)
			timed := func(f func()) time.Duration {
				start := time.Now()
				for range chunk {
					f()
				}
				return time.Since(start)
			}
			timed(base)
			timed(request)
			var ratios []float64
			for b.Loop() {
				baseTime := timed(base)
				ratios = append(ratios, float64(timed(request))/float64(baseTime))
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "x-limit")
			b.ReportMetric(0, "ns/op") // of a chunk of both, which says nothing
		})
	}
}
