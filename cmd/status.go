package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
)

// runStatus is webpush without a command: it reports whether the key pair exists and
// its keys belong together, and offers to generate it on a terminal. A missing pair is
// a failure only if a flag or a setting names it.
func runStatus(c *cobra.Command, s *streams, pair keyPair) error {
	type half struct {
		File  string `json:"file"`
		State string `json:"state"` // "ok", "missing", "damaged", "mismatch"
		Note  string `json:"note,omitempty"`
	}
	flag := keyFlag{value: pair.private, cmd: c}
	key, name, err := flag.existing(s)
	if errors.Is(err, fs.ErrNotExist) {
		made, offered := s.offerKeys(pair)
		if offered != nil {
			return offered
		}
		if made != nil {
			key, err = made, nil
		}
	}
	var failures []error
	private := half{File: name, State: "ok", Note: "private key"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		private.State, private.Note = "missing", "not found; generate a key pair with: webpush gen"
		switch {
		case exists(pair.public):
			private.Note = "not found"
			failures = append(failures, withHint(err, "find the private key that belongs to "+pair.public+" and pass it with -k; to overwrite both, use webpush gen --force"))
		case given(c, "private-key"):
			failures = append(failures, withHint(err, "generate a key pair with: webpush gen"))
		}
	case exitCode(err) == exitUsage:
		return err
	case err != nil:
		private.State, private.Note = "damaged", "damaged: "+plain(err, name)
		failures = append(failures, err)
	case key.Found() != "":
		private.Note += ", " + key.Found()
	}
	public := half{File: pair.public, State: "ok", Note: "public key"}
	stored, err := pair.existingPublic()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		public.State, public.Note = "missing", "not found"
		if key != nil {
			public.Note += " (it is optional); to create it, run: " + flag.command("app-server-key --format pem") + " > " + shellWord(pair.public)
		} else if given(c, "public-key") {
			failures = append(failures, err)
		}
	case err != nil:
		public.State, public.Note = "damaged", "damaged: "+plain(err, pair.public)
		if key != nil {
			err = withHint(err, "to write it again, run: "+flag.command("app-server-key --format pem")+" > "+shellWord(pair.public))
		}
		failures = append(failures, err)
	case key != nil && stored.PublicKey != key.PublicKey():
		public.State, public.Note = "mismatch", "does not match "+name
		failures = append(failures, withHint(fmt.Errorf("%s (%s) does not match %s (%s)", pair.public, stored.PublicKey.Fingerprint(), name, key.PublicKey().Fingerprint()),
			"check which of the two keys your subscriptions were created with; to print the public key of the private key, run: "+flag.command("app-server-key --format pem")))
	case key != nil:
		public.Note += ", belongs to " + name
	}
	if stored.Key != nil {
		s.warn(fmt.Sprintf("%s contains a private key instead of a public key", pair.public),
			"if it was published, it is exposed and must be replaced; to print the public key: webpush app-server-key --format pem")
	}
	server := ""
	if key != nil {
		server = key.PublicKey().String()
	}
	if s.json {
		if err := s.printJSON(struct {
			Private half   `json:"privateKey"`
			Public  half   `json:"publicKey"`
			Key     string `json:"applicationServerKey,omitempty"`
		}{private, public, server}); err != nil {
			return err
		}
		return join(failures)
	}
	fmt.Fprintf(s.out, "%s: %s\n%s: %s\n", safe(private.File), safe(private.Note), safe(public.File), safe(public.Note))
	if server != "" {
		fmt.Fprintf(s.out, "application server key: %s\n", server)
	}
	if failures != nil {
		return join(failures)
	}
	first := "webpush gen                                    generate a key pair"
	if key != nil {
		first = `webpush send -f subscription.json -p "hi"      send a message`
	}
	fmt.Fprintf(s.out, `
  %s
  webpush subscribe                              get a subscription of your browser
  webpush demo                                   send a message from end to end, on this machine
  webpush inspect FILE                           identify a file
  webpush --help                                 list all commands
`, first)
	return nil
}

// plain returns the text of an error without the name at its beginning.
func plain(err error, name string) string {
	return strings.TrimLeft(strings.TrimPrefix(err.Error(), name), ": ")
}

// join combines errors into one, in one line.
func join(errs []error) error {
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	return fmt.Errorf("%w; and %w", errs[0], errs[1])
}
