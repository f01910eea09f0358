package bulk

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestReporter pins the lines for successive snapshots of a run.
func TestReporter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Reporter
		now := Snapshot{Took: 5 * time.Second, Done: 100, Delivered: 90, Gone: 6, Failed: 4, Expected: 400}
		step := func(want string, change func()) {
			t.Helper()
			change()
			if got := r.Line(now); got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		step("100 of about 400, 20/s, 15s left: 90 delivered, 6 gone, 4 failed", func() {})
		step("100 of about 400, 10/s, https://push.example asks to wait, 55s more: 90 delivered, 6 gone, 4 failed", func() {
			now.Took, now.Waiting, now.Until = 10*time.Second, "https://push.example", time.Now().Add(55*time.Second)
		})
		step("200 of 400, 20/s, 10s left: 190 delivered, 6 gone, 4 failed", func() { // others are sent to
			now.Done, now.Delivered, now.AllRead = 200, 190, true
		})
		step("300 of 400, 20/s, 5s left: 190 delivered, 6 gone, 4 failed", func() { now.FinishedBefore = 100 })
		step("300 of 400, 20/s, https://push.example asks to wait, 55s more: 190 delivered, 6 gone, 4 failed; https://push.example.net rejected 7 requests with 429 or Retry-After", func() { now.Slowed = Slowed{"https://push.example.net", 7} })
		step("", func() { now.Phase = Finishing })
		step("recording about 195260 records that were not sent", func() { now.Phase, now.Done, now.Expected = Recording, 356, 195716 })
		step("recording unsent records: 7000 records of about 195260", func() { now.Recorded, now.Expected = 7000, 195000 })
		step("", func() {})
		if now.Left() != 0 {
			t.Errorf("%v left while recording", now.Left())
		}
		r, now = Reporter{}, Snapshot{Phase: Recording, Recorded: 7000} // from a pipe, of unknown size
		step("recording unsent records: 7000 records", func() {})
		r, now = Reporter{}, Snapshot{DryRun: true, Took: time.Second, Done: 3, Failed: 1}
		step("3, 3.0/s: 1 failed", func() {})
	})
}

// TestSummaryLines pins the summary in words.
func TestSummaryLines(t *testing.T) {
	s := &Summary{Records: 1200, Sent: 1100, Took: 10 * time.Second, FinishedBefore: 5, Journal: Counts{webpush.ClassDelivered: 1005}, journalName: "journal",
		Counts: Counts{webpush.ClassDelivered: 1000, webpush.ClassGone: 100, webpush.ClassInvalid: 100},
		Services: map[webpush.Service]Counts{webpush.Other: {webpush.ClassGone: 100}, webpush.KaiOS: {webpush.ClassDelivered: 400},
			webpush.FCM: {webpush.ClassDelivered: 600}},
		Slowed: []Slowed{{"https://push.example.net", 3}, {"https://other.example.net", 1}},
		P50:    1234 * time.Microsecond, P95: 20 * time.Millisecond, P99: 123456 * time.Microsecond,
		Reasons: []Reason{{Class: webpush.ClassGone, Count: 100, First: "a:1", Reason: "gone"}, {Class: webpush.ClassInvalid, Count: 99, First: "a:2", Reason: "no endpoint"}, {Class: webpush.ClassInvalid, Count: 1, First: "a:3", Reason: "a:3: no JSON"}}}
	want := []string{"sent to 1100 of 1200 records in 10s, 110/s: 1000 delivered, 100 gone, 100 invalid", "5 records were finished in earlier runs of journal",
		"in all runs of journal: 1005 delivered", "  FCM: 600 delivered", "  KaiOS: 400 delivered", "  other services: 100 gone",
		"https://push.example.net rejected 3 requests with 429 or Retry-After", "https://other.example.net rejected 1 request with 429 or Retry-After", "latency: p50 1.2ms, p95 20ms, p99 123ms"}
	if got := s.Lines(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var reasons []string
	for _, r := range s.Failures() {
		reasons = append(reasons, r.String())
	}
	if want := []string{"99 invalid: such as a:2: no endpoint", "1 invalid: a:3: no JSON"}; !slices.Equal(reasons, want) {
		t.Errorf("%q", reasons)
	}
	dry := &Summary{DryRun: true, Records: 2, Took: time.Second, Counts: Counts{webpush.ClassSkipped: 2}}
	if got, want := dry.Lines(), []string{"a dry run of 2 records in 1s, 2.0/s: 2 could be sent"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	none := &Summary{FinishedBefore: 1, journalName: "j"}
	if got, want := none.Lines(), []string{"nothing to send", "1 record was finished in earlier runs of j"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestSummaryJSON pins the summary as JSON: every class has a number, and text is
// not escaped for HTML.
func TestSummaryJSON(t *testing.T) {
	s := &Summary{Records: 1, Took: 1500 * time.Millisecond, Counts: Counts{webpush.ClassRejected: 1}, Stopped: StopFailures, Reasons: []Reason{{Reason: "<b>"}}}
	b, err := s.MarshalJSON()
	if err != nil || !strings.Contains(string(b), `"<b>"`) {
		t.Errorf("%s %v", b, err)
	}
	var got struct {
		Records   int
		Seconds   float64
		PerSecond float64
		Stopped   string
		Counts    map[string]int
		Services  map[string]any
		LatencyMs map[string]float64
	}
	if err := json.Unmarshal(b, &got); err != nil || got.Records != 1 || got.Seconds != 1.5 || got.Stopped != "failures" || got.Counts["rejected"] != 1 || len(got.Counts) != len(webpush.Classes()) || got.Services == nil || len(got.LatencyMs) != 3 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestSlowed counts the responses that ask for fewer messages, per push service.
func TestSlowed(t *testing.T) {
	var p Progress
	if p.slowed() != nil || p.Snapshot().Slowed != (Slowed{}) {
		t.Error("a push service slows down before the run")
	}
	for _, e := range []*webpush.Error{
		{Origin: "https://b.example", Code: webpush.CodeUnavailable, RetryAfter: time.Second},
		{Origin: "https://a.example", Code: webpush.CodeRateLimited},
		{Origin: "https://a.example", Code: webpush.CodeRateLimited, RetryAfter: time.Second},
		{Origin: "https://c.example", Code: webpush.CodeNetwork},
		{Origin: "https://c.example", Code: webpush.CodeUnavailable},
	} {
		p.wait(e, time.Second)
	}
	if got, want := p.slowed(), []Slowed{{"https://a.example", 2}, {"https://b.example", 1}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := p.Snapshot().Slowed; got != (Slowed{"https://a.example", 2}) {
		t.Errorf("%v slows down most", got)
	}
	for i := range 2 * maxAsked {
		p.wait(&webpush.Error{Origin: fmt.Sprint("https://", i, ".example"), Code: webpush.CodeRateLimited}, 0)
	}
	if n := len(p.slowed()); n != maxAsked {
		t.Errorf("%d push services are remembered, want %d", n, maxAsked)
	}
}
