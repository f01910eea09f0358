package cmd

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// addSubscriptionFlag adds -f for one file.
func addSubscriptionFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "subscription", "f", "", "read the subscription from `FILE`; - for standard input")
}

// oneSubscription returns the file of -f or the argument, if there is one.
func oneSubscription(file string, args []string) ([]string, error) {
	switch {
	case file != "" && len(args) > 0:
		return nil, usage("use one of them, and set the payload with -p", "-f %s and %s are both the subscription", file, shown(args[0]))
	case file != "":
		return []string{file}, nil
	case len(args) > 0:
		return args, nil
	}
	return nil, nil
}

// loadSubscription reads the one subscription of -f.
func loadSubscription(s *streams, name string) (*webpush.Subscription, error) {
	b, err := s.input(name, "the subscription")
	if err != nil {
		if errors.As(err, new(*fileio.Error)) {
			err = withHint(err, "save the output of JSON.stringify(subscription) in the browser, or get one from your own browser: webpush subscribe")
		}
		return nil, err
	}
	sub, err := webpush.ParseSubscription(b)
	return sub, within(inputName(name), err)
}

func inputName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}

func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func completeJSON(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
}

// subscriptionParts are the flags for a subscription without a file, as in other
// tools.
type subscriptionParts struct {
	endpoint, p256dh, auth string
}

// partNames are the flags for the parts of a subscription.
var partNames = map[string]string{"endpoint": "endpoint", "keys.p256dh": "key", "keys.auth": "auth", "keys": "key"}

// envSecret returns the secret in the environment variable that a value names as
// env:NAME, or any other value as it is. origin is the flag or setting with the value.
func envSecret(origin, value, what string) (secret string, named bool, err error) {
	variable, named := strings.CutPrefix(value, "env:")
	if !named {
		return value, false, nil
	}
	hint := "set it to " + what
	switch secret = os.Getenv(variable); {
	case variable == "":
		return "", true, usage("write it as env:NAME", "%s: env: names no variable of the environment", origin)
	case secret == "" && vapid.MayBeKey(variable):
		hint = "env: is followed by the name of the variable that holds the secret"
		fallthrough
	case secret == "":
		return "", true, usage(hint, "%s: the environment variable %s is empty or not set", origin, shown(variable))
	}
	return secret, true, nil
}

// subscription returns the subscription that the flags describe.
func (p subscriptionParts) subscription(s *streams) (*webpush.Subscription, error) {
	auth, named, err := envSecret("--auth", p.auth, "the auth of the subscription")
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
