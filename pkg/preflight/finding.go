// Package preflight finds problems that push services would reject, before
// anything is sent: [Check] checks a message offline, [Online] asks the push
// service without delivering anything, and [Clock] compares this machine's
// clock with a server's.
//
//	for _, f := range preflight.Check(client, subscription, message) {
//		fmt.Println(f.Severity, f.Rule, f.Message, f.Hint)
//	}
package preflight

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Severity is the importance of a [Finding], on the scale that all packages share.
type Severity = vapid.Severity

// The severities, from the least to the most severe.
const (
	SeverityNote    = vapid.SeverityNote    // worth knowing; the message goes through
	SeverityWarning = vapid.SeverityWarning // may keep the message from arriving, or is rejected by some
	SeverityError   = vapid.SeverityError   // the message is rejected or cannot be read
)

// Finding is one result of a check.
type Finding struct {
	Severity Severity `json:"severity"` // how likely a rejection is
	// Rule is a short name for the kind of finding. It does not change.
	Rule string `json:"rule"`
	// Services are the push services that the finding applies to; none means any.
	Services []webpush.Service `json:"services,omitempty"`
	// Message describes the problem, with the value unless it is a secret.
	Message string `json:"message"`
	// Source is the source of the rule: the section of an RFC, the service's
	// documentation, or its observed behavior.
	Source string `json:"source"`
	// Hint is the next step to take, or "".
	Hint string `json:"fix,omitempty"`
	// Err is the error that [webpush.Client.NewRequest] returns for the
	// message, or nil.
	Err error `json:"-"`
}

// ParseServices reads the names of push services, separated by commas, such as
// "apple,fcm"; "all" stands for [webpush.Services]. Each is returned once.
func ParseServices(names string) ([]webpush.Service, error) {
	var list []webpush.Service
	for name := range strings.SplitSeq(names, ",") {
		s := webpush.Service(strings.ToLower(strings.TrimSpace(name)))
		switch known := webpush.Services(); {
		case s == "all":
			list = append(list, known...)
		case slices.Contains(known, s):
			list = append(list, s)
		default:
			var all []string
			for _, k := range known {
				all = append(all, string(k))
			}
			return nil, fmt.Errorf("unknown push service %q, expected one of %s, all", string(s), strings.Join(all, ", "))
		}
	}
	var once []webpush.Service
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once, nil
}

// Sort puts the most severe findings first, and keeps their order otherwise.
func Sort(found []Finding) {
	slices.SortStableFunc(found, func(a, b Finding) int { return int(b.Severity) - int(a.Severity) })
}

// Summary counts findings by severity, such as "1 error, 2 notes", or returns "".
func Summary(found []Finding) string {
	count := make(map[Severity]int)
	for _, f := range found {
		count[f.Severity]++
	}
	var parts []string
	for _, severity := range []Severity{SeverityError, SeverityWarning, SeverityNote} {
		if n := count[severity]; n > 0 {
			parts = append(parts, text.Count(n, severity.String()))
		}
	}
	return strings.Join(parts, ", ")
}

// Sources of the rules.
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
	sourceAppleSubject = "RFC 8292 section 2.1; observed: Apple responds with 403 BadJwtToken"
	sourceAppleTopic   = "observed: Apple responds with 400 BadWebPushTopic"
	sourceUnifiedPush  = "UnifiedPush specification"
	sourceAutopush     = "autopush, documentation and source"
	sourceFirebase     = "Firebase documentation"
	sourceWNSPolicy    = "observed: WNS responds with 400, Ttl value conflicts with X-WNS-Cache-Policy"
	sourceNotification = "Notifications API, showNotification"
	sourceDeclarative  = "Push API, declarative push; WebKit's parser"
)

// LongestTTL is the longest time that any push service is known to keep a message, 30
// days. FCM allows [webpush.DefaultTTL].
const LongestTTL = 30 * 24 * time.Hour

// Limits of services.
const (
	autopushBody        = 5630
	wnsBody             = 5000
	unifiedPushEndpoint = 1000
)
