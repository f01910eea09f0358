package vapid

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Signer makes the tokens of an application server: one for each push service,
// with the same claims, reused until shortly before it expires, as RFC 8292,
// section 5 asks. It decides which claims are used and which are fit to sign,
// for everything that sends.
//
// A Signer is safe for concurrent use and must not be copied; its fields must not
// change once it is used. It never changes the claims that it is given.
type Signer struct {
	// Key is the signing key.
	Key *Key
	// Subject is the contact (sub). If it is empty, the Subject of Claims is
	// used. "mailto:" is put before a bare mail address.
	Subject string
	// Claims are the other claims. An aud in them is replaced by the push
	// service's origin: it may have been written for another one. An exp in them is
	// kept, and the tokens are not renewed after it.
	Claims Claims
	// Audience, if not empty, is the aud of every token, regardless of the push
	// service. It is meant for testing push services.
	Audience string
	// Lifetime is the lifetime of a new token, at most [MaxLifetime]. Zero
	// means [DefaultLifetime].
	Lifetime time.Duration
	// Scheme is the form of the headers; zero means [SchemeVAPID].
	Scheme Scheme
	// Lenient also signs claims whose only errors are [Problem.Overlooked] by some
	// push services. Claims with other errors are never signed.
	Lenient bool

	mu     sync.Mutex
	tokens *secretTokens
}

// secretTokens lie two pointers away from the Signer, where no verb of fmt prints
// them.
type secretTokens struct {
	byOrigin map[string]*signing
	sweep    time.Time // earliest time to drop tokens that must be renewed
}

// signing is a token, or one that is being made.
type signing struct {
	done                     chan struct{} // closed when the rest is there
	authorization, cryptoKey string
	renew                    time.Time
	err                      error
}

// Filled returns the claims of a token for the push service of that origin (see
// [Origin]): aud is [Signer].Audience, otherwise the origin, otherwise the
// Audience of Claims; exp is the Expires of Claims, otherwise Lifetime from
// now.
func (s *Signer) Filled(origin string) Claims {
	c := s.Claims
	if aud := cmp.Or(s.Audience, origin); aud != "" {
		c = c.withAudience(aud)
	}
	if s.Subject != "" {
		c.Subject = s.Subject
	}
	c.Subject = NormalizeSubject(c.Subject)
	if c.Expires.IsZero() {
		c.Expires = time.Now().Add(s.lifetime())
	}
	return c
}

func (s *Signer) lifetime() time.Duration {
	if s.Lifetime == 0 {
		return DefaultLifetime
	}
	return s.Lifetime
}

// Refused returns why a token of these claims is not signed, a [*ClaimsError], or
// nil.
func (s *Signer) Refused(c Claims) error {
	err := claimsError(c.Check())
	if err == nil || !s.Lenient {
		return err
	}
	var fatal []Problem
	for _, p := range err.(*ClaimsError).Problems {
		if !p.Overlooked {
			fatal = append(fatal, p)
		}
	}
	if fatal == nil {
		return nil
	}
	return &ClaimsError{fatal}
}

// Sign makes a new token for the push service of that origin. The error is a
// [*ClaimsError], a [*SignerError] of a key of [NewKey], or an [*Error] without a
// key.
func (s *Signer) Sign(origin string) (*Token, error) {
	if s.Key == nil {
		return nil, &Error{Part: "key", Problem: "no key to sign with", hint: "pass a P-256 private key"}
	}
	c := s.Filled(origin)
	if err := s.Refused(c); err != nil {
		return nil, err
	}
	return s.Key.sign(c)
}

// maxTokens is the maximum number of tokens kept, because endpoints are
// untrusted.
const maxTokens = 4096

// renewMargin returns how long before its expiry a token with that lifetime is no
// longer used: the request may wait, and the service's clock may be ahead.
func renewMargin(lifetime time.Duration) time.Duration { return min(lifetime/4, time.Hour) }

// Headers returns the values of the headers Authorization and, in
// [SchemeWebPush], Crypto-Key for a message to the push service of that origin.
// Both are secrets. Several callers wait for one signature, and a slow one for
// one origin does not delay the others. The error is one of [Signer.Sign], or the
// context's.
func (s *Signer) Headers(ctx context.Context, origin string) (authorization, cryptoKey string, err error) {
	now := time.Now()
	s.mu.Lock()
	if s.tokens == nil {
		s.tokens = &secretTokens{byOrigin: make(map[string]*signing)}
	}
	t := s.tokens.byOrigin[origin]
	if t != nil && t.isDone() && !now.Before(t.renew) {
		t = nil
	}
	if t == nil {
		t = &signing{done: make(chan struct{})}
		s.tokens.keep(origin, t, now)
		go s.make(origin, t)
	}
	s.mu.Unlock()
	if !t.isDone() {
		select {
		case <-t.done:
		case <-ctx.Done():
			return "", "", ctx.Err()
		}
	}
	return t.authorization, t.cryptoKey, t.err
}

func (t *signing) isDone() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

// make signs a token. A failure is not kept, so the next caller signs again.
func (s *Signer) make(origin string, t *signing) {
	defer close(t.done)
	signed, err := s.signSafely(origin)
	if err != nil {
		t.err = err
		s.mu.Lock()
		if s.tokens.byOrigin[origin] == t {
			delete(s.tokens.byOrigin, origin)
		}
		s.mu.Unlock()
		return
	}
	h := signed.Headers(s.Scheme)
	t.authorization, t.cryptoKey = h["Authorization"], h["Crypto-Key"]
	if t.renew = s.Claims.Expires; t.renew.IsZero() {
		t.renew = time.Now().Add(s.lifetime() - renewMargin(s.lifetime()))
	}
}

// signSafely is Sign, with an error for the panic of a [crypto.Signer]: it runs in
// its own goroutine, where no caller could recover.
func (s *Signer) signSafely(origin string) (t *Token, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &SignerError{fmt.Errorf("it panicked: %v", r)}
		}
	}()
	return s.Sign(origin)
}

// keep adds a token. It drops tokens that must be renewed, at most once a minute,
// and any if there are too many.
func (k *secretTokens) keep(origin string, t *signing, now time.Time) {
	full := len(k.byOrigin) >= maxTokens
	if full || len(k.byOrigin) >= maxTokens/4 && !now.Before(k.sweep) {
		k.sweep = now.Add(time.Minute)
		for o, old := range k.byOrigin {
			if old.isDone() && !now.Before(old.renew) || full && len(k.byOrigin) >= maxTokens*3/4 {
				delete(k.byOrigin, o)
			}
		}
	}
	k.byOrigin[origin] = t
}

// String names the key.
func (s *Signer) String() string { return "VAPID signer with " + fmt.Sprint(s.Key) }

// LogValue returns String, to keep tokens out of log/slog.
func (s *Signer) LogValue() slog.Value { return slog.StringValue(s.String()) }
