package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func newDemoCmd(s *streams) *cobra.Command {
	var payload string
	c := &cobra.Command{
		Use:  "demo",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), s, payload) },
	}
	c.Flags().StringVarP(&payload, "payload", "p", "Hello from webpush", "set the payload to `TEXT`")
	return c
}

func runDemo(ctx context.Context, s *streams, payload string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	start := time.Now()
	n := 0
	step := func(format string, a ...any) {
		if s.json {
			return
		}
		n++
		fmt.Fprintf(s.out, "%s %s\n", s.paint(s.outTTY, fmt.Sprintf("%d.", n), color.Bold), fmt.Sprintf(format, a...))
	}
	detail := func(format string, a ...any) {
		if !s.json {
			fmt.Fprintf(s.out, "     "+format+"\n", a...)
		}
	}

	key, err := vapid.GenerateKey()
	if err != nil {
		return err
	}
	step("Generated a key pair. The page would pass the application server key to pushManager.subscribe:")
	detail("%s", key.PublicKey())

	server, err := pushservice.Start(pushservice.ServerOptions{TLS: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	step("Started a push service at %s", server.URL)

	agent, err := useragent.Subscribe(ctx, server.URL, useragent.Options{ApplicationServerKey: key.PublicKey(), HTTP: server.Client()})
	if err != nil {
		return err
	}
	b, err := agent.MarshalJSON()
	if err != nil {
		return err
	}
	step("Subscribed a user agent. The page would send this subscription to its server:")
	detail("%s", b)

	sub, err := webpush.ParseSubscription(b)
	if err != nil {
		return err
	}
	var sent *http.Request
	client := &webpush.Client{Key: key, Subject: "mailto:demo@example.com", HTTP: doerFunc(func(req *http.Request) (*http.Response, error) {
		sent = req
		return server.Client().Do(req)
	})}
	receipt, err := client.Send(ctx, sub, webpush.Message{Payload: []byte(payload)})
	if err != nil {
		return err
	}
	step("Encrypted %d bytes (RFC 8291), signed (RFC 8292), and sent (RFC 8030):", len(payload))
	detail("POST %s", sent.URL)
	for name, v := range headersOf(sent.Header, true) {
		detail("%s: %s", name, v)
	}
	detail("(%d bytes of body)", sent.ContentLength)
	step("The push service accepted it: %d %s, TTL %s", receipt.Status, http.StatusText(receipt.Status), shortDuration(*receipt.TTL))

	message, err := agent.Receive(ctx)
	if err != nil {
		return err
	}
	if err := agent.Ack(ctx, message); err != nil {
		return err
	}
	if !bytes.Equal(message.Payload, []byte(payload)) {
		return fmt.Errorf("the user agent decrypted %q, but %q was sent", message.Payload, payload)
	}
	step("The user agent received and decrypted it:")
	detail("%s", message.Payload)
	took := time.Since(start)
	if s.json {
		return s.printJSON(struct {
			Key          string                `json:"applicationServerKey"`
			Subscription *webpush.Subscription `json:"subscription"`
			Headers      map[string]string     `json:"headers"`
			Status       int                   `json:"status"`
			Received     string                `json:"received"`
			Milliseconds int64                 `json:"milliseconds"`
		}{key.PublicKey().String(), sub, maps.Collect(headersOf(sent.Header, true)), receipt.Status, string(message.Payload), took.Milliseconds()})
	}
	fmt.Fprintf(s.out, "%s in %v; nothing was left on this machine\n", s.paint(s.outTTY, "Delivered", color.FgGreen), took.Round(time.Millisecond))
	generate := "webpush gen && "
	if exists(defaultPrivateKey) {
		generate = ""
	}
	s.hint("next, send one to your own browser: " + generate + "webpush subscribe && webpush send -f subscription.json --title Hello --subject mailto:you@your.domain")
	return nil
}

// doerFunc is a function that sends requests.
type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(req *http.Request) (*http.Response, error) { return f(req) }
