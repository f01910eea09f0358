package preflight

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// The fields of a notification in a payload: of the Notifications API, of
// Declarative Web Push, and of both.
var (
	notificationFields = []string{"title", "body", "lang", "dir", "icon", "image", "badge", "tag", "renotify", "requireInteraction", "silent", "actions", "data", "timestamp", "vibrate", "navigate"}
	declarativeFields  = append(slices.Clone(notificationFields), "mutable", "app_badge")
	envelopeFields     = []string{"web_push", "notification", "app_badge", "mutable"}
)

// otherNames maps the names that other systems use to known names, where
// spelling alone would not find them.
var otherNames = map[string]string{"url": "navigate", "link": "navigate", "href": "navigate", "click_action": "navigate", "clickaction": "navigate",
	"message": "body", "text": "body", "content": "body", "image_url": "image", "imageurl": "image", "picture": "image", "icon_url": "icon", "iconurl": "icon",
	"sticky": "requireInteraction", "buttons": "actions", "subject": "title", "heading": "title"}

// kind is the type of a JSON value.
type kind string

const (
	kindString  kind = "a string"
	kindNumber  kind = "a number"
	kindBool    kind = "a boolean"
	kindObject  kind = "an object"
	kindArray   kind = "an array"
	kindNull    kind = "null"
	kindMissing kind = "missing"
)

func kindOf(raw json.RawMessage) kind {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return kindMissing
	}
	switch raw[0] {
	case '"':
		return kindString
	case '{':
		return kindObject
	case '[':
		return kindArray
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	return kindNumber
}

func stringOf(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

// notice is a notification in a payload, being looked at.
type notice struct {
	*check
	declarative bool
	fields      map[string]json.RawMessage
	path        string // prefix of a field's name
}

// payload checks the payload if it is a notification in JSON. Only the service
// worker knows the meaning of anything else.
func (k *check) payload() {
	if p := k.msg.Payload; p != nil && k.msg.GCM == nil {
		if k.asks(webpush.FCM) && len(p) == 0 && encodingOf(k.msg) == ece.AES128GCM {
			k.say(SeverityWarning, "payload-empty", []webpush.Service{webpush.FCM}, "Chromium drops an empty encrypted payload in aes128gcm unless it is padded: it arrives from here, but not from other senders", "observed: Chromium 156", "send no payload, or at least one byte")
		}
		if k.asks(webpush.FCM) && !utf8.Valid(p) {
			k.say(SeverityWarning, "payload-utf8", []webpush.Service{webpush.FCM}, "the payload is not UTF-8: in Chromium, event.data is null", "observed: Chromium 156", "send text as UTF-8, and bytes in base64")
		}
	}
	trimmed := bytes.TrimSpace(k.msg.Payload)
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(trimmed, &fields); err != nil {
		if len(trimmed) > 1 && trimmed[1] == '"' {
			k.say(SeverityNote, "payload-json", nil, "the payload looks like JSON but is not valid: "+text.OneLine(err.Error(), 80), "RFC 8259", "")
		}
		return
	}
	inner := map[string]json.RawMessage{}
	nested := json.Unmarshal(fields["notification"], &inner) == nil && kindOf(fields["notification"]) == kindObject
	if _, ok := fields["web_push"]; ok {
		k.declarative(fields, inner, nested)
		return
	}
	if nested {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if squash(name) == "webpush" {
				k.say(SeverityWarning, "payload-field", nil, fmt.Sprintf("the field %q does not make the payload a declarative push", text.OneLine(name, 40)), sourceDeclarative, "the nearest known name is web_push")
			}
		}
		notice{k, false, inner, "notification."}.look()
		return
	}
	if isNotification(fields) {
		notice{k, false, fields, ""}.look()
	}
}

// isNotification reports whether an object is meant as a notification, rather than
// as data for a service worker.
func isNotification(fields map[string]json.RawMessage) bool {
	known, like := 0, false
	for name := range fields {
		if slices.Contains(notificationFields, name) {
			known++
		} else if Nearest(name, []string{"title"}, 2) != "" {
			like = true
		}
	}
	for _, name := range []string{"silent", "renotify", "requireInteraction"} { // useless alone, in any other meaning
		like = like || len(fields) == 1 && kindOf(fields[name]) == kindBool
	}
	return kindOf(fields["title"]) != kindMissing || known > 1 || known == 1 && like
}

// strict returns the severity of a payload that WebKit's parser refuses. In
// other browsers, the service worker gets any payload.
func (k *check) strict() Severity {
	if k.asks(webpush.Apple) {
		return SeverityError
	}
	return SeverityWarning
}

// declarative checks a payload with the field web_push.
func (k *check) declarative(fields, inner map[string]json.RawMessage, nested bool) {
	apple := k.among(webpush.Apple)
	raw := fields["web_push"]
	if !webpush.IsDeclarative(raw) {
		k.say(k.strict(), "declarative-magic", apple, fmt.Sprintf("web_push is %s, expected the number 8030: the payload is not a declarative push", text.OneLine(string(raw), 40)), sourceDeclarative, "write it as \"web_push\": 8030, without quotes")
	}
	if !nested {
		k.say(k.strict(), "declarative-notification", apple, fmt.Sprintf("notification is %s, expected an object with title and navigate", kindOf(fields["notification"])), sourceDeclarative, `write {"web_push": 8030, "notification": {"title": …, "navigate": …}}`)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch {
		case slices.Contains(envelopeFields, name):
		case slices.Contains(declarativeFields, name):
			k.say(SeverityWarning, "payload-field", nil, fmt.Sprintf("the field %s is outside of notification, where it has no effect", name), sourceDeclarative, "move it into notification")
		default:
			k.unknown(name, name, envelopeFields, 2, SeverityWarning)
		}
	}
	for _, at := range []map[string]json.RawMessage{fields, inner} {
		n := notice{k, true, at, ""}
		n.want("mutable", kindBool)
		n.appBadge()
	}
	if nested {
		notice{k, true, inner, "notification."}.look()
	}
}

// unknown reports a field that no browser reads, at least far from any known
// name.
func (k *check) unknown(path, name string, known []string, distance int, far Severity) {
	near := Nearest(name, known, distance)
	severity, fix := SeverityWarning, "the nearest known name is "+near
	if near == "" {
		severity, fix = far, "put it into data, where the service worker finds it"
		if other := otherNames[strings.ToLower(name)]; slices.Contains(known, other) {
			fix = "the nearest known name is " + other
		}
	}
	k.say(severity, "payload-field", nil, fmt.Sprintf("%q is not a field of a notification: browsers ignore it", text.OneLine(path, 80)), sourceNotification, fix)
}

// bad reports a field that a parser refuses.
func (n notice) bad(rule, message, fix string) {
	if n.declarative {
		n.say(n.strict(), rule, n.among(webpush.Apple), message, sourceDeclarative, fix)
		return
	}
	n.say(SeverityWarning, rule, nil, message, sourceNotification, fix)
}

// want checks the type of a field, if it is present.
func (n notice) want(name string, kinds ...kind) bool {
	found := kindOf(n.fields[name])
	if found == kindMissing {
		return false
	}
	if !slices.Contains(kinds, found) {
		n.bad("payload-type", fmt.Sprintf("%s%s is %s, expected %s", n.path, name, found, kinds[0]), "")
		return false
	}
	return true
}

// look looks at a notification.
func (n notice) look() {
	known, distance, far := notificationFields, 1, SeverityNote
	if n.declarative {
		known, distance, far = declarativeFields, 2, SeverityWarning
	}
	for _, name := range slices.Sorted(maps.Keys(n.fields)) {
		if !slices.Contains(known, name) {
			n.unknown(n.path+name, name, known, distance, far)
		}
	}
	switch found := kindOf(n.fields["title"]); {
	case found == kindMissing:
		n.bad("payload-title", "the notification has no title", "add title")
	case found != kindString:
		n.bad("payload-type", fmt.Sprintf("%stitle is %s, expected a string", n.path, found), "")
	case stringOf(n.fields["title"]) == "":
		n.bad("payload-title", "the notification's title is empty", "add title")
	}
	n.navigate()
	for _, name := range []string{"body", "lang", "tag", "dir"} {
		n.want(name, kindString)
	}
	if dir := n.fields["dir"]; kindOf(dir) == kindString && !slices.Contains([]string{"auto", "ltr", "rtl"}, stringOf(dir)) {
		n.bad("payload-type", fmt.Sprintf("%sdir is %q, expected auto, ltr or rtl", n.path, text.OneLine(stringOf(dir), 40)), "")
	}
	for _, name := range []string{"icon", "image", "badge"} {
		if n.want(name, kindString) {
			if _, err := url.Parse(stringOf(n.fields[name])); err != nil {
				n.bad("payload-url", fmt.Sprintf("%s%s is not a URL", n.path, name), "")
			}
		}
	}
	if n.declarative {
		n.want("silent", kindBool)
	} else {
		n.want("silent", kindBool, kindNull)
	}
	for _, name := range []string{"renotify", "requireInteraction"} {
		n.want(name, kindBool)
	}
	n.want("timestamp", kindNumber)
	n.want("vibrate", kindArray, kindNumber)
	n.actions()
	if n.isTrue("silent") && kindOf(n.fields["vibrate"]) != kindMissing {
		n.say(SeverityWarning, "payload-silent", nil, "silent and vibrate cannot be combined: showNotification throws a TypeError", sourceNotification, "omit one of them")
	}
	if n.isTrue("renotify") && stringOf(n.fields["tag"]) == "" {
		n.say(SeverityWarning, "payload-renotify", nil, "renotify needs a tag: showNotification throws a TypeError", sourceNotification, "add a tag, or omit renotify")
	}
}

func (n notice) isTrue(name string) bool { return string(bytes.TrimSpace(n.fields[name])) == "true" }

// navigate must be an absolute URL; a declarative push needs one.
func (n notice) navigate() {
	raw := n.fields["navigate"]
	switch found := kindOf(raw); {
	case found == kindMissing && !n.declarative:
	case found == kindMissing:
		n.bad("payload-navigate", "the declarative push has no navigate, the URL to open on a click", "add an absolute URL")
	case found != kindString:
		n.bad("payload-type", fmt.Sprintf("%snavigate is %s, expected a string", n.path, found), "")
	case !webpush.IsAbsoluteURL(stringOf(raw)):
		n.bad("payload-navigate", fmt.Sprintf("%snavigate is %q, which is not an absolute URL", n.path, text.OneLine(stringOf(raw), 80)), "write it with https:// and the host")
	}
}

func (n notice) appBadge() {
	raw := bytes.TrimSpace(n.fields["app_badge"])
	if len(raw) == 0 {
		return
	}
	number := string(raw)
	if kindOf(raw) == kindString {
		number = stringOf(raw)
	}
	if _, err := strconv.ParseUint(number, 10, 64); err != nil {
		n.bad("payload-type", fmt.Sprintf("app_badge is %s, expected a whole number of 0 or more", text.OneLine(string(raw), 40)), "")
	}
}

func (n notice) actions() {
	if !n.want("actions", kindArray) {
		return
	}
	var list []json.RawMessage
	_ = json.Unmarshal(n.fields["actions"], &list)
	for i, raw := range list {
		var action map[string]json.RawMessage
		path := fmt.Sprintf("%sactions[%d]", n.path, i)
		if json.Unmarshal(raw, &action) != nil || action == nil {
			n.say(SeverityWarning, "payload-actions", nil, fmt.Sprintf("%s is %s, expected an object with action and title", path, kindOf(raw)), sourceNotification, "")
			continue
		}
		for _, name := range []string{"action", "title"} {
			if found := kindOf(action[name]); found != kindString {
				n.say(SeverityWarning, "payload-actions", nil, fmt.Sprintf("%s: %s is %s, expected a string", path, name, found), sourceNotification, "each action needs the strings action and title")
			}
		}
		if u := action["navigate"]; kindOf(u) != kindMissing && !webpush.IsAbsoluteURL(stringOf(u)) {
			n.say(SeverityWarning, "payload-navigate", nil, fmt.Sprintf("%s: navigate is not an absolute URL", path), sourceNotification, "write it with https:// and the host")
		}
		for _, name := range slices.Sorted(maps.Keys(action)) {
			if fields := []string{"action", "title", "icon", "navigate", "type", "placeholder"}; !slices.Contains(fields, name) {
				n.unknown(path+"."+name, name, fields, 2, SeverityNote)
			}
		}
	}
	if len(list) > 2 {
		n.say(SeverityNote, "payload-actions", nil, fmt.Sprintf("the notification has %d actions; browsers show about two and omit the rest", len(list)), sourceNotification, "")
	}
}
