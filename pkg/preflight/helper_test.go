package preflight

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/pushtest"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const testToken = pushtest.Token

var (
	testKey  = pushtest.Key
	noSecret = pushtest.NoSecret
	respond  = pushtest.Respond
)

type doerFunc = pushtest.DoerFunc

// The keys of RFC 8291, appendix A.
const (
	rfcP256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	rfcAuth   = "BTBZMqHH6r4Tts7J_aSIgg"
)

// testSubscription returns a subscription of the identity at the endpoint.
func testSubscription(tb testing.TB, endpoint string, id *ece.Identity) *webpush.Subscription {
	tb.Helper()
	var p256dh, auth string
	if id != nil {
		p256dh, auth = base64.RawURLEncoding.EncodeToString(id.Recipient().P256DH()), base64.RawURLEncoding.EncodeToString(id.Recipient().Auth())
	}
	s, err := webpush.NewSubscription(endpoint, p256dh, auth)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func subscriptionJSON(endpoint, p256dh, auth string) string {
	return fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":%q}}`, endpoint, p256dh, auth)
}

func autopush(code, errno int, message string) string {
	return fmt.Sprintf(`{"code":%d,"errno":%d,"error":"x","message":%q}`, code, errno, message)
}
