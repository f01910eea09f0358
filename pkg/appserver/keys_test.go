package appserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// A key is replaced without losing a subscription: the server signs with the key with which
// a subscription was created. If that is not known, it finds the key that the push service
// accepts, and records it.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	old, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	madeWith := make(map[string]vapid.PublicKey)
	requests := 0
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		requests++
		token, err := vapid.ParseToken(r.Header.Get("Authorization"), "")
		if err != nil || token.PublicKey() != madeWith[r.URL.Path] {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"code":401,"errno":109,"error":"Unauthorized","message":"VAPID public key mismatch"}`)
			return
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer service.Close()
	f := newFixture(t, func(o *appserver.Options) { o.OldKeys = []*vapid.Key{old} })
	defer f.run()()
	add := func(path string, key vapid.PublicKey, says bool) {
		t.Helper()
		mu.Lock()
		madeWith[path] = key
		mu.Unlock()
		body := subscription(service.URL + path)
		if says {
			body = strings.Replace(body, "{", `{"options":{"applicationServerKey":"`+key.String()+`"},`, 1)
		}
		f.want(http.StatusCreated, "POST", "/subscription", body)
	}
	current := f.key.PublicKey()
	add("/current", current, true)
	add("/old", old.PublicKey(), true)
	add("/old-unknown", old.PublicKey(), false)
	f.want(http.StatusBadRequest, "POST", "/subscription",
		strings.Replace(subscription(service.URL+"/foreign"), "{", `{"applicationServerKey":"`+foreign.PublicKey().String()+`",`, 1))

	push := func() (delivered float64, asked int) {
		t.Helper()
		before := requests
		job := f.finished(f.push(`{"payload":"hi"}`))
		counts := job["counts"].(map[string]any)
		n, _ := counts["delivered"].(float64)
		mu.Lock()
		defer mu.Unlock()
		return n, requests - before
	}
	if delivered, asked := push(); delivered != 3 || asked != 4 {
		t.Errorf("%v delivered with %d requests, expected 3 with 4: one key was not known", delivered, asked)
	}
	if delivered, asked := push(); delivered != 3 || asked != 3 {
		t.Errorf("%v delivered with %d requests, expected 3 with 3: the key is known now", delivered, asked)
	}
	counts, err := f.store.CountKeys(t.Context())
	if err != nil || counts[old.PublicKey().String()] != 2 || counts[current.String()] != 1 {
		t.Errorf("%v, %v", counts, err)
	}
	var list struct{ Keys []appserver.KeyCount }
	if err := json.Unmarshal(f.want(http.StatusOK, "GET", "/subscriptions", "", "Authorization", "Bearer "+token).text, &list); err != nil {
		t.Fatal(err)
	}
	if k := list.Keys; len(k) < 2 || k[0].Use != "current" || k[1].Use != "old" || k[1].PublicKey != old.PublicKey().String() {
		t.Errorf("%+v", k)
	}
	metrics := string(f.want(http.StatusOK, "GET", "/metrics", "", "Authorization", "Bearer "+token).text)
	if !strings.Contains(metrics, `webpush_subscriptions_by_key{key="`+old.PublicKey().Fingerprint()+`",use="old"}`) {
		t.Error("the metrics do not count subscriptions of the old key")
	}
}
