package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

type signOptions struct {
	key          keyFlag
	claims       claimsFlags
	endpoint     string
	subscription string
}

func newSignCmd(s *streams) *cobra.Command {
	var o signOptions
	c := &cobra.Command{
		Use:  "sign [claims.json]",
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if err := exclusive(c, "endpoint", "subscription"); err != nil {
				return err
			}
			file := ""
			if len(args) == 1 {
				file = args[0]
			}
			return runSign(s, o, file)
		},
		ValidArgsFunction: completeJSON,
	}
	o.key.addFlags(c)
	o.claims.addFlags(c)
	c.Flags().StringVar(&o.endpoint, "endpoint", "", "fill aud from the endpoint `URL`")
	c.Flags().StringVarP(&o.subscription, "subscription", "f", "", "fill aud from the endpoint of the subscription in `FILE`")
	return c
}

func runSign(s *streams, o signOptions, file string) error {
	claims, err := o.claims.load(s, file)
	if err != nil {
		return err
	}
	origin := ""
	switch {
	case o.endpoint != "":
		if origin, err = vapid.Origin(o.endpoint); err != nil {
			return wrongFlag("endpoint", withHint(err, "pass the endpoint of a subscription, https://…"))
		}
	case o.subscription != "":
		sub, err := loadSubscription(s, o.subscription)
		if err != nil {
			return err
		}
		origin = sub.Origin()
	}
	if aud := claims.Audience; origin != "" && o.claims.audience == "" && aud != "" && aud != origin {
		s.warn(fmt.Sprintf("aud of the claims is %q; the endpoint's origin %q is used instead", aud, origin), "remove aud from the claims file")
	}
	if o.claims.audience != "" && origin != "" && o.claims.audience != origin {
		s.warn(fmt.Sprintf("--audience is %q, but the endpoint is at %q", o.claims.audience, origin), "omit --audience to use the endpoint's origin")
	}
	signer := o.claims.signer(nil, claims)
	filled := signer.Filled(origin)
	if err := refused(signer, filled); err != nil {
		return err
	}
	for _, p := range filled.Check() {
		s.warn(p.Message, commandHint(p.Hint))
	}
	if signer.Key, err = o.key.load(s); err != nil {
		return err
	}
	token, err := signer.Sign(origin)
	if err != nil {
		return err
	}
	headers := token.Headers(o.claims.scheme)
	if s.json {
		return s.printJSON(headers)
	}
	printHeaders(s.out, headers)
	return nil
}
