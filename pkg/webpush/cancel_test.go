package webpush

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

// Cancel deletes the message at the push service that accepted it, and asks no
// other server, whatever a service says that the location is.
func TestCancelMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const origin = "https://push.example.net"
		for _, c := range []struct {
			name     string
			service  Service
			location string
			status   []int
			code     Code // "" is success, "input" an InputError
			requests int
		}{
			{"withdrawn", Mozilla, origin + "/m/secret-message", []int{204}, "", 1},
			{"of another implementation", Other, origin + "/m/secret-message", []int{200}, "", 1},
			{"no longer there", Mozilla, origin + "/m/secret-message", []int{404}, CodeNotWaiting, 1},
			{"an ID that it does not know", Mozilla, origin + "/m/secret-message", []int{400}, CodeNotWaiting, 1},
			{"not offered", Other, origin + "/m/secret-message", []int{405}, CodeNotCancelable, 1},
			{"not allowed", Other, origin + "/m/secret-message", []int{401}, CodeRejected, 1},
			{"busy for a moment", Mozilla, origin + "/m/secret-message", []int{503, 429, 204}, "", 3},
			{"busy for long", Mozilla, origin + "/m/secret-message", []int{503, 503, 503}, CodeUnavailable, 3},
			{"a redirect", Mozilla, origin + "/m/secret-message", []int{307}, CodeRejected, 1},
			{"no location", Mozilla, "", nil, CodeNotCancelable, 0},
			{"Google", FCM, "https://fcm.googleapis.com/0:1%2a", nil, CodeNotCancelable, 0},
			{"Google by its host", "", "https://fcm.googleapis.com/m/x", nil, CodeNotCancelable, 0},
			{"Apple", Apple, origin + "/x", nil, CodeNotCancelable, 0},
			{"Microsoft", WNS, origin + "/x", nil, CodeNotCancelable, 0},
			{"another server", Mozilla, "https://intranet.example/admin", nil, "input", 0},
			{"another port", Mozilla, origin + ":8443/m/x", nil, "input", 0},
			{"another scheme", Mozilla, "http://push.example.net/m/x", nil, "input", 0},
			{"user information", Mozilla, "https://push.example.net@intranet.example/x", nil, "input", 0},
			{"not a URL", Mozilla, "m/x", nil, "input", 0},
		} {
			requests := 0
			client := &Client{Attempts: 3, Key: testKey(t), Subject: "mailto:a@example.com", HTTP: doerFunc(func(r *http.Request) (*http.Response, error) {
				if r.Method != http.MethodDelete || r.URL.String() != c.location || r.Header.Get("Authorization") != "" || r.ContentLength > 0 {
					t.Errorf("%s: the request is %s %s with %v", c.name, r.Method, r.URL, r.Header)
				}
				requests++
				return respond(c.status[requests-1], "no /m/secret-message here", "Location", "https://intranet.example/"), nil
			})}
			o := origin
			if strings.HasPrefix(c.location, "https://fcm.") {
				o = "https://fcm.googleapis.com"
			}
			err := client.Cancel(t.Context(), &Receipt{Service: c.service, Origin: o, Location: c.location})
			var refused *Error
			var input *InputError
			got := Code("")
			switch {
			case errors.As(err, &refused):
				got = refused.Code
				if refused.Gone() {
					t.Errorf("%s: the error means that the subscription is gone", c.name)
				}
			case errors.As(err, &input):
				got = "input"
			case err != nil:
				t.Errorf("%s: %v", c.name, err)
			}
			if got != c.code || requests != c.requests {
				t.Errorf("%s: %q (%v) after %d requests, expected %q after %d", c.name, got, err, requests, c.code, c.requests)
			}
			if err != nil && strings.Contains(err.Error(), "secret-message") {
				t.Errorf("%s: the error has the location, a secret: %v", c.name, err)
			}
		}
	})
}

// A location is subject to the rules for endpoints.
func TestCancelRules(t *testing.T) {
	r := &Receipt{Service: Other, Origin: "http://push.example.net", Location: "http://push.example.net/m/x"}
	asked := false
	client := &Client{HTTP: doerFunc(func(*http.Request) (*http.Response, error) {
		asked = true
		return respond(204, ""), nil
	})}
	var refused *Error
	if err := client.Cancel(t.Context(), r); !errors.As(err, &refused) || refused.Code != CodeRefused || asked {
		t.Errorf("plain http: %v, asked %v", err, asked)
	}
	client.AllowHTTP = true
	if err := client.Cancel(t.Context(), r); err != nil || !asked {
		t.Errorf("plain http that is allowed: %v", err)
	}
	hc, err := NewHTTPClient(TransportOptions{DenyPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	err = (&Client{HTTP: hc, Attempts: 1}).Cancel(t.Context(), &Receipt{Service: Other, Origin: "https://127.0.0.1:9", Location: "https://127.0.0.1:9/m/x"})
	if !errors.As(err, &refused) || refused.Code != CodeRefused {
		t.Errorf("a private address: %v", err)
	}
}
