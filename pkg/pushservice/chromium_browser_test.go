//go:build e2e

package pushservice_test

import (
	"bytes"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/browsertest"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// startChromium starts a Chromium that uses a push service.
func startChromium(t *testing.T, c *pushservice.ChromiumServer) *browsertest.Browser {
	t.Helper()
	return browsertest.Start(t, browsertest.Options{Name: "chromium", PushService: browsertest.PushService{Address: c.Addr, PublicKeyHash: c.PublicKeyHash}})
}

// chromiumClient sends to Chromium's endpoints by way of the push service.
func chromiumClient(t *testing.T, c *pushservice.ChromiumServer) *webpush.Client {
	t.Helper()
	hc, err := webpush.NewHTTPClient(webpush.TransportOptions{CAs: c.CA(), ConnectTo: []string{c.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return &webpush.Client{Key: generateKey(t), Subject: "mailto:ops@example.com", HTTP: hc}
}

// TestChromium lets a real Chromium subscribe and receive.
func TestChromium(t *testing.T) {
	server, err := pushservice.Start(pushservice.ServerOptions{Chromium: &pushservice.ChromiumOptions{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	s := startSite(t)
	b := startChromium(t, server.Chromium)
	b.Open(s.url)
	client := chromiumClient(t, server.Chromium)
	sub := subscribeIn(t, b, client.Key.PublicKey().String())
	t.Log(sub.Origin())
	send := func(m webpush.Message) {
		t.Helper()
		if _, err := client.Send(t.Context(), sub, m); err != nil {
			t.Fatal(err)
		}
	}
	send(webpush.Message{})
	s.expect(t, pushed{null: true})
	for _, encoding := range []ece.Encoding{ece.AES128GCM, ece.AESGCM} {
		for _, payload := range [][]byte{[]byte("x"), []byte("Grüße 👋"), bytes.Repeat([]byte("y"), 3993)} {
			send(webpush.Message{Payload: payload, Encoding: encoding})
			s.expect(t, pushed{data: payload})
		}
	}
}
