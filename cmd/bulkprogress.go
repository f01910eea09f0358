package cmd

import (
	"fmt"
	"time"

	"github.com/cheggaaa/pb/v3"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// progressEvery is the interval of progress lines without a terminal.
const progressEvery = 5 * time.Second

// repeat calls f at each interval until the function that it returns is called.
func repeat(interval time.Duration, f func()) (end func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
				f()
			}
		}
	}()
	return func() { close(quit); <-done }
}

// progress shows the progress of a run until it is stopped: as a bar on a terminal,
// otherwise in lines.
type progress struct {
	s        *streams
	from     func() bulk.Snapshot
	quiet    bool
	bar      *pb.ProgressBar // nil without a terminal
	reporter bulk.Reporter
	end      func()
}

const barTemplate = `{{counters . }} {{bar . }} {{percent . }} {{speed . "%s/s" "…"}} {{rtime . "ETA %s" "%s" ""}} {{string . "counts"}}`

func startProgress(s *streams, o *sendOptions, from func() bulk.Snapshot) *progress {
	p := &progress{s: s, from: from, quiet: o.bulk.quiet, end: func() {}}
	if p.quiet {
		return p
	}
	interval := progressEvery
	if s.errTTY && !s.json && o.verbose == 0 { // the lines of -v would run into a bar
		interval = 200 * time.Millisecond
		p.bar = pb.New64(0).SetWriter(s.err).Set(pb.Static, true).Set(pb.Terminal, true).Set(pb.ReturnSymbol, "\r")
		p.bar.SetTemplateString(barTemplate)
		p.bar.Start()
	}
	p.end = repeat(interval, p.show)
	return p
}

// interrupted says what happens after the first interrupt.
func (p *progress) interrupted() {
	if p.bar != nil {
		fmt.Fprintln(p.s.err) // below the bar
	}
	if !p.quiet {
		p.s.note("interrupted: finishing %s in flight; press Ctrl-C again to stop now", plural(p.from().InFlight, "request"))
	}
}

func (p *progress) show() {
	now := p.from()
	if p.bar == nil || now.Phase != bulk.Sending {
		if line := p.reporter.Line(now); line != "" {
			p.s.note("%s", line)
		}
		return
	}
	text := now.Text()
	if waits := p.reporter.Waits(now); waits != "" {
		text += "; " + waits
	}
	p.bar.SetTotal(now.Expected)
	p.bar.SetCurrent(now.Done + now.FinishedBefore)
	p.bar.Set("counts", text)
	p.bar.Write()
}

// stop stops the progress, to write something else.
func (p *progress) stop() {
	p.end()
	if p.bar != nil {
		p.show()
		p.bar.Finish()
		fmt.Fprintln(p.s.err)
	}
}
