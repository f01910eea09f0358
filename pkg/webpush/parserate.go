package webpush

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseRate reads a number of messages or requests per time, such as "100/s",
// "5000/m", or "100000/h", and returns the number per second. A bare number is per
// second. The error is an [*InputError] with Part "rate".
func ParseRate(text string) (perSecond float64, err error) {
	number, unit, slash := strings.Cut(text, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	if !slash {
		seconds = 1
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || seconds == 0 || !(n > 0 && n <= 1e9) {
		return 0, &InputError{Part: "rate", Problem: fmt.Sprintf("%q is not a rate: write a number per second, or 100/s, 5000/m, or 100000/h", text)}
	}
	return n / seconds, nil
}

// ParseRates reads rates, each in the form of [ParseRate], separated by commas:
// "fcm=10000/s,default=200/s". A rate named default, or without a name, is PerOrigin.
// The other names must be in [Services]. The error is an
// [*InputError] with Part "rate".
func ParseRates(text string) (Rates, error) {
	var rates Rates
	for part := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(part, "=")
		if !named {
			name, value = "default", part
		}
		n, err := ParseRate(value)
		if err != nil {
			return Rates{}, err
		}
		service := Service(name)
		switch {
		case name == "default" && rates.PerOrigin > 0, rates.Services[service] > 0:
			return Rates{}, &InputError{Part: "rate", Problem: fmt.Sprintf("%q has two rates for %s", text, name)}
		case name == "default":
			rates.PerOrigin = n
		case !slices.Contains(Services(), service):
			var names []string
			for _, s := range Services() {
				names = append(names, string(s))
			}
			return Rates{}, &InputError{Part: "rate", Problem: fmt.Sprintf("%q is not a service that can have a rate: use %s, or default", name, strings.Join(names, ", "))}
		default:
			if rates.Services == nil {
				rates.Services = make(map[Service]float64)
			}
			rates.Services[service] = n
		}
	}
	return rates, nil
}
