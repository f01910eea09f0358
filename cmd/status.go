package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/inspect"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// keyStatus is what webpush without a command prints of a file of the key pair.
type keyStatus struct {
	File  string `json:"file"`
	State string `json:"state"` // "ok", "missing", "damaged", "mismatch"
	Note  string `json:"note,omitempty"`
	err   error  // why the command fails, or nil
}

// runStatus is webpush without a command: it reports whether the key pair exists and
// its keys belong together, and offers to generate it on a terminal. A missing pair is
// a failure only if a flag or a setting names it.
func runStatus(c *cobra.Command, s *streams, pair keyPair) error {
	flag := keyFlag{value: pair.private, cmd: c}
	key, private, err := privateStatus(s, &flag, pair)
	if err != nil {
		return err
	}
	public := publicStatus(s, &flag, pair, key, private.File)
	var out struct {
		Private keyStatus `json:"privateKey"`
		Public  keyStatus `json:"publicKey"`
		Key     string    `json:"applicationServerKey,omitempty"`
	}
	out.Private, out.Public = private, public
	if key != nil {
		out.Key = key.PublicKey().String()
	}
	failure := join(private.err, public.err)
	if s.json {
		return errors.Join(s.printJSON(out), failure)
	}
	fmt.Fprintf(s.out, "%s: %s\n%s: %s\n", printable.Text(private.File), printable.Text(private.Note), printable.Text(public.File), printable.Text(public.Note))
	if key != nil {
		fmt.Fprintf(s.out, "application server key: %s\n", out.Key)
	}
	if failure == nil {
		printNext(s, key != nil)
	}
	return failure
}

// privateStatus reads the private key. If its file does not exist, it offers to generate
// the pair. The error is a wrong command line, or an interrupt.
func privateStatus(s *streams, flag *keyFlag, pair keyPair) (*vapid.Key, keyStatus, error) {
	key, name, err := flag.existing(s)
	missing := errors.Is(err, fs.ErrNotExist)
	if missing {
		made, offered := s.offerKeys(pair)
		if made != nil || offered != nil {
			return made, keyStatus{File: name, State: "ok", Note: "private key"}, offered
		}
	}
	generate := "generate a key pair with: " + flag.gen()
	status := keyStatus{File: name}
	switch {
	case missing && exists(pair.public):
		status.State, status.Note = "missing", "not found"
		status.err = withHint(err, "find the private key that belongs to "+pair.public+" and pass it with -k; to overwrite both, use webpush gen --force")
	case missing:
		status.State, status.Note = "missing", "not found; "+generate
		if given(flag.cmd, "private-key") {
			status.err = withHint(err, generate)
		}
	case exitCode(err) == exitUsage:
		return nil, status, err
	case err != nil:
		status.State, status.Note, status.err = "damaged", "damaged: "+plain(err, name), err
	default:
		status.State, status.Note = "ok", "private key"
		if found := key.Found(); found != "" {
			status.Note += ", " + found
		}
	}
	return key, status, nil
}

// publicStatus reads the file of the public key and compares it with the private key,
// which is nil if it cannot be used.
func publicStatus(s *streams, flag *keyFlag, pair keyPair, key *vapid.Key, private string) keyStatus {
	print := flag.command("app-server-key --format pem")
	again := print + " > " + shellWord(pair.public)
	stored, err := pair.existingPublic()
	if stored.Key != nil {
		s.warn(fmt.Sprintf("%s contains a private key instead of a public key", pair.public),
			"if it was published, it is exposed and must be replaced; to print the public key: webpush app-server-key --format pem")
	}
	status := keyStatus{File: pair.public, State: "ok", Note: "public key"}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status.State, status.Note = "missing", "not found"
		if key != nil {
			status.Note += " (it is optional); to create it, run: " + again
		} else if given(flag.cmd, "public-key") {
			status.err = err
		}
	case err != nil:
		status.State, status.Note, status.err = "damaged", "damaged: "+plain(err, pair.public), err
		if key != nil && damagedKey(pair.public) { // not a file of another kind
			status.err = withHint(err, "to write it again, run: "+again)
		}
	case key != nil && stored.PublicKey != key.PublicKey():
		status.State, status.Note = "mismatch", "does not match "+private
		status.err = withHint(fmt.Errorf("%s (%s) does not match %s (%s)", pair.public, stored.PublicKey.Fingerprint(), private, key.PublicKey().Fingerprint()),
			"check which of the two keys your subscriptions were created with; to print the public key of the private key, run: "+print)
	case key != nil:
		status.Note += ", belongs to " + private
	}
	return status
}

// printNext prints the commands to begin with.
func printNext(s *streams, hasKey bool) {
	first := "webpush gen                                    generate a key pair"
	if hasKey {
		first = `webpush send -f subscription.json -p "hi"      send a message`
	}
	fmt.Fprintf(s.out, `
  %s
  webpush subscribe                              get a subscription of your browser
  webpush demo                                   send a message from end to end, on this machine
  webpush inspect FILE                           identify a file
  webpush --help                                 list all commands
`, first)
}

// plain returns the text of an error without the name at its beginning.
func plain(err error, name string) string {
	return strings.TrimLeft(strings.TrimPrefix(err.Error(), name), ": ")
}

// join combines two errors into one, in one line.
func join(a, b error) error {
	if a == nil || b == nil {
		return errors.Join(a, b)
	}
	return fmt.Errorf("%w; and %w", a, b)
}

// damagedKey reports whether a file can be written again as a public key: it has what is
// left of one, or nothing.
func damagedKey(name string) bool {
	b, err := readFile(name)
	if err != nil {
		return false
	}
	t := inspect.Inspect(b, inspect.Options{})
	if t.Kind == inspect.KindOtherKey { // a whole private key may be the only copy
		return !t.Secret || !bytes.Contains(b, []byte("-----END "))
	}
	return !t.Recognized() && len(b) < 1024
}
