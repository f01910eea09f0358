package webpush_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// The push service is a local one here, and so is the user agent that decrypts
// the message.
func ExampleClient_Send() {
	browser, err := ece.GenerateIdentity()
	if err != nil {
		log.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/gone" {
			http.Error(w, "push subscription has unsubscribed or expired.", http.StatusGone)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			log.Fatal(err)
		}
		payload, err := browser.Decrypt(&ece.EncryptedMessage{Encoding: ece.AES128GCM, Body: body})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("the browser got %q\n", payload)
		w.WriteHeader(http.StatusCreated)
	}))
	defer service.Close()

	encode := base64.RawURLEncoding.EncodeToString
	p256dh, auth := encode(browser.Recipient().P256DH()), encode(browser.Recipient().Auth())
	key, err := vapid.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	client := &webpush.Client{Key: key, Subject: "mailto:ops@example.com"}

	for _, path := range []string{"/alive", "/gone"} {
		sub, err := webpush.NewSubscription(service.URL+path, p256dh, auth)
		if err != nil {
			log.Fatal(err)
		}
		receipt, err := client.Send(context.Background(), sub, webpush.Message{
			Payload: []byte("hello"),
			TTL:     new(time.Hour),
			Urgency: webpush.High,
		})
		if e, ok := errors.AsType[*webpush.Error](err); ok && e.Gone() {
			fmt.Println(e.Status, e.Code, "so", e.Hint())
			continue
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("accepted with", receipt.Status)
	}
	// Output:
	// the browser got "hello"
	// accepted with 201
	// 410 gone so delete the subscription
}

// NewRequest is for those who send the request in a way of their own.
func ExampleClient_NewRequest() {
	sub, err := webpush.NewSubscription("https://push.example.net/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
		"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "BTBZMqHH6r4Tts7J_aSIgg")
	if err != nil {
		log.Fatal(err)
	}
	key, err := vapid.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	client := &webpush.Client{Key: key, Subject: "mailto:ops@example.com"}
	req, err := client.NewRequest(context.Background(), sub, webpush.Message{
		Payload: []byte("hello"),
		Topic:   webpush.HashTopic("inbox of user 7"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(req.Method, "to", sub.Origin(), "with", req.ContentLength, "bytes")
	fmt.Println("TTL:", req.Header.Get("TTL"))
	fmt.Println("Content-Encoding:", req.Header.Get("Content-Encoding"))
	// Output:
	// POST to https://push.example.net with 108 bytes
	// TTL: 2419200
	// Content-Encoding: aes128gcm
}

func ExampleParseSubscription() {
	sub, err := webpush.ParseSubscription([]byte(`{
		"endpoint": "https://push.example.net/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
		"expirationTime": null,
		"keys": {
			"p256dh": "BCVxsr7N/eNgVRqvHtD0zTZsEc6+VV+JvLexhqUzORcxaOzi6+AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4=",
			"auth": "BTBZMqHH6r4Tts7J/aSIgg=="
		}
	}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sub) // its endpoint is a secret

	_, err = webpush.ParseSubscription([]byte(`{"endpoint": "https://push.example.net/p/x", "keys": {"p256dh": "", "auth": "AAAA"}}`))
	fmt.Println(err)
	// Output:
	// subscription at https://push.example.net
	// keys.p256dh is missing
}

// Any source, such as the rows of a database, and any sink, such as a deletion
// from it.
func ExampleClient_SendAll() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/2" {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer service.Close()

	rows := []string{"/1", "/2", "not a path", "/4"}
	jobs := func(yield func(webpush.Job, error) bool) {
		for id, path := range rows {
			sub, err := webpush.NewSubscription(service.URL+path, "", "")
			if !yield(webpush.Job{Subscription: sub, Value: id}, err) { // an error is a result of its own
				return
			}
		}
	}
	var gone []any
	counts := make(map[webpush.Class]int)
	client := new(webpush.Client)
	for result := range client.SendAll(context.Background(), jobs, webpush.BulkOptions{}) {
		counts[result.Class]++
		if result.Class == webpush.ClassGone {
			gone = append(gone, result.Job.Value)
		}
	}
	fmt.Println(counts)
	fmt.Println("delete the rows", gone)
	// Output:
	// map[delivered:2 gone:1 invalid:1]
	// delete the rows [1]
}
