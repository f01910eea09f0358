package cmd

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// printSummary says at the end what was done and what to do next.
func (o *sendOptions) printSummary(s *streams, t *bulk.Summary) {
	hints := o.nextSteps(t)
	if s.json {
		printSummaryJSON(s, t, hints)
		return
	}
	sent, verb := t.Sent, "sent to"
	if t.DryRun {
		sent, verb = t.Records, "a dry run of"
	}
	if t.Records == 0 {
		s.note("nothing to send")
	} else {
		what := records(t.Records)
		if sent < t.Records {
			what = fmt.Sprintf("%d of %s", sent, what)
		}
		s.note("%s %s in %s, %s: %s", verb, what, roughly(t.Took), perSecond(rateOf(t)), countsOf(t.Counts, t.DryRun))
	}
	if n := t.FinishedBefore; n > 0 {
		more := "more "
		if t.Records == 0 {
			more = ""
		}
		s.note("%s %swere finished before, says %s", records(n), more, o.bulk.resume)
	}
	if t.Journal != nil && t.FinishedBefore > 0 {
		s.note("in all runs of %s: %s", o.bulk.resume, countsOf(t.Journal, false))
	}
	if len(t.Services) > 1 {
		for _, service := range append(preflight.Services(), webpush.Other) {
			if n := t.Services[service]; n != nil {
				s.note("  %s: %s", nameOfService(service), countsOf(n, t.DryRun))
			}
		}
	}
	if t.P99 > 0 {
		s.note("latency: p50 %s, p95 %s, p99 %s", showLatency(t.P50), showLatency(t.P95), showLatency(t.P99))
	}
	const most = 10
	reasons := slices.DeleteFunc(slices.Clone(t.Reasons), func(r bulk.Reason) bool { return r.Class == webpush.ClassGone }) // not a failure
	for i, r := range reasons {
		if i == most {
			s.note("and %d more kinds of failures", len(reasons)-most)
			break
		}
		what := fmt.Sprintf("%d %s: ", r.Count, r.Class)
		if r.Count > 1 {
			what += "such as "
		}
		if !strings.HasPrefix(r.Reason, r.First+": ") { // an error about a file already has its name
			what += r.First + ": "
		}
		hint := r.Hint
		if slices.ContainsFunc(hints, func(h string) bool { return strings.HasPrefix(h, hint) }) { // it says how
			hint = ""
		}
		s.talk("warning", severityColor[preflight.SeverityWarning], what+r.Reason, hint)
	}
	for _, hint := range hints {
		s.hint(hint)
	}
}

// rateOf returns the number of messages sent per second.
func rateOf(t *bulk.Summary) float64 {
	sent := t.Sent
	if t.DryRun {
		sent = t.Records
	}
	return float64(sent) / max(t.Took.Seconds(), 1e-6)
}

func perSecond(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f/s", rate)
	}
	return fmt.Sprintf("%.0f/s", rate)
}

func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

func showLatency(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func nameOfService(s webpush.Service) string {
	if s == webpush.Other {
		return "other services"
	}
	return s.String()
}

// countsOf writes the counts that are not 0.
func countsOf(n map[webpush.Class]int64, dryRun bool) string {
	var parts []string
	for _, c := range webpush.Classes() {
		word := string(c)
		if dryRun && c == webpush.ClassSkipped {
			word = "could be sent"
		}
		if n[c] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[c], word))
		}
	}
	return strings.Join(parts, ", ")
}

// nextSteps says what to do with messages that were not delivered.
func (o *sendOptions) nextSteps(t *bulk.Summary) []string {
	b := &o.bulk
	hints := []string{}
	if n := t.Counts[webpush.ClassGone]; n > 0 {
		if t.GoneWritten >= 0 {
			hints = append(hints, fmt.Sprintf("delete the %s in %s: their subscriptions are gone", records(t.GoneWritten), b.gone))
		} else if b.gone == "" {
			hints = append(hints, fmt.Sprintf("%s can be deleted: --gone FILE collects them", records(n)))
		}
	}
	if t.DryRun {
		return hints
	}
	again := t.Later() > 0
	switch {
	case !again && t.Complete:
	case b.resume != "":
		hints = append(hints, "repeat the command: --resume sends the rest")
	case !again:
	case b.retryLater != "" && t.RetryLaterWritten < 0:
	case b.retryLater != "" && t.Complete:
		hints = append(hints, fmt.Sprintf("try again later with -f %s in place of the input", shellWord(b.retryLater)))
	case b.retryLater != "":
		hints = append(hints, fmt.Sprintf("try again later with -f %s, and with the rest of the input", shellWord(b.retryLater)))
	default:
		hints = append(hints, "to send these once more later, collect them with --retry-later FILE; to repeat the same command until all is sent, use --resume JOURNAL")
	}
	if !t.Complete {
		hints = append(hints, "the input was not read completely")
	}
	return hints
}

// stopTexts say why a run ended early.
var stopTexts = map[bulk.Stop]string{bulk.StopAsked: "interrupted", bulk.StopDeadline: "--deadline reached", bulk.StopFailures: "--max-failures"}

func printSummaryJSON(s *streams, t *bulk.Summary, hints []string) {
	ms := func(d time.Duration) float64 { return float64(d.Round(100*time.Microsecond)) / 1e6 }
	counts := func(n map[webpush.Class]int64) map[string]int64 {
		out := make(map[string]int64)
		for _, c := range webpush.Classes() {
			out[string(c)] = n[c]
		}
		return out
	}
	services := make(map[webpush.Service]map[string]int64)
	for service, n := range t.Services {
		services[service] = counts(n)
	}
	reasons := t.Reasons
	if reasons == nil {
		reasons = []bulk.Reason{}
	}
	out := map[string]any{"level": "summary", "records": t.Records, "sent": t.Sent, "counts": counts(t.Counts), "services": services, "finishedBefore": t.FinishedBefore,
		"seconds": float64(t.Took.Milliseconds()) / 1e3, "perSecond": float64(int64(rateOf(t)*10)) / 10, "complete": t.Complete,
		"latencyMs": map[string]float64{"p50": ms(t.P50), "p95": ms(t.P95), "p99": ms(t.P99)}, "reasons": reasons, "hints": hints}
	if t.Journal != nil {
		out["journal"] = counts(t.Journal)
	}
	if t.Stopped != "" {
		out["stopped"] = stopTexts[t.Stopped]
	}
	if t.DryRun {
		out["dryRun"] = true
	}
	s.talkJSON(out)
}
