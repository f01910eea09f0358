package pushservice

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ParseFault reads a [Fault] from a text, a list of name=value separated by
// commas, such as "status=503,share=10%,retry-after=5". The names are those of the
// fields (subscription, on, error, status, body, count, after, share, delay,
// reset) and retry-after for that header. Share is a percentage or a fraction,
// delay a duration such as 100ms or a number of seconds, and reset has no value. A
// value cannot contain a comma.
// Always is true unless count is given. The error is an [*Error], also for values
// that [Service.AddFault] would refuse.
func ParseFault(text string) (Fault, error) {
	const invalid = "Invalid fault"
	f := Fault{Always: true}
	for item := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		whole := func(to *int, least int) error {
			n, err := strconv.Atoi(value)
			if err != nil || n < least {
				return badRequest(invalid, "%s is %q, expected a whole number, %d or more", name, clip(value), least)
			}
			*to = n
			return nil
		}
		var err error
		switch name {
		case "status":
			err = whole(&f.Status, 200)
		case "count":
			f.Always = false
			err = whole(&f.Count, 1)
		case "after":
			err = whole(&f.After, 0)
		case "share":
			number, percent := strings.CutSuffix(value, "%")
			n, parseErr := strconv.ParseFloat(number, 64)
			if percent {
				n /= 100
			}
			if f.Share = n; parseErr != nil || !(n > 0 && n <= 1) {
				err = badRequest(invalid, "share is %q, expected 10%% or 0.1", clip(value))
			}
		case "delay":
			f.Delay, err = parseDelay(value)
		case "retry-after":
			_, notNumber := strconv.ParseUint(value, 10, 31)
			if _, notDate := http.ParseTime(value); notNumber != nil && notDate != nil {
				err = badRequest(invalid, "retry-after is %q, expected seconds", clip(value))
			}
			f.Header = map[string]string{"Retry-After": value}
		case "reset":
			f.Reset = true
			if value != "" {
				err = badRequest(invalid, "reset has the value %q, expected none", clip(value))
			}
		case "body":
			f.Body = []byte(value)
		case "subscription":
			f.Subscription = value
		case "on":
			f.On = value
		case "error":
			f.Error = value
		default:
			err = badRequest(invalid, "unknown name %q, expected one of status, share, after, count, retry-after, delay, reset, body, subscription, on, error", clip(name))
		}
		if err != nil {
			return f, err
		}
	}
	return f, f.check()
}

// parseDelay reads a number of seconds, or a duration with a unit.
func parseDelay(value string) (time.Duration, error) {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0, badRequest("Invalid fault", "delay is %q, expected a duration such as 100ms or 2s", clip(value))
	}
	return d, nil
}
