package cmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

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
	cmd      *cobra.Command
	flag     string // the option, where it is not private-key
	from     string // name in messages, if it is not a flag
}

func (k *keyFlag) addFlags(c *cobra.Command) {
	k.addFlag(c, &keyList{k: k, single: true}, privateKeyUsage)
}

// load reads the key. If its file does not exist, load offers to generate a pair on a
// terminal, and otherwise returns an error.
func (k *keyFlag) load(s *streams) (*vapid.Key, error) {
	key, _, err := k.existing(s)
	if errors.Is(err, fs.ErrNotExist) {
		key, offered := s.offerKeys(keyPair{private: k.value, public: defaultPublicKey})
		if key != nil || offered != nil {
			return key, offered
		}
		err = withHint(err, "generate a key pair with: "+k.gen())
	}
	return key, err
}

// gen returns the command that generates the key where -k looks for it.
func (k *keyFlag) gen() string {
	if k.value == defaultPrivateKey || shown(k.value) != k.value {
		return "webpush gen"
	}
	return "webpush gen -k " + shellWord(k.value)
}

// existing reads the key without offering to generate one, and returns its name for
// messages. The error is fs.ErrNotExist if the file that -k names does not exist.
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

// loadPublic reads a public key, or the public half of a private one.
func (k *keyFlag) loadPublic(s *streams) (vapid.PublicKey, error) {
	data, name, err := k.read(s)
	if errors.Is(err, fs.ErrNotExist) {
		key, offered := s.offerKeys(keyPair{private: k.value, public: defaultPublicKey})
		if key != nil {
			return key.PublicKey(), nil
		}
		err = cmp.Or(offered, withHint(err, "generate a key pair with: "+k.gen()))
	}
	if err != nil {
		return vapid.PublicKey{}, err
	}
	if key, err := vapid.ParseKey(data); err == nil && key.Note() != "" {
		s.warn(name+": "+key.Note(), "")
	}
	key, err := vapid.ParsePublicKey(data)
	return key, within(name, err)
}

// read returns the content of the file or variable that -k names, and its name for
// messages.
func (k *keyFlag) read(s *streams) ([]byte, string, error) {
	if k.value == "" {
		return nil, "", usage("omit it to use "+defaultPrivateKey, "%s is empty, expected a file, - or env:NAME", k.origin())
	}
	if variable, ok := strings.CutPrefix(k.value, "env:"); ok {
		v, name := os.Getenv(variable), "$"+variable
		if v == "" && literalKey(variable) {
			return nil, "the environment", usage("use env: with the name of a variable; pass a literal key without env:", "%s: environment variable not found (its name is not shown because it may be a key)", k.origin())
		}
		if v == "" {
			return nil, name, usage("set it to the key in PEM, base64 or any other format", "%s: the environment variable %s is empty or not set", k.origin(), variable)
		}
		return []byte(v), name, nil
	}
	if k.value == "-" {
		b, err := s.input("-", "the private key")
		return b, "standard input", err
	}
	b, err := s.file(k.value)
	if err == nil {
		if info, err := os.Stat(k.value); err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode()&0o004 != 0 {
			if _, err := vapid.ParseKey(b); err == nil {
				s.warn(fmt.Sprintf("%s can be read by every user of this machine", k.value), "chmod 600 "+shellWord(k.value))
			}
		}
		return b, k.value, nil
	}
	if exists(k.value) || !literalKey(k.value) {
		return nil, k.value, err
	}
	name := "the value of " + k.origin()
	if _, err := vapid.ParsePublicKey([]byte(k.value)); err != nil {
		if keyText(k.value) {
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
	if k.origin() == "--private-key" && k.value != defaultPrivateKey && (strings.HasPrefix(k.value, "env:") || !literalKey(k.value)) {
		args += " -k " + shellWord(k.value)
	}
	return "webpush " + args
}

// keyText reports whether text has the form of a key, even of a damaged one.
func keyText(text string) bool {
	return strings.Contains(text, "-----BEGIN ") || strings.HasPrefix(strings.TrimSpace(text), "{")
}

var (
	nameParts = regexp.MustCompile(`[^A-Za-z0-9+_=-]+`)
	hexDigits = regexp.MustCompile(`[0-9A-Fa-f]{16,}`)
)

// literalKey reports whether the value of -k may be a key, whole or damaged, instead of
// the name of a file. Such a value is never shown.
func literalKey(value string) bool {
	if keyText(value) || strings.ContainsAny(value, "\r\n") {
		return true
	}
	if _, err := vapid.ParsePublicKey([]byte(value)); err == nil {
		return true
	}
	mixed := func(s string) bool {
		return strings.ContainsAny(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") && strings.ContainsAny(s, "abcdefghijklmnopqrstuvwxyz") && strings.ContainsAny(s, "0123456789")
	}
	for _, part := range nameParts.Split(value, -1) {
		if hexDigits.MatchString(part) || len(part) >= 16 && mixed(part) {
			return true
		}
	}
	return len(value) >= 32 && !strings.Contains(value, ".") && mixed(value)
}

// shellWord returns a word for a hint that can be pasted, in quotes if necessary.
func shellWord(s string) string {
	if regexp.MustCompile(`^[A-Za-z0-9_./@%+=:,-]+$`).MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
