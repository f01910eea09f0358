package queue_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/queue"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// A program that enqueues the subscriptions of a file, and another that sends.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	q, err := queue.Dial(ctx, os.Getenv("WEBPUSH_NATS"), queue.DialOptions{}, queue.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer q.Close()

	records, err := bulk.Open(bulk.Files("subscriptions.ndjson")...)
	if err != nil {
		log.Fatal(err)
	}
	message := webpush.Message{Payload: []byte("Hello"), Urgency: webpush.High}
	if err := q.Enqueue(ctx, records.Records(ctx), queue.EnqueueOptions{Run: "hello", Message: message}); err != nil {
		log.Fatal(err)
	}

	// On any number of machines:
	pem, err := os.ReadFile("private_key.pem")
	if err != nil {
		log.Fatal(err)
	}
	key, err := vapid.ParseKey(pem)
	if err != nil {
		log.Fatal(err)
	}
	client := &webpush.Client{Key: key, Claims: vapid.Claims{Subject: "mailto:ops@example.com"}}
	monitor := queue.NewMonitor(q)
	go http.ListenAndServe("127.0.0.1:9090", monitor.Handler()) // GET /healthz and /metrics
	if err := q.Work(ctx, queue.WorkerOptions{Client: client, OnResult: monitor.OnResult, OnHold: monitor.OnHold}); err != nil {
		log.Fatal(err)
	}
}

// A program that publishes records without this package needs the subject and the
// body alone.
func ExampleMessageID() {
	record := []byte(`{"id": 7, "subscription": {"endpoint": "https://fcm.googleapis.com/fcm/send/x"}, "ttl": 3600}`)
	s, err := webpush.NewSubscription("https://fcm.googleapis.com/fcm/send/x", "", "")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("webpush.send." + queue.Lane(s.Service()))
	fmt.Println(strings.Join([]string{queue.HeaderMsgID, queue.MessageID("welcome", record)}, ": "))
	// Output:
	// webpush.send.fcm
	// Nats-Msg-Id: 0b8616628bc446b2a1a9aa26ecf6c7ca
}
