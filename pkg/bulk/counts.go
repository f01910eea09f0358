package bulk

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Counts is the number of results of each class.
type Counts map[webpush.Class]int64

// Total returns the number of results.
func (c Counts) Total() (n int64) {
	for _, of := range c {
		n += of
	}
	return n
}

// String returns the counts that are not 0, such as "3 delivered, 1 gone".
func (c Counts) String() string { return c.text(false) }

// text returns the counts in words. In a dry run, a skipped message is one that
// could be sent.
func (c Counts) text(dryRun bool) string {
	var parts []string
	for _, class := range webpush.Classes() {
		word := string(class)
		if dryRun && class == webpush.ClassSkipped {
			word = "could be sent"
		}
		if c[class] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c[class], word))
		}
	}
	return strings.Join(parts, ", ")
}

// MarshalJSON returns an object with a number for every class, even if it is 0.
func (c Counts) MarshalJSON() ([]byte, error) {
	all := make(map[webpush.Class]int64)
	for _, class := range webpush.Classes() {
		all[class] = c[class]
	}
	return json.Marshal(all)
}

// maxIgnored is the maximum number of names that are kept of each kind.
const maxIgnored = 100

// Ignored collects the names of the fields that had no effect in records: names
// that are misspelled, for example. The zero value is ready to use.
type Ignored struct {
	misplaced, unknown map[string]bool
}

// Add adds the names of a record whose job was made.
func (i *Ignored) Add(rec *Record) {
	add := func(to *map[string]bool, names []string) {
		for _, name := range names {
			if *to == nil {
				*to = make(map[string]bool)
			}
			if len(*to) < maxIgnored {
				(*to)[name] = true
			}
		}
	}
	add(&i.misplaced, rec.Misplaced)
	add(&i.unknown, rec.Unknown)
}

// Misplaced returns the names in [Record].Misplaced, sorted, at most 100.
func (i *Ignored) Misplaced() []string { return slices.Sorted(maps.Keys(i.misplaced)) }

// Unknown returns the names in [Record].Unknown, sorted, at most 100.
func (i *Ignored) Unknown() []string { return slices.Sorted(maps.Keys(i.unknown)) }

// Findings returns a finding for each of these names.
func (i *Ignored) Findings() []preflight.Finding {
	return ignoredFields(i.Misplaced(), i.Unknown())
}

func ignoredFields(misplaced, unknown []string) []preflight.Finding {
	var found []preflight.Finding
	add := func(severity preflight.Severity, message, hint string) {
		found = append(found, preflight.Finding{Severity: severity, Rule: "record-fields", Message: message, Source: "the form of records", Hint: hint})
	}
	for _, name := range misplaced {
		add(preflight.SeverityWarning, fmt.Sprintf("%q is ignored because it is next to \"endpoint\" in a record", name), fmt.Sprintf(`wrap the subscription: {"subscription": {…}, %q: …}`, name))
	}
	for _, name := range unknown {
		add(preflight.SeverityNote, fmt.Sprintf("unknown field in records, ignored: %q", name), "use only subscription, id, payload, ttl, urgency, topic, and vapidKey")
	}
	return found
}
