package cmd

import (
	"errors"
	"os"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// subscriptionParts are the flags for a subscription without a file, as in other
// tools.
type subscriptionParts struct {
	endpoint, p256dh, auth string
}

// partNames are the flags for the parts of a subscription.
var partNames = map[string]string{"endpoint": "endpoint", "keys.p256dh": "key", "keys.auth": "auth", "keys": "key"}

// subscription returns the subscription that the flags describe.
func (p subscriptionParts) subscription(s *streams) (*webpush.Subscription, error) {
	auth := p.auth
	if variable, ok := strings.CutPrefix(auth, "env:"); ok {
		if auth = os.Getenv(variable); auth == "" {
			return nil, usage("set it to the auth of the subscription", "--auth: the environment variable %s is empty or not set", variable)
		}
	} else if auth != "" {
		s.warn("the auth secret is on the command line, where other users of this machine can see it", "use --auth env:NAME, or a file with -f")
	}
	if p.endpoint == "" {
		return nil, usage("add --endpoint URL, or pass a file with -f", "--key and --auth require --endpoint")
	}
	sub, err := webpush.NewSubscription(p.endpoint, p.p256dh, auth)
	var wrong *webpush.InputError
	if errors.As(err, &wrong) && partNames[wrong.Part] != "" {
		return nil, within("--"+partNames[wrong.Part], err)
	}
	return sub, err
}
