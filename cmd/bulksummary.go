package cmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// maxReasons is the maximum number of kinds of failures in a summary.
const maxReasons = 10

// printSummary prints the outcome of a run and the next steps.
func (o *sendOptions) printSummary(s *streams, t *bulk.Summary) {
	hints := o.nextSteps(t)
	if s.json {
		fields := map[string]any{"level": "summary", "hints": hints}
		if t.Stopped != "" {
			fields["stopped"] = stopTexts[t.Stopped]
		}
		addFields(fields, t)
		s.talkJSON(fields)
		return
	}
	for _, line := range t.Lines() {
		s.note("%s", line)
	}
	reasons := t.Failures()
	for i, r := range reasons {
		if i == maxReasons {
			s.note("and %d more kinds of failures", len(reasons)-maxReasons)
			break
		}
		hint := r.Hint
		if slices.ContainsFunc(hints, func(h string) bool { return strings.HasPrefix(h, hint) }) { // it follows below
			hint = ""
		}
		s.talk("warning", severityColor[preflight.SeverityWarning], r.String(), hint)
	}
	for _, hint := range hints {
		s.hint(hint)
	}
}

// nextSteps returns hints about the messages that were not delivered.
func (o *sendOptions) nextSteps(t *bulk.Summary) []string {
	b := &o.bulk
	hints := []string{}
	if n := t.Counts[webpush.ClassGone]; n > 0 {
		if t.GoneWritten >= 0 {
			hints = append(hints, fmt.Sprintf("delete the %s in %s: their subscriptions are gone", plural(t.GoneWritten, "record"), b.Gone))
		} else if b.Gone == "" {
			hints = append(hints, fmt.Sprintf("%s can be deleted: --gone FILE collects them", plural(n, "record")))
		}
	}
	if t.DryRun {
		return hints
	}
	again := t.Later() > 0
	switch {
	case !again && t.Complete:
	case b.Journal != "":
		hints = append(hints, "repeat the command: --resume sends the rest")
	case !again:
	case b.RetryLater != "" && t.RetryLaterWritten < 0:
	case b.RetryLater != "" && t.Complete:
		hints = append(hints, fmt.Sprintf("try again later with -f %s in place of the input", shellWord(b.RetryLater)))
	case b.RetryLater != "":
		hints = append(hints, fmt.Sprintf("try again later with -f %s, and with the rest of the input", shellWord(b.RetryLater)))
	default:
		hints = append(hints, "to send these once more later, collect them with --retry-later FILE; to repeat the same command until all is sent, use --resume JOURNAL")
	}
	if !t.Complete {
		hints = append(hints, "the input was not read completely")
	}
	return hints
}

// stopTexts name the reason why a run stopped early.
var stopTexts = map[bulk.Stop]string{bulk.StopAsked: "interrupted", bulk.StopDeadline: "--deadline reached", bulk.StopFailures: "--max-failures"}
