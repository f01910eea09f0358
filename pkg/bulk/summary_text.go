package bulk

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// PerSecond returns the number of messages sent per second; in a dry run, the number
// of records.
func (s *Summary) PerSecond() float64 {
	sent := s.Sent
	if s.DryRun {
		sent = s.Records
	}
	return float64(sent) / max(s.Took.Seconds(), 1e-6)
}

// Lines returns the outcome in words, one line each: the number of records and their
// results, the journal's, those for each push service, push services that slowed the
// run down, and the latency. The first
// line is always there. [Summary.Failures] has the rest.
func (s *Summary) Lines() []string {
	var lines []string
	add := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	sent, verb := s.Sent, "sent to"
	if s.DryRun {
		sent, verb = s.Records, "a dry run of"
	}
	if s.Records == 0 {
		add("nothing to send")
	} else {
		records := text.Count(s.Records, "record")
		if sent < s.Records {
			records = fmt.Sprintf("%d of %s", sent, records)
		}
		add("%s %s in %s, %s: %s", verb, records, text.Duration(s.Took), text.PerSecond(s.PerSecond()), s.Counts.text(s.DryRun))
	}
	if n := s.FinishedBefore; n > 0 {
		verb := "were"
		if n == 1 {
			verb = "was"
		}
		add("%s %s finished in earlier runs of %s", text.Count(n, "record"), verb, s.journalName)
		if s.Journal != nil {
			add("in all runs of %s: %s", s.journalName, s.Journal)
		}
	}
	if len(s.Services) > 1 {
		line := func(name string, n Counts) { add("  %s: %s", name, n.text(s.DryRun)) }
		for _, service := range slices.Sorted(maps.Keys(s.Services)) {
			if service != webpush.Other {
				line(service.String(), s.Services[service])
			}
		}
		if n := s.Services[webpush.Other]; n != nil {
			line("other services", n)
		}
	}
	for i, slowed := range s.Slowed {
		if i == 5 {
			add("%d other push services asked for fewer messages", len(s.Slowed)-i)
			break
		}
		add("%v", slowed)
	}
	if s.P99 > 0 {
		add("latency: p50 %s, p95 %s, p99 %s", text.Latency(s.P50), text.Latency(s.P95), text.Latency(s.P99))
	}
	return lines
}

// Failures returns the reasons of failures, the most frequent first. A subscription
// that is gone is not a failure.
func (s *Summary) Failures() []Reason {
	return slices.DeleteFunc(slices.Clone(s.Reasons), func(r Reason) bool { return r.Class == webpush.ClassGone })
}

// String returns the reason with the number of records and the first one, such as
// "3 rejected: such as subs.ndjson:7: the key does not match".
func (r Reason) String() string {
	what := fmt.Sprintf("%d %s: ", r.Count, r.Class)
	if r.Count > 1 {
		what += "such as "
	}
	if !strings.HasPrefix(r.Reason, r.First+": ") { // the error of a file begins with the file's name
		what += r.First + ": "
	}
	return what + r.Reason
}

// MarshalJSON returns the summary as an object with records, sent, counts, services,
// finishedBefore, seconds, perSecond, complete, latencyMs, and reasons; and, if
// they apply, journal, slowed, stopped, and dryRun.
func (s *Summary) MarshalJSON() ([]byte, error) {
	ms := func(d time.Duration) float64 { return float64(d.Round(100*time.Microsecond)) / 1e6 }
	reasons := s.Reasons
	if reasons == nil {
		reasons = []Reason{}
	}
	fields := map[string]any{"records": s.Records, "sent": s.Sent, "counts": s.Counts, "services": s.Services, "finishedBefore": s.FinishedBefore,
		"seconds": float64(s.Took.Milliseconds()) / 1e3, "perSecond": float64(int64(s.PerSecond()*10)) / 10, "complete": s.Complete,
		"latencyMs": map[string]float64{"p50": ms(s.P50), "p95": ms(s.P95), "p99": ms(s.P99)}, "reasons": reasons}
	if s.Services == nil {
		fields["services"] = struct{}{}
	}
	if s.Journal != nil {
		fields["journal"] = s.Journal
	}
	if s.Slowed != nil {
		fields["slowed"] = s.Slowed
	}
	if s.Stopped != "" {
		fields["stopped"] = s.Stopped
	}
	if s.DryRun {
		fields["dryRun"] = true
	}
	b, err := text.JSON(fields)
	return append(b, '\n'), err
}
