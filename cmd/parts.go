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

// envSecret returns the secret in the environment variable that the value of a flag
// names as env:NAME, or any other value as it is.
func envSecret(flag, value, what string) (secret string, named bool, err error) {
	variable, named := strings.CutPrefix(value, "env:")
	if !named {
		return value, false, nil
	}
	if secret = os.Getenv(variable); secret == "" {
		return "", true, usage("set it to "+what, "--%s: the environment variable %s is empty or not set", flag, shown(variable))
	}
	return secret, true, nil
}

// subscription returns the subscription that the flags describe.
func (p subscriptionParts) subscription(s *streams) (*webpush.Subscription, error) {
	auth, named, err := envSecret("auth", p.auth, "the auth of the subscription")
	if err != nil {
		return nil, err
	}
	if auth != "" && !named {
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
