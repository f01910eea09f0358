package preflight

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func TestClock(t *testing.T) {
	key := testKey(t)
	for _, tt := range []struct {
		name     string
		client   *webpush.Client
		ahead    time.Duration // of the clock here
		age      string
		severity Severity
		text     string
	}{
		{"agrees", &webpush.Client{Key: key}, 0, "", SeverityNote, "agrees with the clock of https://push.dev"},
		{"seconds", &webpush.Client{Key: key}, 20 * time.Second, "", SeverityNote, "20s ahead of"},
		{"minutes", &webpush.Client{Key: key}, -5 * time.Minute, "", SeverityWarning, "5m0s behind"},
		{"half a day behind", &webpush.Client{Key: key}, -13 * time.Hour, "", SeverityError, "13h0m0s behind"},
		{"half a day ahead", &webpush.Client{Key: key}, 13 * time.Hour, "", SeverityError, "so push services reject the token because of its exp"},
		{"half a day ahead, nothing signed", &webpush.Client{}, 13 * time.Hour, "", SeverityWarning, "13h0m0s ahead of"},
		{"a short token", &webpush.Client{Key: key, Lifetime: time.Minute}, -5 * time.Minute, "", SeverityError, "reject the token"},
		{"a fixed end", &webpush.Client{Key: key, Claims: vapid.Claims{Expires: time.Now().Add(time.Minute)}}, -5 * time.Minute, "", SeverityError, "reject the token"},
		{"from a cache", &webpush.Client{Key: key}, 300 * time.Second, "300", SeverityNote, "agrees"},
	} {
		tt.client.HTTP = doerFunc(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodHead || r.Header.Get("Authorization") != "" {
				t.Errorf("%s %v", r.Method, r.Header)
			}
			return respond(301, "", "Date", time.Now().Add(-tt.ahead).UTC().Format(http.TimeFormat), "Age", tt.age, "Location", "https://elsewhere.dev/"), nil
		})
		f, err := Clock(t.Context(), tt.client, "https://push.dev/x")
		// The clocks' seconds need not start together.
		text := strings.NewReplacer("12h59m59s", "13h0m0s", "13h0m1s", "13h0m0s", "4m59s", "5m0s", "5m1s", "5m0s", "21s", "20s", "19s", "20s").Replace(f.Message)
		if err != nil || f.Severity != tt.severity || !strings.Contains(text, tt.text) {
			t.Errorf("%s: %+v, %v", tt.name, f, err)
		}
	}
	silent := &webpush.Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) { return respond(200, ""), nil })}
	if _, err := Clock(t.Context(), silent, "https://push.dev"); err == nil || !strings.Contains(err.Error(), "no Date") {
		t.Error(err)
	}
	for _, bad := range []string{"", "push.dev", "ftp://push.dev", "https://", "https://a b"} {
		if _, err := Clock(t.Context(), silent, bad); err == nil {
			t.Errorf("%q is asked", bad)
		}
	}
	down := &webpush.Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) { return nil, io.EOF })}
	if _, err := Clock(t.Context(), down, "https://push.dev"); err == nil || !strings.Contains(err.Error(), "no response from https://push.dev") {
		t.Error(err)
	}
}
