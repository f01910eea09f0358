package cmd

import (
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func newAppServerKeyCmd(s *streams) *cobra.Command {
	var key keyFlag
	format := vapid.FormatBase64URL
	c := &cobra.Command{
		Use:     "app-server-key [KEY]",
		Aliases: []string{"applicationServerKey"},
		Args:    atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				if c.Flags().Changed("private-key") {
					return usage("give one of them", "the key is given twice: as %q and with -k", shown(args[0]))
				}
				key.value, key.from = args[0], "KEY"
			}
			if s.json && format != vapid.FormatBase64URL {
				return usage("omit one of them", "--json prints the key as base64url and cannot be combined with --format %s", format)
			}
			public, err := key.loadPublic(s)
			if err != nil {
				return err
			}
			b, err := public.Marshal(format)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(map[string]string{"applicationServerKey": public.String()})
			}
			return s.output("", asLine(b, format), 0o644, false, "write it to a file: > FILE")
		},
	}
	key.addFlags(c)
	wordFlag(c, &format, "format", "", "how to print it: base64url, hex, uint8array, raw, jwk, pem",
		vapid.FormatBase64URL, vapid.FormatHex, vapid.FormatUint8Array, vapid.FormatRaw, vapid.FormatJWK, vapid.FormatPEM)
	return c
}
