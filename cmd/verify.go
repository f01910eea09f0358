package cmd

import (
	"fmt"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/inspect"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

type verifyOptions struct {
	cryptoKey string
	endpoint  string
	noStrict  bool
}

func newVerifyCmd(s *streams) *cobra.Command {
	var o verifyOptions
	c := &cobra.Command{
		Use:  "verify [HEADER]",
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			arg := strings.Join(args, "")
			if len(args) == 0 {
				arg = "-"
			}
			text, name, err := s.value(arg, "the header")
			if err != nil {
				return err
			}
			err = runVerify(s, o, string(text))
			switch {
			case err == nil || arg == "-":
				return err
			case name != "":
				return within(name, err)
			case arg != "" && isWord(arg):
				return withHint(err, "no file has this name; expected a file, or vapid t=<token>, k=<application server key>")
			}
			return err
		},
	}
	c.Flags().StringVar(&o.cryptoKey, "crypto-key", "", "use this `VALUE` of the Crypto-Key header, for the scheme of the draft")
	c.Flags().StringVar(&o.endpoint, "endpoint", "", "expect the header for the endpoint or origin `URL`")
	c.Flags().BoolVar(&o.noStrict, "no-strict", false, "accept tokens that only some push services reject")
	asSetting(c.Flags(), "no-strict")
	return c
}

func runVerify(s *streams, o verifyOptions, text string) error {
	headers, err := inspect.ParseHeaders(text)
	if err != nil {
		return withHint(err, `expected {"Authorization": "vapid …"}, as webpush sign --json prints`)
	}
	cryptoKey := headers.Get("Crypto-Key")
	if o.cryptoKey != "" {
		cryptoKey = o.cryptoKey
		if name, value, ok := strings.Cut(o.cryptoKey, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "crypto-key") {
			cryptoKey = strings.TrimSpace(value)
		}
	}
	audience := ""
	if o.endpoint != "" {
		if audience, err = vapid.Origin(o.endpoint); err != nil {
			return wrongFlag("endpoint", withHint(err, "give the endpoint of a subscription, https://…"))
		}
	}
	token, err := vapid.ParseToken(headers.Get("Authorization"), cryptoKey)
	if err != nil {
		return otherKind(text, err)
	}
	v := token.Judge(audience, o.noStrict)
	for i, p := range v.Problems {
		v.Problems[i].Hint = commandHint(p.Hint)
	}
	print := printVerdict
	if s.json {
		print = func(s *streams, v vapid.Verdict) error { return s.printJSON(v) }
	}
	if err := print(s, v); err != nil || v.Valid {
		return err
	}
	return &silentError{}
}

// otherKind names the kind of an input that is not a header, or returns the error.
func otherKind(text string, err error) error {
	switch t := inspect.Inspect([]byte(text), inspect.Options{}); t.Kind {
	case inspect.KindSubscription, inspect.KindPrivateKey, inspect.KindPublicKey, inspect.KindReceiver, inspect.KindClaims, inspect.KindBody, inspect.KindResults:
		return withHint(fmt.Errorf("expected an Authorization header, found %s", t.Title), hintOf(err))
	}
	return err
}

// printVerdict writes a verdict for people.
func printVerdict(s *streams, v vapid.Verdict) error {
	signature := "bad"
	if v.Signature {
		signature = "good"
	}
	for _, line := range append([][2]string{{"signature", fmt.Sprintf("%s, key %s", signature, v.Key)}}, v.Claims.Text()...) {
		fmt.Fprintf(s.out, "%-10s %s\n", printable.Quoted(line[0]), printable.Quoted(printable.Text(line[1])))
	}
	for _, p := range v.Problems {
		s.talk(p.Severity.String(), severityColor[p.Severity], p.Message, p.Hint)
	}
	verdict := s.paint(s.outTTY, "not valid", color.FgRed)
	if v.Valid {
		verdict = s.paint(s.outTTY, "valid", color.FgGreen)
	}
	_, err := fmt.Fprintln(s.out, verdict)
	return err
}
