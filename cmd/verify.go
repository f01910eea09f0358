package cmd

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/inspect"
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
		Use:  "verify [header]",
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] != "-" {
				err := runVerify(s, o, args[0])
				if err != nil && exists(args[0]) {
					err = withHint(err, "to verify the header in a file, run: webpush verify < "+shellWord(args[0]))
				}
				return err
			}
			b, err := s.input("-", "the header")
			if err != nil {
				return err
			}
			return runVerify(s, o, string(b))
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
	authorization, cryptoKey := headers.Get("Authorization"), headers.Get("Crypto-Key")
	if o.cryptoKey != "" {
		if name, value, ok := strings.Cut(o.cryptoKey, ":"); ok && strings.EqualFold(strings.TrimSpace(name), "crypto-key") {
			o.cryptoKey = strings.TrimSpace(value)
		}
		cryptoKey = o.cryptoKey
	}
	audience := ""
	if o.endpoint != "" {
		if audience, err = vapid.Origin(o.endpoint); err != nil {
			return wrongFlag("endpoint", withHint(err, "give the endpoint of a subscription, https://…"))
		}
	}
	token, err := vapid.ParseToken(authorization, cryptoKey)
	if err != nil {
		return err
	}
	problems := token.Check(audience)
	if o.noStrict {
		for i, p := range problems {
			if p.Overlooked {
				problems[i].Severity = vapid.SeverityWarning
			}
		}
	}
	valid := !slices.ContainsFunc(problems, func(p vapid.Problem) bool { return p.Severity == vapid.SeverityError })
	claims, _ := token.Claims() // an error is among the problems
	if s.json {
		type problem struct {
			Part       string         `json:"part"`
			Severity   vapid.Severity `json:"severity"`
			Overlooked bool           `json:"overlooked,omitempty"`
			Message    string         `json:"message"`
			Hint       string         `json:"hint,omitempty"`
		}
		list := []problem{}
		for _, p := range problems {
			list = append(list, problem{p.Part, p.Severity, p.Overlooked, p.Message, p.Hint})
		}
		if err := s.printJSON(struct {
			Valid    bool         `json:"valid"`
			Key      string       `json:"applicationServerKey"`
			Claims   vapid.Claims `json:"claims"`
			Problems []problem    `json:"problems"`
		}{valid, token.PublicKey().String(), claims, list}); err != nil {
			return err
		}
	} else {
		signature := "good"
		if slices.ContainsFunc(problems, func(p vapid.Problem) bool { return p.Part == "signature" }) {
			signature = "bad"
		}
		fmt.Fprintf(s.out, "signature  %s, key %s\n", signature, token.PublicKey())
		fmt.Fprintf(s.out, "aud        %s\n", orDash(visible(claims.Audience)))
		fmt.Fprintf(s.out, "exp        %s\n", showExpires(claims.Expires))
		fmt.Fprintf(s.out, "sub        %s\n", orDash(visible(claims.Subject)))
		for _, name := range slices.Sorted(maps.Keys(claims.Extra)) {
			b, err := marshal(claims.Extra[name], "")
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%-10s %s\n", visible(name), visible(strings.TrimSpace(string(b))))
		}
		for _, p := range problems {
			s.talk(p.Severity.String(), severityColor[p.Severity], p.Message, commandHint(p.Hint))
		}
		verdict := s.paint(s.outTTY, "valid", color.FgGreen)
		if !valid {
			verdict = s.paint(s.outTTY, "not valid", color.FgRed)
		}
		fmt.Fprintln(s.out, verdict)
	}
	if !valid {
		return &silentError{}
	}
	return nil
}

// visible quotes a stranger's text that could act on the terminal.
func visible(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
		return strconv.Quote(s)
	}
	return s
}

func showExpires(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	left := time.Until(t).Round(time.Second)
	when := "in " + left.String()
	if left <= 0 {
		when = (-left).String() + " ago"
	}
	return fmt.Sprintf("%s (%d), %s", t.UTC().Format("2006-01-02 15:04:05Z"), t.Unix(), when)
}
