package cmd

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/inspect"
)

type encryptOptions struct {
	payload      payloadFlags
	subscription string
	output       string
	force        bool
}

func newEncryptCmd(s *streams) *cobra.Command {
	var o encryptOptions
	c := &cobra.Command{
		Use:  "encrypt [subscription.json]",
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := oneSubscription(o.subscription, args)
			if err != nil {
				return err
			}
			if len(files) > 0 {
				o.subscription = files[0]
			}
			return runEncrypt(s, o)
		},
		ValidArgsFunction: completeJSON,
	}
	addSubscriptionFlag(c, &o.subscription)
	c.Flags().StringVarP(&o.output, "output", "o", "", "write the body to `FILE`; - for standard output even if that is a terminal")
	c.Flags().BoolVar(&o.force, "force", false, "replace a file that has a key")
	inGroup(c.Flags(), "Flags")
	o.payload.addFlags(c)
	return c
}

func runEncrypt(s *streams, o encryptOptions) error {
	if o.subscription == "" {
		return usage("pass one with -f subscription.json, or create one for a test: webpush gen --receiver", "encrypt needs a subscription")
	}
	sub, err := loadSubscription(s, o.subscription)
	if err != nil {
		return err
	}
	if sub.Recipient() == nil {
		return withHint(fmt.Errorf("%s: the subscription has no keys, so nothing can be encrypted for it", inputName(o.subscription)),
			"get the subscription from the browser again, with JSON.stringify(subscription)")
	}
	payload, err := o.payload.load(s)
	if err != nil {
		return err
	}
	if payload == nil {
		return usage("set it with -p TEXT, --payload-file FILE, or the flags of a notification, such as --title", "encrypt needs a payload")
	}
	made, err := sub.Recipient().Encrypt(payload, o.payload.Options)
	if err != nil {
		return err
	}
	if s.json {
		b, err := marshal(made, "  ")
		if err != nil {
			return err
		}
		return s.output(o.output, b, 0o644, o.force, outputFlag)
	}
	if err := s.output(o.output, made.Body, 0o644, o.force, outputFlag); err != nil {
		return err
	}
	printHeaders(s.err, made.Headers())
	return nil
}

// printHeaders writes the headers of a token or a message.
func printHeaders(w io.Writer, headers map[string]string) {
	for _, name := range []string{"Authorization", "Content-Encoding", "Encryption", "Crypto-Key"} {
		if v, ok := headers[name]; ok {
			fmt.Fprintf(w, "%s: %s\n", name, v)
		}
	}
}

type decryptOptions struct {
	receiver   string
	encoding   ece.Encoding
	encryption string
	cryptoKey  string
	output     string
	force      bool
}

func newDecryptCmd(s *streams) *cobra.Command {
	var o decryptOptions
	c := &cobra.Command{
		Use:  "decrypt [body.bin]",
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			name := "-"
			if len(args) == 1 {
				name = args[0]
			}
			return runDecrypt(s, o, name)
		},
	}
	f := c.Flags()
	f.StringVar(&o.receiver, "receiver", "receiver.json", "read the receiver's keys from `FILE` (see webpush gen --receiver)")
	wordFlag(c, &o.encoding, "encoding", "e", "content encoding: aes128gcm or aesgcm (default: aesgcm when its headers are given)", ece.AES128GCM, ece.AESGCM)
	f.StringVar(&o.encryption, "encryption", "", "aesgcm: the `VALUE` of the Encryption header")
	f.StringVar(&o.cryptoKey, "crypto-key", "", "aesgcm: the `VALUE` of the Crypto-Key header")
	f.StringVarP(&o.output, "output", "o", "", "write the payload to `FILE`; - for standard output even if that is a terminal")
	f.BoolVar(&o.force, "force", false, "replace a file that has a key")
	return c
}

func runDecrypt(s *streams, o decryptOptions, name string) error {
	if o.receiver == "-" && name == "-" {
		return usage("pass the body as a file: webpush decrypt --receiver - body.bin", "the receiver's keys and the body cannot both be read from standard input")
	}
	keys, err := s.input(o.receiver, "the receiver's keys")
	if errors.Is(err, fs.ErrNotExist) {
		err = withHint(err, "make a receiver with: webpush gen --receiver")
	}
	if err != nil {
		return err
	}
	id, err := inspect.ParseReceiver(keys)
	if err != nil {
		return within(inputName(o.receiver), err)
	}
	data, err := s.inputBytes(name, "the body")
	if err != nil {
		return err
	}
	header := make(http.Header)
	for field, value := range map[string]string{"Content-Encoding": string(o.encoding), "Encryption": o.encryption, "Crypto-Key": o.cryptoKey} {
		if value != "" {
			header.Set(field, value)
		}
	}
	m, err := inspect.ParseMessage(data, header)
	if e, ok := errors.AsType[*ece.Error](err); ok && (e.Code == ece.CodeField || o.encryption != "" || o.cryptoKey != "") {
		return usage("give the values of the request's headers: --encryption 'salt=…' --crypto-key 'dh=…'", "%w", err)
	}
	if err != nil {
		return within(inputName(name), err)
	}
	payload, err := id.Decrypt(m)
	if err != nil {
		if inspect.IsText(m.Body) { // of JSON that was truncated, a page, or a file of another kind
			return withHint(fmt.Errorf("%s: expected an encrypted body, found %s", inputName(name), inspect.Inspect(data, inspect.Options{}).Title), "pass the body of the request as it was sent")
		}
		if m.Encoding == ece.AES128GCM && hintOf(err) == "" {
			err = withHint(err, "check that this is the whole body; if its encoding is aesgcm, add --encryption and --crypto-key")
		}
		return within(inputName(name), err)
	}
	if s.json {
		result := map[string]any{"payloadBase64url": base64.RawURLEncoding.EncodeToString(payload)}
		if utf8.Valid(payload) {
			result["payload"] = string(payload)
		}
		return s.printJSON(result)
	}
	return s.output(o.output, payload, 0o600, o.force, outputFlag)
}
