package preflight_test

import (
	"fmt"

	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Check a message before it is sent.
func ExampleCheck() {
	key, err := vapid.GenerateKey()
	if err != nil {
		fmt.Println(err)
		return
	}
	sub, err := webpush.NewSubscription("https://web.push.apple.com/QLd1qOUfIwhbdERVEFSQ", "", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &webpush.Client{Key: key, Subject: "mailto:ops@localhost"}
	for _, f := range preflight.Check(client, sub, webpush.Message{Topic: "new_event"}) {
		if f.Severity >= preflight.SeverityWarning {
			fmt.Printf("%s: %s [%s]\n  %s\n", f.Severity, f.Message, f.Rule, f.Hint)
		}
	}
	// Output:
	// error: sub is "mailto:ops@localhost", at localhost; Apple responds to that with 403 BadJwtToken [sub]
	//   use a mailto: or https: address at a public domain of yours
	// error: Apple decodes the topic as base64url and rejects one of 9 characters with 400 BadWebPushTopic [topic-apple]
	//   use a topic with another number of characters
}
