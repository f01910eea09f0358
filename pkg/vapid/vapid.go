// Package vapid implements Voluntary Application Server Identification for Web
// Push (RFC 8292): the signing key of an application server in every common
// format, the claims that it signs, and the Authorization header that carries
// them, for sending it and for checking a received one.
//
// A [Key] is a private key, a [PublicKey] a public key, which browsers call the
// application server key. [Key.Sign] makes a [Token] from [Claims];
// [Token.Headers] returns the headers to send:
//
//	key, err := vapid.ParseKey(pemBytes)
//	token, err := key.Sign(vapid.Claims{
//		Audience: "https://push.example.net",
//		Expires:  time.Now().Add(vapid.DefaultLifetime),
//		Subject:  "mailto:ops@example.com",
//	})
//	header := token.Authorization()
package vapid

// Error reports why a key, header, or set of claims was refused. Its message
// says what was found and what was expected, and never contains key material or
// tokens.
type Error struct {
	// Part is the part that was refused: "key", "authorization", or "claims".
	Part string
	// Problem describes the problem, in one phrase.
	Problem string

	hint      string
	noKey     bool
	misplaced string
}

// Error returns the problem.
func (e *Error) Error() string { return e.Problem }

// Hint returns the next step to take, or "".
func (e *Error) Hint() string { return e.hint }

// Misplaced returns the kind of data that was given instead of claims:
// "subscription", "key", or "headers". It returns "" for any other problem.
func (e *Error) Misplaced() string { return e.misplaced }

// NoKey reports whether the input is not a key of any kind, rather than a key
// that is damaged, of another kind, or in the wrong place.
func (e *Error) NoKey() bool { return e.noKey }
