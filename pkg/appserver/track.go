package appserver

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

const (
	// reportEvery is the interval at which reports are recorded.
	reportEvery = time.Second
	// maxReported is the maximum number of IDs with unrecorded reports, and reportRate
	// the maximum number of reports per second from all visitors together.
	maxReported = 10_000
	reportRate  = 1000
	maxReport   = 1024 // size limit of a body, in bytes
)

// Reports counts the reports of service workers for a push. It does not identify
// recipients.
type Reports struct {
	Shown   int64 `json:"shown"`   // notifications shown
	Clicked int64 `json:"clicked"` // notifications clicked
	Closed  int64 `json:"closed"`  // notifications closed without a click
}

// Plus returns the sum. Each number is at most most, unless most is negative.
func (r Reports) Plus(o Reports, most int64) Reports {
	sum := func(a, b int64) int64 {
		if most >= 0 {
			return max(a, min(a+b, most))
		}
		return a + b
	}
	return Reports{sum(r.Shown, o.Shown), sum(r.Clicked, o.Clicked), sum(r.Closed, o.Closed)}
}

// Minus returns the difference.
func (r Reports) Minus(o Reports) Reports {
	return Reports{r.Shown - o.Shown, r.Clicked - o.Clicked, r.Closed - o.Closed}
}

// track adds the ID that service workers report to a notification, as
// data.webpush.track, and reports whether it did. It does not change a payload of the
// site's own, or data that is not an object or already has the field webpush.
func (p *pushRequest) track(id string) bool {
	if p.Notification == nil {
		return false
	}
	data := make(map[string]json.RawMessage)
	if p.Notification.Data != nil && (json.Unmarshal(p.Notification.Data, &data) != nil || data == nil) {
		return false
	}
	if _, ok := data["webpush"]; ok {
		return false
	}
	data["webpush"], _ = text.JSON(map[string]string{"track": id})
	b, err := text.JSON(data)
	if err != nil {
		return false
	}
	p.Notification.Data = b
	return true
}

// reports collects the reports of service workers until they are recorded.
type reports struct {
	rate *rate.Limiter

	mu      sync.Mutex
	waiting map[string]Reports
}

var trackID = pattern.New("^[A-Z2-7]{26}$") // the format of rand.Text

// add counts a report, and reports whether there was room for it.
func (r *reports) add(id string, one Reports) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = make(map[string]Reports)
	}
	if _, ok := r.waiting[id]; !ok && len(r.waiting) >= maxReported {
		return false
	}
	r.waiting[id] = r.waiting[id].Plus(one, -1)
	return true
}

// postReport handles POST /report. The response does not depend on whether the ID is
// known.
func (s *Server) postReport(w http.ResponseWriter, r *http.Request) error {
	b, err := readBody(w, r, maxReport)
	if err != nil {
		return err
	}
	var v struct {
		ID    string `json:"id"`
		Event string `json:"event"`
	}
	if err := decode(b, &v, true, ""); err != nil {
		return err
	}
	if !trackID.MatchString(v.ID) {
		return refuse(http.StatusBadRequest, "invalid-input", "id is not the ID of a push").in("id").hint("use data.webpush.track of the notification")
	}
	var one Reports
	switch v.Event {
	case "shown":
		one.Shown = 1
	case "clicked":
		one.Clicked = 1
	case "closed":
		one.Closed = 1
	default:
		return refuse(http.StatusBadRequest, "invalid-input", "event is %q, expected shown, clicked, or closed", clip(v.Event)).in("event")
	}
	if !s.reports.rate.Allow() || !s.reports.add(v.ID, one) {
		return tooMany(reportEvery)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// recordReports records reports until ctx is done, and then the rest.
func (s *Server) recordReports(ctx context.Context) {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.flushReports(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			s.flushReports(last)
			return
		}
	}
}

func (s *Server) flushReports(ctx context.Context) {
	s.reports.mu.Lock()
	waiting := s.reports.waiting
	s.reports.waiting = nil
	s.reports.mu.Unlock()
	if len(waiting) == 0 {
		return
	}
	added, err := s.store.Report(ctx, waiting)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrUnavailable) {
			s.log.Error("reports cannot be recorded", "error", err)
			return
		}
		for id, r := range maps.All(waiting) { // for the next attempt
			s.reports.add(id, r)
		}
		return
	}
	for event, n := range map[string]int64{"shown": added.Shown, "clicked": added.Clicked, "closed": added.Closed} {
		s.metrics.reports.WithLabelValues(event).Add(float64(n))
	}
}
