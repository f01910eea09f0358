package preflight

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func TestOnline(t *testing.T) {
	key := testKey(t)
	mozilla := testSubscription(t, "https://updates.push.services.mozilla.com/wpush/v2/"+testToken, nil)
	up := testSubscription(t, "https://ntfy.sh/up"+testToken+"?up=1", nil)
	fcm := testSubscription(t, "https://fcm.googleapis.com/wp/"+testToken, nil)
	for _, tt := range []struct {
		name   string
		sub    *webpush.Subscription
		status int
		body   string
		want   string
		text   string
	}{
		{"fine", mozilla, 400, autopush(400, 111, "Missing TTL value"), "note online [mozilla]", "accepts the key and the token"},
		{"other key", mozilla, 401, autopush(401, 109, "VAPID public key mismatch"), "error online [mozilla]", "another application server key"},
		{"gone", mozilla, 410, autopush(410, 106, "No such subscription"), "error online [mozilla]", "410 Gone"},
		{"fault", mozilla, 503, "", "warning online [mozilla]", "503"},
		{"delivered", mozilla, 201, "", "warning online [mozilla]", "against RFC 8030"},
		{"UnifiedPush", up, 200, `{"unifiedpush":{"version":1}}`, "note online [unifiedpush]", "speaks UnifiedPush"},
		{"no UnifiedPush", up, 200, `<html>`, "warning online [unifiedpush]", "does not say"},
		{"no server", up, 404, "up" + testToken, "error online [unifiedpush]", "404"},
		{"FCM", fcm, 0, "", "note online [fcm]", "was not asked"},
	} {
		asked := 0
		c := &webpush.Client{Key: key, Subject: "mailto:ops@push.dev", HTTP: doerFunc(func(r *http.Request) (*http.Response, error) {
			asked++
			switch {
			case r.ContentLength > 0, r.Header.Get("Ttl") != "", r.Header.Get("Content-Encoding") != "":
				t.Errorf("%s: this would be delivered: %v", tt.name, r.Header)
			case tt.sub == mozilla && (r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid t=")):
				t.Errorf("%s: %s %v", tt.name, r.Method, r.Header)
			case tt.sub == up && (r.Method != http.MethodGet || r.Header.Get("Authorization") != ""):
				t.Errorf("%s: %s %v", tt.name, r.Method, r.Header)
			}
			return respond(tt.status, tt.body), nil
		})}
		f, err := Online(t.Context(), c, tt.sub)
		if got := finds([]Finding{f}, SeverityNote); err != nil || got[0] != tt.want || !strings.Contains(f.Message, tt.text) || f.Source == "" {
			t.Errorf("%s: %+v, %v", tt.name, f, err)
		}
		if asked > 1 || tt.sub == fcm && asked > 0 {
			t.Errorf("%s: asked %d times", tt.name, asked)
		}
		noSecret(t, tt.name, f.Message)
	}
	down := &webpush.Client{Key: key, HTTP: doerFunc(func(r *http.Request) (*http.Response, error) { return nil, errors.New("down " + r.URL.RequestURI()) })}
	for _, sub := range []*webpush.Subscription{mozilla, up} {
		f, err := Online(t.Context(), down, sub)
		if err != nil || f.Severity != SeverityWarning || !strings.Contains(f.Message, "no response from https://") {
			t.Errorf("%+v, %v", f, err)
		}
		noSecret(t, "no answer", f.Message)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, sub := range []*webpush.Subscription{mozilla, up} {
		if _, err := Online(ctx, down, sub); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if _, err := Online(t.Context(), down, nil); err == nil {
		t.Error("nothing is asked about no subscription")
	}
}
