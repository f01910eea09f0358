package webpush

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// MinSkew is the smallest difference between this machine's clock and a server's that
// is reported. Push services compare exp with their own clocks (RFC 8292, section 2).
const MinSkew = time.Minute

// SkewHint is the next step if the difference is at least [MinSkew].
const SkewHint = "set the clock of this machine"

// ClockSkew compares this machine's clock, which shows now, with the server's, and returns
// how far ahead it is (behind if negative), in whole seconds. h is the header of a response,
// which has the server's time in Date, and in Age if it comes from a cache (RFC 9110,
// section 6.6.1; RFC 9111, section 5.1). ok is false without a valid Date.
func ClockSkew(h http.Header, now time.Time) (skew time.Duration, ok bool) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		date = date.Add(time.Duration(age) * time.Second)
	}
	date = date.Add(time.Second / 2) // Date has no fraction
	return now.Sub(date).Round(time.Second), true
}

// SkewText describes the difference from a clock, such as "the service's": "the clock of
// this machine is 2m0s ahead of the service's".
func SkewText(skew time.Duration, clock string) string {
	how := "ahead of"
	if skew < 0 {
		how = "behind"
	}
	return fmt.Sprintf("the clock of this machine is %v %s %s", skew.Abs().Round(time.Second), how, clock)
}
