package inspect

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// results recognizes lines of a results file. values are lines of JSON; it returns
// nil if they are not all results.
func (in inspector) results(values []json.RawMessage) *Thing {
	classes := make(map[webpush.Class]int)
	type cause struct {
		class  webpush.Class
		reason string
		hint   string
	}
	causes := make(map[cause]int)
	var order []cause
	withEndpoints := false
	for _, raw := range values {
		var fields map[string]json.RawMessage
		var r bulk.Result
		if json.Unmarshal(raw, &fields) != nil || fields["index"] == nil || fields["keys"] != nil || json.Unmarshal(raw, &r) != nil || !slices.Contains(webpush.Classes(), r.Class) {
			return nil
		}
		classes[r.Class]++
		withEndpoints = withEndpoints || r.Endpoint != ""
		if r.Class != webpush.ClassDelivered && r.Reason != "" {
			c := cause{r.Class, r.Reason, r.Hint}
			if causes[c] == 0 {
				order = append(order, c)
			}
			causes[c]++
		}
	}
	t := &Thing{Kind: KindResults, Title: text.Count(len(values), "result") + " of sending to many", Secret: withEndpoints}
	for _, class := range webpush.Classes() {
		if n := classes[class]; n > 0 {
			t.add(string(class), n)
		}
	}
	slices.SortStableFunc(order, func(a, b cause) int { return causes[b] - causes[a] })
	for _, c := range order[:min(len(order), 3)] {
		t.warn(fmt.Sprintf("%d %s: %s", causes[c], c.class, c.reason), c.hint)
	}
	return t
}

// journal recognizes the journal of a run.
func (in inspector) journal(s string) *Thing {
	counts, err := bulk.ReadJournal([]byte(s + "\n")) // the line end was trimmed
	if counts == nil && err == nil {
		return nil
	}
	t := &Thing{Kind: KindJournal, Title: "journal of a run, with hashes of its finished records"}
	n := int64(0)
	for _, class := range webpush.Classes() {
		if counts[class] > 0 {
			t.add(string(class), counts[class])
			n += counts[class]
		}
	}
	t.add("finished", n, text.Count(int(n), "record"))
	if err != nil {
		message := err.Error()
		if _, problem, ok := strings.Cut(message, ": "); ok {
			message = problem
		}
		t.fail(message, webpush.HintOf(err))
	}
	return t
}
