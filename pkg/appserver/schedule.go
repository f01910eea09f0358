package appserver

import (
	"net/http"
	"time"
)

// maxSchedule is how far ahead a push can be scheduled.
const maxSchedule = 366 * 24 * time.Hour

// parseSendAt reads the sendAt of a push: a time (RFC 3339), or a duration from
// now such as 90m. It returns zero for a time that has passed: the push is sent
// at once.
func parseSendAt(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := time.ParseDuration(text)
		if err != nil {
			return time.Time{}, refuse(http.StatusBadRequest, "invalid-input", "sendAt is %q, expected a time or a duration", clip(text)).
				in("sendAt").hint("write it as 2030-01-31T09:00:00Z or 90m")
		}
		at = now.Add(d)
	}
	switch {
	case at.Sub(now) > maxSchedule:
		return time.Time{}, refuse(http.StatusBadRequest, "invalid-input", "sendAt is %q, more than a year ahead", clip(text)).in("sendAt")
	case !at.After(now):
		return time.Time{}, nil
	}
	return at, nil
}
