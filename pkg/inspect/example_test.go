package inspect_test

import (
	"fmt"

	"github.com/seed81da77dd/webpush/pkg/inspect"
)

// Say what a text is and what is wrong with it.
func ExampleInspect() {
	t := inspect.Inspect([]byte(`{"endpoint":"https://fcm.googleapis.com/fcm/send/abc","keys":{"p256dh":"AA==","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`), inspect.Options{})
	fmt.Println(t.Kind)
	for _, f := range t.Fields {
		if f.Name == "endpoint" || f.Name == "service" {
			fmt.Printf("%s: %s\n", f.Name, f.Text)
		}
	}
	for _, p := range t.Problems {
		fmt.Printf("%s: %s\n", p.Severity, p.Message)
	}
	// Output:
	// subscription
	// endpoint: https://fcm.googleapis.com/…
	// service: FCM
	// note: the token has 3 characters, real tokens have about 150: it is truncated or made up
	// error: keys.p256dh has 1 bytes, expected 65; it looks truncated
}

// Read a response from a log, and learn what to do.
func ExampleParseResponse() {
	r, ok := inspect.ParseResponse("WebPushException: Push failed: 410 Gone\nResponse body:{\"code\":410,\"errno\":106}, Response {}")
	fmt.Println(ok, r.Status, string(r.Body))
	// Output: true 410 {"code":410,"errno":106}
}
