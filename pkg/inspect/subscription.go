package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/preflight"
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

// subscription describes a PushSubscription. path is its position in the JSON,
// or empty.
func (in inspector) subscription(fields map[string]json.RawMessage, path string) *Thing {
	t := &Thing{Kind: KindSubscription, Title: "push subscription"}
	if path != "" {
		t.add("found in", path, "the field "+path)
	}
	var keys struct {
		P256DH json.RawMessage `json:"p256dh"`
		Auth   json.RawMessage `json:"auth"`
	}
	raw, nested := fields["keys"]
	if nested {
		_ = json.Unmarshal(raw, &keys) // other types are reported below
	} else if fields["p256dh"] != nil || fields["auth"] != nil {
		keys.P256DH, keys.Auth = fields["p256dh"], fields["auth"]
		t.warn("p256dh and auth are next to the endpoint, not in keys as browsers write them", `write it as {"endpoint": …, "keys": {"p256dh": …, "auth": …}}`)
	}
	endpoint := str(fields["endpoint"])
	if endpoint == "" { // send has the same error
		_, err := webpush.ParseSubscription(mustMarshal(fields))
		t.failErr(err)
	} else if sub := in.addEndpoint(t, endpoint); sub != nil {
		t.Title += ", " + serviceName(sub)
	}
	p256dh, auth := str(keys.P256DH), str(keys.Auth)
	sub, err := parsedWith(fields, someEndpoint)
	var wrong *webpush.InputError
	switch {
	case errors.As(err, &wrong) && (wrong.Part == "keys" || p256dh == "" || auth == ""): // as send says it
		t.failErr(err)
	case sub != nil && sub.Recipient() != nil && p256dh == "":
		in.addRecipient(t, b64.Encode(sub.Recipient().P256DH()), b64.Encode(sub.Recipient().Auth()))
		p256dh = "found"
	case p256dh == "" && auth == "":
		t.add("keys", "none", "none: only messages without a payload can be sent")
		err := sub.CheckKeys()
		t.warn(err.Error(), webpush.HintOf(err))
	default:
		in.addRecipient(t, p256dh, auth)
	}
	in.addOthers(t, fields)
	state := notation.IsState(fields)
	if state {
		t.Title = "state of a user agent: a subscription with its private key"
	}
	for _, holder := range []json.RawMessage{raw, mustMarshal(fields)} {
		var secrets map[string]json.RawMessage
		if json.Unmarshal(holder, &secrets) == nil && (secrets["privateKey"] != nil || secrets["private_key"] != nil) {
			t.Secret = true
			if !state {
				t.fail("a private key is in the subscription", HintExposed)
			}
		}
	}
	var others []string
	for name := range fields {
		if !slices.Contains([]string{"endpoint", "keys", "expirationTime", "p256dh", "auth"}, name) {
			others = append(others, text.Clip(name, 40))
		}
	}
	if others != nil {
		slices.Sort(others)
		t.add("other members", others, strings.Join(others, ", "))
	}
	if !t.Broken() && p256dh != "" {
		t.add("largest payload", ece.AES128GCM.MaxPayload(ece.MaxBody), fmt.Sprintf("%d bytes (%d in aesgcm): a body has %d at most", ece.AES128GCM.MaxPayload(ece.MaxBody), ece.AESGCM.MaxPayload(ece.MaxBody), ece.MaxBody))
	}
	return t
}

// parsedWith parses a subscription with its endpoint replaced, to get an error
// about the other parts.
func parsedWith(fields map[string]json.RawMessage, endpoint string) (*webpush.Subscription, error) {
	whole := make(map[string]json.RawMessage)
	maps.Copy(whole, fields)
	whole["endpoint"] = json.RawMessage(strconv.Quote(endpoint))
	return webpush.ParseSubscription(mustMarshal(whole))
}

// addOthers shows the expirationTime, and the application server key that a site keeps
// next to a subscription.
func (in inspector) addOthers(t *Thing, fields map[string]json.RawMessage) {
	alone := maps.Clone(fields)
	delete(alone, "keys")
	sub, err := parsedWith(alone, someEndpoint)
	if err == nil {
		if at := sub.ExpirationTime(); !at.IsZero() {
			t.add("expirationTime", at.UnixMilli(), showTime(at))
		}
		if f, ok := preflight.Expiration(sub); ok {
			t.problem(f.Severity, f.Message, f.Hint)
		}
	}
	for _, name := range notation.ServerKeys {
		if t.exposed(name, str(fields[name])) {
			return
		}
	}
	if err != nil {
		return
	}
	if f, ok := preflight.RecordedKey(sub); ok {
		t.problem(f.Severity, f.Message, f.Hint)
	} else if key, _ := sub.ApplicationServerKey(); !key.IsZero() {
		t.addPublicKey("application server key", key)
	}
}

func mustMarshal(fields map[string]json.RawMessage) json.RawMessage {
	b, err := json.Marshal(fields)
	if err != nil {
		return nil
	}
	return b
}

// addRecipient shows the keys of a subscription, each checked alone.
func (in inspector) addRecipient(t *Thing, p256dh, auth string) {
	if _, err := webpush.NewSubscription(someEndpoint, p256dh, someAuth); err != nil {
		t.failErr(err)
		if privateValue(p256dh) {
			t.warn("keys.p256dh has the length of a private key; it must be the public key", "if it is the recipient's private key, it is exposed: have the user agent subscribe again")
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
		if p := alphabetProblem(value); p != "" && !t.Broken() {
			t.warn(name+" "+p+"; webpush reads it, but many libraries require base64url without padding", "")
		}
	}
}

func serviceName(sub *webpush.Subscription) string {
	if sub.Service() == webpush.Other {
		return "push service " + sub.Origin()
	}
	return sub.Service().String()
}

// addEndpoint shows the properties and problems of an endpoint without showing
// the endpoint.
func (in inspector) addEndpoint(t *Thing, endpoint string) *webpush.Subscription {
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
	t.add("length", len(endpoint), text.Count(len(endpoint), "character")+" of endpoint")
	t.addTokenVersion(sub)
	refused, ok := preflight.Refused(new(webpush.Client), sub)
	if ok {
		t.problem(refused.Severity, refused.Message, refused.Hint)
	}
	for _, f := range preflight.Endpoint(sub) {
		// Of the notes, only those that may be a mistake are worth a line here.
		if f.Rule != refused.Rule && (f.Severity > preflight.SeverityNote || f.Rule == "endpoint-token") {
			t.problem(f.Severity, f.Message, f.Hint)
		}
	}
	return sub
}

// addTokenVersion shows the form of the endpoint's token, and when it was made if
// it says so.
func (t *Thing) addTokenVersion(sub *webpush.Subscription) {
	if version, meaning := preflight.TokenVersion(sub); version != "" {
		t.add("token version", version, meaning)
	}
	if at := preflight.Subscribed(sub); !at.IsZero() {
		t.add("subscribed", at.UTC().Format(time.RFC3339), showTime(at))
	}
}

var urlLike = pattern.New(`^(?i)[a-z][a-z0-9+.-]*://\S+$`)

// url recognizes an endpoint.
func (in inspector) url(s string) *Thing {
	s = strings.Trim(s, "\"'<>`")
	if !urlLike.MatchString(s) {
		return nil
	}
	t := &Thing{Kind: KindEndpoint, Title: "URL of an endpoint"}
	if sub := in.addEndpoint(t, s); sub != nil {
		switch {
		case !t.has("length"):
		case sub.Service() == webpush.Other:
			t.Title = "URL at " + sub.Origin() + ", an endpoint of an unknown push service, or not an endpoint"
		default:
			t.Title = "endpoint of " + sub.Service().String()
		}
	}
	return t
}
