package bulk

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Progress shows the progress of a run to other goroutines. The zero value is ready
// to use.
type Progress struct {
	dryRun                             atomic.Bool
	start                              atomic.Int64 // nanoseconds since 1970
	size                               atomic.Int64 // size of the input in bytes, or 0
	readBytes, readRecords             atomic.Int64 // read from the input
	already                            atomic.Int64 // records that the journal has
	ended                              atomic.Bool  // all was read
	done, delivered, gone, wrong, rest atomic.Int64
	phase                              atomic.Int32
	limit                              atomic.Int64 // limit of messages in flight

	mu     sync.Mutex
	origin string
	until  time.Time
	asked  map[string]int64 // how often each push service asked for fewer messages
}

// maxAsked is the maximum number of push services that asked for fewer messages.
const maxAsked = 200

// begin sets the properties of the run.
func (p *Progress) begin(size int64, dryRun bool) {
	p.start.Store(time.Now().UnixNano())
	p.size.Store(size)
	p.dryRun.Store(dryRun)
}

// Phase is the current phase of a run.
type Phase int32

// The phases of a run, in their order.
const (
	Sending   Phase = iota
	Finishing       // stopped; messages in flight are being finished
	Recording       // unsent records are recorded for another run
)

// Snapshot is the progress at one moment.
type Snapshot struct {
	Phase  Phase // what the run is doing
	DryRun bool  // nothing is sent
	// Took is the time since the run began.
	Took time.Duration
	// Done is the number of records with a result; Delivered, Gone, and Failed
	// are parts of it.
	Done, Delivered, Gone, Failed int64
	// FinishedBefore is the number of records that were skipped because the
	// journal has them.
	FinishedBefore int64
	// InFlight is the maximum number of messages that are in flight now.
	InFlight int64
	// Recorded is the number of records that were recorded without being sent.
	Recorded int64
	// Expected is the total number of records, or 0 if not known yet. It is an
	// estimate until AllRead.
	Expected int64
	AllRead  bool
	// Waiting is the origin of the push service that asked to wait until Until, or
	// "".
	Waiting string
	Until   time.Time
	// Slowed is the push service that most often asked for fewer messages.
	Slowed Slowed
}

// Snapshot returns the progress now.
func (p *Progress) Snapshot() Snapshot {
	s := Snapshot{Phase: Phase(p.phase.Load()), DryRun: p.dryRun.Load(), Done: p.done.Load(), Delivered: p.delivered.Load(), Gone: p.gone.Load(), Failed: p.wrong.Load(), FinishedBefore: p.already.Load(),
		Recorded: p.rest.Load(), AllRead: p.ended.Load()}
	if start := p.start.Load(); start != 0 {
		s.Took = time.Since(time.Unix(0, start))
	}
	read := p.readRecords.Load()
	s.InFlight = max(0, min(p.limit.Load(), read-s.FinishedBefore-s.Done))
	s.Expected = read
	if !s.AllRead {
		bytes, size := p.readBytes.Load(), p.size.Load()
		s.Expected = 0
		if size > 0 && bytes > 0 {
			s.Expected = int64(float64(read) * max(1, float64(size)/float64(bytes)))
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.until.After(time.Now()) {
		s.Waiting, s.Until = p.origin, p.until
	}
	for origin, n := range p.asked {
		if n > s.Slowed.Count || n == s.Slowed.Count && origin < s.Slowed.Origin {
			s.Slowed = Slowed{origin, n}
		}
	}
	return s
}

// slowed returns the push services that asked for fewer messages, most often first.
func (p *Progress) slowed() (list []Slowed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for origin, n := range p.asked {
		list = append(list, Slowed{origin, n})
	}
	slices.SortFunc(list, func(a, b Slowed) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Origin, b.Origin))
	})
	return list
}

// wait notes a push service that asks to wait, the one with the latest end, or that
// responds that there are too many messages.
func (p *Progress) wait(e *webpush.Error, wait time.Duration) {
	if e.RetryAfter == 0 && e.Code != webpush.CodeRateLimited {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.asked[e.Origin]; known || len(p.asked) < maxAsked {
		if p.asked == nil {
			p.asked = make(map[string]int64)
		}
		p.asked[e.Origin]++
	}
	if e.RetryAfter == 0 {
		return
	}
	if until := time.Now().Add(wait); until.After(p.until) {
		p.origin, p.until = e.Origin, until
	}
}

// PerSecond returns the number of results per second of this run so far.
func (s Snapshot) PerSecond() float64 { return float64(s.Done) / max(s.Took.Seconds(), 1e-3) }

// Left returns the estimated time until every record has a result, or 0 if there is
// no estimate.
func (s Snapshot) Left() time.Duration {
	rate := s.PerSecond()
	if rest := s.Expected - s.Done - s.FinishedBefore; s.Phase == Sending && rest > 0 && rate > 0 {
		return time.Duration(float64(rest) / rate * float64(time.Second))
	}
	return 0
}

// Text returns the results in words, such as "90 delivered, 6 gone, 4 failed".
func (s Snapshot) Text() string {
	if s.DryRun {
		return fmt.Sprintf("%d failed", s.Failed)
	}
	return fmt.Sprintf("%d delivered, %d gone, %d failed", s.Delivered, s.Gone, s.Failed)
}

// Reporter describes successive snapshots of a run in words. The zero value is
// ready to use, by one goroutine at a time.
type Reporter struct {
	done     int64 // records in the last snapshot
	recorded bool  // recording was announced
	unsent   int64 // records to record, estimated when recording began; 0 if unknown
}

// Waits returns which push service the run is waiting for, if nothing was done since
// the last snapshot, or "".
func (r *Reporter) Waits(now Snapshot) string {
	done := now.Done + now.FinishedBefore
	before := r.done
	r.done = done
	if done != before || now.Expected == done || now.Waiting == "" {
		return ""
	}
	left := time.Until(now.Until)
	if left <= time.Second {
		return ""
	}
	return fmt.Sprintf("%s asks to wait, %s more", now.Waiting, left.Round(time.Second))
}

// Line returns one line, such as "100 of about 400, 20/s, 15s left: 90 delivered, 6
// gone, 4 failed", or "" if there is nothing to report. It names the push service that
// slows the run down, if there is one.
func (r *Reporter) Line(now Snapshot) string {
	switch now.Phase {
	case Finishing: // there is neither a rate nor an estimate
		return ""
	case Recording:
		return r.recording(now)
	}
	left := r.Waits(now)
	if d := now.Left(); left == "" && d > 0 {
		left = text.Duration(d) + " left"
	}
	if left != "" {
		left = ", " + left
	}
	of := ""
	switch {
	case now.Expected > 0 && now.AllRead:
		of = fmt.Sprintf(" of %d", now.Expected)
	case now.Expected > 0:
		of = fmt.Sprintf(" of about %d", now.Expected)
	}
	slowed := ""
	if now.Slowed.Count > 0 {
		slowed = "; " + now.Slowed.String()
	}
	return fmt.Sprintf("%d%s, %s%s: %s%s", now.Done+now.FinishedBefore, of, text.PerSecond(now.PerSecond()), left, now.Text(), slowed)
}

// recording reports the number of records that are recorded without being sent: the
// expected number once, and then the number so far.
func (r *Reporter) recording(now Snapshot) string {
	if !r.recorded {
		r.recorded, r.done = true, 0
		if now.Expected > 0 {
			r.unsent = max(0, now.Expected-now.Done-now.FinishedBefore)
			return fmt.Sprintf("recording about %s that were not sent", text.Count(r.unsent, "record"))
		}
	}
	before := r.done
	r.done = now.Recorded
	if now.Recorded == 0 || now.Recorded == before {
		return ""
	}
	line := "recording unsent records: " + text.Count(now.Recorded, "record")
	if r.unsent > 0 {
		line += fmt.Sprintf(" of about %d", r.unsent)
	}
	return line
}
