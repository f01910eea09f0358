package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// parseRate reads a number of messages for a time.
func parseRate(v string) (perSecond float64, ok bool) {
	number, unit, slash := strings.Cut(v, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !slash {
		seconds = 1
	}
	n, err := strconv.ParseFloat(number, 64)
	return n / seconds, err == nil && seconds > 0 && n > 0 && n <= 1e9
}

const rateForms = "100/s, 5000/m, or 100000/h"

// rateFlag is a flag that accepts a rate.
type rateFlag struct {
	text      string
	perSecond float64
}

func (r *rateFlag) String() string { return r.text }
func (r *rateFlag) Type() string   { return "RATE" }
func (r *rateFlag) Set(v string) error {
	n, ok := parseRate(v)
	if !ok {
		return fmt.Errorf("%q is not a rate: write a number of messages per second, or %s", v, rateForms)
	}
	r.text, r.perSecond = v, n
	return nil
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

// ratedServices are the names that a rate can have, as they are listed to users.
var ratedServices = []webpush.Service{webpush.FCM, webpush.Mozilla, webpush.Apple, webpush.WNS, webpush.UnifiedPush}

func (r *ratesFlag) String() string { return r.text }
func (r *ratesFlag) Type() string   { return "RATES" }
func (r *ratesFlag) Set(v string) error {
	var rates webpush.Rates
	for part := range strings.SplitSeq(v, ",") {
		name, value, named := strings.Cut(part, "=")
		if !named {
			name, value = "default", part
		}
		n, ok := parseRate(value)
		if !ok {
			return fmt.Errorf("%q is not a rate: write a number of messages per second, or %s", value, rateForms)
		}
		service := webpush.Service(name)
		switch {
		case name == "default" && rates.PerOrigin > 0, rates.Services[service] > 0:
			return fmt.Errorf("%q has two rates for %s", v, name)
		case name == "default":
			rates.PerOrigin = n
		case !slices.Contains(ratedServices, service):
			return fmt.Errorf("%q is not a service that can have a rate: use %s, or default", name, listServices())
		default:
			if rates.Services == nil {
				rates.Services = make(map[webpush.Service]float64)
			}
			rates.Services[service] = n
		}
	}
	r.text, r.rates = v, rates
	return nil
}

func listServices() string {
	var names []string
	for _, s := range ratedServices {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}
