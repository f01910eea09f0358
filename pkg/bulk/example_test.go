package bulk_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// A run that can be repeated until everything is sent. The file may have a million
// records: it is read as a stream.
func ExampleRun() {
	subscriptions, dir, end := exampleFile()
	defer end()
	key, _ := vapid.GenerateKey() // vapid.ParseKey reads yours

	source, err := bulk.Open(bulk.Files(subscriptions)...)
	if err != nil {
		log.Fatal(err)
	}
	summary, err := bulk.Run(context.Background(), source, bulk.Options{
		Client:  &webpush.Client{Key: key, Claims: vapid.Claims{Subject: "mailto:ops@example.com"}},
		Message: webpush.Message{Payload: []byte(`{"title":"Hello"}`)},
		Journal: filepath.Join(dir, "journal"),
		Gone:    filepath.Join(dir, "gone.ndjson"),
	})
	fmt.Println(summary.Counts[webpush.ClassDelivered], summary.Counts[webpush.ClassGone], err)
	// Output: 2 1 <nil>
}

// exampleFile has two subscriptions of a push service that takes messages, and one
// that has ended.
func exampleFile() (name, dir string, end func()) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ended" {
			w.WriteHeader(http.StatusGone)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	const keys = `"keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}`
	var text string
	for _, path := range []string{"/one", "/ended", "/two"} {
		text += fmt.Sprintf("{\"endpoint\":%q,%s}\n", server.URL+path, keys)
	}
	name = filepath.Join(dir, "subscriptions.ndjson")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}
	return name, dir, func() { server.Close(); os.RemoveAll(dir) }
}
