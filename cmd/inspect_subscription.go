package cmd

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Values that are right, to check one part of a subscription alone with.
const (
	somePoint    = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4" // RFC 8291 appendix A
	someAuth     = "AAAAAAAAAAAAAAAAAAAAAA"
	someSalt     = someAuth
	someEndpoint = "https://push.example.net/"
)

// subscription describes a PushSubscription. path tells where in the JSON it
// stood, or is empty.
func (in inspector) subscription(members map[string]json.RawMessage, path string) *thing {
	t := &thing{kind: kindSubscription, title: "push subscription"}
	if path != "" {
		t.add("found in", path, "the member "+path)
		if path != "subscription" {
			t.warn("the subscription stands in the member "+path+", where other commands do not look", "give its own JSON, from its { to its }")
		}
	}
	var keys struct {
		P256DH json.RawMessage `json:"p256dh"`
		Auth   json.RawMessage `json:"auth"`
	}
	raw, nested := members["keys"]
	if nested {
		_ = json.Unmarshal(raw, &keys) // what it is instead is told below
	} else if members["p256dh"] != nil || members["auth"] != nil {
		keys.P256DH, keys.Auth = members["p256dh"], members["auth"]
		t.warn("p256dh and auth stand beside the endpoint, not in keys as browsers write them", `write it as {"endpoint": …, "keys": {"p256dh": …, "auth": …}}`)
	}
	endpoint := str(members["endpoint"])
	switch {
	case members["endpoint"] == nil:
		t.fail("the subscription has no endpoint", "take the subscription from the browser again, with JSON.stringify(subscription)")
	case endpoint == "":
		t.fail("the endpoint is empty or no string", "take the subscription from the browser again")
	default:
		if sub := in.addEndpoint(t, endpoint); sub != nil {
			t.title += ", " + serviceName(sub)
		}
	}
	p256dh, auth := str(keys.P256DH), str(keys.Auth)
	sub, err := parsedWith(members, someEndpoint)
	var wrong *webpush.InputError
	switch {
	case errors.As(err, &wrong) && (wrong.Part == "keys" || p256dh == "" && auth == ""): // as send says it
		t.failErr(err)
	case sub != nil && sub.Row() && sub.Recipient() != nil && p256dh == "":
		in.addRecipient(t, base64.RawURLEncoding.EncodeToString(sub.Recipient().P256DH()), base64.RawURLEncoding.EncodeToString(sub.Recipient().Auth()))
		p256dh = "found"
	case p256dh == "" && auth == "":
		t.add("keys", "none", "none: only messages without a payload can be sent")
		t.warn("the subscription has no keys, so no payload can be encrypted for it", "take it from the browser again, with JSON.stringify(subscription)")
	default:
		in.addRecipient(t, p256dh, auth)
	}
	in.addExpiration(t, members["expirationTime"])
	in.addRecordedKey(t, members)
	state := members["server"] != nil && members["endpoint"] != nil // what webpush listen keeps, with the private key
	if state {
		t.title = "state of webpush listen: a subscription with its private key"
	}
	for _, holder := range []json.RawMessage{raw, mustMarshal(members)} {
		var secrets map[string]json.RawMessage
		if json.Unmarshal(holder, &secrets) == nil && (secrets["privateKey"] != nil || secrets["private_key"] != nil) {
			t.secret = true
			if !state {
				t.fail("a private key stands in the subscription", exposedHint)
			}
		}
	}
	var others []string
	for name := range members {
		if !slices.Contains([]string{"endpoint", "keys", "expirationTime", "p256dh", "auth"}, name) {
			others = append(others, clip(name, 40))
		}
	}
	if others != nil {
		slices.Sort(others)
		t.add("other members", others, strings.Join(others, ", "))
	}
	if !t.broken() && p256dh != "" {
		t.add("largest payload", ece.AES128GCM.MaxPayload(ece.MaxBody), fmt.Sprintf("%d bytes (%d in aesgcm): a body has %d at most", ece.AES128GCM.MaxPayload(ece.MaxBody), ece.AESGCM.MaxPayload(ece.MaxBody), ece.MaxBody))
	}
	return t
}

// parsedWith parses a subscription with the endpoint in place of its own, so that the
// error is about the rest.
func parsedWith(members map[string]json.RawMessage, endpoint string) (*webpush.Subscription, error) {
	whole := make(map[string]json.RawMessage)
	maps.Copy(whole, members)
	whole["endpoint"] = json.RawMessage(strconv.Quote(endpoint))
	return webpush.ParseSubscription(mustMarshal(whole))
}

// addRecordedKey shows the application server key that a site keeps beside a
// subscription.
func (in inspector) addRecordedKey(t *thing, members map[string]json.RawMessage) {
	for _, name := range []string{"applicationServerKey", "application_server_key", "vapidKey", "vapidPublicKey", "vapid_public_key"} {
		if t.exposed(name, str(members[name])) {
			return
		}
	}
	alone := maps.Clone(members)
	delete(alone, "keys")
	sub, err := parsedWith(alone, someEndpoint)
	if err != nil {
		return
	}
	switch key, err := sub.ApplicationServerKey(); {
	case err != nil:
		t.fail("the application server key that stands beside the subscription: "+err.Error(), hintOf(err))
	case !key.IsZero():
		t.addPublicKey("application server key", key)
	}
}

func mustMarshal(members map[string]json.RawMessage) json.RawMessage {
	b, err := json.Marshal(members)
	if err != nil {
		return nil
	}
	return b
}

// addRecipient shows the keys of a subscription, each checked alone.
func (in inspector) addRecipient(t *thing, p256dh, auth string) {
	if _, err := webpush.NewSubscription(someEndpoint, p256dh, someAuth); err != nil {
		t.failErr(err)
		if privateValue(p256dh) {
			t.warn("keys.p256dh has the length of a private key; it must be the public one", "if it is the receiver's private key, it is exposed: have the user agent subscribe again")
		}
	} else if key, err := vapid.ParsePublicKey([]byte(p256dh)); err == nil {
		t.add("p256dh", key.String(), key.String())
		t.add("fingerprint", key.Fingerprint())
	}
	if _, err := webpush.NewSubscription(someEndpoint, somePoint, auth); err != nil {
		t.failErr(err)
	} else {
		t.add("auth", "not shown", "16 bytes, not shown")
	}
	for name, value := range map[string]string{"keys.p256dh": p256dh, "keys.auth": auth} {
		if p := alphabetProblem(value); p != "" && !t.broken() {
			t.warn(name+" "+p+"; it is read here, but many libraries want base64url without padding", "")
		}
	}
}

func (in inspector) addExpiration(t *thing, raw json.RawMessage) {
	if raw == nil || string(raw) == "null" {
		return
	}
	var ms float64
	if err := json.Unmarshal(raw, &ms); err != nil || ms < 0 || ms > 1e17 {
		t.fail("expirationTime is no number of milliseconds since 1970", "take the subscription from the browser again")
		return
	}
	at := time.UnixMilli(int64(ms))
	t.add("expirationTime", int64(ms), showTime(at))
	switch {
	case ms < 1e11:
		t.warn("expirationTime looks like seconds, browsers write milliseconds", "")
	case time.Until(at) < 0:
		t.warn("the subscription says that it expired", "have the user agent subscribe again, or delete the subscription")
	}
}

func serviceName(sub *webpush.Subscription) string {
	if sub.Service() == webpush.Other {
		return "push service " + sub.Origin()
	}
	return sub.Service().String()
}

// columnWidths are where databases and forms like to cut a text off.
var columnWidths = []int{191, 255, 256, 500, 512}

// addEndpoint shows what can be told of an endpoint without showing it.
func (in inspector) addEndpoint(t *thing, endpoint string) *webpush.Subscription {
	sub, err := webpush.NewSubscription(endpoint, "", "")
	if err != nil {
		t.failErr(err)
		return nil
	}
	shown := sub.Origin() + "/…"
	if in.showSecrets {
		shown = endpoint
	}
	t.add("endpoint", shown)
	t.addService(sub.Service())
	t.add("audience", sub.Origin(), sub.Origin()+" (aud of the token)")
	t.add("length", len(endpoint), plural(len(endpoint), "character")+" of endpoint")
	_, after, _ := strings.Cut(endpoint, "://")
	slash := strings.IndexAny(after, "/?")
	path := ""
	if slash >= 0 {
		path = after[slash:]
	}
	u, _ := url.Parse(endpoint)
	const again = "take the subscription from the browser again, and store it whole"
	switch {
	case strings.Trim(path, "/") == "":
		t.warn("it has no path: it is the origin of a push service, no endpoint", "an endpoint is what subscription.endpoint gives in the browser")
		return sub
	case sub.PermanentlyRemoved():
		t.warn("Chrome put this endpoint in place of a subscription that was removed for good", "delete the subscription")
	case strings.Contains(path, "..."):
		t.warn("the endpoint has ... in it: it may have been shortened for display", again)
	case strings.HasSuffix(path, `"`) || strings.HasSuffix(path, "'") || strings.HasSuffix(path, ","):
		t.warn("the endpoint ends with a quote or comma, which is no part of it", "give the URL alone")
	case slices.Contains(columnWidths, len(endpoint)) && sub.Service() != webpush.Mozilla: // whose lengths are known
		t.warn(fmt.Sprintf("the endpoint has %d characters, a common width of database columns: it may be cut off", len(endpoint)), "compare it with the browser's; endpoints may have more than 500 characters")
	}
	if u != nil && strings.EqualFold(u.Scheme, "http") && !loopback(u.Hostname()) {
		t.warn("the endpoint has plain http, which is for tests on this machine", "push services have https")
	}
	switch sub.Service() {
	case webpush.Mozilla:
		mozillaToken(t, path, again)
	case webpush.FCM:
		token := path[strings.LastIndexByte(path, '/')+1:]
		switch {
		case strings.Contains(sub.Origin(), "android.googleapis.com"), strings.Contains(sub.Origin(), "gcm-http"):
			t.add("token version", "gcm", "old GCM endpoint, before VAPID")
			t.warn("Google has shut down GCM, so the subscription is dead", "delete it, or have the user agent subscribe again")
		case strings.Contains(path, "/wp/"):
			t.add("token version", "wp", "/wp/, the newer form")
		case strings.Contains(path, "/fcm/send/"):
			t.add("token version", "fcm/send", "/fcm/send/, the older form")
		default:
			t.warn("the path is not one of FCM's: /fcm/send/ or /wp/", again)
		}
		if len(token) < 100 {
			t.warn(fmt.Sprintf("the token has %s, real ones some 150: it is cut off or made up", plural(len(token), "character")), again)
		}
	case webpush.UnifiedPush:
		if len(endpoint) > 1000 {
			t.warn(fmt.Sprintf("the endpoint has %d characters, UnifiedPush allows 1000", len(endpoint)), "")
		}
	}
	return sub
}

var wpush = regexp.MustCompile(`^/wpush/(?:(v[0-9]+)/)?([A-Za-z0-9_=-]+)`)

// mozillaToken looks into the token of an endpoint of autopush, which is
// Fernet: its time is not encrypted, and its length tells the version.
func mozillaToken(t *thing, path, again string) {
	m := wpush.FindStringSubmatch(path)
	if m == nil {
		t.warn("the path is not one of Mozilla's: /wpush/v1/ or /wpush/v2/ and a token", again)
		return
	}
	version, want := m[1], 105
	switch version {
	case "", "v1":
		version = "v1"
		t.add("token version", version, "v1: not bound to an application server key, VAPID is optional")
	case "v2":
		want = 137
		t.add("token version", version, "v2: bound to the application server key that it was subscribed with, VAPID is required")
	default:
		t.add("token version", version, version+", not known here")
		return
	}
	token := strings.TrimRight(m[2], "=")
	b, err := base64.RawURLEncoding.DecodeString(token)
	switch {
	case err != nil, len(b) != want:
		t.warn(fmt.Sprintf("the token has %s, those of %s have %d: it is cut off, damaged or made up", plural(len(token), "character"), version, base64.RawURLEncoding.EncodedLen(want)), again)
	case b[0] != 0x80:
		t.warn("the token is none that Mozilla's push service makes", again)
	}
	if len(b) > 9 && b[0] == 0x80 {
		if at := time.Unix(int64(binary.BigEndian.Uint64(b[1:])&0xffffffffff), 0); at.Year() > 2014 && at.Year() < 2200 {
			t.add("subscribed", at.UTC().Format(time.RFC3339), showTime(at))
		}
	}
}

var urlLike = regexp.MustCompile(`^(?i)[a-z][a-z0-9+.-]*://\S+$`)

// url recognises an endpoint.
func (in inspector) url(s string) *thing {
	s = strings.Trim(s, "\"'<>`")
	if !urlLike.MatchString(s) {
		return nil
	}
	t := &thing{kind: kindEndpoint, title: "URL of an endpoint"}
	if sub := in.addEndpoint(t, s); sub != nil {
		switch {
		case !t.has("length"):
		case sub.Service() == webpush.Other:
			t.title = "URL at " + sub.Origin() + ", an endpoint of a push service that is not known here, or none"
		default:
			t.title = "endpoint of " + sub.Service().String()
		}
	}
	return t
}
