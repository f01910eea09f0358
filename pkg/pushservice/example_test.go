package pushservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/pushservice/receiver"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// A program embeds the push service in a server of its own, subscribes a user
// agent, and sends it an encrypted message.
func ExampleNew() {
	service := pushservice.New(pushservice.Options{})
	defer service.Close()
	server := httptest.NewServer(service) // or any http.Server
	defer server.Close()

	// The user agent connects by WebSocket, as Firefox does.
	ctx := context.Background()
	key, err := vapid.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	agent, err := useragent.Subscribe(ctx, "ws"+strings.TrimPrefix(server.URL, "http"), useragent.Options{ApplicationServerKey: key.PublicKey()})
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()

	// The application server gets the subscription as JSON, and sends.
	text, err := json.Marshal(agent)
	if err != nil {
		log.Fatal(err)
	}
	sub, err := webpush.ParseSubscription(text)
	if err != nil {
		log.Fatal(err)
	}
	client := &webpush.Client{Key: key, Subject: "mailto:ops@example.com"}
	if _, err := client.Send(ctx, sub, webpush.Message{Payload: []byte("When I grow up, I want to be a watermelon")}); err != nil {
		log.Fatal(err)
	}

	// The push service has seen ciphertext only; the user agent decrypts it.
	m, err := agent.Receive(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", m.Payload)
	if err := agent.Ack(ctx, m); err != nil {
		log.Fatal(err)
	}
	// Output: When I grow up, I want to be a watermelon
}

// A test lets the push service refuse a message to see what the sender makes of
// it.
func ExampleService_AddFault() {
	server, err := pushservice.Start(pushservice.ServerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	fault, err := pushservice.ParseFault("status=429,retry-after=30,count=1")
	if err == nil {
		err = server.Service.AddFault(fault)
	}
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	agent, err := useragent.Subscribe(ctx, server.WebSocket(), useragent.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()
	text, _ := json.Marshal(agent)
	sub, err := webpush.ParseSubscription(text)
	if err != nil {
		log.Fatal(err)
	}
	client := &webpush.Client{Attempts: 1}
	_, err = client.Send(ctx, sub, webpush.Message{})
	var refused *webpush.Error
	if errors.As(err, &refused) {
		fmt.Println(refused.Status, refused.RetryAfter)
	}
	// Output: 429 30s
}

// The routes of the npm package web-push-testing require a Receiver, which holds
// the keys of user agents: tests written for that package then work with this push
// service.
func ExampleReceiver() {
	service := pushservice.New(pushservice.Options{NewReceiver: receiver.New})
	defer service.Close()
	server := httptest.NewServer(service)
	defer server.Close()
	response, err := http.Post(server.URL+"/subscribe", "application/json", strings.NewReader("{}"))
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var v struct{ Data json.RawMessage }
	if err := json.NewDecoder(response.Body).Decode(&v); err != nil {
		log.Fatal(err)
	}
	var client struct{ ClientHash string }
	if err := json.Unmarshal(v.Data, &client); err != nil {
		log.Fatal(err)
	}
	sub, err := webpush.ParseSubscription(v.Data)
	if err != nil {
		log.Fatal(err)
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	sender := &webpush.Client{Key: key, Subject: "mailto:ops@example.com"}
	if _, err := sender.Send(context.Background(), sub, webpush.Message{Payload: []byte("hello")}); err != nil {
		log.Fatal(err)
	}
	response, err = http.Post(server.URL+"/get-notifications", "application/json", strings.NewReader(`{"clientHash":"`+client.ClientHash+`"}`))
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s", text)
	// Output: {"data":{"messages":["hello"]}}
}
