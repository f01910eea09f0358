package webpush

import (
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/seed81da77dd/webpush/pkg/internal/declarative"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Notification are the fields of a notification, to make a payload of. What
// [Notification.Payload] gives can be handed to showNotification as it is:
//
//	self.addEventListener('push', e => {
//		const n = e.data.json();
//		e.waitUntil(self.registration.showNotification(n.title, n));
//	});
type Notification struct {
	Title              string          `json:"title,omitempty"`              // first line; required by Declarative Web Push
	Body               string          `json:"body,omitempty"`               // text
	Icon               string          `json:"icon,omitempty"`               // URL of a picture next to the text
	Image              string          `json:"image,omitempty"`              // URL of a large picture
	Badge              string          `json:"badge,omitempty"`              // URL of a monochrome picture for the status bar
	Tag                string          `json:"tag,omitempty"`                // replaces a notification with the same tag
	Navigate           string          `json:"navigate,omitempty"`           // the URL to open on a click
	Actions            []Action        `json:"actions,omitempty"`            // buttons
	Silent             bool            `json:"silent,omitempty"`             // no sound or vibration
	RequireInteraction bool            `json:"requireInteraction,omitempty"` // stays until the user acts
	Data               json.RawMessage `json:"data,omitempty"`               // any JSON, for the service worker
}

// Action is a button of a notification.
type Action struct {
	Action string `json:"action"` // the id that notificationclick gets
	Title  string `json:"title"`  // text of the button
}

// Payload returns the notification as JSON for a service worker. Navigate also
// goes to data.url, where service workers of other browsers than Safari look
// for it, unless Data has a url already. The error is an [*InputError].
func (n Notification) Payload() ([]byte, error) {
	if n.Navigate != "" {
		fields := map[string]json.RawMessage{}
		if n.Data != nil && json.Unmarshal(n.Data, &fields) != nil || fields == nil {
			return nil, &InputError{Part: "data", Problem: "the notification's data is not a JSON object, so the URL cannot be added to it", hint: "the data must be an object if there is a URL to open"}
		}
		if _, ok := fields["url"]; !ok {
			u, err := encode(n.Navigate)
			if err != nil {
				return nil, err
			}
			fields["url"] = u
			if n.Data, err = encode(fields); err != nil {
				return nil, err
			}
		}
	}
	return encode(n)
}

// IsDeclarative reports whether webPush, the value of the field web_push of a payload,
// marks a declarative push message (Push API): it is the number 8030.
func IsDeclarative(webPush json.RawMessage) bool {
	return declarative.Marker(webPush)
}

// IsAbsoluteURL reports whether navigate, the URL that a notification opens, is absolute, as
// it must be in a declarative push: it has a scheme, and a host if that is http or https.
func IsAbsoluteURL(navigate string) bool {
	u, err := url.Parse(navigate)
	return err == nil && u.IsAbs() && (u.Host != "" || u.Scheme != "http" && u.Scheme != "https")
}

// Declarative returns the notification as Declarative Web Push (Push API),
// which a browser shows without a service worker: title and an absolute
// navigate are required. The error is an [*InputError].
func (n Notification) Declarative() ([]byte, error) {
	if n.Title == "" {
		return nil, &InputError{Part: "title", Problem: "a declarative push needs a title", hint: "add a title to the notification"}
	}
	if !IsAbsoluteURL(n.Navigate) {
		return nil, &InputError{Part: "url", Problem: fmt.Sprintf("a declarative push needs an absolute URL to open, found %q", n.Navigate), hint: "add the absolute URL that a click opens"}
	}
	return encode(struct {
		WebPush      int          `json:"web_push"`
		Notification Notification `json:"notification"`
	}{8030, n})
}

func encode(v any) ([]byte, error) {
	b, err := text.JSON(v)
	if err != nil {
		return nil, &InputError{Part: "data", Problem: "the notification's data is not valid JSON: " + err.Error()}
	}
	return b, nil
}

// ParseNotification reads a payload as a user agent shows it: a declarative push, or
// the fields of a Notification for a service worker, at the top level or in
// notification. It reports whether payload is a declarative push, and false at the end if
// payload is not a JSON object with a title.
// Navigate is navigate, url, or data.url, whichever comes first and is a string;
// fields of other types and actions without a title are ignored.
func ParseNotification(payload []byte) (n Notification, isDeclarative, ok bool) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil {
		return n, false, false
	}
	var inner, data map[string]json.RawMessage
	if json.Unmarshal(fields["notification"], &inner) == nil && inner != nil {
		fields = inner
	}
	n.Data = fields["data"]
	_ = json.Unmarshal(n.Data, &data)
	for name, to := range map[string]any{
		"title": &n.Title, "body": &n.Body, "icon": &n.Icon, "image": &n.Image, "badge": &n.Badge, "tag": &n.Tag,
		"silent": &n.Silent, "requireInteraction": &n.RequireInteraction,
	} {
		_ = json.Unmarshal(fields[name], to) // leaves it as it is if the type is another
	}
	for _, url := range []json.RawMessage{fields["navigate"], fields["url"], data["url"]} {
		if n.Navigate == "" {
			_ = json.Unmarshal(url, &n.Navigate)
		}
	}
	var actions []json.RawMessage
	_ = json.Unmarshal(fields["actions"], &actions)
	for _, raw := range actions {
		var a Action
		if _ = json.Unmarshal(raw, &a); a.Title != "" {
			n.Actions = append(n.Actions, a)
		}
	}
	return n, declarative.Payload(payload), n.Title != ""
}
