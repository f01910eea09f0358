package webpush

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/limit"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// benchRequest returns a function that makes the whole request for a payload of
// size bytes, for a subscription that is parsed and with a token that is kept,
// as a server has them from the second message on.
func benchRequest(b *testing.B, size int) func() {
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
	request := func() {
		if _, err := c.NewRequest(ctx, sub, msg); err != nil {
			b.Fatal(err)
		}
	}
	request() // signs
	return request
}

// BenchmarkNewRequest is a message to a known subscription: encryption with a
// new key pair, and the token that is kept for the origin.
func BenchmarkNewRequest(b *testing.B) {
	for _, size := range limit.Sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			request := benchRequest(b, size)
			b.ReportAllocs()
			for b.Loop() {
				request()
			}
		})
	}
}

// BenchmarkRatio reports, as x-limit, the time of NewRequest divided by that of
// the cryptography that it cannot do without.
func BenchmarkRatio(b *testing.B) {
	for _, size := range limit.Sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			limit.Ratio(b, size, benchRequest(b, size))
		})
	}
}
