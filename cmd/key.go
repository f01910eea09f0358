package cmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/keyfile"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// The files of a key pair, as bin/vapid names them.
const (
	defaultPrivateKey = "private_key.pem"
	defaultPublicKey  = "public_key.pem"
)

// privateKeyUsage is the help of -k.
const privateKeyUsage = "the VAPID private key: a `FILE` in any format, - for standard input, or env:NAME"

// keyFlag is the option -k of the commands that sign.
type keyFlag struct {
	value    string
	replaced []string // other keys, if -k may be repeated
	single   bool     // -k may not be repeated; of a list in the settings, the first counts
	changed  bool
	cmd      *cobra.Command
	flag     string // the option, where it is not private-key
	from     string // name in messages, if it is not a flag
}

func (k *keyFlag) addFlags(c *cobra.Command) {
	k.single = true
	k.addFlag(c, privateKeyUsage)
}

// load reads the key. If its file does not exist, load offers to generate a pair on a
// terminal, and otherwise returns an error.
func (k *keyFlag) load(s *streams) (*vapid.Key, error) {
	key, _, err := k.existing(s)
	if err != nil {
		return k.offer(s, err)
	}
	return key, nil
}

// loadPublic reads a public key, or the public half of a private one, as load does.
func (k *keyFlag) loadPublic(s *streams) (vapid.PublicKey, error) {
	found, _, err := k.recognize(s)
	if err == nil {
		return found.PublicKey, nil
	}
	key, err := k.offer(s, err)
	if err != nil {
		return vapid.PublicKey{}, err
	}
	return key.PublicKey(), nil
}

// offer offers to generate a pair if err says that the file of the key does not exist.
// Otherwise, it returns err.
func (k *keyFlag) offer(s *streams, err error) (*vapid.Key, error) {
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, offered := s.offerKeys(keyPair{private: k.value, public: defaultPublicKey})
	if key == nil && offered == nil {
		offered = withHint(err, "generate a key pair with: "+k.gen())
	}
	return key, offered
}

// gen returns the command that generates the key where -k looks for it.
func (k *keyFlag) gen() string {
	if k.value == defaultPrivateKey || shown(k.value) != k.value {
		return "webpush gen"
	}
	return "webpush gen -k " + shellWord(k.value)
}

// existing reads the private key without offering to generate one, and returns its name
// for messages. The error is fs.ErrNotExist if the file that -k names does not exist.
func (k *keyFlag) existing(s *streams) (*vapid.Key, string, error) {
	data, name, err := k.read(s)
	if err != nil {
		return nil, name, err
	}
	key, err := vapid.ParseKey(data)
	if err != nil {
		err = within(name, err)
		if len(bytes.TrimSpace(data)) == 0 { // only if it is empty: replacing a key would lose every subscription
			err = withHint(err, "generate a key pair with: "+k.gen())
		}
		return nil, name, err
	}
	if note := key.Note(); note != "" {
		s.warn(name+": "+note, "")
	}
	return key, name, nil
}

// recognize reads a private or public key, and returns its name for messages.
func (k *keyFlag) recognize(s *streams) (vapid.Recognized, string, error) {
	data, name, err := k.read(s)
	if err != nil {
		return vapid.Recognized{}, name, err
	}
	found, err := vapid.Recognize(data)
	if found.Note != "" {
		s.warn(name+": "+found.Note, "")
	}
	return found, name, within(name, err)
}

// read returns the content of the file or variable that -k names, and its name for
// messages.
func (k *keyFlag) read(s *streams) ([]byte, string, error) {
	if k.value == "" {
		return nil, "", usage("omit it to use "+defaultPrivateKey, "%s is empty, expected a file, - or env:NAME", k.origin())
	}
	if text, named, err := envSecret(k.origin(), k.value, "the key in PEM, base64 or any other format"); err != nil {
		return nil, "the environment", err
	} else if named {
		return []byte(text), "$" + strings.TrimPrefix(k.value, "env:"), nil
	}
	if k.value == "-" {
		b, err := s.input("-", "the private key")
		return b, "standard input", err
	}
	b, err := s.file(k.value)
	if err == nil {
		if _, err := vapid.ParseKey(b); err == nil && keyfile.Readable(k.value) {
			s.warn(fmt.Sprintf("%s can be read by every user of this machine", k.value), "chmod 600 "+shellWord(k.value))
		}
		return b, k.value, nil
	}
	if exists(k.value) || !vapid.MayBeKey(k.value) {
		return nil, k.value, err
	}
	name := "the value of " + k.origin()
	if _, err := vapid.ParsePublicKey([]byte(k.value)); err != nil {
		if vapid.KeyText(k.value) {
			return nil, name, within(name, err)
		}
		return nil, name, withHint(fmt.Errorf("%s is not shown because it may be a key; no file has that name, and %w", name, err),
			"pass a file with -k FILE, or use -k env:NAME; generate a key pair with: webpush gen")
	}
	if _, err := vapid.ParseKey([]byte(k.value)); err == nil && (k.origin() == "--private-key" || k.from != "") {
		s.warn("the private key is on the command line, where other users of this machine can see it", "pass a file with -k FILE, or use -k env:NAME")
	}
	return []byte(k.value), name, nil
}

// origin names the source of the flag's value: the flag, a setting, or a variable.
func (k *keyFlag) origin() string {
	if k.from != "" {
		return k.from
	}
	flag := cmp.Or(k.flag, "private-key")
	if from := source(k.cmd, flag); from != "default" {
		return from
	}
	return "--" + flag
}

// command returns a command line that reads the same key.
func (k *keyFlag) command(args string) string {
	if k.origin() == "--private-key" && k.value != defaultPrivateKey && (strings.HasPrefix(k.value, "env:") || !vapid.MayBeKey(k.value)) {
		args += " -k " + shellWord(k.value)
	}
	return "webpush " + args
}

// shellWord returns a word for a hint that can be pasted, in quotes if necessary.
func shellWord(s string) string {
	// A shell does not change words of these characters.
	if s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./@%+=:,-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
