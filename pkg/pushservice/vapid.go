package pushservice

import (
	"net/http"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/fields"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// authorize checks the sender of a message (RFC 8292, section 4.2). A subscription
// without a key accepts messages without a token, but not with an invalid token. All
// problems result in 401, as at autopush; the RFC also allows 403.
func (p *personality) authorize(h http.Header, key vapid.PublicKey, origin string) error {
	const invalid = "Invalid VAPID token"
	values := h.Values("Authorization")
	if len(values) > 1 {
		return unauthorized(kindHeader, invalid, "the request has %d Authorization headers", len(values))
	}
	value := strings.TrimSpace(strings.Join(values, ""))
	if len(values) > 0 {
		if err := p.authorization(value); err != nil {
			return err
		}
	}
	if value == "" {
		if key.IsZero() && !p.needsToken {
			return nil
		}
		if key.IsZero() {
			return unauthorized(kindNoToken, "Missing VAPID token", "the request has no Authorization header")
		}
		return unauthorized(kindNoToken, p.noToken, "the subscription is restricted to an application server key, and the request has no Authorization header")
	}
	if err := checkForm(value, joined(h, "Crypto-Key")); err != nil {
		return err
	}
	token, err := vapid.ParseToken(value, joined(h, "Crypto-Key"))
	if err != nil {
		return unauthorized(kindToken, invalid, "%v", err)
	}
	if k := token.PublicKey(); !key.IsZero() && k != key {
		return unauthorized(kindMismatch, "VAPID public key mismatch", "the message is signed with the key %s, but the subscription was created for %s", k, key)
	}
	now := time.Now()
	for _, problem := range token.Check(origin) {
		if p.ignores(problem.Part, problem.Severity == vapid.SeverityWarning) {
			continue
		}
		switch problem.Part {
		case "aud":
			return unauthorized(kindAudience, "Invalid VAPID audience", "%s", problem.Message)
		case "exp":
			c, err := token.Claims()
			if err != nil {
				break
			}
			switch c.Expiry(now) {
			case vapid.ExpiryMissing:
				return unauthorized(kindNoExpires, invalid, "%s", problem.Message)
			case vapid.ExpiryTooLate:
				if p.anyLifetime {
					continue
				}
				return unauthorized(kindLifetime, "The VAPID token expiration is too long", "%s", problem.Message)
			case vapid.ExpiryPast:
				if now.Sub(c.Expires) < p.leeway {
					continue
				}
				return unauthorized(kindExpired, invalid, "%s", problem.Message)
			}
		case "authorization":
			return unauthorized(kindHeader, invalid, "%s", problem.Message)
		case "sub":
			return unauthorized(kindSubject, invalid, "%s", problem.Message)
		}
		return unauthorized(kindToken, invalid, "%s", problem.Message)
	}
	return nil
}

// checkForm reports, in the words of autopush, problems that keep package vapid from
// reading the token.
func checkForm(authorization, cryptoKey string) error {
	scheme, rest := authorization, ""
	if i := strings.IndexAny(authorization, " \t"); i >= 0 {
		scheme, rest = authorization[:i], authorization[i+1:]
	}
	switch strings.ToLower(scheme) {
	case "vapid":
		list, err := fields.List(rest)
		if err != nil {
			return unauthorized(kindHeader, "Invalid VAPID token", "Authorization: %v", err)
		}
		if len(all(list, "t")) == 0 {
			return unauthorized(kindHeader, "Missing VAPID token", "Authorization has no parameter t")
		}
		k := all(list, "k")
		if len(k) == 0 {
			return unauthorized(kindHeader, "Missing VAPID public key", "Authorization has no parameter k")
		}
		return checkKey("k", k[0])
	case "webpush", "bearer": // draft-ietf-webpush-vapid-01
		list, err := fields.List(cryptoKey)
		if err != nil {
			return badEncryption("Invalid Crypto-Key header", "%v", err)
		}
		k := all(list, "p256ecdsa")
		if len(k) == 0 {
			return badEncryption("Missing p256ecdsa in Crypto-Key header", "the scheme %s requires the application server key there", scheme)
		}
		return checkKey("p256ecdsa", k[0])
	}
	// The message does not repeat the value, which may be a token.
	_, err := vapid.ParseToken(authorization, cryptoKey)
	return unauthorized(kindHeader, "Unknown auth scheme", "%v, expected vapid", err)
}

func checkKey(name, value string) error {
	b, err := b64.Decode(value)
	if err == nil {
		_, err = parseKey(b)
	}
	if err != nil {
		return unauthorized(kindBadKey, "Invalid VAPID public key", "%s: %v", name, err)
	}
	return nil
}
