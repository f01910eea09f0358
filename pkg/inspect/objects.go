package inspect

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// jsonObject holds the fields of a JSON object.
type jsonObject map[string]json.RawMessage

// has reports whether all fields with these names are present and not null.
func (m jsonObject) has(names ...string) bool {
	for _, name := range names {
		if raw, ok := m[name]; !ok || string(raw) == "null" {
			return false
		}
	}
	return true
}

// hasAny reports whether one of the fields is present and not null.
func (m jsonObject) hasAny(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return m.has(name) })
}

// objectKind recognizes and describes a kind of JSON object.
type objectKind struct {
	is       func(jsonObject) bool
	describe func(in inspector, s string, m jsonObject) *Thing
}

// objects returns the kinds of JSON objects, identified by their fields. The
// first match counts. An object with the fields of two kinds is of the kind
// that contains the other, or that would do more harm if it were mistaken for
// the other.
func objects() []objectKind {
	return []objectKind{
		// Subscriptions and receivers.
		{func(m jsonObject) bool { return m.has("receiver", "subscription") },
			func(in inspector, _ string, m jsonObject) *Thing { return in.receiverAndSubscription(m) }},
		{func(m jsonObject) bool {
			return m.has("endpoint") || m.has("p256dh", "auth") && !m.has("privateKey") || hasMember(m["keys"], "p256dh")
		}, func(in inspector, _ string, m jsonObject) *Thing { return in.subscription(m, "") }},
		{func(m jsonObject) bool {
			inner, _ := notation.Unwrap(m["subscription"])
			return len(inner) > 0 && inner[0] == '{'
		}, inspector.record},
		{func(m jsonObject) bool { return m.has("privateKey", "auth") },
			func(in inspector, s string, m jsonObject) *Thing { return in.receiver(s, m) }},

		// Keys.
		{func(m jsonObject) bool { return hasMember(m["privateKey"], "state") },
			func(in inspector, _ string, m jsonObject) *Thing { return in.status(m) }},
		{func(m jsonObject) bool {
			return m.hasAny("kty", "privateKey", "private_key", "publicKey", "public_key")
		},
			func(in inspector, s string, m jsonObject) *Thing { return in.keyJSON(s, m) }},

		// Requests and messages.
		{func(m jsonObject) bool { return m.has("method", "url", "headers") },
			func(in inspector, _ string, m jsonObject) *Thing { return in.requestJSON(m) }},
		{func(m jsonObject) bool { return m.has("headers", "body") },
			func(in inspector, _ string, m jsonObject) *Thing { return in.message(m) }},
		{func(m jsonObject) bool {
			return m.hasAny("Authorization", "authorization") || hasMember(m["headers"], "Authorization")
		}, inspector.signedHeaders},
		{func(m jsonObject) bool { return strings.Contains(str(m["command"]), "curl") }, inspector.curlJSON},

		// What this module's programs write.
		{func(m jsonObject) bool { return m.has("valid", "claims") },
			func(in inspector, _ string, m jsonObject) *Thing { return in.verdict(m) }},
		{func(m jsonObject) bool { return m.has("applicationServerKey") }, inspector.publicKeyJSON},
		{func(m jsonObject) bool { return m.has("level", "message") },
			func(in inspector, _ string, m jsonObject) *Thing { return in.talk(m) }},
		{func(m jsonObject) bool { return m.has("status", "service", "origin") },
			func(in inspector, _ string, m jsonObject) *Thing { return in.receipt(m) }},

		// Responses of push services.
		{func(m jsonObject) bool {
			return m.has("errno") || webpush.AppleStatus(str(m["reason"])) != 0 || m.has("code", "http", "error") || hasMember(m["error"], "status") ||
				m.has("code", "error", "message") || m.has("reason") && len(m) <= 2
		}, func(in inspector, s string, m jsonObject) *Thing { return in.errorBody(s, m) }},

		// Payloads.
		{func(m jsonObject) bool { return m["time"] != nil && m["id"] != nil && m["headers"] != nil }, inspector.received},
		{func(m jsonObject) bool { return m.has("payloadBase64url") }, inspector.decrypted},
		{func(m jsonObject) bool {
			return m.has("web_push") || hasMember(m["notification"], "title") ||
				m.has("title") && (m.hasAny("body", "icon", "tag", "data") || len(m) == 1)
		}, inspector.notification},

		// Claims, and what holds any of the above.
		{func(m jsonObject) bool { return m["aud"] != nil || m["exp"] != nil || m["sub"] != nil },
			func(in inspector, s string, _ jsonObject) *Thing { return in.claims(s) }},
	}
}

// object recognizes an object by its fields.
func (in inspector) object(s string, m jsonObject) *Thing {
	if in.depth > maxLayers {
		return unknown(KindJSON, "JSON in too many layers")
	}
	for _, o := range objects() {
		if o.is(m) {
			return o.describe(in, s, m)
		}
	}
	names := slices.Sorted(maps.Keys(m))
	if t := in.rows([]byte(s)); t != nil {
		return t
	}
	if strings.Contains(s, `"endpoint"`) {
		t := &Thing{Kind: KindSubscription, Title: "push subscription in another object"}
		_, err := webpush.ParseSubscription([]byte(s))
		t.failErr(err)
		return t
	}
	t := unknown(KindJSON, "a JSON object of "+text.Count(len(m), "field"))
	if len(names) > 0 {
		t.add("members", names, text.Clip(strings.Join(names, ", "), 200))
	}
	return t
}

func (in inspector) signedHeaders(s string, m jsonObject) *Thing {
	t := &Thing{Kind: KindHeaders, Title: "signed headers, JSON"}
	raw := json.RawMessage(s)
	if m.has("headers") {
		raw = m["headers"]
	}
	in.addHeaders(t, headerMap(raw), nil, false, "")
	return t
}

func (in inspector) curlJSON(_ string, m jsonObject) *Thing {
	t := in.deeper().recognize([]byte(str(m["command"])))
	t.Title += ", JSON"
	return t
}

func (in inspector) publicKeyJSON(_ string, m jsonObject) *Thing {
	t := &Thing{Kind: KindPublicKey, Title: "VAPID public key, JSON"}
	t.foundKey("application server key", str(m["applicationServerKey"]))
	return t
}

// received describes a message as a user agent prints it.
func (in inspector) received(_ string, m jsonObject) *Thing {
	t := &Thing{Kind: KindDecrypted, Title: "received message, JSON"}
	for _, name := range []string{"time", "encoding", "ttl", "urgency", "topic"} {
		if raw, ok := m[name]; ok {
			t.add(name, raw, text.Clip(strings.Trim(string(raw), `"`), 60))
		}
	}
	if m["payload"] != nil {
		t.addPayload([]byte(str(m["payload"])))
	} else if m["payloadBase64url"] != nil {
		t.addPayloadBase64(m["payloadBase64url"])
	}
	return t
}

// decrypted describes a payload that was decrypted.
func (in inspector) decrypted(_ string, m jsonObject) *Thing {
	t := &Thing{Kind: KindDecrypted, Title: "decrypted payload, JSON"}
	t.addPayloadBase64(m["payloadBase64url"])
	return t
}

func (t *Thing) addPayloadBase64(raw json.RawMessage) {
	b, _, ok := decodeBase64(str(raw))
	if !ok && str(raw) != "" {
		t.fail("the payload is not base64: it is damaged or truncated", "")
		return
	}
	t.addPayload(b)
}

// notification describes a payload before encryption.
func (in inspector) notification(s string, m jsonObject) *Thing {
	t := &Thing{Kind: KindPayload, Title: "payload of a notification, before encryption"}
	if m.has("web_push") {
		t.Title = "payload of a declarative push, before encryption"
		if !webpush.IsDeclarative(m["web_push"]) {
			t.warn("web_push is not the number 8030, so it is not a declarative push", "")
		}
	}
	t.addPayload([]byte(s))
	names := slices.Sorted(maps.Keys(m))
	t.add("members", names, strings.Join(names, ", "))
	t.add("to do", in.hint("check the message to see what browsers make of it"))
	return t
}
