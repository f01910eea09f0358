package vapid

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Signer makes the tokens of an application server: one for each push service,
// of the same claims, used again until shortly before it expires, as RFC 8292,
// section 5, asks for. Which claims that are, and which of them are signed, is
// decided here for everything that sends.
//
// A Signer is safe for concurrent use and must not be copied; its fields must not
// change once it is used. It never changes the claims that it is given.
type Signer struct {
	// Key signs.
	Key *Key
	// Subject is the contact (sub). If it is empty, that of Claims counts. A bare
	// mail address gets its "mailto:".
	Subject string
	// Claims are the other claims. An aud in them is replaced by the push
	// service's origin: it may have been written for another one. An exp in them is
	// kept, and the tokens are not renewed after it.
	Claims Claims
	// Audience, if it is not empty, is the aud of every token, whatever push
	// service it is for. It is for those who test push services.
	Audience string
	// Lifetime is how far exp is ahead when a token is made; zero means
	// [DefaultLifetime]. It is at most [MaxLifetime].
	Lifetime time.Duration
	// Scheme is the form of the headers; zero means [SchemeVAPID].
	Scheme Scheme
	// Lenient also signs claims with problems that are [Lenient]: some push
	// services overlook them. Claims with [Fatal] problems are never signed.
	Lenient bool

	mu     sync.Mutex
	tokens *secretTokens
}

// secretTokens lie two pointers away from the Signer, where no verb of fmt prints
// them.
type secretTokens struct {
	byOrigin map[string]*signing
	sweep    time.Time // when tokens that are to be renewed are dropped
}

// signing is a token, or one that is being made.
type signing struct {
	done                     chan struct{} // closed when the rest is there
	authorization, cryptoKey string
	renew                    time.Time
	err                      error
}

// Filled returns the claims of a token for the push service of that origin (see
// [Origin]): aud is [Signer].Audience, else the origin, else that of Claims; exp
// is that of Claims, else Lifetime from now.
func (s *Signer) Filled(origin string) Claims {
	c := s.Claims
	switch {
	case s.Audience != "":
		c.Audience = s.Audience
	case origin != "":
		c.Audience = origin
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
		if p.Severity == Fatal {
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
		return nil, &Error{Part: "key", Problem: "there is no key to sign with", hint: "give a P-256 private key"}
	}
	c := s.Filled(origin)
	if err := s.Refused(c); err != nil {
		return nil, err
	}
	return s.Key.SignUnchecked(c)
}

// maxTokens bounds how many tokens are kept: endpoints come from strangers.
const maxTokens = 4096

// renewMargin is how long before its end a token of that lifetime is not used
// any longer: the request may wait, and the service's clock may be ahead.
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

// make signs a token. A failure is forgotten, so that the next caller tries again.
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
// a goroutine of its own, where nobody could recover.
func (s *Signer) signSafely(origin string) (t *Token, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &SignerError{fmt.Errorf("it panicked: %v", r)}
		}
	}()
	return s.Sign(origin)
}

// keep adds a token. It drops those that are to be renewed, at most once a minute,
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

// LogValue is String, so that log/slog writes no token.
func (s *Signer) LogValue() slog.Value { return slog.StringValue(s.String()) }
