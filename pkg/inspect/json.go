package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// json recognizes what begins like JSON, or returns nil.
func (in inspector) json(s string) *Thing {
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
		if t := in.results(values); t != nil {
			return t
		}
		return in.value(values[0])
	}
	if t := in.results(values); t != nil {
		return t
	}
	return in.list(values, "JSON lines")
}

// value recognizes one value of JSON.
func (in inspector) value(raw json.RawMessage) *Thing {
	s := strings.TrimSpace(string(raw))
	switch s[0] {
	case '"':
		var inner string
		if json.Unmarshal(raw, &inner) != nil {
			return nil
		}
		t := in.deeper().recognize([]byte(inner))
		if t.Recognized() && t.Kind != KindSubscription && strings.HasPrefix(strings.TrimSpace(inner), "{") {
			t.warn("it was encoded as JSON twice: the JSON is in a string", "use JSON.stringify once, or decode the string before it is stored")
			t.add("encoded in", "a JSON string")
		}
		return t
	case '[':
		if inner := strings.TrimLeft(s[1:], " \t\r\n"); inner != "" && (inner[0] >= '0' && inner[0] <= '9' || inner[0] == '{' && strings.Contains(inner, `"kty"`)) { // bytes, or a set of keys
			if t := in.key(s); t != nil {
				return t
			}
		}
		var values []json.RawMessage
		if json.Unmarshal(raw, &values) != nil {
			return nil
		}
		return in.list(values, "JSON array")
	case '{':
		var fields map[string]json.RawMessage
		if json.Unmarshal(raw, &fields) != nil {
			return nil
		}
		return in.object(s, fields)
	}
	return unknown(KindJSON, "the JSON value "+text.Clip(s, 40))
}

// damagedJSON describes text that begins like JSON but is not valid. Its words
// may still indicate the intended object.
func (in inspector) damagedJSON(s string, err error, whole int) *Thing {
	kind, what := "", ""
	has := func(name string) bool { return strings.Contains(s, `"`+name+`"`) }
	switch {
	case has("endpoint") || has("p256dh") && !has("privateKey"):
		kind, what = KindSubscription, "push subscription"
	case has("privateKey") && has("auth"):
		kind, what = KindReceiver, "keys of a test receiver"
	case has("kty"), has("privateKey"), has("private_key"), has("publicKey"), has("public_key"):
		kind, what = KindPrivateKey, "key in JSON"
	case has("headers") && has("body"):
		kind, what = KindMessage, "encrypted push message"
	case has("aud"), has("sub") && has("exp"):
		kind, what = KindClaims, "VAPID claims"
	case s[0] == '{' && s[1:] != "" && strings.Contains(s, `":`):
		kind, what = KindJSON, "JSON"
	default:
		return nil // {, [ or " in another text
	}
	t := &Thing{Kind: kind, Title: what + ", damaged", Secret: kind == KindReceiver || kind == KindPrivateKey}
	switch kind { // in the words of the packages that read them
	case KindSubscription:
		_, err := webpush.ParseSubscription([]byte(s))
		t.failErr(err)
		return t
	case KindPrivateKey:
		_, err := vapid.Recognize([]byte(s))
		t.failErr(err)
		return t
	case KindClaims:
		_, err := vapid.ParseClaims([]byte(s))
		t.failErr(err)
		return t
	}
	var syntax *json.SyntaxError
	switch {
	case whole > 0:
		t.fail(fmt.Sprintf("after %s the text is no longer JSON", text.Count(whole, "value")), "pass one thing at a time")
	case errors.Is(err, io.ErrUnexpectedEOF):
		t.Title = what + ", truncated"
		t.fail("it is truncated: its JSON does not end", "copy it again completely")
		t.add("length", utf8.RuneCountInString(s), text.Count(utf8.RuneCountInString(s), "character")+" of it are here")
		if preflight.ColumnWidth(len(s)) {
			t.Problems[0].Hint = fmt.Sprintf("copy it again completely; %d is a common width of database columns", len(s))
		}
	case errors.As(err, &syntax):
		hint := "copy it again completely"
		if strings.Contains(s, `\"`) && !strings.Contains(s, `{"`) {
			hint = `its quotes were escaped once too often: it was encoded as JSON twice`
		} else if strings.ContainsAny(s, "“”„‘’") {
			hint = "its quotes are typographic ones, as word processors write them"
		} else if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
			hint = "JSON has double quotes"
		}
		t.fail(fmt.Sprintf("it is not valid JSON: %v at byte %d", err, syntax.Offset), hint)
	default:
		t.fail("it is not valid JSON", "copy it again completely")
	}
	return t
}

// list recognizes several values: what most of them are.
func (in inspector) list(values []json.RawMessage, form string) *Thing {
	if len(values) == 0 {
		t := &Thing{Kind: KindJSON, Title: "an empty " + form}
		t.fail("it has no records", "")
		return t
	}
	if len(values) == 1 {
		t := in.deeper().recognizeValue(values[0])
		t.add("found in", "a "+form+" of 1")
		return t
	}
	kinds, broken, example := make(map[string]int), 0, ""
	const most = 10000
	for i, raw := range values[:min(len(values), most)] {
		t := in.deeper().recognizeValue(raw)
		kinds[t.Kind]++
		if t.Broken() {
			if broken++; broken == 1 {
				example = fmt.Sprintf("number %d: %s", i+1, t.Problems[0].Message)
			}
		}
	}
	t := &Thing{Kind: KindSubscriptions, Title: text.Count(kinds[KindSubscription], "subscription") + " as " + form}
	if kinds[KindSubscription] == 0 {
		names := slices.Sorted(maps.Keys(kinds))
		t.Kind, t.Title = names[0], fmt.Sprintf("%d things as %s", len(values), form)
		if !(&Thing{Kind: names[0]}).Recognized() {
			return unknown(KindJSON, fmt.Sprintf("%s of %d values", form, len(values)))
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		t.add(kind, kinds[kind])
	}
	if more := len(values) - most; more > 0 {
		t.Title += ", and " + text.Count(more, "more value")
	}
	if broken > 0 {
		t.fail(fmt.Sprintf("%d of %d are invalid or not recognized; the first is %s", broken, len(values), example), "")
	}
	return t
}

func (in inspector) recognizeValue(raw json.RawMessage) *Thing {
	if t := in.value(raw); t != nil && in.depth <= maxLayers {
		return t
	}
	return unknown(KindJSON, "a JSON value")
}

func hasMember(raw json.RawMessage, name string) bool {
	var m map[string]json.RawMessage
	return json.Unmarshal(raw, &m) == nil && m[name] != nil
}

// receiverAndSubscription describes the output of webpush gen --receiver
// --json.
func (in inspector) receiverAndSubscription(m map[string]json.RawMessage) *Thing {
	var keys, sub map[string]json.RawMessage
	if json.Unmarshal(m["receiver"], &keys) != nil || json.Unmarshal(m["subscription"], &sub) != nil {
		return unknown(KindJSON, "JSON with a receiver and a subscription, both damaged")
	}
	t := in.receiver(string(m["receiver"]), keys)
	t.Title = "keys of a test recipient and its subscription"
	inner := in.subscription(sub, "")
	for _, f := range inner.Fields {
		if f.Name != "auth" {
			t.add("subscription: "+f.Name, f.Value, f.Text)
		}
	}
	t.Problems = append(t.Problems, inner.Problems...)
	if _, ours := str(keys["p256dh"]), str(sub["keys"]); ours == "" && hasMember(m["subscription"], "keys") {
		var theirs struct {
			P256DH string `json:"p256dh"`
		}
		if json.Unmarshal(sub["keys"], &theirs) == nil && str(keys["p256dh"]) != "" && theirs.P256DH != str(keys["p256dh"]) {
			t.fail("the subscription was not created with these keys: p256dh differs", "")
		}
	}
	return t
}

// verdict describes the output of webpush verify --json.
func (in inspector) verdict(m map[string]json.RawMessage) *Thing {
	t := &Thing{Kind: KindVerdict, Title: "verdict on a token: not valid"}
	valid := string(m["valid"]) == "true"
	if valid {
		t.Title = "verdict on a token: valid"
	}
	t.add("valid", valid)
	t.foundKey("application server key", str(m["applicationServerKey"]))
	inner := in.claims(string(m["claims"]))
	t.Fields = append(t.Fields, inner.Fields...)
	var problems []struct{ Severity, Message, Hint string }
	if json.Unmarshal(m["problems"], &problems) == nil {
		for _, p := range problems {
			t.warn(p.Message, p.Hint)
		}
	}
	return t
}

// talk is an error, warning or note of webpush itself.
func (in inspector) talk(m map[string]json.RawMessage) *Thing {
	t := &Thing{Kind: KindTalk, Title: "message of webpush: " + text.Clip(str(m["level"]), 20)}
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

// receipt describes the output of webpush send --json.
func (in inspector) receipt(m map[string]json.RawMessage) *Thing {
	status := number(m["status"])
	r := webpush.Receipt{Status: status, Service: webpush.Service(str(m["service"]))}
	t := &Thing{Kind: KindReceipt, Title: "receipt: accepted by " + r.Service.String()}
	t.add("status", status)
	t.add("service", r.Service, r.Service.String())
	t.add("origin", str(m["origin"]))
	t.add("meaning", r.Meaning())
	if location := str(m["location"]); location != "" {
		t.add("location", in.redactURL(location), in.redactURL(location)+", the message's own URL")
	}
	if raw := m["ttl"]; raw != nil {
		t.add("TTL", number(raw), fmt.Sprintf("%d seconds (%s) granted", number(raw), bulk.FormatDuration(time.Duration(number(raw))*time.Second)))
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

// status describes the output of webpush --json about a key pair.
func (in inspector) status(m map[string]json.RawMessage) *Thing {
	t := &Thing{Kind: KindStatus, Title: "state of a key pair, JSON"}
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
func (t *Thing) addPayload(b []byte) {
	limit := ece.AES128GCM.MaxPayload(ece.MaxBody)
	t.add("size", len(b), fmt.Sprintf("%d of %d bytes", len(b), limit))
	if err := ece.AES128GCM.CheckPayload(len(b), ece.MaxBody); err != nil {
		t.warn(err.Error(), webpush.HintOf(err))
	}
	if !utf8.Valid(b) {
		t.add("text", false, "no: it is binary")
	}
}

var (
	verdictText = pattern.New(`^signature  (good|bad), key (\S+)\n(?s:.*)\b(valid|not valid)$`)
	receiptText = pattern.New(`^accepted by (.+): (\d{3})\b`)
	statusText  = pattern.New(`(?m)^\S.*: (?:there is no )?(?:private|public) key.*\n\S.*: (?:there is no )?(?:private|public) key`)
)

// toolText recognizes the human-readable output of webpush.
func (in inspector) toolText(s string) *Thing {
	if m := verdictText.FindStringSubmatch(s); m != nil {
		t := &Thing{Kind: KindVerdict, Title: "verdict on a token: " + m[3]}
		t.add("signature", m[1])
		t.foundKey("application server key", m[2])
		return t
	}
	if m := receiptText.FindStringSubmatch(s); m != nil {
		t := &Thing{Kind: KindReceipt, Title: "receipt: accepted by " + text.Clip(m[1], 80)}
		t.add("status", number(json.RawMessage(m[2])))
		return t
	}
	if statusText.MatchString(s) {
		return &Thing{Kind: KindStatus, Title: "state of a key pair"}
	}
	return nil
}
