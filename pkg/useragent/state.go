package useragent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// maxName is the maximum length of a subscription's name, in bytes.
const maxName = 64

// Registration is a subscription at rest: its identifiers at the push service and
// its keys. It prints, with any verb of fmt and in slog,
// without secrets.
type Registration struct {
	name     string
	key      vapid.PublicKey
	identity *ece.Identity
	id       string // the channel ID, or Chromium's subtype
	endpoint string
	instance string // Chromium only
}

// Name returns the name given to [Device.Subscribe], or "".
func (r Registration) Name() string { return r.name }

// Endpoint returns the URL that messages are sent to (RFC 8030, section 5). It is
// a capability URL: anyone who knows it can send, unless the subscription is
// restricted to a key.
func (r Registration) Endpoint() string { return r.endpoint }

// ApplicationServerKey returns the key that messages must be signed with (RFC
// 8292, section 4), or zero if anyone can send.
func (r Registration) ApplicationServerKey() vapid.PublicKey { return r.key }

// MarshalJSON writes the result of PushSubscription.toJSON of the Push API, for
// the application server: endpoint, expirationTime, which is null, and in keys
// p256dh and auth as base64url without padding. This includes the authentication
// secret, but not the private key.
func (r Registration) MarshalJSON() ([]byte, error) {
	if r.identity == nil {
		return nil, errors.New("the registration is empty: it has no keys")
	}
	type keys struct {
		P256DH string `json:"p256dh"`
		Auth   string `json:"auth"`
	}
	to := r.identity.Recipient()
	return json.Marshal(struct {
		Endpoint       string `json:"endpoint"`
		ExpirationTime *int64 `json:"expirationTime"`
		Keys           keys   `json:"keys"`
	}{r.endpoint, nil, keys{b64.Encode(to.P256DH()), b64.Encode(to.Auth())}})
}

// String returns the name, if there is one.
func (r Registration) String() string {
	if r.name == "" {
		return "subscription"
	}
	return "subscription " + r.name
}

// GoString is String, so %#v does not print secrets.
func (r Registration) GoString() string { return r.String() }

// Format writes String for every verb, so none prints secrets.
func (r Registration) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// LogValue is String, so log/slog does not write secrets.
func (r Registration) LogValue() slog.Value { return slog.StringValue(r.String()) }

// State is a device at rest: the address of the push service, the device's
// identifiers there, and its subscriptions with their keys. It comes
// from [Device.State] or from JSON. Its JSON has secrets; printed with any verb of
// fmt and in slog, it shows no secrets.
type State struct {
	server        string
	uaid          string  // WebSocket only
	android       android // Chromium only
	subscriptions []Registration
	progress
}

// Server returns the address of the push service, as it was given to
// [NewDevice].
func (s State) Server() string { return s.server }

// At reports whether the state is of a device at the push service with the address
// server, which can have a slash at its end or not.
func (s State) At(server string) bool {
	return strings.TrimSuffix(s.server, "/") == strings.TrimSuffix(server, "/")
}

// MismatchError reports that a [State] is not of the user agent, or does not have the
// subscription, that was asked for.
type MismatchError struct {
	// Problem describes the difference.
	Problem string
}

// Error returns the problem.
func (e *MismatchError) Error() string { return e.Problem }

// Hint returns the next step.
func (*MismatchError) Hint() string {
	return "replace the subscription, or use another state to keep both"
}

// Check returns a [*MismatchError] if the state has subscriptions at another push service
// than that with the address server, or if one of the subscriptions in list is for another
// application server key. An empty server and a zero key mean any.
func (s State) Check(server string, key vapid.PublicKey, list ...Registration) error {
	if server != "" && len(s.subscriptions) > 0 && !s.At(server) {
		return &MismatchError{fmt.Sprintf("the user agent is at %s, not at %s", s.server, server)}
	}
	for _, r := range list {
		switch {
		case key.IsZero() || r.key == key:
		case r.key.IsZero():
			return &MismatchError{fmt.Sprintf("the %v accepts messages from anyone, not only those signed with %s", r, key)}
		default:
			return &MismatchError{fmt.Sprintf("the %v requires messages signed with %s, not with %s", r, r.key, key)}
		}
	}
	return nil
}

// Named returns the subscriptions with a name, oldest first.
func (s State) Named(name string) []Registration {
	return slices.DeleteFunc(s.Subscriptions(), func(r Registration) bool { return r.name != name })
}

// Origin returns the origin of the push service, or "" for the zero State.
func (s State) Origin() string {
	base, err := parseServer(s.server)
	if err != nil {
		return ""
	}
	return serverOrigin(base)
}

// Subscriptions returns the subscriptions, oldest first.
func (s State) Subscriptions() []Registration { return slices.Clone(s.subscriptions) }

// stateJSON is the form of a state file. The first subscription is in the object
// itself, as when a state had only one.
type stateJSON struct {
	Server string       `json:"server"`
	UAID   string       `json:"uaid,omitempty"`
	Device *androidJSON `json:"device,omitempty"`
	registrationJSON
	Others []registrationJSON `json:"others,omitempty"`
	Acked  []string           `json:"acknowledged,omitempty"`
	Unsure []string           `json:"unconfirmed,omitempty"`
}

type registrationJSON struct {
	Name      string        `json:"name,omitempty"`
	Endpoint  string        `json:"endpoint"`
	ChannelID string        `json:"channelID,omitempty"`
	Subtype   string        `json:"subtype,omitempty"`
	Instance  string        `json:"instanceID,omitempty"`
	Key       *string       `json:"applicationServerKey"`
	Keys      *ece.Identity `json:"keys,omitempty"`
}

// androidJSON is a device of Chromium. The numbers are decimal.
type androidJSON struct {
	ID      uint64    `json:"androidID,string"`
	Token   uint64    `json:"securityToken,string"`
	Checkin time.Time `json:"checkin"`
}

// empty reports whether there is nothing to keep.
func (s State) empty() bool {
	return len(s.subscriptions) == 0 && !s.android.known() && s.uaid == ""
}

// MarshalJSON writes the state with its secrets: server; uaid (32 hexadecimal
// digits, over a WebSocket only); the fields of the first subscription: name,
// endpoint, channelID, applicationServerKey (base64url, or null), and in keys,
// privateKey, p256dh, and auth (base64url); the same fields of each other
// subscription, in others; and in acknowledged, the IDs of the last 300 messages
// that were acknowledged over a WebSocket or MCS, because the push service can
// send them again. A state of Chromium has, instead of uaid and channelID, device
// with androidID, securityToken, and checkin (RFC 3339); subtype; instanceID; and
// unconfirmed, the IDs of acknowledged messages that the next login lists.
func (s State) MarshalJSON() ([]byte, error) {
	if s.empty() {
		return nil, errors.New("the state is empty: there is nothing to keep")
	}
	v := stateJSON{Server: s.server, UAID: s.uaid, Acked: s.acknowledged, Unsure: s.unconfirmed}
	if s.android.known() {
		v.Device = new(androidJSON(s.android))
	}
	for i, r := range s.subscriptions {
		j := registrationJSON{Name: r.name, Endpoint: r.endpoint, Instance: r.instance, Keys: r.identity}
		if s.android.known() {
			j.Subtype = r.id
		} else {
			j.ChannelID = r.id
		}
		if !r.key.IsZero() {
			j.Key = new(r.key.String())
		}
		if i == 0 {
			v.registrationJSON = j
		} else {
			v.Others = append(v.Others, j)
		}
	}
	return json.Marshal(v)
}

// UnmarshalJSON reads the output of MarshalJSON and ignores other fields. The
// errors name the field that is missing or wrong, and never repeat a secret. On
// error the state is unchanged.
func (s *State) UnmarshalJSON(data []byte) error {
	var v stateJSON
	if err := json.Unmarshal(data, &v); err != nil {
		return fmt.Errorf("the state is damaged: %s", text.JSONProblem(err))
	}
	base, err := parseServer(v.Server)
	if err != nil {
		return fmt.Errorf("the state's server %w", err)
	}
	parsed := State{server: v.Server, progress: progress{acknowledged: v.Acked}}
	deviceOnly := v.Keys == nil && v.Endpoint == "" && len(v.Others) == 0
	switch {
	case isChromium(base):
		if v.Device != nil {
			parsed.android = android(*v.Device)
		}
		if !parsed.android.known() {
			return errors.New("the state has no valid device")
		}
		parsed.unconfirmed = v.Unsure
	case isSocket(base):
		if !isUAID(v.UAID) {
			return errors.New("the state has no valid uaid")
		}
		parsed.uaid = v.UAID
	default:
		deviceOnly = false // nothing would be left
	}
	if !deviceOnly {
		for _, j := range append([]registrationJSON{v.registrationJSON}, v.Others...) {
			r, err := j.parse(base)
			if err != nil {
				return err
			}
			parsed.subscriptions = append(parsed.subscriptions, r)
		}
	}
	*s = parsed
	return nil
}

// parse checks a subscription at a push service.
func (j registrationJSON) parse(base *url.URL) (r Registration, err error) {
	r = Registration{name: j.Name, identity: j.Keys, id: j.ChannelID, endpoint: j.Endpoint}
	if isChromium(base) {
		r.id, r.instance = j.Subtype, j.Instance
		switch {
		case !isSubtype(r.id):
			return r, errors.New("the state has no valid subtype")
		case !isID(r.instance):
			return r, errors.New("the state has no valid instanceID")
		case j.Key == nil:
			return r, errors.New("the state has no applicationServerKey")
		}
	}
	if _, err := parseURL(r.endpoint, "https"); err != nil {
		return r, fmt.Errorf("the state's endpoint %w", err)
	}
	switch {
	case r.identity == nil:
		return r, errors.New("the state has no keys")
	case !isChromium(base) && !isID(r.id):
		return r, errors.New("the state has no valid channelID")
	}
	if err := CheckName(r.name); err != nil {
		return r, fmt.Errorf("the state's name: %w", err)
	}
	if j.Key != nil {
		if r.key, err = vapid.ParsePublicKey([]byte(*j.Key)); err != nil {
			return r, fmt.Errorf("the state's applicationServerKey: %w", err)
		}
	}
	return r, nil
}

// CheckName returns an error if name is not valid for [Device.Subscribe]: the
// names of subscriptions can be parts of file names.
func CheckName(name string) error {
	if len(name) <= maxName && !strings.HasPrefix(name, ".") && (name == "" || isID(strings.ReplaceAll(name, ".", "_"))) {
		return nil
	}
	return fmt.Errorf("%q is not a name of 1 to %d of A-Z a-z 0-9 - _ . that does not start with a dot", name, maxName)
}

// String returns the number of subscriptions, or the name of the only one, and the
// origin of the push service.
func (s State) String() string {
	if s.server == "" {
		return "no subscription"
	}
	text := fmt.Sprintf("%d subscriptions", len(s.subscriptions))
	if len(s.subscriptions) == 1 {
		text = s.subscriptions[0].String()
	}
	if origin := s.Origin(); origin != "" {
		text += " at " + origin
	}
	return text
}

// GoString is String, so %#v does not print secrets.
func (s State) GoString() string { return s.String() }

// Format writes String for every verb, so none prints secrets.
func (s State) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is String, so log/slog does not write secrets.
func (s State) LogValue() slog.Value { return slog.StringValue(s.String()) }
