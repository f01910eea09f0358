package webpush

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// GCM makes the message a request to Google's legacy Cloud Messaging, as
// pywebpush up to 2.1.2 sent it: JSON with the body in standard base64 and a
// server key in place of the VAPID token. Google has shut that service down;
// use GCM only for a server that imitates it.
type GCM struct {
	// Key is the server key, a secret.
	Key string
	// RegistrationID names the receiver; empty means the last segment of the
	// endpoint's path.
	RegistrationID string
	// URL to send to; empty means Google's former address.
	URL string
}

// String does not print the key.
func (g GCM) String() string { return "GCM key" }

// GoString does not print the key.
func (g GCM) GoString() string { return g.String() }

// Format writes String for every verb.
func (g GCM) Format(s fmt.State, _ rune) { fmt.Fprint(s, g.String()) }

// LogValue does not log the key.
func (g GCM) LogValue() slog.Value { return slog.StringValue(g.String()) }

// rewrite turns a finished request into the legacy one. Its encryption headers stay.
func (g *GCM) rewrite(req *http.Request, sub *Subscription, body []byte, ttl int64, allowHTTP bool) (*http.Request, error) {
	target := g.URL
	if target == "" {
		target = "https://fcm.googleapis.com/fcm/send"
		if len(g.Key) < 100 { // a key of the older of the two services
			target = "https://android.googleapis.com/gcm/send"
		}
	}
	id := g.RegistrationID
	if id == "" {
		path, _, _ := strings.Cut(sub.Endpoint(), "?")
		id = path[strings.LastIndexByte(path, '/')+1:]
	}
	if err := CheckHeader("X-Key", g.Key); err != nil || g.Key == "" {
		return nil, &InputError{Part: "gcm-key", Problem: "the GCM key is empty or has control characters"}
	}
	content := struct {
		IDs  []string `json:"registration_ids"`
		Data string   `json:"raw_data,omitempty"`
		TTL  int64    `json:"time_to_live"`
	}{[]string{id}, base64.StdEncoding.EncodeToString(body), ttl}
	b, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("encoding the legacy request: %w", err)
	}
	// The rules for endpoints apply to this URL too, because the key is sent to it.
	to, err := newEndpoint(target)
	if err != nil {
		return nil, &InputError{Part: "gcm-url", Problem: "the legacy service's URL is not valid: " + err.Error()}
	}
	if err := to.allowed(allowHTTP); err != nil {
		return nil, err
	}
	legacy := to.request(b)
	legacy.Header = req.Header.Clone() // other requests may have the same header
	legacy.Header.Set("Content-Type", "application/json")
	legacy.Header.Set("Authorization", "key="+g.Key)
	return legacy, nil
}
