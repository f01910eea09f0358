package cmd

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// parseFault reads what --fault takes.
func parseFault(text string) (pushservice.Fault, error) {
	f := pushservice.Fault{Always: true}
	for item := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(item), "=")
		whole := func(to *int, least int) error {
			n, err := strconv.Atoi(value)
			if err != nil || n < least {
				return fmt.Errorf("%s is %q, expected a whole number, %d or more", name, value, least)
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
			f.Share, err = strconv.ParseFloat(number, 64)
			if percent {
				f.Share /= 100
			}
			if err != nil || !(f.Share > 0 && f.Share <= 1) {
				err = fmt.Errorf("share is %q, expected 10%% or 0.1", value)
			}
		case "delay":
			f.Delay, err = parseDuration(value)
		case "retry-after":
			if _, number := strconv.ParseUint(value, 10, 31); number != nil {
				if _, date := http.ParseTime(value); date != nil {
					err = fmt.Errorf("retry-after is %q, expected seconds", value)
				}
			}
			f.Header = map[string]string{"Retry-After": value}
		case "reset":
			f.Reset = true
			if value != "" {
				err = fmt.Errorf("reset takes no value")
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
			err = fmt.Errorf("invalid value %q, expected one of status, share, after, count, retry-after, delay, reset, body, subscription, on, error", name)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}
