package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// json recognises what begins like JSON, or returns nil.
func (in inspector) json(s string) *thing {
	d := json.NewDecoder(strings.NewReader(s))
	var values []json.RawMessage
	for {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if err == io.EOF {
			break
		}
		if err != nil {
			return in.damagedJSON(s, err, len(values))
		}
		values = append(values, raw)
	}
	switch len(values) {
	case 0:
		return nil
	case 1:
		return in.value(values[0])
	}
	return in.list(values, "JSON lines")
}

// value recognises one value of JSON.
func (in inspector) value(raw json.RawMessage) *thing {
	s := strings.TrimSpace(string(raw))
	switch s[0] {
	case '"':
		var inner string
		if json.Unmarshal(raw, &inner) != nil {
			return nil
		}
		t := in.deeper().recognise([]byte(inner))
		if t.recognised() && strings.HasPrefix(strings.TrimSpace(inner), "{") {
			t.warn("it was encoded as JSON twice: the JSON stands in a string", "use JSON.stringify once, or decode the string before it is stored")
			t.add("encoded in", "a JSON string")
		}
		return t
	case '[':
		if t := in.key(s); t != nil {
			return t
		}
		var values []json.RawMessage
		if json.Unmarshal(raw, &values) != nil {
			return nil
		}
		return in.list(values, "JSON array")
	case '{':
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &members) != nil {
			return nil
		}
		return in.object(s, members)
	}
	return unknown(kindJSON, "the JSON value "+clip(s, 40))
}

// damagedJSON is what begins like JSON and is none. Its words may still tell
// what it was to be.
func (in inspector) damagedJSON(s string, err error, whole int) *thing {
	kind, what := "", ""
	member := func(name string) bool { return strings.Contains(s, `"`+name+`"`) }
	switch {
	case member("endpoint") || member("p256dh") && !member("privateKey"):
		kind, what = kindSubscription, "push subscription"
	case member("privateKey") && member("auth"):
		kind, what = kindReceiver, "keys of a test receiver"
	case member("kty"), member("privateKey"), member("private_key"):
		kind, what = kindPrivateKey, "key in JSON"
	case member("headers") && member("body"):
		kind, what = kindMessage, "encrypted push message"
	case member("aud"), member("sub") && member("exp"):
		kind, what = kindClaims, "VAPID claims"
	case s[0] == '{' && s[1:] != "" && strings.Contains(s, `":`):
		kind, what = kindJSON, "JSON"
	default:
		return nil // {, [ or " in another text
	}
	t := &thing{kind: kind, title: what + ", damaged", secret: kind == kindReceiver || kind == kindPrivateKey}
	var syntax *json.SyntaxError
	switch {
	case whole > 0:
		t.fail(fmt.Sprintf("after %s the text is no JSON any more", plural(whole, "value")), "give one thing at a time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		t.title = what + ", cut off"
		t.fail("it is cut off: its JSON does not end", "copy it again, whole")
		t.add("length", utf8.RuneCountInString(s), plural(utf8.RuneCountInString(s), "character")+" of it are here")
		if slices.Contains(columnWidths, len(s)) {
			t.problems[0].Hint = fmt.Sprintf("copy it again, whole; %d is a common width of database columns", len(s))
		}
	case errors.As(err, &syntax):
		hint := "copy it again, whole"
		if strings.Contains(s, `\"`) && !strings.Contains(s, `{"`) {
			hint = `its quotes were escaped once too often: it was encoded as JSON twice`
		} else if strings.ContainsAny(s, "“”„‘’") {
			hint = "its quotes are typographic ones, as word processors write them"
		} else if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
			hint = "JSON has double quotes"
		}
		t.fail(fmt.Sprintf("it is no valid JSON: %v at byte %d", err, syntax.Offset), hint)
	default:
		t.fail("it is no valid JSON", "copy it again, whole")
	}
	return t
}

// list recognises several values: what most of them are.
func (in inspector) list(values []json.RawMessage, form string) *thing {
	if len(values) == 0 {
		return unknown(kindJSON, "an empty "+form)
	}
	if len(values) == 1 {
		t := in.deeper().recogniseValue(values[0])
		t.add("found in", "a "+form+" of 1")
		return t
	}
	kinds, broken, example := make(map[string]int), 0, ""
	for i, raw := range values[:min(len(values), 10000)] {
		t := in.deeper().recogniseValue(raw)
		kinds[t.kind]++
		if t.broken() {
			if broken++; broken == 1 {
				example = fmt.Sprintf("number %d: %s", i+1, t.problems[0].Message)
			}
		}
	}
	t := &thing{kind: kindSubscriptions, title: plural(kinds[kindSubscription], "subscription") + " as " + form}
	if kinds[kindSubscription] == 0 {
		names := slices.Sorted(maps.Keys(kinds))
		t.kind, t.title = names[0], fmt.Sprintf("%d things as %s", len(values), form)
		if !(&thing{kind: names[0]}).recognised() {
			return unknown(kindJSON, fmt.Sprintf("%s of %d values", form, len(values)))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.add(kind, kinds[kind])
	}
	if broken > 0 {
		t.fail(fmt.Sprintf("%d of %d are broken or not recognised, the first is %s", broken, len(values), example), "")
	}
	return t
}

func (in inspector) recogniseValue(raw json.RawMessage) *thing {
	if t := in.value(raw); t != nil && in.depth <= maxLayers {
		return t
	}
	return unknown(kindJSON, "a JSON value")
}

// object recognises an object by its members.
func (in inspector) object(s string, m map[string]json.RawMessage) *thing {
	if in.depth > maxLayers {
		return unknown(kindJSON, "JSON in too many layers")
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if raw, ok := m[name]; !ok || string(raw) == "null" {
				return false
			}
		}
		return true
	}
	switch {
	case has("receiver", "subscription"):
		return in.receiverAndSubscription(m)
	case has("endpoint"), has("p256dh", "auth") && !has("privateKey"), hasMember(m["keys"], "p256dh"):
		return in.subscription(m, "")
	case has("subscription") && str(m["subscription"]) == "" && string(m["subscription"])[0] == '{':
		return in.within(m["subscription"], "subscription")
	case has("privateKey", "auth"):
		return in.receiver(s, m)
	case hasMember(m["privateKey"], "state"):
		return in.status(m)
	case has("kty"), has("privateKey"), has("private_key"), has("publicKey"), has("public_key"):
		return in.keyJSON(s, m)
	case has("method", "url", "headers"):
		return in.requestJSON(m)
	case has("headers", "body"):
		return in.message(m)
	case has("Authorization"), has("authorization"), hasMember(m["headers"], "Authorization"):
		t := &thing{kind: kindHeaders, title: "signed headers, as webpush sign --json prints them"}
		raw := json.RawMessage(s)
		if has("headers") {
			raw = m["headers"]
		}
		in.addHeaders(t, headerMap(raw), nil, false, "")
		return t
	case has("command") && strings.Contains(str(m["command"]), "curl"):
		t := in.deeper().recognise([]byte(str(m["command"])))
		t.title += ", as webpush curl --json prints it"
		return t
	case has("valid", "claims"):
		return in.verdict(m)
	case has("applicationServerKey"):
		t := &thing{kind: kindPublicKey, title: "VAPID public key, JSON"}
		t.foundKey("application server key", str(m["applicationServerKey"]))
		return t
	case has("level", "message"):
		return in.talk(m)
	case has("status", "service", "origin"):
		return in.receipt(m)
	case has("errno"), has("reason") && appleStatus[str(m["reason"])] != 0, has("code", "http", "error"), hasMember(m["error"], "status"), has("code", "error", "message"), has("reason") && len(m) <= 2:
		return in.errorBody(s, m)
	case m["time"] != nil && m["id"] != nil && m["headers"] != nil:
		t := &thing{kind: kindDecrypted, title: "received message, as webpush listen --json prints it"}
		for _, name := range []string{"time", "encoding", "ttl", "urgency", "topic"} {
			if raw, ok := m[name]; ok {
				t.add(name, raw, clip(strings.Trim(string(raw), `"`), 60))
			}
		}
		switch b, _, ok := decodeBase64(str(m["payloadBase64url"])); {
		case m["payload"] != nil:
			t.addPayload([]byte(str(m["payload"])))
		case m["payloadBase64url"] != nil && !ok:
			t.fail("the payload is no base64: it is damaged or cut off", "")
		case m["payloadBase64url"] != nil:
			t.addPayload(b)
		}
		return t
	case has("payloadBase64url"):
		t := &thing{kind: kindDecrypted, title: "decrypted payload, as webpush decrypt --json prints it"}
		b, _, ok := decodeBase64(str(m["payloadBase64url"]))
		if !ok && str(m["payloadBase64url"]) != "" {
			t.fail("the payload is no base64: it is damaged or cut off", "")
		}
		t.addPayload(b)
		return t
	case has("web_push"), has("notification") && hasMember(m["notification"], "title"), has("title") && (has("body") || has("icon") || has("tag") || has("data") || len(m) == 1):
		t := &thing{kind: kindPayload, title: "payload of a notification, before encryption"}
		if has("web_push") {
			t.title = "payload of a declarative push, before encryption"
			if string(m["web_push"]) != "8030" {
				t.warn("web_push is not the number 8030, so it is no declarative push", "")
			}
		}
		t.addPayload([]byte(s))
		t.add("members", slices.Sorted(maps.Keys(m)), strings.Join(slices.Sorted(maps.Keys(m)), ", "))
		t.add("to do", "webpush check says what browsers make of it")
		return t
	case isClaims(m):
		return in.claims(s)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if t := in.nested(m[name], name); t != nil {
			return t
		}
	}
	names := slices.Sorted(maps.Keys(m))
	t := unknown(kindJSON, "a JSON object of "+plural(len(m), "member"))
	if len(names) > 0 {
		t.add("members", names, clip(strings.Join(names, ", "), 200))
	}
	return t
}

// isClaims reports whether an object has a claim, and nothing of another kind.
func isClaims(m map[string]json.RawMessage) bool {
	return m["aud"] != nil || m["exp"] != nil || m["sub"] != nil
}

func hasMember(raw json.RawMessage, name string) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(raw, &m) == nil && m[name] != nil
}

// within is a subscription in a member of another object.
func (in inspector) within(raw json.RawMessage, path string) *thing {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	if inner := m["subscription"]; m["endpoint"] == nil && inner != nil && in.depth < maxLayers {
		if t := in.deeper().within(inner, path+".subscription"); t != nil {
			return t
		}
	}
	return in.subscription(m, path)
}

// nested finds a subscription deeper in an object, also in a string.
func (in inspector) nested(raw json.RawMessage, path string) *thing {
	if in.depth >= 4 || len(raw) == 0 {
		return nil
	}
	var m map[string]json.RawMessage
	if s := str(raw); strings.HasPrefix(strings.TrimSpace(s), "{") && strings.Contains(s, `"endpoint"`) {
		if json.Unmarshal([]byte(s), &m) != nil || m["endpoint"] == nil {
			return nil
		}
		t := in.subscription(m, path)
		t.warn("it was encoded as JSON twice: the subscription stands in a string", "decode the string before it is stored")
		return t
	}
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	if m["endpoint"] != nil && (m["keys"] != nil || m["p256dh"] != nil) {
		return in.subscription(m, path)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if t := in.deeper().nested(m[name], path+"."+clip(name, 40)); t != nil {
			return t
		}
	}
	return nil
}

// receiverAndSubscription is what webpush gen --receiver --json prints.
func (in inspector) receiverAndSubscription(m map[string]json.RawMessage) *thing {
	var keys, sub map[string]json.RawMessage
	if json.Unmarshal(m["receiver"], &keys) != nil || json.Unmarshal(m["subscription"], &sub) != nil {
		return unknown(kindJSON, "JSON with a receiver and a subscription, both damaged")
	}
	t := in.receiver(string(m["receiver"]), keys)
	t.title = "keys of a test receiver and its subscription"
	inner := in.subscription(sub, "")
	for _, f := range inner.fields {
		if f.name != "auth" {
			t.add("subscription: "+f.name, f.value, f.text)
		}
	}
	t.problems = append(t.problems, inner.problems...)
	if _, ours := str(keys["p256dh"]), str(sub["keys"]); ours == "" && hasMember(m["subscription"], "keys") {
		var theirs struct {
			P256DH string `json:"p256dh"`
		}
		if json.Unmarshal(sub["keys"], &theirs) == nil && str(keys["p256dh"]) != "" && theirs.P256DH != str(keys["p256dh"]) {
			t.fail("the subscription was not made with these keys: p256dh differs", "")
		}
	}
	return t
}

// verdict is what webpush verify --json prints.
func (in inspector) verdict(m map[string]json.RawMessage) *thing {
	t := &thing{kind: kindVerdict, title: "verdict of webpush verify: not valid"}
	valid := string(m["valid"]) == "true"
	if valid {
		t.title = "verdict of webpush verify: valid"
	}
	t.add("valid", valid)
	t.foundKey("application server key", str(m["applicationServerKey"]))
	inner := in.claims(string(m["claims"]))
	t.fields = append(t.fields, inner.fields...)
	var problems []struct{ Severity, Message, Hint string }
	if json.Unmarshal(m["problems"], &problems) == nil {
		for _, p := range problems {
			t.warn(p.Message, p.Hint)
		}
	}
	return t
}

// talk is an error, warning or note of webpush itself.
func (in inspector) talk(m map[string]json.RawMessage) *thing {
	t := &thing{kind: kindTalk, title: "what webpush said: " + clip(str(m["level"]), 20)}
	t.add("message", str(m["message"]))
	for _, name := range []string{"hint", "code", "service", "origin", "reason"} {
		if v := str(m[name]); v != "" {
			t.add(name, v)
		}
	}
	for _, name := range []string{"status", "errno", "exit", "attempts"} {
		if n := number(m[name]); n != 0 {
			t.add(name, n)
		}
	}
	return t
}

// receipt is what webpush send --json prints.
func (in inspector) receipt(m map[string]json.RawMessage) *thing {
	status := number(m["status"])
	r := webpush.Receipt{Status: status, Service: webpush.Service(str(m["service"]))}
	t := &thing{kind: kindReceipt, title: "receipt of webpush send: accepted by " + r.Service.String()}
	t.add("status", status)
	t.add("service", r.Service, r.Service.String())
	t.add("origin", str(m["origin"]))
	t.add("meaning", r.Meaning())
	if location := str(m["location"]); location != "" {
		t.add("location", in.redactURL(location), in.redactURL(location)+", the message's own URL")
	}
	if raw := m["ttl"]; raw != nil {
		t.add("TTL", number(raw), fmt.Sprintf("%d seconds (%s) granted", number(raw), shortDuration(time.Duration(number(raw))*time.Second)))
	}
	for _, name := range []string{"attempts", "latencyMs"} {
		if n := number(m[name]); n != 0 {
			t.add(name, n)
		}
	}
	if note := str(m["note"]); note != "" {
		t.warn(note, "")
	}
	return t
}

// status is what webpush --json prints of a key pair.
func (in inspector) status(m map[string]json.RawMessage) *thing {
	t := &thing{kind: kindStatus, title: "state of a key pair, as webpush --json prints it"}
	for _, name := range []string{"privateKey", "publicKey"} {
		var half struct{ File, State, Note string }
		if json.Unmarshal(m[name], &half) == nil {
			t.add(name, half.State, half.File, half.State)
			if half.State != "ok" {
				t.warn(half.File+": "+half.Note, "")
			}
		}
	}
	t.foundKey("application server key", str(m["applicationServerKey"]))
	return t
}

// addPayload shows the size of a payload before encryption.
func (t *thing) addPayload(b []byte) {
	limit := ece.AES128GCM.MaxPayload(ece.MaxBody)
	t.add("size", len(b), fmt.Sprintf("%d of %d bytes", len(b), limit))
	if len(b) > limit {
		t.warn(fmt.Sprintf("the payload is %s too long", plural(len(b)-limit, "byte")), "shorten it, or send an identifier with which the client fetches the rest")
	}
	if !utf8.Valid(b) {
		t.add("text", false, "no: it is binary")
	}
}

var (
	verdictText = regexp.MustCompile(`^signature  (good|bad), key (\S+)\n(?s:.*)\b(valid|not valid)$`)
	receiptText = regexp.MustCompile(`^accepted by (.+): (\d{3})\b`)
	statusText  = regexp.MustCompile(`(?m)^\S.*: (?:there is no )?(?:private|public) key.*\n\S.*: (?:there is no )?(?:private|public) key`)
)

// toolText recognises what webpush prints for people.
func (in inspector) toolText(s string) *thing {
	if m := verdictText.FindStringSubmatch(s); m != nil {
		t := &thing{kind: kindVerdict, title: "verdict of webpush verify: " + m[3]}
		t.add("signature", m[1])
		t.foundKey("application server key", m[2])
		return t
	}
	if m := receiptText.FindStringSubmatch(s); m != nil {
		t := &thing{kind: kindReceipt, title: "receipt of webpush send: accepted by " + clip(m[1], 80)}
		t.add("status", number(json.RawMessage(m[2])))
		return t
	}
	if statusText.MatchString(s) {
		return &thing{kind: kindStatus, title: "state of a key pair, as webpush prints it"}
	}
	return nil
}
