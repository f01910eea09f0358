package pushservice_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// fakeReceiver returns the record of a body as its text, except for zeros.
type fakeReceiver struct{}

func (fakeReceiver) Recipient() (p256dh, auth []byte) { return make([]byte, 65), make([]byte, 16) }
func (fakeReceiver) Decrypt(m pushservice.AcceptedMessage) ([]byte, error) {
	if text := bytes.TrimRight(m.Body[86:], "\x00"); len(text) > 0 {
		return text, nil
	}
	return nil, errors.New("the tag is wrong")
}

// TestWebPushTesting calls the routes as the documentation of web-push-testing
// describes them.
func TestWebPushTesting(t *testing.T) {
	s := pushservice.New(pushservice.Options{NewReceiver: func() (pushservice.Receiver, error) { return fakeReceiver{}, nil }})
	post := func(path, contentType, body string, status int, want string) string {
		t.Helper()
		r := newRequest("POST", path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		w := do(s, r)
		if got := strings.TrimSuffix(w.Body.String(), "\n"); w.Code != status || want != "*" && got != want {
			t.Errorf("%s %s: status %d, %s, want %d, %s", path, body, w.Code, got, status, want)
		}
		return w.Body.String()
	}
	const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"
	post("/status", "", "", 200, "OK")
	key := generateKey(t)
	subscribe := func(contentType, body string) (endpoint, hash string) {
		t.Helper()
		var v struct {
			Data struct {
				Endpoint   string
				ClientHash string
				Keys       struct{ P256DH, Auth string }
			}
		}
		if err := json.Unmarshal([]byte(post("/subscribe", contentType, body, 200, "*")), &v); err != nil {
			t.Fatal(err)
		}
		d := v.Data
		if len(d.ClientHash) != 64 || d.Endpoint != origin+"/notify/"+d.ClientHash || len(d.Keys.P256DH) != 87 || len(d.Keys.Auth) != 22 {
			t.Fatalf("subscribe gave %+v", d)
		}
		return strings.TrimPrefix(d.Endpoint, origin), d.ClientHash
	}
	open, _ := subscribe(asJSON, "{}")
	subscribe(asForm, "userVisibleOnly=true")
	endpoint, hash := subscribe(asJSON, `{"userVisibleOnly":"true","applicationServerKey":"`+key.PublicKey().String()+`"}`)
	post("/subscribe", asJSON, `{"applicationServerKey":"nope"}`, 400, `{"error":{"message":"Parameter applicationServerKey does not seem to be a valid VAPID key."}}`)
	post("/subscribe", asJSON, `{"userVisibleOnly":"nope"}`, 400, `{"error":{"message":"Parameter userVisibleOnly is not of type boolean: nope"}}`)
	post("/subscribe", asJSON, `{"x":1}`, 400, `{"error":{"message":"Invalid property x sent."}}`)
	post("/subscribe", asJSON, `{`, 400, "*")

	notify := func(path, text string, status int, change func(claims map[string]any)) string {
		t.Helper()
		r := request(path, append(aes128gcmBody(t, 4096, point(t), 0), text+strings.Repeat("\x00", 30)...))
		if change != nil {
			claims := goodClaims()
			change(claims)
			r.Header.Set("Authorization", sign(t, key, claims).Authorization())
		}
		w := do(s, r)
		if w.Code != status {
			t.Errorf("notify: status %d, want %d: %s", w.Code, status, w.Body)
		}
		return w.Body.String()
	}
	good := func(map[string]any) {}
	if got := notify(endpoint, "hello", 201, good); got != "" {
		t.Errorf("the answer is %q", got)
	}
	notify(endpoint, "other aud", 201, func(c map[string]any) { c["aud"] = "https://example.org"; delete(c, "sub") })
	begins := func(got, want string) {
		t.Helper()
		if !strings.HasPrefix(got, `{"error":{"message":"`+want+`: `) {
			t.Errorf("the answer is %s, want %s", got, want)
		}
	}
	begins(notify(endpoint, "expired", 400, func(c map[string]any) { c["exp"] = 1 }), "Invalid authentication token supplied")
	begins(notify(endpoint, "not signed", 400, nil), "Missing or invalid authorization header")
	if got := notify(endpoint, "", 400, good); !strings.HasPrefix(got, `{"error":{"message":"Invalid body: it cannot be decrypted: the tag is wrong`) {
		t.Errorf("the answer is %q", got)
	}
	notify(open, "open", 201, nil)
	notify("/notify/x", "unknown", 400, nil)
	post("/get-notifications", asJSON, `{"clientHash":"`+hash+`"}`, 200, `{"data":{"messages":["hello","other aud"]}}`)
	post("/get-notifications", asJSON, `{"clientHash":"wrong"}`, 400, `{"error":{"message":"Client not subscribed"}}`)
	post("/get-notifications", asForm, "clientHash="+strings.TrimPrefix(open, "/notify/"), 200, `{"data":{"messages":["open"]}}`)
	id := call(t, s, "POST", "/api/subscriptions", "", 201)
	var rest struct{ ID string }
	if err := json.Unmarshal([]byte(id), &rest); err != nil {
		t.Fatal(err)
	}
	post("/get-notifications", asJSON, `{"clientHash":"`+rest.ID+`"}`, 400, "*")

	post("/expire-subscription/x", "", "", 400, `{"error":{"message":"Subscription with specified client hash does not exist"}}`)
	post("/expire-subscription/"+hash, "", "", 200, "OK")
	post("/expire-subscription/"+hash, "", "", 200, "OK")
	if got, want := notify(endpoint, "late", 410, good), `{"reason":"Push subscription has unsubscribed or expired."}`+"\n"; got != want {
		t.Errorf("the answer is %q, want %q", got, want)
	}
	post("/get-notifications", asJSON, `{"clientHash":"`+hash+`"}`, 200, `{"data":{"messages":["hello","other aud"]}}`)
	call(t, s, "GET", "/status", "", 405)

	r := newRequest("POST", "/subscribe", nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if w := do(s, r); w.Code != 403 {
		t.Errorf("from another site: status %d", w.Code)
	}
	w := do(pushservice.New(pushservice.Options{}), newRequest("POST", "/subscribe", nil))
	wantError(t, w, 501, 0, "No receiver keys: the routes of web-push-testing require the keys of user agents, which this push service was started without")
}

// TestFaultShares injects faults into a part of the requests.
func TestFaultShares(t *testing.T) {
	for _, c := range []struct{ fault, want string }{
		{`{"status":503,"always":true}`, "!!!!!!!!!!!!"},
		{`{"status":503,"always":true,"after":3}`, "...!!!!!!!!!"},
		{`{"status":503,"always":true,"share":0.25}`, "...!...!...!"},
		{`{"status":503,"always":true,"share":0.1}`, ".........!.."},
		{`{"status":503,"count":2,"share":0.5,"after":1}`, "..!.!......."},
	} {
		s := pushservice.New(pushservice.Options{})
		sub := subscribe(t, s, vapid.PublicKey{})
		call(t, s, "POST", "/api/faults", c.fault, 204)
		got := ""
		for range len(c.want) {
			if do(s, request(sub.Path, nil)).Code == 201 {
				got += "."
			} else {
				got += "!"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.fault, got, c.want)
		}
	}
	s := pushservice.New(pushservice.Options{})
	for _, bad := range []string{`{"status":503,"share":2}`, `{"status":503,"share":-1}`, `{"status":503,"after":-1}`} {
		call(t, s, "POST", "/api/faults", bad, 400)
	}
}
