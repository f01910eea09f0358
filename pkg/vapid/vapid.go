// Package vapid implements Voluntary Application Server Identification for Web
// Push (RFC 8292): the signing key of an application server in every format in
// which it is found, the claims that it signs, and the Authorization header
// that carries them, both to send it and to check one that was received.
//
// A [Key] is the private half, a [PublicKey] the public half, which browsers
// call the application server key. [Key.Sign] makes a [Token] from [Claims];
// [Token.Headers] is what goes on the wire:
//
//	key, err := vapid.ParseKey(pemBytes)
//	token, err := key.Sign(vapid.Claims{
//		Audience: "https://push.example.net",
//		Expires:  time.Now().Add(vapid.DefaultLifetime),
//		Subject:  "mailto:ops@example.com",
//	})
//	header := token.Authorization()
package vapid

// Error is why a key or a header was refused. Its text says what was found and
// what was expected and never contains key material or a token.
type Error struct {
	// Part is what was refused: "key", "authorization" or "claims".
	Part string
	// Problem says what was found, in one phrase.
	Problem string

	hint      string
	noKey     bool
	misplaced string
}

// Error returns the problem.
func (e *Error) Error() string { return e.Problem }

// Hint returns the next step to take, or "" if there is none to name.
func (e *Error) Hint() string { return e.hint }

// Misplaced returns what was given instead of claims: "subscription", "key", or
// "headers". It returns "" for any other problem.
func (e *Error) Misplaced() string { return e.misplaced }

// NoKey reports whether what was given is no key of any kind, rather than one
// that is damaged, of another kind or in the wrong place.
func (e *Error) NoKey() bool { return e.noKey }
