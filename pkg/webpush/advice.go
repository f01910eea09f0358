package webpush

import (
	"cmp"
	"fmt"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Advice is something that may keep a message from arriving though it can be sent.
type Advice struct {
	Message string
	Fix     string // the next step, or ""
}

// Advise tells what may go wrong with the message at the subscription's push
// service, without sending anything.
func (c *Client) Advise(sub *Subscription, msg Message) []Advice {
	var out []Advice
	add := func(message, fix string) { out = append(out, Advice{message, fix}) }
	if c.Key == nil && msg.GCM == nil {
		add("the push is not signed, which most push services refuse", "make a key with webpush gen, or give one with --private-key")
	}
	if c.Key != nil && msg.GCM == nil {
		claims := c.Claims
		if c.Subject != "" {
			claims.Subject = c.Subject
		}
		if claims.Audience == "" {
			claims.Audience = sub.origin
		} else if claims.Audience != sub.origin {
			add(fmt.Sprintf("aud is %q, but the push service is %s", claims.Audience, sub.origin), adviceAud)
		}
		if claims.Expires.IsZero() {
			claims.Expires = time.Now().Add(cmp.Or(c.Lifetime, vapid.DefaultLifetime))
		}
		claims.Subject = vapid.NormalizeSubject(claims.Subject)
		for _, p := range claims.Check() {
			if p.Severity == vapid.Advice || c.SignUnchecked {
				add(p.Message, p.Advice)
			}
		}
	}
	if !sub.expires.IsZero() && sub.expires.Before(time.Now()) {
		add(fmt.Sprintf("the subscription says that it expired on %s", sub.expires.UTC().Format("2006-01-02 15:04:05Z")), "have the user agent subscribe again, or delete the subscription")
	}
	if sub.service == Apple {
		if len(msg.Topic)%4 == 1 {
			add(fmt.Sprintf("Apple decodes the topic as base64url and refuses one of %d characters with 400 BadWebPushTopic", len(msg.Topic)), "use --topic-hash, or a topic with another number of characters")
		}
		if msg.TTL != nil && *msg.TTL == 0 {
			add("Apple is said to refuse a TTL of 0", "use a TTL of some seconds")
		}
	} else if len(msg.Topic)%4 == 1 {
		add(fmt.Sprintf("Apple's service would refuse the topic: it decodes it as base64url, and none has %d characters", len(msg.Topic)), "use --topic-hash if the message also goes to Safari")
	}
	if msg.Encoding == ece.AESGCM {
		switch sub.service {
		case UnifiedPush:
			add("UnifiedPush does not hand on the headers that aesgcm needs, so the message cannot be read", "use aes128gcm")
		case Apple:
			add("Apple accepts aes128gcm only", "use aes128gcm")
		}
	}
	if msg.Payload != nil && len(msg.Payload) == 0 && msg.Encoding == ece.AESGCM {
		add("an encrypted payload of no bytes is handed on as null by some browsers", "send without a payload")
	}
	if msg.GCM != nil {
		add("Google has shut down the legacy service that the GCM key is for", "use VAPID: sign with --private-key")
	}
	return out
}
