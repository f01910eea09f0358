package useragent_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
)

// A user agent that keeps its subscription in a file, receives one message, and
// acknowledges it.
func ExampleFile() {
	service, err := pushservice.Start(pushservice.ServerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	dir, err := os.MkdirTemp("", "webpush")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	ctx := context.Background()
	file, err := useragent.OpenFile(filepath.Join(dir, "state.json"))
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	var agent *useragent.Subscription
	if _, found := file.State(); found {
		agent, err = file.Open(ctx, useragent.Options{})
	} else {
		agent, err = file.Subscribe(ctx, "ws"+strings.TrimPrefix(service.URL, "http"), useragent.Options{})
	}
	if err != nil {
		log.Fatal(err)
	}
	defer agent.Close()

	// An application server sends a message without payload.
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, agent.Endpoint(), nil)
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("TTL", "60")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	answer.Body.Close()

	for m, err := range agent.Messages(ctx) {
		var damaged *useragent.DecryptError
		switch {
		case errors.As(err, &damaged):
			fmt.Println("damaged:", damaged.Err)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("a message with %d bytes\n", len(m.Payload))
			if err := agent.Ack(ctx, m); err != nil {
				log.Fatal(err)
			}
			return
		}
	}
	// Output: a message with 0 bytes
}
