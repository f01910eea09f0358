package cmd

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

type convertOptions struct {
	key    keyFlag
	to     vapid.Format
	public bool
	output string
	force  bool
}

var convertFormats = []vapid.Format{vapid.FormatPEM, vapid.FormatSEC1, vapid.FormatDER, vapid.FormatRaw, vapid.FormatBase64URL, vapid.FormatHex, vapid.FormatJWK, vapid.FormatJSON, vapid.FormatUint8Array}

func newConvertCmd(s *streams) *cobra.Command {
	var o convertOptions
	c := &cobra.Command{
		Use:  "convert [KEY]",
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				if c.Flags().Changed("private-key") {
					return usage("give one of them", "KEY and --private-key both name the key")
				}
				o.key.value, o.key.from = args[0], "KEY"
			}
			return runConvert(s, o)
		},
		ValidArgsFunction: completeFiles,
	}
	o.key.addFlags(c)
	f := c.Flags()
	wordFlag(c, &o.to, "to", "", "output format: "+strings.Join(words(convertFormats), ", "), convertFormats...)
	f.BoolVar(&o.public, "public", false, "write the public key")
	f.StringVarP(&o.output, "output", "o", "", "write the key to `FILE`; - for standard output even if that is a terminal")
	f.BoolVar(&o.force, "force", false, "overwrite the file")
	return c
}

func runConvert(s *streams, o convertOptions) error {
	format := o.to
	switch {
	case s.json && format != "" && format != vapid.FormatJSON && format != vapid.FormatJWK:
		return usage("omit one of them", "--json prints the key as JSON and cannot be combined with --to %s", format)
	case s.json && format == "":
		format = vapid.FormatJSON
	case format == "":
		return usage("choose one with --to: "+strings.Join(words(convertFormats), ", "), "no output format given")
	case o.force && (o.output == "" || o.output == "-"):
		return usage("add -o FILE", "--force requires -o")
	}
	found, name, err := o.key.recognize(s)
	if errors.Is(err, fs.ErrNotExist) && hintOf(err) == "" {
		err = withHint(err, "generate a key pair with: "+o.key.gen())
	}
	if err != nil {
		return err
	}
	private := found.Key != nil && !o.public
	var key interface {
		Marshal(vapid.Format) ([]byte, error)
	} = found.PublicKey
	if private {
		key = found.Key
	}
	b, err := key.Marshal(format)
	if err != nil && found.Key == nil {
		err = withHint(err, "a private key cannot be derived from a public key")
	}
	if err != nil {
		return within(name, err)
	}
	b = asLine(b, format)
	if o.output == "" || o.output == "-" {
		return s.output(o.output, b, 0o600, o.force, outputFlag)
	}
	what, mode := "public", os.FileMode(0o644)
	if private {
		what, mode = "private", 0o600
	}
	if err := s.save(o.output, b, mode, o.force, "use --force to overwrite it; if it is the only copy of a key, every subscription that was created with that key is lost"); err != nil {
		return err
	}
	s.note("wrote the %s key to %s: %s, from %s", what, absolute(o.output), format, found.Form)
	return nil
}

// asLine returns a key in a text format as a line of its own.
func asLine(key []byte, format vapid.Format) []byte {
	if format == vapid.FormatRaw || format == vapid.FormatDER || bytes.HasSuffix(key, []byte("\n")) {
		return key
	}
	return append(key, '\n')
}
