package appserver_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/appserver/sqlite"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// A site mounts the routes of the server, and identifies users in its own way.
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(filepath.Join(dir, "webpush.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	token, _, err := appserver.LoadToken(filepath.Join(dir, "admin-token"))
	if err != nil {
		log.Fatal(err)
	}
	key, err := vapid.GenerateKey() // a real site reads its own with vapid.ParseKey
	if err != nil {
		log.Fatal(err)
	}
	server, err := appserver.New(appserver.Options{
		Store:   store,
		Key:     key,
		Subject: "mailto:ops@example.com",
		Token:   token,
		User: func(r *http.Request) (string, error) {
			cookie, err := r.Cookie("session")
			if err != nil {
				return "", err
			}
			return cookie.Value, nil // a real site looks the session up
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/push-api/", http.StripPrefix("/push-api", server))

	// What a browser sends:
	r := httptest.NewRequest("POST", "/push-api/subscription", strings.NewReader(`{"endpoint": "https://updates.push.services.mozilla.com/wpush/v2/abc", "keys": {
		"p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", "auth": "BTBZMqHH6r4Tts7J_aSIgg"}}`))
	r.Header.Set("Content-Type", "application/json")
	r.AddCookie(&http.Cookie{Name: "session", Value: "alice"})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code)

	list, err := store.List(ctx, appserver.Filter{User: "alice"}, 0, 0, 10)
	fmt.Println(len(list), list[0].Origin, err)

	stop()
	fmt.Println(<-ended)
	// Output:
	// 201
	// 1 https://updates.push.services.mozilla.com <nil>
	// <nil>
}
