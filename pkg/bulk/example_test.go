package bulk_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

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

// Progress in words while a run sends, the summary at its end, and the results, which
// name the messages to cancel.
func ExampleReporter() {
	subscriptions, dir, end := exampleFile()
	defer end()
	key, _ := vapid.GenerateKey()
	source, err := bulk.Open(bulk.Files(subscriptions)...)
	if err != nil {
		log.Fatal(err)
	}
	progress, done := new(bulk.Progress), make(chan struct{})
	go func() {
		var reporter bulk.Reporter
		for tick := time.Tick(5 * time.Second); ; {
			select {
			case <-tick:
				fmt.Println(reporter.Line(progress.Snapshot())) // "100 of about 400, 20/s, 15s left: …"
			case <-done:
				return
			}
		}
	}()
	client := &webpush.Client{Key: key, Claims: vapid.Claims{Subject: "mailto:ops@example.com"}}
	results := filepath.Join(dir, "results.ndjson")
	summary, err := bulk.Run(context.Background(), source, bulk.Options{Client: client, Results: results, Progress: progress})
	close(done)
	if summary == nil {
		log.Fatal(err)
	}
	fmt.Println(summary.Counts)

	f, err := os.Open(results)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for c, err := range bulk.Cancel(context.Background(), client, bulk.ReadResults(f)) {
		fmt.Println(c.Result.ID, c.Err, err) // this push service returned no locations
	}
	// Output: 2 delivered, 1 gone
}

// exampleFile has two subscriptions at a push service that accepts messages, and one
// that is gone.
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
