package notation

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

// The names under which databases and libraries keep the parts of a
// subscription, in the form of [Canonical], the best first.
var (
	Endpoints = []string{"endpoint", "endpointurl", "pushendpoint", "subscriptionendpoint", "registrationid", "endpointuri", "pushurl", "identifier", "url"}
	P256DHs   = []string{"p256dh", "webp256", "webp256dh", "keyp256dh", "keysp256dh", "p256dhkey", "pushp256dh", "subscriptionp256dh", "publickey", "pubkey", "userpublickey"}
	Auths     = []string{"auth", "webauth", "keyauth", "keysauth", "authkey", "authtoken", "authsecret", "authenticationsecret", "authenticationtoken", "pushauth", "subscriptionauth"}
	// Keys are names of an object with the two keys; Subscriptions are names of the
	// subscription, as an object or text.
	Keys          = []string{"keys", "pubkeyset", "subscriptionkeys"}
	Subscriptions = []string{"subscription", "pushsubscription", "subscriptionjson", "subscriptiondata", "subscriptioninfo", "webpushsubscription", "fields", "sub"}
	// ServerKeys are the names, unchanged, that sites use for the application server key
	// next to a subscription.
	ServerKeys = []string{"applicationServerKey", "application_server_key", "vapidKey", "vapidPublicKey", "vapid_public_key"}
	// Wrappers are names of objects that APIs and databases put around a row.
	Wrappers = []string{"attributes", "node", "source", "result", "data", "item", "doc", "record"}
)

// FirebaseToken matches a registration token of an app, or a legacy server key, of Firebase
// Cloud Messaging.
var FirebaseToken = pattern.New(`^[A-Za-z0-9_-]{8,}:APA91[A-Za-z0-9_-]+$`)

// Canonical converts a field's name to the form of the lists: lower case, with only
// letters and digits.
func Canonical(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
}

// IsEndpoint reports whether a field of that name can have the endpoint of a
// subscription. The names that other URLs and numbers often have do not count.
func IsEndpoint(name string) bool {
	c := Canonical(name)
	return c != "url" && c != "identifier" && slices.Contains(Endpoints, c)
}

// IsSubscription reports whether a field of that name can have a whole
// subscription. The names that other data often has do not count.
func IsSubscription(name string) bool {
	c := Canonical(name)
	return c != "fields" && c != "sub" && slices.Contains(Subscriptions, c)
}

// IsState reports whether an object is the state of a user agent, which has the private key
// of its subscription.
func IsState(fields map[string]json.RawMessage) bool {
	return fields["endpoint"] != nil && fields["server"] != nil
}

// IsWrapper reports whether a field of that name can have the whole row of a database,
// such as node of GraphQL and _source of Elasticsearch.
func IsWrapper(name string) bool { return slices.Contains(Wrappers, Canonical(name)) }
