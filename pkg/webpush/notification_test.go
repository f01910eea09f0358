package webpush

import (
	"reflect"
	"testing"
)

func TestIsDeclarative(t *testing.T) {
	for value, want := range map[string]bool{"8030": true, "8030.0": true, "803e1": true, `"8030"`: false, "8031": false, "null": false, "": false, "[8030]": false} {
		if got := IsDeclarative([]byte(value)); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

// TestParseNotification: what Payload and Declarative write is read again, and a
// payload of another shape as far as it is a notification.
func TestParseNotification(t *testing.T) {
	full := Notification{
		Title: "T", Body: "b", Icon: "https://x/i", Image: "https://x/m", Badge: "https://x/b", Tag: "t", Navigate: "https://x/",
		Actions: []Action{{"a", "Open"}}, Silent: true, RequireInteraction: true, Data: []byte(`{"url":"https://x/y"}`),
	}
	for _, write := range []func() ([]byte, error){full.Payload, full.Declarative} {
		b, err := write()
		if err != nil {
			t.Fatal(err)
		}
		if n, _, ok := ParseNotification(b); !ok || !reflect.DeepEqual(n, full) {
			t.Errorf("%s: got %+v, %v", b, n, ok)
		}
	}
	for payload, want := range map[string]struct {
		n               Notification
		declarative, ok bool
	}{
		`{"web_push":8030,"notification":{"title":"T"}}`:                                          {Notification{Title: "T"}, true, true},
		`{"web_push":8030,"title":"T"}`:                                                           {Notification{Title: "T"}, false, true},
		`{"web_push":8031,"notification":{"title":"T"}}`:                                          {Notification{Title: "T"}, false, true},
		`{"title":"T","notification":7}`:                                                          {Notification{Title: "T"}, false, true},
		`{"title":"T","url":"https://x/"}`:                                                        {Notification{Title: "T", Navigate: "https://x/"}, false, true},
		`{"title":"T","navigate":7,"url":"https://u/","data":{"url":"https://d/"}}`:               {Notification{Title: "T", Navigate: "https://u/", Data: []byte(`{"url":"https://d/"}`)}, false, true},
		`{"title":"T","data":{"url":"https://d/"}}`:                                               {Notification{Title: "T", Navigate: "https://d/", Data: []byte(`{"url":"https://d/"}`)}, false, true},
		`{"title":"T","body":7,"data":"x","actions":[7,{"action":7,"title":"A"},{"action":"b"}]}`: {Notification{Title: "T", Data: []byte(`"x"`), Actions: []Action{{"", "A"}}}, false, true},
		`{"title":7}`: {}, `{"title":""}`: {}, `{"title":"T"`: {}, `["title"]`: {}, "": {}, "null": {},
	} {
		if n, declarative, ok := ParseNotification([]byte(payload)); ok != want.ok || declarative != want.declarative || !reflect.DeepEqual(n, want.n) {
			t.Errorf("%s: got %+v, %v, %v", payload, n, declarative, ok)
		}
	}
}

// TestIsAbsoluteURL: the URL of a declarative push needs a host only if it is http or https.
func TestIsAbsoluteURL(t *testing.T) {
	for navigate, want := range map[string]bool{
		"https://example.com": true, "http://localhost:1/x": true, "mailto:you@example.com": true, "app://open/1": true, "tel:+1": true,
		"": false, "/x": false, "//example.com/x": false, "https:x": false, "https:///x": false, "example.com/x": false, "https://exa mple.com": false,
	} {
		if got := IsAbsoluteURL(navigate); got != want {
			t.Errorf("%q: %v", navigate, got)
		}
		if _, err := (Notification{Title: "a", Navigate: navigate}).Declarative(); (err == nil) != want {
			t.Errorf("%q: %v", navigate, err)
		}
	}
}
