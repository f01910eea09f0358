package appserver

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// changePush handles PATCH /push/{id}, which moves a scheduled push to another time.
func (s *Server) changePush(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, maxPush)
	if err != nil {
		return err
	}
	var v struct {
		SendAt *string `json:"sendAt"`
	}
	if err := decode(b, &v, true, ""); err != nil {
		return err
	}
	if v.SendAt == nil || *v.SendAt == "" {
		return refuse(http.StatusBadRequest, "invalid-input", "sendAt is missing").in("sendAt").hint("write it as 2030-01-31T09:00:00Z or 90m; a time that has passed sends now")
	}
	now := time.Now()
	due, err := parseSendAt(*v.SendAt, now)
	if err != nil {
		return err
	}
	if due.IsZero() {
		due = now
	}
	j, err := s.findJob(r)
	if err != nil {
		return err
	}
	if err := s.store.Reschedule(r.Context(), j.ID, due); errors.Is(err, ErrFinished) {
		if j, err = s.findJob(r); err != nil {
			return err
		}
		return refuse(http.StatusConflict, "push-not-scheduled", "the push is %s: only a scheduled push can be changed", j.State).in("id")
	} else if err != nil {
		return err
	}
	s.wakeUp()
	s.news.changed(j.ID)
	if j, err = s.findJob(r); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, showJob(j))
}

// maxSchedule is the maximum time until a scheduled push.
const maxSchedule = 366 * 24 * time.Hour

// parseSendAt reads the sendAt of a push: a time (RFC 3339), or a duration from now in the
// form of [bulk.ParseDuration] with a unit, such as 90m or 7d: digits alone can be meant as
// a date. It returns zero for a time that has passed; the push is then sent immediately.
func parseSendAt(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if strings.Trim(strings.TrimLeft(text, "+-"), "0123456789") == "" {
		return time.Time{}, refuse(http.StatusBadRequest, "invalid-input", "sendAt is %q, which has no unit", clip(text)).
			in("sendAt").hint("write a time as 2030-01-31T09:00:00Z, or a duration as 90m or 3600s")
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d, err := bulk.ParseDuration(text)
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
