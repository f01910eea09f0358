package bulk

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Found is a finding about one record or several.
type Found struct {
	preflight.Finding
	Records int64  `json:"records"` // number of records with this finding
	First   string `json:"first"`   // position of the first
}

// Where says which of n records have the finding.
func (f *Found) Where(n int64) string {
	switch {
	case f.Records == n && n > 1:
		return "all " + text.Count(n, "record")
	case f.Records == 1:
		return f.First
	}
	return fmt.Sprintf("%d of %s, the first is %s", f.Records, text.Count(n, "record"), f.First)
}

// Check checks a message for each record that is left, as [preflight.Check] does,
// and sends nothing. It returns each finding once, most severe first, and the number of
// records. A record that cannot be read is a finding with
// the rule "subscription". The error is that of ctx.
func Check(ctx context.Context, r *Reader, client *webpush.Client, message webpush.Message, services ...webpush.Service) (found []*Found, n int64, err error) {
	type key struct {
		rule, message, fix string
		severity           preflight.Severity
	}
	known := make(map[key]*Found)
	add := func(rec *Record, f preflight.Finding) {
		k := key{f.Rule, f.Message, f.Hint, f.Severity}
		if known[k] == nil {
			known[k] = &Found{Finding: f, First: rec.Position()}
			found = append(found, known[k])
		}
		known[k].Records++
	}
	keys := Keys{Own: client.Ring()}
	for rec, err := range r.Records(ctx) {
		n++
		var job webpush.Job
		if err == nil {
			job, err = rec.Job(message, &keys)
		}
		if err != nil {
			add(rec, preflight.Finding{Severity: preflight.SeverityError, Rule: "subscription", Message: err.Error(), Source: "Push API, PushSubscription.toJSON", Hint: webpush.HintOf(err), Err: err})
			continue
		}
		for _, f := range slices.Concat(preflight.Check(client, job.Subscription, job.Message, services...), ignoredFields(rec.Misplaced, rec.Unknown)) {
			add(rec, f)
		}
	}
	slices.SortStableFunc(found, func(a, b *Found) int { return int(b.Severity) - int(a.Severity) })
	return found, n, ctx.Err()
}
