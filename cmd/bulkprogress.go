package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cheggaaa/pb/v3"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// tally counts results. Its atomic fields may be read while it counts.
type tally struct {
	dryRun    bool
	start     time.Time
	n         map[webpush.Class]int64
	services  map[webpush.Service]map[webpush.Class]int64
	reasons   map[reasonKey]*reason
	latencies histogram
	sent      int64 // records to which a message was sent, delivered or not

	readBytes, readRecords       atomic.Int64 // of the input
	already                      atomic.Int64 // records that the journal holds
	done, delivered, gone, wrong atomic.Int64
}

// reasonKey groups failures that are alike.
type reasonKey struct {
	class   webpush.Class
	service webpush.Service
	code    string
	status  int
}

type reason struct {
	reasonKey
	n           int64
	where       string // of the first
	first, hint string
}

// maxReasons is how many kinds of failures are told apart.
const maxReasons = 200

func newTally(dryRun bool) *tally {
	return &tally{dryRun: dryRun, start: time.Now(), n: make(map[webpush.Class]int64), services: make(map[webpush.Service]map[webpush.Class]int64), reasons: make(map[reasonKey]*reason)}
}

func (t *tally) add(r *webpush.Result, rec *record) {
	t.n[r.Class]++
	t.done.Add(1)
	switch r.Class {
	case webpush.ClassDelivered:
		t.delivered.Add(1)
	case webpush.ClassGone:
		t.gone.Add(1)
	case webpush.ClassSkipped:
	default:
		t.wrong.Add(1)
	}
	key := reasonKey{class: r.Class}
	if sub := r.Job.Subscription; sub != nil {
		key.service = sub.Service()
		if t.services[key.service] == nil {
			t.services[key.service] = make(map[webpush.Class]int64)
		}
		t.services[key.service][r.Class]++
	}
	if r.Attempts > 0 {
		t.sent++
		if r.Latency > 0 {
			t.latencies.add(r.Latency)
		}
	}
	if r.Err == nil || r.Class == webpush.ClassSkipped {
		return
	}
	var answer *webpush.Error
	var input *webpush.InputError
	var end *inputEnd
	switch {
	case errors.As(r.Err, &end):
		key.code = "input"
	case errors.As(r.Err, &answer):
		key.code, key.status = string(answer.Code), answer.Status
	case errors.As(r.Err, &input):
		key.code = input.Part
	default:
		key.code, _, _ = strings.Cut(r.Err.Error(), " ")
		key.code = strings.TrimRight(key.code, ":")
	}
	if t.reasons[key] == nil {
		if len(t.reasons) >= maxReasons {
			key = reasonKey{class: r.Class}
		}
		if t.reasons[key] == nil {
			t.reasons[key] = &reason{reasonKey: key, where: rec.where(), first: r.Err.Error(), hint: hintOf(r.Err)}
		}
	}
	t.reasons[key].n++
}

func (t *tally) total() int64 { return t.done.Load() }

// failures are those that --max-failures counts.
func (t *tally) failures() int64 { return t.wrong.Load() }

// histogram counts times with an error of at most 1/16, in bounded memory: 16
// buckets for each power of two of a microsecond.
type histogram struct {
	n       int64
	buckets [16 * 48]int64
}

func bucketOf(us uint64) int {
	if us < 16 {
		return int(us)
	}
	e := bits.Len64(us) - 5 // us>>e is 16 to 31
	return min(16*e+int(us>>e), len(histogram{}.buckets)-1)
}

// bucketEnd is the largest time of a bucket, in microseconds.
func bucketEnd(i int) uint64 {
	if i < 32 {
		return uint64(i)
	}
	e := i/16 - 1
	return uint64(16+i%16+1)<<e - 1
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0)/time.Microsecond))]++
	h.n++
}

// quantile returns the time that a part q of all is not above.
func (h *histogram) quantile(q float64) time.Duration {
	left := int64(q*float64(h.n) + 0.9999999)
	for i, n := range h.buckets {
		if left -= n; n > 0 && left <= 0 {
			return time.Duration(bucketEnd(i)) * time.Microsecond
		}
	}
	return 0
}

// progress tells how far a run is, until it is stopped.
type progress struct {
	b    *bulk
	bar  *pb.ProgressBar
	done int64 // records, when it was shown last
	quit chan struct{}
	over chan struct{}
}

// progressEvery is how often a line tells of the progress where there is no
// terminal.
const progressEvery = 5 * time.Second

const barTemplate = `{{counters . }} {{bar . }} {{percent . }} {{speed . "%s/s" "…"}} {{rtime . "ETA %s" "%s" ""}} {{string . "counts"}}`

func (b *bulk) startProgress() *progress {
	p := &progress{b: b, quit: make(chan struct{}), over: make(chan struct{})}
	if b.o.bulk.quiet {
		close(p.over)
		return p
	}
	// With -v there are other lines, which would run into a bar.
	every := progressEvery
	if b.s.errTTY && !b.s.json && b.o.verbose == 0 {
		every = 200 * time.Millisecond
		p.bar = pb.New64(0).SetWriter(b.s.err).Set(pb.Static, true).Set(pb.Terminal, true).Set(pb.ReturnSymbol, "\r")
		p.bar.SetTemplateString(barTemplate)
		p.bar.Start()
	}
	go p.run(every)
	return p
}

func (p *progress) run(every time.Duration) {
	defer close(p.over)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			p.show()
		}
	}
}

// expected tells how many records there are: all that were read at the end of
// the input, before it an estimate from the part of the bytes that is read; 0 is
// not known.
func (p *progress) expected() int64 {
	t, size := p.b.tally, p.b.source.total
	bytes, seen := t.readBytes.Load(), t.readRecords.Load()
	if !p.b.ended.Load() {
		if size <= 0 || bytes <= 0 {
			return 0
		}
		seen = int64(float64(seen) * max(1, float64(size)/float64(bytes)))
	}
	return seen
}

func (p *progress) show() {
	t := p.b.tally
	done := t.done.Load() + t.already.Load()
	counts := fmt.Sprintf("%d delivered, %d gone, %d failed", t.delivered.Load(), t.gone.Load(), t.wrong.Load())
	if p.b.o.dryRun {
		counts = fmt.Sprintf("%d failed", t.wrong.Load())
	}
	expected := p.expected()
	waits := ""
	if done == p.done && expected != done {
		p.b.mu.Lock()
		h := p.b.waits
		p.b.mu.Unlock()
		if left := time.Until(h.until); left > time.Second {
			waits = fmt.Sprintf("%s asks to wait, %s more", h.origin, left.Round(time.Second))
		}
	}
	p.done = done
	if p.bar != nil {
		p.bar.SetTotal(expected)
		p.bar.SetCurrent(done)
		if waits != "" {
			counts += "; " + waits
		}
		p.bar.Set("counts", counts)
		p.bar.Write()
		return
	}
	rate := float64(t.done.Load()) / max(time.Since(t.start).Seconds(), 1e-3)
	of := ""
	switch {
	case expected > 0 && p.b.ended.Load():
		of = fmt.Sprintf(" of %d", expected)
	case expected > 0:
		of = fmt.Sprintf(" of about %d", expected)
	}
	left := ""
	if waits != "" {
		left = ", " + waits
	} else if expected > done && rate > 0 {
		left = fmt.Sprintf(", %s left", roughly(time.Duration(float64(expected-done)/rate*float64(time.Second))))
	}
	p.b.s.note("%d%s, %.0f/s%s: %s", done, of, rate, left, counts)
}

func roughly(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return showLatency(d)
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// stop ends the progress, so that something else can be written.
func (p *progress) stop() {
	if p.b.o.bulk.quiet {
		return
	}
	close(p.quit)
	<-p.over
	if p.bar != nil {
		p.show()
		p.bar.Finish()
		fmt.Fprintln(p.b.s.err)
	}
}

// summary says at the end what was done and what to do next.
func (b *bulk) summary(stopped string, complete bool) {
	t, s := b.tally, b.s
	took := time.Since(t.start)
	total := t.total()
	sent := t.sent
	if t.dryRun {
		sent = total
	}
	rate := float64(sent) / max(took.Seconds(), 1e-6)
	reasons := make([]*reason, 0, len(t.reasons))
	for _, r := range t.reasons {
		reasons = append(reasons, r)
	}
	slices.SortFunc(reasons, func(a, b *reason) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.where, b.where)) })
	hints := b.nextSteps(complete)
	if s.json {
		b.summaryJSON(took, rate, reasons, hints, stopped, complete)
		return
	}
	verb := "sent to"
	if t.dryRun {
		verb = "a dry run of"
	}
	if total == 0 {
		s.note("nothing to send")
	} else {
		what := records(total)
		if sent < total {
			what = fmt.Sprintf("%d of %s", sent, what)
		}
		s.note("%s %s in %s, %s: %s", verb, what, roughly(took), perSecond(rate), countsOf(t.n, t.dryRun))
	}
	if n := t.already.Load(); n > 0 {
		more := "more "
		if total == 0 {
			more = ""
		}
		s.note("%s %swere finished before, says %s", records(n), more, b.o.bulk.resume)
	}
	if len(t.services) > 1 {
		for _, service := range append(webpush.Services(), webpush.Other) {
			if n := t.services[service]; n != nil {
				s.note("  %s: %s", nameOfService(service), countsOf(n, t.dryRun))
			}
		}
	}
	if h := &t.latencies; h.n > 0 {
		s.note("latency: p50 %s, p95 %s, p99 %s", showLatency(h.quantile(0.5)), showLatency(h.quantile(0.95)), showLatency(h.quantile(0.99)))
	}
	const most = 10
	reasons = slices.DeleteFunc(reasons, func(r *reason) bool { return r.class == webpush.ClassGone }) // that is no fault
	for i, r := range reasons {
		if i == most {
			s.note("and %d more kinds of failures", len(reasons)-most)
			break
		}
		what := fmt.Sprintf("%d %s: ", r.n, r.class)
		if r.n > 1 {
			what += "such as "
		}
		if !strings.HasPrefix(r.first, r.where+": ") { // as an error of a file has its name
			what += r.where + ": "
		}
		hint := r.hint
		if slices.ContainsFunc(hints, func(h string) bool { return strings.HasPrefix(h, hint) }) { // which says how
			hint = ""
		}
		s.talk("warning", severityColor[webpush.SeverityWarning], what+r.first, hint)
	}
	for _, hint := range hints {
		s.hint(hint)
	}
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

// nextSteps says what to do with what was not delivered.
func (b *bulk) nextSteps(complete bool) []string {
	t, o := b.tally, &b.o.bulk
	hints := []string{}
	if n := t.n[webpush.ClassGone]; n > 0 {
		if o.gone != "" && b.outputs.gone.whole() {
			hints = append(hints, fmt.Sprintf("delete the %s in %s: their subscriptions have ended", records(b.outputs.gone.lines), o.gone))
		} else if o.gone == "" {
			hints = append(hints, fmt.Sprintf("%s can be deleted: --gone FILE collects them", records(n)))
		}
	}
	if b.o.dryRun {
		return hints
	}
	again := t.n[webpush.ClassTemporary] + t.n[webpush.ClassSkipped]
	switch {
	case again == 0 && complete:
	case o.resume != "":
		hints = append(hints, "repeat the command: --resume sends what is not finished")
	case again == 0:
	case o.retryLater != "" && !b.outputs.retryLater.whole():
	case o.retryLater != "" && complete:
		hints = append(hints, fmt.Sprintf("try again later with -f %s in place of the input", shellWord(o.retryLater)))
	case o.retryLater != "":
		hints = append(hints, fmt.Sprintf("try again later with -f %s, and with the rest of the input", shellWord(o.retryLater)))
	default:
		hints = append(hints, "--retry-later FILE collects what is worth another run")
	}
	if !complete {
		hints = append(hints, "the input was not read to its end")
	}
	return hints
}

func (b *bulk) summaryJSON(took time.Duration, rate float64, reasons []*reason, hints []string, stopped string, complete bool) {
	t := b.tally
	ms := func(q float64) float64 { return float64(t.latencies.quantile(q).Round(100*time.Microsecond)) / 1e6 }
	counts := func(n map[webpush.Class]int64) map[string]int64 {
		out := make(map[string]int64)
		for _, c := range webpush.Classes() {
			out[string(c)] = n[c]
		}
		return out
	}
	services := make(map[webpush.Service]map[string]int64)
	for service, n := range t.services {
		services[service] = counts(n)
	}
	type why struct {
		Class   webpush.Class   `json:"class"`
		Service webpush.Service `json:"service,omitempty"`
		Code    string          `json:"code,omitempty"`
		Status  int             `json:"status,omitempty"`
		Count   int64           `json:"count"`
		First   string          `json:"first"`
		Reason  string          `json:"reason"`
		Hint    string          `json:"hint,omitempty"`
	}
	list := []why{}
	for _, r := range reasons {
		list = append(list, why{r.class, r.service, r.code, r.status, r.n, r.where, r.first, r.hint})
	}
	out := map[string]any{"level": "summary", "records": t.total(), "sent": t.sent, "counts": counts(t.n), "services": services, "finishedBefore": t.already.Load(),
		"seconds": float64(took.Milliseconds()) / 1e3, "perSecond": float64(int64(rate*10)) / 10, "complete": complete,
		"latencyMs": map[string]float64{"p50": ms(0.5), "p95": ms(0.95), "p99": ms(0.99)}, "reasons": list, "hints": hints}
	if stopped != "" {
		out["stopped"] = stopped
	}
	if t.dryRun {
		out["dryRun"] = true
	}
	b.s.talkJSON(out)
}
