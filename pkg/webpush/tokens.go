package webpush

import (
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// tokens keeps signed tokens until shortly before they expire, one for each
// key, audience and subject: signing costs as much as all the rest of a
// message, and services want tokens to be used again (RFC 8292 section 5).
//
// The tokens are credentials: they lie two pointers away from the [Client], so
// that no verb of fmt prints them with it.
type tokens struct {
	mu   sync.Mutex
	kept *kept
}

type kept struct{ byWhat map[tokenFor]*token }

type tokenFor struct {
	key               vapid.PublicKey
	audience, subject string
	expires           int64 // when the caller fixed it, else 0
	scheme            vapid.Scheme
}

type token struct {
	authorization, cryptoKey string
	renew                    time.Time
}

// renewMargin is how long before its end a token of that lifetime is not used
// any more: the request may wait, and the service's clock may be ahead.
func renewMargin(lifetime time.Duration) time.Duration { return min(lifetime/4, time.Hour) }

// get returns a token made of the claims, the one that it has or a new one;
// unchecked signs also what some push services refuse.
func (t *tokens) get(key *vapid.Key, c vapid.Claims, lifetime time.Duration, scheme vapid.Scheme, unchecked bool) (*token, error) {
	what := tokenFor{key: key.PublicKey(), audience: c.Audience, subject: c.Subject, scheme: scheme}
	if !c.Expires.IsZero() {
		what.expires = c.Expires.Unix()
	}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept == nil {
		t.kept = &kept{make(map[tokenFor]*token)}
	}
	byWhat := t.kept.byWhat
	if found, ok := byWhat[what]; ok && now.Before(found.renew) {
		return found, nil
	}
	made := &token{renew: c.Expires}
	sign := key.Sign
	if unchecked {
		sign = key.SignUnchecked
	}
	if c.Expires.IsZero() {
		c.Expires = now.Add(lifetime)
		made.renew = c.Expires.Add(-renewMargin(lifetime))
	}
	if unchecked {
		for _, p := range c.Check() { // no service takes such a token, and one that is good for too long must not be
			if p.Severity == vapid.Fatal {
				return nil, &vapid.ClaimsError{Problems: []vapid.Problem{p}}
			}
		}
	}
	signed, err := sign(c)
	if err != nil {
		return nil, err
	}
	h := signed.Headers(scheme)
	made.authorization, made.cryptoKey = h["Authorization"], h["Crypto-Key"]
	for k, v := range byWhat { // endpoints come from strangers: do not keep what is over
		if len(byWhat) < 1024 {
			break
		}
		if !now.Before(v.renew) || len(byWhat) >= 4096 {
			delete(byWhat, k)
		}
	}
	byWhat[what] = made
	return made, nil
}
