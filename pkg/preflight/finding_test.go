package preflight

import (
	"slices"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

func TestParseServices(t *testing.T) {
	for names, want := range map[string][]webpush.Service{
		"fcm":              {webpush.FCM},
		" Apple,fcm ":      {webpush.Apple, webpush.FCM},
		"fcm,fcm":          {webpush.FCM},
		"mozilla,all":      {webpush.Mozilla, webpush.Apple, webpush.FCM, webpush.WNS, webpush.UnifiedPush},
		"all":              webpush.Services(),
		"safari":           nil,
		"":                 nil,
		"fcm,":             nil,
		"other":            nil,
		"the push service": nil,
	} {
		if got, err := ParseServices(names); !slices.Equal(got, want) || (err != nil) != (want == nil) {
			t.Errorf("%q: %q, %v", names, got, err)
		}
	}
}

// TestSort keeps the order of findings that are equally severe.
func TestSort(t *testing.T) {
	found := []Finding{{Severity: SeverityNote, Rule: "a"}, {Severity: SeverityError, Rule: "b"}, {Severity: SeverityNote, Rule: "c"}, {Severity: SeverityError, Rule: "d"}, {Severity: SeverityWarning, Rule: "e"}}
	Sort(found)
	var rules string
	for _, f := range found {
		rules += f.Rule
	}
	if rules != "bdeac" || Summary(found) != "2 errors, 1 warning, 2 notes" || Summary(nil) != "" {
		t.Errorf("%s: %s", rules, Summary(found))
	}
}
