package useragent_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"path/filepath"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
)

// A user agent that keeps its subscriptions in a file, receives one message, and
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
	// The next start of this program gets the same subscription.
	sub, err := file.Subscription(ctx, service.WebSocket(), "news", useragent.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer sub.Close()

	// An application server sends a message without a payload.
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.Endpoint(), nil)
	if err != nil {
		log.Fatal(err)
	}
	r.Header.Set("TTL", "60")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		log.Fatal(err)
	}
	response.Body.Close()

	for m, err := range sub.Messages(ctx) {
		var damaged *useragent.DecryptError
		switch {
		case errors.As(err, &damaged):
			fmt.Println("damaged:", damaged.Err)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Printf("a message of %d bytes for %s\n", len(m.Payload), m.Subscription.Name())
			if err := sub.Ack(ctx, m); err != nil {
				log.Fatal(err)
			}
			return
		}
	}
	// Output: a message of 0 bytes for news
}
