package cmd

import (
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

// demo is what a demonstration prints as it goes, and its result for --json.
type demo struct {
	s     *streams
	steps int

	Key          string                `json:"applicationServerKey"`
	Subscription *webpush.Subscription `json:"subscription"`
	Headers      map[string]string     `json:"headers"`
	Status       int                   `json:"status"`
	Received     string                `json:"received"`
	Milliseconds int64                 `json:"milliseconds"`
}

// step prints a numbered step.
func (d *demo) step(format string, a ...any) {
	if !d.s.json {
		d.steps++
		fmt.Fprintf(d.s.out, "%s %s\n", d.s.paint(d.s.outTTY, fmt.Sprintf("%d.", d.steps), color.Bold), fmt.Sprintf(format, a...))
	}
}

// detail prints a line under a step.
func (d *demo) detail(format string, a ...any) {
	if !d.s.json {
		fmt.Fprintf(d.s.out, "     "+format+"\n", a...)
	}
}

func runDemo(ctx context.Context, s *streams, payload string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	start := time.Now()
	d := demo{s: s}
	if err := d.deliver(ctx, payload); err != nil {
		return err
	}
	took := time.Since(start)
	if s.json {
		d.Milliseconds = took.Milliseconds()
		return s.printJSON(d)
	}
	fmt.Fprintf(s.out, "%s in %v; nothing was left on this machine\n", s.paint(s.outTTY, "Delivered", color.FgGreen), took.Round(time.Millisecond))
	generate := "webpush gen && "
	if exists(defaultPrivateKey) {
		generate = ""
	}
	s.hint("next, send one to your own browser: " + generate + "webpush subscribe && webpush send -f subscription.json --title Hello --subject mailto:you@your.domain")
	return nil
}

// deliver sends a message through a push service of its own to a user agent.
func (d *demo) deliver(ctx context.Context, payload string) (err error) {
	key, err := vapid.GenerateKey()
	if err != nil {
		return err
	}
	d.Key = key.PublicKey().String()
	d.step("Generated a key pair. The page would pass the application server key to pushManager.subscribe:")
	d.detail("%s", d.Key)

	server, err := pushservice.Start(pushservice.ServerOptions{TLS: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	d.step("Started a push service at %s", server.URL)

	agent, err := useragent.Subscribe(ctx, server.URL, useragent.Options{ApplicationServerKey: key.PublicKey(), HTTP: server.Client()})
	if err != nil {
		return err
	}
	b, err := agent.MarshalJSON()
	if err != nil {
		return err
	}
	d.step("Subscribed a user agent. The page would send this subscription to its server:")
	d.detail("%s", b)
	if d.Subscription, err = webpush.ParseSubscription(b); err != nil {
		return err
	}
	if err := d.send(ctx, server, key, payload); err != nil {
		return err
	}
	message, err := agent.Receive(ctx)
	if err != nil {
		return err
	}
	if err := agent.Ack(ctx, message); err != nil {
		return err
	}
	if d.Received = string(message.Payload); d.Received != payload {
		return fmt.Errorf("the user agent decrypted %q, but %q was sent", d.Received, payload)
	}
	d.step("The user agent received and decrypted it:")
	d.detail("%s", d.Received)
	return nil
}

// send sends the message and shows its request.
func (d *demo) send(ctx context.Context, server *pushservice.Server, key *vapid.Key, payload string) error {
	client := &webpush.Client{Key: key, Subject: "mailto:demo@example.com", HTTP: server.Client()}
	req, err := client.NewRequest(ctx, d.Subscription, webpush.Message{Payload: []byte(payload)})
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	d.step("Encrypted %d bytes (RFC 8291), signed (RFC 8292), and sent (RFC 8030):", len(payload))
	d.detail("POST %s", req.URL)
	d.Headers = maps.Collect(webpush.ShownHeaders(req.Header, true))
	for name, v := range webpush.ShownHeaders(req.Header, true) {
		d.detail("%s: %s", name, v)
	}
	d.detail("(%d bytes of body)", req.ContentLength)
	receipt, err := webpush.ReadResponse(resp)
	if err != nil {
		return err
	}
	d.Status = receipt.Status
	d.step("The push service accepted it: %d %s, TTL %s", receipt.Status, http.StatusText(receipt.Status), shortDuration(*receipt.TTL))
	return nil
}
