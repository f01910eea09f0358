package webpush

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/netaddr"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Severity tells how much a [Finding] matters.
type Severity int

// The severities, from the least to the gravest.
const (
	SeverityNote    Severity = iota // worth knowing; the message goes through
	SeverityWarning                 // may keep the message from arriving, or is refused by some
	SeverityError                   // the message is refused or cannot be read
)

// String returns "note", "warning" or "error".
func (s Severity) String() string {
	switch s {
	case SeverityNote:
		return "note"
	case SeverityWarning:
		return "warning"
	}
	return "error"
}

// MarshalText returns String, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is something that [Client.Check] says about a message.
type Finding struct {
	Severity Severity `json:"severity"`
	// Rule is a short name for what was found that does not change.
	Rule string `json:"rule"`
	// Services are those that the finding is about; none means any.
	Services []Service `json:"services,omitempty"`
	// Message says what is wrong, with the value unless that is a secret.
	Message string `json:"message"`
	// Source is where that is from: the section of an RFC, or how the service
	// is documented or was seen to behave.
	Source string `json:"source"`
	// Fix is the next step, or "".
	Fix string `json:"fix,omitempty"`
	// Err is why [Client.NewRequest] does not make such a request at all; nil
	// when it does.
	Err error `json:"-"`
}

// Services lists the push services that [Client.Check] has rules for.
func Services() []Service { return []Service{Apple, FCM, Mozilla, WNS, UnifiedPush} }

// Check tells everything about the message that push services are known to
// refuse, and what of its payload browsers are known not to read, gravest
// first. It is done offline; nothing is sent.
//
// The rules are those of services. Without any they are those of the
// subscription's own, and what Apple alone refuses is a warning: the same
// message usually goes to Safari, too. The subscription may be nil where
// services are given: nothing is then said of it.
func (c *Client) Check(sub *Subscription, msg Message, services ...Service) []Finding {
	k := &check{client: c, sub: sub, msg: &msg, services: services, chosen: len(services) > 0}
	if sub == nil || sub.origin == "" {
		k.sub = nil
		if !k.chosen {
			err := (*Subscription)(nil).allowed(false)
			k.addErr("subscription", sourceToJSON, err)
			return k.found
		}
	} else if !k.chosen {
		k.services = []Service{sub.service}
	}
	if k.sub != nil {
		k.subscription()
	}
	k.signature()
	k.headers()
	k.body()
	k.payload()
	slices.SortStableFunc(k.found, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
	return k.found
}

// Where the rules are from.
const (
	sourceToJSON       = "Push API, PushSubscription.toJSON"
	sourceDelivery     = "RFC 8030 section 5"
	sourceTTL          = "RFC 8030 section 5.2"
	sourceUrgency      = "RFC 8030 section 5.3"
	sourceTopic        = "RFC 8030 section 5.4"
	sourceSize         = "RFC 8030 section 7.2"
	sourceCapability   = "RFC 8030 section 8"
	sourceEncryption   = "RFC 8291 section 4"
	sourceClaims       = "RFC 8292 section 2"
	sourceSubject      = "RFC 8292 section 2.1"
	sourceRestricted   = "RFC 8292 section 4"
	sourceAppleSubject = "RFC 8292 section 2.1; seen: Apple answers 403 BadJwtToken"
	sourceAppleTopic   = "seen: Apple answers 400 BadWebPushTopic"
	sourceUnifiedPush  = "UnifiedPush specification"
	sourceAutopush     = "autopush, documentation and source"
	sourceFirebase     = "Firebase documentation"
	sourceWNSPolicy    = "seen: WNS answers 400, Ttl value conflicts with X-WNS-Cache-Policy"
	sourceNotification = "Notifications API, showNotification"
	sourceDeclarative  = "Push API, declarative push; WebKit's parser"
)

// Limits of services.
const (
	androidBody         = 2744 // of Firefox for Android, for sure
	autopushBody        = 5630
	wnsBody             = 5000
	mozillaTTL          = 30 * 24 * time.Hour
	unifiedPushEndpoint = 1000
)

// check is one run of [Client.Check].
type check struct {
	client   *Client
	sub      *Subscription // nil where none was given
	msg      *Message
	services []Service
	chosen   bool // services was given
	found    []Finding
}

func (k *check) add(f Finding) { k.found = append(k.found, f) }

func (k *check) say(severity Severity, rule string, services []Service, message, source, fix string) {
	k.add(Finding{Severity: severity, Rule: rule, Services: services, Message: message, Source: source, Fix: fix})
}

// addErr adds what NewRequest refuses.
func (k *check) addErr(rule, source string, err error) {
	f := Finding{Severity: SeverityError, Rule: rule, Message: err.Error(), Source: source, Err: err}
	if h, ok := err.(interface{ Hint() string }); ok {
		f.Fix = h.Hint()
	}
	k.add(f)
}

// among returns those of services that are asked about.
func (k *check) among(services ...Service) []Service {
	return slices.DeleteFunc(services, func(s Service) bool { return !slices.Contains(k.services, s) })
}

func (k *check) asks(s Service) bool { return slices.Contains(k.services, s) }

// apple returns how grave it is what Apple alone refuses, and whether there is
// a word to say about it.
func (k *check) apple() (Severity, bool) {
	if k.asks(Apple) {
		return SeverityError, true
	}
	return SeverityWarning, !k.chosen
}

func (k *check) subscription() {
	s := k.sub
	if err := s.allowed(k.client.AllowHTTP); err != nil {
		rule, source := "endpoint-http", sourceCapability
		if s.PermanentlyRemoved() {
			rule, source = "subscription-removed", "seen: Chrome's endpoint of a removed subscription"
		}
		k.addErr(rule, source, err)
		if e, ok := errors.AsType[*Error](err); ok {
			k.found[len(k.found)-1].Message = e.Meaning
		}
	} else if strings.HasPrefix(s.origin, "http:") && !s.loopback {
		k.say(SeverityWarning, "endpoint-http", nil, "the endpoint is plain http: who reads the request can send to it as well", sourceCapability, "use https")
	}
	u := s.secrets().url
	if problem, fix := deadEndpoint(&u); problem != "" {
		k.say(SeverityError, "endpoint-dead", nil, problem, sourceCapability, fix)
	}
	if strings.Contains(s.Endpoint(), "...") {
		k.say(SeverityWarning, "endpoint-shortened", nil, "the endpoint has ... in it: it may have been shortened for display", sourceCapability, "take the subscription from the browser again, whole")
	}
	host := strings.ToLower(s.secrets().url.Hostname())
	address, err := netip.ParseAddr(host)
	switch {
	case s.loopback:
		k.say(SeverityNote, "endpoint-private", nil, "the endpoint is on this machine: a push service for tests", sourceCapability, "")
	case err == nil && !netaddr.Public(address):
		k.say(SeverityWarning, "endpoint-private", nil, fmt.Sprintf("the endpoint's address %s is not public; endpoints of strangers can point into your network", address), sourceCapability, "send with --deny-private if the subscription is a stranger's")
	case err == nil:
	case !strings.Contains(host, "."), slices.Contains([]string{".local", ".internal", ".lan", ".home", ".corp", ".test"}, host[strings.LastIndexByte(host, '.'):]):
		k.say(SeverityNote, "endpoint-private", nil, fmt.Sprintf("the endpoint's host %s is not public", oneLine(host, 80)), sourceCapability, "send with --deny-private if the subscription is a stranger's")
	}
	if !s.expires.IsZero() && s.expires.Before(time.Now()) {
		k.say(SeverityWarning, "subscription-expired", nil, fmt.Sprintf("the subscription says that it expired on %s", s.expires.UTC().Format("2006-01-02 15:04:05Z")),
			"Push API, expirationTime", "have the user agent subscribe again, or delete the subscription")
	}
	if k.msg.Payload != nil && s.recipient == nil {
		k.addErr("keys", sourceToJSON, errNoKeys())
	}
	if n := len(s.Endpoint()); s.service == UnifiedPush && n > unifiedPushEndpoint {
		k.say(SeverityWarning, "endpoint-length", []Service{UnifiedPush}, fmt.Sprintf("the endpoint has %d characters, UnifiedPush allows %d", n, unifiedPushEndpoint), sourceUnifiedPush, "take the subscription from the app again")
	}
	recorded, err := s.ApplicationServerKey()
	switch {
	case err != nil:
		k.say(SeverityNote, "recorded-key", nil, "the application server key that the subscription records is not readable: "+oneLine(err.Error(), 200), sourceRestricted, "")
	case recorded != vapid.PublicKey{} && k.client.Key != nil && k.msg.GCM == nil && recorded != k.client.Key.PublicKey():
		k.say(SeverityError, "key-mismatch", nil, fmt.Sprintf("the subscription was made with the application server key %s, the signing key is %s", recorded, k.client.Key.PublicKey()), sourceRestricted, adviceResubscribe)
	}
}

func (k *check) signature() {
	c := k.client
	if k.msg.GCM != nil {
		k.say(SeverityWarning, "gcm", nil, "Google has shut down the legacy service that the GCM key is for", sourceFirebase, "use VAPID: sign with --private-key")
		return
	}
	if c.Key == nil {
		k.unsigned()
		return
	}
	if c.Scheme == vapid.SchemeWebPush {
		k.say(SeverityNote, "scheme", nil, "the scheme WebPush is that of a draft; RFC 8292 has vapid", "RFC 8292 section 3", "leave --scheme away unless the receiver is old")
	}
	claims := c.Claims
	if c.Subject != "" {
		claims.Subject = c.Subject
	}
	claims.Subject = vapid.NormalizeSubject(claims.Subject)
	origin := ""
	if k.sub != nil {
		origin = k.sub.origin
	} else if claims.Audience == "" {
		claims.Audience = "https://push.example.net" // it will be filled in
	}
	if claims.Audience == "" {
		claims.Audience = origin
	} else if origin != "" && claims.Audience != origin {
		k.say(SeverityError, "aud", nil, fmt.Sprintf("aud is %q, but the push service is %s", claims.Audience, origin), sourceClaims, adviceAud)
	}
	if claims.Expires.IsZero() {
		claims.Expires = time.Now().Add(cmp.Or(c.Lifetime, vapid.DefaultLifetime))
	}
	for _, p := range claims.Check() {
		f := Finding{Severity: SeverityError, Rule: p.Part, Message: p.Message, Source: sourceClaims, Fix: p.Advice}
		if p.Part == "sub" {
			f.Source = sourceSubject
		}
		switch {
		case p.Severity != vapid.Advice:
			if c.SignUnchecked && p.Severity == vapid.Lenient {
				f.Severity = SeverityWarning
			}
			if !c.SignUnchecked || p.Severity == vapid.Fatal {
				f.Err = p
			}
		case p.Part == "sub":
			f.Source = sourceAppleSubject
			severity, say := k.apple()
			switch {
			case say:
				f.Severity = severity
				f.Services = k.among(Apple)
			case claims.Subject == "" && k.asks(Mozilla):
				f.Severity, f.Services = SeverityWarning, []Service{Mozilla}
			default:
				f.Severity = SeverityNote
			}
		default:
			f.Severity = SeverityWarning
		}
		k.add(f)
	}
}

// unsigned tells who refuses a push without VAPID.
func (k *check) unsigned() {
	const fix = "make a key with webpush gen, or give one with --private-key"
	add := func(severity Severity, services []Service, refuse, source string) {
		if len(services) > 0 {
			k.say(severity, "unsigned", services, "the push is not signed, which "+refuse, source, fix)
		}
	}
	refusing := k.among(Apple, FCM)
	if k.asks(Mozilla) {
		switch path := k.mozillaPath(); {
		case strings.HasPrefix(path, "/wpush/v2/"):
			refusing = append(refusing, Mozilla)
		case strings.HasPrefix(path, "/wpush/"):
			add(SeverityNote, []Service{Mozilla}, "Mozilla takes for this subscription: it was made without an application server key", sourceAutopush)
		default:
			add(SeverityWarning, []Service{Mozilla}, "Mozilla refuses for subscriptions made with an application server key", sourceAutopush)
		}
	}
	add(SeverityError, refusing, refusal(refusing), sourceRestricted)
	add(SeverityWarning, k.among(WNS, Other), "most push services refuse", sourceRestricted)
	add(SeverityNote, k.among(UnifiedPush), "UnifiedPush refuses only for apps that asked for VAPID", sourceUnifiedPush)
}

// mozillaPath returns the path of an endpoint of Mozilla's, else "".
func (k *check) mozillaPath() string {
	if k.sub == nil || k.sub.service != Mozilla {
		return ""
	}
	u := k.sub.secrets().url
	return cmp.Or(u.Opaque, u.Path)
}

// refusal says that services refuse.
func refusal(services []Service) string {
	if len(services) == 1 {
		return services[0].String() + " refuses"
	}
	return names(services) + " refuse"
}

// names lists services for people.
func names(services []Service) string {
	var s strings.Builder
	for i, service := range services {
		switch {
		case i > 0 && i == len(services)-1:
			s.WriteString(" and ")
		case i > 0:
			s.WriteString(", ")
		}
		s.WriteString(service.String())
	}
	return s.String()
}

func (k *check) headers() {
	m := k.msg
	if m.Urgency != "" {
		if _, err := ParseUrgency(string(m.Urgency)); err != nil {
			k.addErr("urgency", sourceUrgency, err)
		} else if list := k.among(Mozilla, UnifiedPush); len(list) > 0 {
			k.say(SeverityNote, "urgency-ignored", list, "the urgency does nothing at "+names(list), sourceAutopush+"; ntfy's source", "")
		}
	}
	k.topic()
	k.ttl()
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		values := m.Header[name]
		if len(values) == 0 {
			values = []string{""}
		}
		for _, v := range values {
			if err := CheckHeader(name, v); err != nil {
				k.addErr("header", sourceDelivery, err)
				break
			}
		}
	}
	if list := k.among(Mozilla, UnifiedPush); len(list) > 0 && strings.Contains(strings.ToLower(m.Header.Get("Prefer")), "respond-async") {
		k.say(SeverityNote, "receipts", list, "receipts of delivery (Prefer: respond-async) are not supported by "+names(list), "RFC 8030 section 5.1; "+sourceAutopush, "")
	}
}

func (k *check) topic() {
	topic := k.msg.Topic
	if topic == "" {
		return
	}
	if err := CheckTopic(topic); err != nil {
		k.addErr("topic", sourceTopic, err)
		return
	}
	if severity, say := k.apple(); say && len(topic)%4 == 1 {
		message, fix := fmt.Sprintf("Apple decodes the topic as base64url and refuses one of %d characters with 400 BadWebPushTopic", len(topic)), "use --topic-hash, or a topic with another number of characters"
		if severity != SeverityError {
			message = fmt.Sprintf("Apple's service would refuse the topic: it decodes it as base64url, and none has %d characters", len(topic))
			fix = "use --topic-hash if the message also goes to Safari"
		}
		k.say(severity, "topic-apple", k.among(Apple), message, sourceAppleTopic, fix)
	}
	if k.asks(UnifiedPush) {
		k.say(SeverityNote, "topic-ignored", []Service{UnifiedPush}, "the topic does nothing at UnifiedPush: no message is replaced", "ntfy's source", "")
	}
}

func (k *check) ttl() {
	seconds, err := k.msg.ttl()
	if err != nil {
		k.addErr("ttl", sourceTTL, err)
		return
	}
	ttl := time.Duration(seconds) * time.Second
	if seconds == 0 {
		if k.asks(Apple) {
			k.say(SeverityWarning, "ttl-zero-apple", []Service{Apple}, "Apple is said to refuse a TTL of 0", "Apple's documentation, as others read it; its answer is 400 BadTtl", "use a TTL of some seconds")
		}
		k.say(SeverityNote, "ttl-zero", nil, "a TTL of 0 means now or never: a device that is away does not get the message", sourceTTL, "")
	}
	if k.asks(FCM) && ttl > DefaultTTL {
		k.say(SeverityWarning, "ttl-fcm", []Service{FCM}, fmt.Sprintf("the TTL is %s, FCM allows 28 days (2419200 seconds)", days(ttl)), sourceFirebase, "use a TTL of 28d or less")
	}
	if k.asks(Mozilla) && ttl > mozillaTTL {
		k.say(SeverityNote, "ttl-mozilla", []Service{Mozilla}, fmt.Sprintf("the TTL is %s, Mozilla keeps a message for 30 days at most", days(ttl)), sourceAutopush, "")
	}
	if k.asks(Apple) && ttl > mozillaTTL {
		k.say(SeverityNote, "ttl-apple", []Service{Apple}, fmt.Sprintf("the TTL is %s, Apple is said to keep a message for 30 days at most", days(ttl)), "Apple's documentation, as others read it", "")
	}
	policy := k.msg.Header.Get("X-WNS-Cache-Policy")
	if !k.asks(WNS) || policy == "" { // filled in by NewRequest
		return
	}
	right := "cache"
	if seconds == 0 {
		right = "no-cache"
	}
	if !strings.EqualFold(policy, right) {
		k.say(SeverityError, "wns-cache-policy", []Service{WNS}, fmt.Sprintf("X-WNS-Cache-Policy is %q, which contradicts the TTL of %d", oneLine(policy, 40), seconds), sourceWNSPolicy, "leave the header away, it is set to agree with the TTL")
	}
}

func days(d time.Duration) string {
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return fmt.Sprintf("%d seconds", d/time.Second)
}

func (k *check) body() {
	m := k.msg
	if m.Payload == nil {
		if k.asks(UnifiedPush) {
			k.say(SeverityWarning, "payload-missing", []Service{UnifiedPush}, "a UnifiedPush message has 1 to 4096 bytes, and this push has no payload", sourceUnifiedPush, "give a payload with -p")
		}
		k.say(SeverityNote, "payload-missing", nil, "the push has no payload: event.data is null, and the service worker must know what to show", "RFC 8030 section 5", "")
		return
	}
	if m.Encoding == ece.AESGCM {
		if k.asks(Apple) {
			k.say(SeverityError, "encoding", []Service{Apple}, "Apple accepts aes128gcm only", "Apple's documentation; seen: 400 BadWebPushRequest", "use aes128gcm")
		}
		if k.asks(UnifiedPush) {
			k.say(SeverityError, "encoding", []Service{UnifiedPush}, "UnifiedPush does not hand on the headers that aesgcm needs, so the message cannot be read", sourceUnifiedPush, "use aes128gcm")
		}
		if list := k.among(FCM, Mozilla, WNS, Other); len(list) > 0 {
			k.say(SeverityNote, "encoding-old", list, "aesgcm is the coding of an old draft: a message that the browser cannot read is accepted all the same", sourceEncryption, "use aes128gcm unless the receiver is old")
		}
		if len(m.Payload) == 0 {
			k.say(SeverityWarning, "payload-empty", nil, "an encrypted payload of no bytes is handed on as null by some browsers", "seen: Chromium", "send without a payload")
		}
	}
	size, err := k.bodySize()
	var long *ece.TooLongError
	switch {
	case errors.As(err, &long):
		k.addErr("size", sourceSize, err)
		return
	case err != nil:
		k.addErr("encryption", sourceEncryption, err)
		return
	}
	over := func(severity Severity, limit int, source string, services ...Service) {
		if list := k.among(services...); len(list) > 0 && size > limit {
			k.say(severity, "size", list, fmt.Sprintf("the body has %d bytes encrypted and padded, %d more than the %d that %s", size, size-limit, limit, takes(list)), source, "shorten the payload, or leave --max-body and --pad away")
		}
	}
	over(SeverityError, ece.MaxBody, sourceSize, Apple, FCM, UnifiedPush)
	over(SeverityError, wnsBody, "WNS documentation", WNS)
	over(SeverityError, autopushBody, sourceAutopush, Mozilla)
	over(SeverityWarning, ece.MaxBody, sourceSize, Other)
	if k.asks(Mozilla) && size > androidBody && size <= autopushBody {
		k.say(SeverityNote, "size-android", []Service{Mozilla}, fmt.Sprintf("the body has %d bytes encrypted and padded, and Firefox for Android takes some %d to 3070 only", size, androidBody),
			sourceAutopush+"; seen: 413", fmt.Sprintf("keep the payload to %d bytes, without padding, and set --max-body %d", androidBody-m.encoding().Overhead(), androidBody))
	}
}

// takes says that services take a size.
func takes(services []Service) string {
	if len(services) == 1 {
		return services[0].String() + " takes"
	}
	return names(services) + " take"
}

// encoding returns the coding, where empty is the default.
func (m *Message) encoding() ece.Encoding { return cmp.Or(m.Encoding, ece.AES128GCM) }

// bodySize returns how long the body gets. Only encryption knows.
func (k *check) bodySize() (int, error) {
	var r *ece.Recipient
	if k.sub != nil {
		r = k.sub.recipient
	}
	if r == nil {
		id, err := ece.GenerateIdentity()
		if err != nil {
			return 0, err
		}
		r = id.Recipient()
	}
	m, err := r.Encrypt(k.msg.Payload, ece.Options{Encoding: k.msg.Encoding, Pad: k.msg.Pad, MaxBody: k.msg.MaxBody})
	if err != nil {
		return 0, err
	}
	return len(m.Body), nil
}
