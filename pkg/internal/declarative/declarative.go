// Package declarative recognizes declarative push messages (Push API, section "Declarative
// push message"), which a browser shows without a service worker.
package declarative

import "encoding/json"

// Marker reports whether value, the field web_push of a payload, marks a declarative push
// message: it is the number 8030.
func Marker(value json.RawMessage) bool {
	var number any
	return json.Unmarshal(value, &number) == nil && number == 8030.0
}

// Payload reports whether a payload is a declarative push message: a JSON object with the
// marker and a notification that has a title.
func Payload(payload []byte) bool {
	var v struct {
		Marker       json.RawMessage            `json:"web_push"`
		Notification map[string]json.RawMessage `json:"notification"`
	}
	var title string
	return json.Unmarshal(payload, &v) == nil && Marker(v.Marker) && json.Unmarshal(v.Notification["title"], &title) == nil && title != ""
}
