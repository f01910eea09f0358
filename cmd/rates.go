package cmd

import (
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// rateFlag is a flag that accepts a rate.
type rateFlag struct {
	text      string
	perSecond float64
}

func (r *rateFlag) String() string { return r.text }
func (r *rateFlag) Type() string   { return "RATE" }
func (r *rateFlag) Set(v string) (err error) {
	r.text = v
	r.perSecond, err = webpush.ParseRate(v)
	return err
}

// ratesFlag is a flag that accepts the rates of push services.
type ratesFlag struct {
	text  string
	rates webpush.Rates
}

// addFlag adds the flag, for all commands that send to many.
func (r *ratesFlag) addFlag(f *pflag.FlagSet) {
	f.Var(r, "rate-per-origin", "send at most this many to each push service: 200/s, or with names as fcm=10000/s,default=200/s")
}

func (r *ratesFlag) String() string { return r.text }
func (r *ratesFlag) Type() string   { return "RATES" }
func (r *ratesFlag) Set(v string) (err error) {
	r.text = v
	r.rates, err = webpush.ParseRates(v)
	return err
}
