package cmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/keyfile"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// keyPair holds the names of the two files of a key.
type keyPair struct{ private, public string }

func (k *keyPair) addFlags(c *cobra.Command) {
	c.Flags().StringVarP(&k.private, "private-key", "k", defaultPrivateKey, privateKeyUsage)
	c.Flags().StringVar(&k.public, "public-key", defaultPublicKey, "read the public key from `FILE`")
	asSetting(c.Flags(), "private-key", "public-key")
}

// existingPublic reads the public key's file, which may contain a private key by
// mistake.
func (k keyPair) existingPublic() (vapid.Recognized, error) {
	b, err := readFile(k.public)
	if err != nil {
		return vapid.Recognized{}, err
	}
	key, err := vapid.Recognize(b)
	return key, within(k.public, err)
}

// offerKeys asks on a terminal whether to generate a key pair, and generates it. It
// returns nil if the user declines, and without a terminal. It does not ask if one of
// the files exists, because it may belong to a lost key.
func (s *streams) offerKeys(k keyPair) (*vapid.Key, error) {
	if !s.inTTY || !s.errTTY || s.json || exists(k.private) || exists(k.public) || !exists(filepath.Dir(k.private)) || strings.Contains(k.private, "://") {
		return nil, nil
	}
	fmt.Fprintf(s.err, "No %s file found.\nDo you want me to create one? (Y/n) ", k.private)
	answer, err := bufio.NewReader(s.in).ReadString('\n')
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(s.err)
		return nil, err
	}
	if err != nil && answer == "" {
		fmt.Fprintln(s.err)
		return nil, nil
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "" && a != "y" && a != "yes" {
		return nil, nil
	}
	key, err := vapid.GenerateKey()
	if err == nil {
		err = s.createPair(k, key, vapid.FormatPEM, false)
	}
	if err != nil {
		return nil, err
	}
	return key, nil
}

// createPair writes both files of a key pair, or none, and says so. Without force
// neither may exist; with it both are replaced.
func (s *streams) createPair(k keyPair, key *vapid.Key, format vapid.Format, force bool) error {
	p, err := keyfile.KeyPair(k.private, k.public, key, format)
	if err == nil {
		err = s.savePair(p, "private-key", "public-key", force, "to replace the key pair without losing subscriptions, use --next; --force overwrites it, and every subscription that was created with it is lost")
	}
	if err != nil || s.json {
		return err
	}
	s.note("wrote the private key to %s: keep it secret, and do not lose it", absolute(k.private))
	s.note("wrote the public key to %s", absolute(k.public))
	return nil
}

// savePair writes a pair whose names are from these flags. replace is the next step if
// a file exists.
func (s *streams) savePair(p *keyfile.Pair, secret, derived string, force bool, replace string) error {
	for _, f := range []struct{ flag, name string }{{secret, p.Secret.Name}, {derived, p.Derived.Name}} {
		switch {
		case f.name == "":
			return usage("omit it to use the default", "--%s is empty, expected a file", f.flag)
		case f.name == "-" || strings.HasPrefix(f.name, "env:"):
			hint := "use the name of a file"
			if strings.HasSuffix(f.flag, "-key") {
				hint += ", or --json to print the pair"
			}
			return usage(hint, "--%s is %q, expected a file to write to", f.flag, f.name)
		}
		if err := s.mayReplace(f.name, true); err != nil {
			return err
		}
		if what := precious(f.name); what != "" && force && f.flag == derived { // the file may be the only copy
			return usage("give it another name", "--%s: %s has %s, and is not replaced", f.flag, f.name, what)
		}
	}
	if fileio.Same(p.Secret.Name, p.Derived.Name) {
		return usage("give them different names", "--%s %s and --%s %s are the same file", secret, p.Secret.Name, derived, p.Derived.Name)
	}
	return orReplace(p.Write(force), replace)
}

func absolute(name string) string {
	if full, err := filepath.Abs(name); err == nil {
		return full
	}
	return name
}
