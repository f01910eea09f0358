package cmd

import (
	"fmt"
	"time"

	"github.com/cheggaaa/pb/v3"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// progress reports the progress of a run until it is stopped.
type progress struct {
	s             *streams
	from          func() bulk.Snapshot
	start         time.Time
	quiet, dryRun bool
	bar           *pb.ProgressBar
	done          int64 // records, when it was shown last
	recorded      bool  // whether it was shown that the rest is recorded
	unsent        int64 // records, at about the beginning of recording them; 0 if unknown
	quit          chan struct{}
	over          chan struct{}
}

// progressEvery is the interval of progress lines without a terminal.
const progressEvery = 5 * time.Second

const barTemplate = `{{counters . }} {{bar . }} {{percent . }} {{speed . "%s/s" "…"}} {{rtime . "ETA %s" "%s" ""}} {{string . "counts"}}`

func startProgress(s *streams, o *sendOptions, from func() bulk.Snapshot) *progress {
	p := &progress{s: s, from: from, start: time.Now(), quiet: o.bulk.quiet, dryRun: o.dryRun, quit: make(chan struct{}), over: make(chan struct{})}
	if p.quiet {
		close(p.over)
		return p
	}
	// With -v there are other lines, which would run into a bar.
	every := progressEvery
	if s.errTTY && !s.json && o.verbose == 0 {
		every = 200 * time.Millisecond
		p.bar = pb.New64(0).SetWriter(s.err).Set(pb.Static, true).Set(pb.Terminal, true).Set(pb.ReturnSymbol, "\r")
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

// interrupted says what happens after the first interrupt.
func (p *progress) interrupted(o *sendOptions) {
	if p.bar != nil {
		fmt.Fprintln(p.s.err) // below the bar
	}
	if p.quiet {
		return
	}
	n := p.from().InFlight
	requests := "requests"
	if n == 1 {
		requests = "request"
	}
	p.s.note("interrupted: finishing %d %s in flight; press Ctrl-C again to stop now", n, requests)
}

func (p *progress) show() {
	now := p.from()
	if now.Phase != bulk.Sending { // it no longer sends, so there is no rate and no estimate
		if now.Phase == bulk.Recording {
			p.recording(now)
		}
		return
	}
	done := now.Done + now.FinishedBefore
	counts := fmt.Sprintf("%d delivered, %d gone, %d failed", now.Delivered, now.Gone, now.Failed)
	if p.dryRun {
		counts = fmt.Sprintf("%d failed", now.Failed)
	}
	waits := ""
	if done == p.done && now.Expected != done && now.Waiting != "" {
		if left := time.Until(now.Until); left > time.Second {
			waits = fmt.Sprintf("%s asks to wait, %s more", now.Waiting, left.Round(time.Second))
		}
	}
	p.done = done
	if p.bar != nil {
		p.bar.SetTotal(now.Expected)
		p.bar.SetCurrent(done)
		if waits != "" {
			counts += "; " + waits
		}
		p.bar.Set("counts", counts)
		p.bar.Write()
		return
	}
	rate := float64(now.Done) / max(time.Since(p.start).Seconds(), 1e-3)
	of := ""
	switch {
	case now.Expected > 0 && now.AllRead:
		of = fmt.Sprintf(" of %d", now.Expected)
	case now.Expected > 0:
		of = fmt.Sprintf(" of about %d", now.Expected)
	}
	left := ""
	if waits != "" {
		left = ", " + waits
	} else if now.Expected > done && rate > 0 {
		left = fmt.Sprintf(", %s left", roughly(time.Duration(float64(now.Expected-done)/rate*float64(time.Second))))
	}
	p.s.note("%d%s, %.0f/s%s: %s", done, of, rate, left, counts)
}

// recording reports how many records are written that were not sent: of how many in
// advance, and then how many so far.
func (p *progress) recording(now bulk.Snapshot) {
	if !p.recorded {
		p.recorded, p.done = true, 0
		if now.Expected > 0 {
			p.unsent = max(0, now.Expected-now.Done-now.FinishedBefore)
			p.s.note("recording about %s that were not sent", records(p.unsent))
			return
		}
	}
	of := ""
	if p.unsent > 0 {
		of = fmt.Sprintf(" of about %d", p.unsent)
	}
	if now.Recorded > 0 && now.Recorded != p.done {
		p.s.note("recording unsent records: %s%s", records(now.Recorded), of)
	}
	p.done = now.Recorded
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

// stop stops the progress output, to write something else.
func (p *progress) stop() {
	if p.quiet {
		return
	}
	close(p.quit)
	<-p.over
	if p.bar != nil {
		p.show()
		p.bar.Finish()
		fmt.Fprintln(p.s.err)
	}
}
