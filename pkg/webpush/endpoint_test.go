package webpush_test

import (
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestForeignEndpoints: what is no endpoint of a browser is named for what it is,
// by the one parser that sending, checking, and inspecting share.
func TestForeignEndpoints(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://updates.push.services.mozilla.com/wpush/v2/gAAAAABTEST…":           "shortened for display",
		"https://fcm.googleapis.com/fcm/send/eTest:APA91bTEST…TEST":                 "shortened for display",
		"https://fcm.googleapis.com/fcm/send/eTest:APA91bTEST%e2%80%a6TEST":         "shortened for display",
		"https://api.push.apple.com/3/device/00fc13adff785122b4ad28809a34209823":    "native apps at https://api.push.apple.com",
		"https://api.sandbox.push.apple.com/3/device/00fc13adff785122b4ad28809a342": "native apps",
		"https://exp.host/--/api/v2/push/send":                                      "native apps",
		"https://API.push.apple.com./3/device/00fc13adff785122b4ad28809a34209823":   "native apps",
		"https://exp.host./--/api/v2/push/send":                                     "native apps",
		"eTestTestTestTestTestT:APA91bTESTTESTTEST":                                 "registration token of Firebase",
		"ExponentPushToken[TESTTESTTEST]":                                           "an Expo push token",
		"https://bücher.example/x":                                                  "host has characters beyond ASCII",
		strings.Repeat("0fA1", 16):                                                  "device token of Apple",
	} {
		for _, parse := range []func() error{
			func() error { _, err := webpush.NewSubscription(endpoint, "", ""); return err },
			func() error {
				_, err := webpush.ParseSubscription([]byte(`{"endpoint":"` + endpoint + `"}`))
				return err
			},
		} {
			if err := parse(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", endpoint, err, want)
			} else if strings.Contains(err.Error(), "APA91") || strings.Contains(err.Error(), "gAAAAA") {
				t.Errorf("%s: the error shows the endpoint: %v", endpoint, err)
			}
		}
	}
	for _, text := range []string{"ExponentPushToken[TESTTESTTEST]", " eTestTestTestTestTestT:APA91bTESTTESTTEST\n"} {
		if _, err := webpush.ParseSubscription([]byte(text)); err == nil || !strings.Contains(err.Error(), "for apps") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, endpoint := range []string{
		"https://web.push.apple.com/QLd1qOUfIwhbdERVEFSQ", "https://fcm.googleapis.com/wp/eTest:APA91bTEST", "https://push.example.net/a/3/device/x",
	} {
		if _, err := webpush.NewSubscription(endpoint, "", ""); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
}
