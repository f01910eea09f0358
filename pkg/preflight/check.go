package preflight

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Check returns every known reason for push services to reject the message or
// for user agents not to read it, and every part of the payload that browsers
// ignore, most severe first. It works offline and sends nothing.
//
// The rules of services apply. If no services are given, the rules of the
// subscription's push service apply, and rules that only Apple has produce
// warnings, because most messages are also sent to Safari. The subscription may
// be nil if services are given; it is then not checked.
func Check(c *webpush.Client, sub *webpush.Subscription, msg webpush.Message, services ...webpush.Service) []Finding {
	k := &check{client: c, sub: sub, msg: &msg, services: services, chosen: len(services) > 0}
	if sub == nil || sub.Origin() == "" {
		k.sub = nil
		if !k.chosen {
			k.addErr("subscription", sourceToJSON, c.CheckSubscription(nil))
			return k.found
		}
	} else if !k.chosen {
		k.services = []webpush.Service{sub.Service()}
	}
	if k.sub != nil {
		k.subscription()
	}
	k.signature()
	k.headers()
	k.body()
	k.payload()
	Sort(k.found)
	return k.found
}

// check is one run of [Check].
type check struct {
	client   *webpush.Client
	sub      *webpush.Subscription // nil where none was given
	msg      *webpush.Message
	services []webpush.Service
	chosen   bool // services was given
	found    []Finding
}

func (k *check) add(f Finding) { k.found = append(k.found, f) }

func (k *check) say(severity Severity, rule string, services []webpush.Service, message, source, fix string) {
	k.add(Finding{Severity: severity, Rule: rule, Services: services, Message: message, Source: source, Hint: fix})
}

// addErr adds an error of NewRequest.
func (k *check) addErr(rule, source string, err error) {
	k.add(Finding{Severity: SeverityError, Rule: rule, Message: err.Error(), Source: source, Hint: webpush.HintOf(err), Err: err})
}

// among returns the given services to which the check applies.
func (k *check) among(services ...webpush.Service) []webpush.Service {
	return slices.DeleteFunc(services, func(s webpush.Service) bool { return !slices.Contains(k.services, s) })
}

func (k *check) asks(s webpush.Service) bool { return slices.Contains(k.services, s) }

// apple returns how grave it is what Apple alone refuses, and whether there is
// a word to say about it.
func (k *check) apple() (Severity, bool) {
	if k.asks(webpush.Apple) {
		return SeverityError, true
	}
	return SeverityWarning, !k.chosen
}

func (k *check) subscription() {
	s := k.sub
	refused, ok := Refused(k.client, s)
	if ok {
		k.add(refused)
	}
	for _, f := range Endpoint(s) {
		if f.Rule != refused.Rule {
			k.add(f)
		}
	}
	if f, ok := Expiration(s); ok {
		k.add(f)
	}
	if k.msg.Payload != nil && s.Recipient() == nil {
		k.addErr("keys", sourceToJSON, s.CheckKeys())
	}
	if f, ok := RecordedKey(s); ok {
		k.add(f)
	}
	if recorded, _ := s.ApplicationServerKey(); !recorded.IsZero() && k.client.Key != nil && k.msg.GCM == nil && k.client.Ring().Find(recorded) == nil {
		k.say(SeverityError, "key-mismatch", nil, fmt.Sprintf("the subscription was created with the application server key %s, but the signing key is %s", recorded, k.client.Key.PublicKey()), sourceRestricted, webpush.CodeKeyMismatch.Hint())
	}
}

func (k *check) signature() {
	c := k.client
	if k.msg.GCM != nil {
		k.add(GCMKey())
		return
	}
	if c.Key == nil {
		k.unsigned()
		return
	}
	if c.Scheme == vapid.SchemeWebPush {
		k.say(SeverityNote, "scheme", nil, "the scheme WebPush is from an old draft; RFC 8292 uses vapid", "RFC 8292 section 3", "use the scheme vapid unless the push service is old")
	}
	origin := "https://push.example.net" // stands for any push service
	if k.sub != nil {
		origin = k.sub.Origin()
	}
	signer := c.Signer()
	claims := signer.Filled(origin)
	if k.sub != nil && claims.Audience != origin {
		k.say(SeverityError, "aud", nil, fmt.Sprintf("aud is %q, but the push service is %s", claims.Audience, origin), sourceClaims, webpush.CodeVAPIDAudience.Hint())
	}
	for _, p := range claims.Check() {
		f := Finding{Severity: SeverityError, Rule: p.Part, Message: p.Message, Source: sourceClaims, Hint: p.Hint}
		if p.Part == "sub" {
			f.Source = sourceSubject
		}
		switch {
		case p.Severity == SeverityError:
			if signer.Lenient && p.Overlooked {
				f.Severity = SeverityWarning
			} else {
				f.Err = &vapid.ClaimsError{Problems: []vapid.Problem{p}}
			}
		case p.Part == "sub":
			f.Source = sourceAppleSubject
			severity, say := k.apple()
			switch {
			case say:
				f.Severity = severity
				f.Services = k.among(webpush.Apple)
			case claims.Subject == "" && k.asks(webpush.Mozilla):
				f.Severity, f.Services = SeverityWarning, []webpush.Service{webpush.Mozilla}
			default:
				f.Severity = SeverityNote
			}
		default:
			f.Severity = SeverityWarning
		}
		k.add(f)
	}
}

// unsigned reports which push services reject a message without VAPID.
func (k *check) unsigned() {
	fix := webpush.CodeVAPIDMissing.Hint()
	add := func(severity Severity, services []webpush.Service, refuse, source string) {
		if len(services) > 0 {
			k.say(severity, "unsigned", services, "the message is not signed, which "+refuse, source, fix)
		}
	}
	refusing := k.among(webpush.Apple, webpush.FCM)
	if k.asks(webpush.Mozilla) {
		version := "" // the first one found
		if k.sub != nil && k.sub.Service() == webpush.Mozilla {
			version, _ = TokenVersion(k.sub)
		}
		switch version {
		case "v2":
			refusing = append(refusing, webpush.Mozilla)
		case "v1":
			add(SeverityNote, []webpush.Service{webpush.Mozilla}, "Mozilla accepts for this subscription, because it was created without an application server key", sourceAutopush)
		default:
			add(SeverityWarning, []webpush.Service{webpush.Mozilla}, "Mozilla rejects for subscriptions created with an application server key", sourceAutopush)
		}
	}
	add(SeverityError, refusing, refusal(refusing), sourceRestricted)
	add(SeverityWarning, k.among(webpush.WNS, webpush.Other), "most push services reject", sourceRestricted)
	add(SeverityNote, k.among(webpush.UnifiedPush), "UnifiedPush rejects only for apps that asked for VAPID", sourceUnifiedPush)
}

// refusal says that services refuse.
func refusal(services []webpush.Service) string {
	if len(services) == 1 {
		return services[0].String() + " rejects"
	}
	return names(services) + " reject"
}

// names lists services for people.
func names(services []webpush.Service) string {
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
		if _, err := webpush.ParseUrgency(string(m.Urgency)); err != nil {
			k.addErr("urgency", sourceUrgency, err)
		} else if list := k.among(webpush.Mozilla, webpush.UnifiedPush); len(list) > 0 {
			k.say(SeverityNote, "urgency-ignored", list, "the urgency is ignored by "+names(list), sourceAutopush+"; ntfy's source", "")
		}
	}
	k.topic()
	k.ttl()
	for err := range webpush.CheckHeaders(m.Header) {
		k.addErr("header", sourceDelivery, err)
	}
	if list := k.among(webpush.Mozilla, webpush.UnifiedPush); len(list) > 0 && strings.Contains(strings.ToLower(m.Header.Get("Prefer")), "respond-async") {
		k.say(SeverityNote, "receipts", list, "receipts of delivery (Prefer: respond-async) are not supported by "+names(list), "RFC 8030 section 5.1; "+sourceAutopush, "")
	}
}

func (k *check) topic() {
	topic := k.msg.Topic
	if topic == "" {
		return
	}
	if err := webpush.CheckTopic(topic); err != nil {
		k.addErr("topic", sourceTopic, err)
		return
	}
	if f, ok := AppleTopic(topic); ok {
		if severity, say := k.apple(); say {
			if f.Severity = severity; severity != SeverityError {
				f.Hint = "use a topic with another number of characters if the message also goes to Safari"
			}
			f.Services = k.among(f.Services...)
			k.add(f)
		}
	}
	if k.asks(webpush.UnifiedPush) {
		k.say(SeverityNote, "topic-ignored", []webpush.Service{webpush.UnifiedPush}, "the topic is ignored by UnifiedPush: no message is replaced", "ntfy's source", "")
	}
}

// AppleTopic returns the finding about a topic that Apple rejects. Otherwise, ok is false.
func AppleTopic(topic string) (f Finding, ok bool) {
	if len(topic)%4 != 1 {
		return Finding{}, false
	}
	return Finding{Severity: SeverityWarning, Rule: "topic-apple", Services: []webpush.Service{webpush.Apple},
		Message: fmt.Sprintf("Apple decodes the topic as base64url and rejects one of %d characters with 400 BadWebPushTopic", len(topic)),
		Source:  sourceAppleTopic, Hint: "use a topic with another number of characters"}, true
}

// GCMKey returns the finding about a message that is signed with a key of Google's legacy
// service instead of VAPID; see [webpush.GCM].
func GCMKey() Finding {
	return Finding{Severity: SeverityWarning, Rule: "gcm", Message: "Google has shut down the legacy service that uses the GCM key", Source: sourceFirebase,
		Hint: "use VAPID: sign with an application server key"}
}

func (k *check) ttl() {
	seconds, err := k.msg.TTLSeconds()
	if err != nil {
		k.addErr("ttl", sourceTTL, err)
		return
	}
	ttl := time.Duration(seconds) * time.Second
	if seconds == 0 {
		if k.asks(webpush.Apple) {
			k.say(SeverityWarning, "ttl-zero-apple", []webpush.Service{webpush.Apple}, "Apple reportedly rejects a TTL of 0", "Apple's documentation, as others read it; the response is 400 BadTtl", "use a TTL of a few seconds")
		}
		k.say(SeverityNote, "ttl-zero", nil, "with a TTL of 0, the message is delivered immediately or not at all: an offline device does not get it", sourceTTL, "")
	}
	if k.asks(webpush.FCM) && ttl > webpush.DefaultTTL {
		k.say(SeverityWarning, "ttl-fcm", []webpush.Service{webpush.FCM}, fmt.Sprintf("the TTL is %s, FCM allows 28 days (2419200 seconds)", days(ttl)), sourceFirebase, "use a TTL of 28d or less")
	}
	if k.asks(webpush.Mozilla) && ttl > LongestTTL {
		k.say(SeverityNote, "ttl-mozilla", []webpush.Service{webpush.Mozilla}, fmt.Sprintf("the TTL is %s, Mozilla keeps a message for at most 30 days", days(ttl)), sourceAutopush, "")
	}
	if k.asks(webpush.Apple) && ttl > LongestTTL {
		k.say(SeverityNote, "ttl-apple", []webpush.Service{webpush.Apple}, fmt.Sprintf("the TTL is %s, Apple reportedly keeps a message for at most 30 days", days(ttl)), "Apple's documentation, as others read it", "")
	}
	policy := k.msg.Header.Get("X-WNS-Cache-Policy")
	if !k.asks(webpush.WNS) || policy == "" { // filled in by NewRequest
		return
	}
	right := "cache"
	if seconds == 0 {
		right = "no-cache"
	}
	if !strings.EqualFold(policy, right) {
		k.say(SeverityError, "wns-cache-policy", []webpush.Service{webpush.WNS}, fmt.Sprintf("X-WNS-Cache-Policy is %q, which contradicts the TTL of %d", text.OneLine(policy, 40), seconds), sourceWNSPolicy, "omit the header: it is set to agree with the TTL")
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
		if k.asks(webpush.UnifiedPush) {
			k.say(SeverityWarning, "payload-missing", []webpush.Service{webpush.UnifiedPush}, "a UnifiedPush message has 1 to 4096 bytes, but this one has no payload", sourceUnifiedPush, "add a payload")
		}
		k.say(SeverityNote, "payload-missing", nil, "the message has no payload: event.data is null, and the service worker must know what to show", "RFC 8030 section 5", "")
		return
	}
	if m.Encoding == ece.AESGCM {
		if k.asks(webpush.Apple) {
			k.say(SeverityError, "encoding", []webpush.Service{webpush.Apple}, "Apple accepts aes128gcm only", "Apple's documentation; observed: 400 BadWebPushRequest", "use aes128gcm")
		}
		if k.asks(webpush.UnifiedPush) {
			k.say(SeverityError, "encoding", []webpush.Service{webpush.UnifiedPush}, "UnifiedPush does not forward the headers that aesgcm needs, so the message cannot be read", sourceUnifiedPush, "use aes128gcm")
		}
		if list := k.among(webpush.FCM, webpush.Mozilla, webpush.WNS, webpush.Other); len(list) > 0 {
			k.say(SeverityNote, "encoding-old", list, "aesgcm is the content encoding of an old draft; push services accept the message even if the browser cannot read it", sourceEncryption, "use aes128gcm unless the recipient is old")
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
	over := func(severity Severity, limit int, source string, services ...webpush.Service) {
		if list := k.among(services...); len(list) > 0 && size > limit {
			k.say(severity, "size", list, fmt.Sprintf("the body has %d bytes encrypted and padded, %d more than the %d that %s", size, size-limit, limit, accepting(list)), source, "shorten the payload, or allow no larger body and no padding")
		}
	}
	over(SeverityError, ece.MaxBody, sourceSize, webpush.Apple, webpush.FCM, webpush.UnifiedPush)
	over(SeverityError, wnsBody, "WNS documentation", webpush.WNS)
	over(SeverityError, autopushBody, sourceAutopush, webpush.Mozilla)
	over(SeverityWarning, ece.MaxBody, sourceSize, webpush.Other)
	if k.asks(webpush.Mozilla) && size > webpush.AndroidBody && size <= autopushBody {
		k.say(SeverityNote, "size-android", []webpush.Service{webpush.Mozilla}, fmt.Sprintf("the body has %d bytes encrypted and padded, and Firefox for Android accepts only about %d to %d", size, webpush.AndroidBody, webpush.AndroidMaxBody),
			sourceAutopush+"; seen: 413", fmt.Sprintf("keep the payload to %d bytes without padding; a limit of %d bytes for the body ensures it", webpush.AndroidBody-encodingOf(m).Overhead(), webpush.AndroidBody))
	}
}

// accepting says that services accept a size.
func accepting(services []webpush.Service) string {
	if len(services) == 1 {
		return services[0].String() + " accepts"
	}
	return names(services) + " accept"
}

// encodingOf returns the content encoding; empty means the default.
func encodingOf(m *webpush.Message) ece.Encoding { return cmp.Or(m.Encoding, ece.AES128GCM) }

// bodySize returns how long the body gets. Only encryption knows.
func (k *check) bodySize() (int, error) {
	var r *ece.Recipient
	if k.sub != nil {
		r = k.sub.Recipient()
	}
	if r == nil {
		id, err := ece.GenerateIdentity()
		if err != nil {
			return 0, err
		}
		r = id.Recipient()
	}
	m, err := r.Encrypt(k.msg.Payload, k.msg.EncryptOptions())
	if err != nil {
		return 0, err
	}
	return len(m.Body), nil
}
