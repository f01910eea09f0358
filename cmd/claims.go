package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// defaultClaims is the default claims file, in the current directory.
const defaultClaims = "claims.json"

// claimsFlags are the flags for the claims. A command that sends gets the audience
// from the subscription; sign has a flag for it.
type claimsFlags struct {
	cmd       *cobra.Command
	subject   string
	audience  string
	expiresIn time.Duration
	scheme    vapid.Scheme
	noStrict  bool
}

func (o *claimsFlags) addFlags(c *cobra.Command) {
	o.cmd = c
	o.scheme = vapid.SchemeVAPID
	f := c.Flags()
	f.StringVar(&o.subject, "subject", "", "set sub to a contact `URI`, mailto: or https:")
	f.StringVar(&o.audience, "audience", "", "set aud to the origin `URL` (default: the endpoint's origin)")
	o.expiresIn = vapid.DefaultLifetime
	f.Var(duration(&o.expiresIn, time.Second, vapid.MaxLifetime), "expires-in", "set exp to this time from now, at most 24h")
	wordFlag(c, &o.scheme, "scheme", "", "header scheme: vapid (RFC 8292) or webpush (draft 01, with Crypto-Key)", vapid.SchemeVAPID, vapid.SchemeWebPush)
	f.BoolVar(&o.noStrict, "no-strict", false, "only warn about claims that some push services accept: an aud that is not an origin, an unusual sub, an exp that is not a whole number")
	asSetting(f, "subject", "expires-in", "scheme", "no-strict")
}

// load returns the claims from the file and the flags. If no file is given, it reads
// claims.json in the current directory unless there is a subject. The signer sets aud
// and exp.
func (o *claimsFlags) load(s *streams, file string) (c vapid.Claims, err error) {
	if file == "" {
		s.reads(defaultClaims) // no output may replace it, even if it is not used
	}
	if file != "" || !given(o.cmd, "subject") {
		if c, err = readClaims(s, file); err != nil {
			return c, misplacedClaims(cmp.Or(file, defaultClaims), err)
		}
	}
	if o.subject != "" && (c.Subject == "" || source(o.cmd, "subject") == "--subject") {
		c.Subject = o.subject
	}
	if source(o.cmd, "expires-in") == "--expires-in" {
		c.Expires = time.Time{}
	}
	return c, nil
}

// readClaims reads the claims in a file. If no file is given, it reads claims.json in
// the current directory if that exists.
func readClaims(s *streams, file string) (c vapid.Claims, err error) {
	if file == "" {
		if !exists(defaultClaims) {
			return c, nil
		}
		file = defaultClaims
	}
	b, err := s.input(file, "the claims")
	if errors.Is(err, fs.ErrNotExist) {
		err = withHint(err, `claims look like {"sub": "mailto:you@your.domain"}; without a file, use --subject`)
	}
	if err != nil {
		return c, err
	}
	c, err = vapid.ParseClaims(b)
	return c, within(inputName(file), err)
}

// signer returns the signer of the claims. It fills aud with the endpoint's
// origin, and exp.
func (o *claimsFlags) signer(key *vapid.Key, c vapid.Claims) *vapid.Signer {
	return &vapid.Signer{Key: key, Claims: c, Audience: o.audience, Lifetime: o.expiresIn, Scheme: o.scheme, Lenient: o.noStrict}
}

// signing are the flags for the keys and the claims of a command that sends.
type signing struct {
	key        keyFlag
	claims     claimsFlags
	claimsFile string
}

func (o *signing) addFlags(c *cobra.Command) {
	o.key.addRingFlags(c)
	o.claims.addFlags(c)
	c.Flags().StringVar(&o.claimsFile, "claims", "", "read the claims from `FILE`; - for standard input")
	inGroup(c.Flags(), "Key and claims")
	asSetting(c.Flags(), "claims")
}

// anyOrigin stands for the origins of many subscriptions where claims are
// checked.
const anyOrigin = "https://push.example.net"

// sign sets the keys and the claims of the client. The claims are checked for the
// origin.
func (o *signing) sign(s *streams, d *delivery, origin string) error {
	client := d.client
	client.Scheme, client.Lenient = o.claims.scheme, o.claims.noStrict
	if c := o.key.cmd; !given(c, "private-key") && !exists(defaultPrivateKey) {
		for _, name := range []string{"claims", "subject", "audience", "expires-in"} {
			if c.Flags().Changed(name) {
				d.flawed(withHint(fmt.Errorf("--%s requires a private key to sign with: %s not found", name, defaultPrivateKey),
					"generate a key pair with webpush gen, or pass one with -k"))
			}
		}
		return nil // reported by the findings
	}
	ring, err := o.key.loadRing(s)
	if err = d.excuse("vapid-key", "RFC 8292 section 3.2", err); err != nil {
		return err
	}
	if client.Key = ring.Current(); client.Key != nil {
		client.OldKeys = ring[1:]
	}
	client.Claims, err = o.claims.load(s, o.claimsFile)
	if err = d.excuse("claims", "RFC 8292 section 2", err); err != nil {
		return err
	}
	client.Audience, client.Lifetime = o.claims.audience, o.claims.expiresIn
	signer := o.claims.signer(client.Key, client.Claims)
	d.flawed(refused(signer, signer.Filled(origin))) // the rest is among the findings
	return nil
}

// refused returns the first reason why a signer refuses the claims, with a hint that
// names flags, or nil.
func refused(signer *vapid.Signer, c vapid.Claims) error {
	var no *vapid.ClaimsError
	if !errors.As(signer.Refused(c), &no) {
		return nil
	}
	p, err := no.Problems[0], &vapid.ClaimsError{Problems: no.Problems[:1]}
	switch {
	case p.Part == "aud" && c.Audience == "":
		return withHint(err, "pass --endpoint URL, -f subscription.json, or --audience")
	case p.Overlooked:
		return withHint(err, joinHints(commandHint(p.Hint), "use --no-strict to sign it anyway"))
	default:
		return err
	}
}

// misplacedClaims adds the flag for an input that was given as claims.
func misplacedClaims(name string, err error) error {
	var mistake *vapid.Error
	if errors.As(err, &mistake) {
		option := map[string]string{"subscription": "-f", "key": "-k"}[mistake.Misplaced()]
		if option != "" {
			return withHint(err, joinHints("pass it with "+option+" "+shellWord(name), mistake.Hint()))
		}
	}
	return err
}
