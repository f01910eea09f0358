package queue

import (
	"bufio"
	"cmp"
	"context"
	"io"
	"sync"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/printable"
)

// flushEvery is the maximum time that a result is buffered.
const flushEvery = 200 * time.Millisecond

// CollectOptions configures [Queue.Collect].
type CollectOptions struct {
	// ResultsOptions selects the results.
	ResultsOptions
	// Output, if set, receives each result as a line of JSON, without its run if
	// one run is selected.
	Output io.Writer
	// Gone names the file for the records whose subscription is gone and can be
	// deleted. It is created with mode 0600. "" means none.
	Gone string
	// Overwrite replaces the file of Gone if it exists.
	Overwrite bool
	// OnOutcome, if set, is called every Interval with the outcome so far, if there
	// are new results. An error stops Collect.
	OnOutcome func(*Outcome) error
	Interval  time.Duration // 0 means every second
}

// Collect writes the results that [Queue.Results] yields as they come, each within 0.2
// seconds, and returns their outcome. The error is an [*Error], a [*bulk.Error] about the
// file of Gone, the error of Output or OnOutcome, or the context's; the results before it
// are written.
func (q *Queue) Collect(ctx context.Context, o CollectOptions) (*Outcome, error) {
	c := &collector{q: q, o: &o, out: bufio.NewWriterSize(cmp.Or(o.Output, io.Discard), 1<<16)}
	if err := c.readRun(ctx); err != nil {
		return &c.outcome, err
	}
	if o.Gone != "" {
		var err error
		if c.gone, err = bulk.Create(bulk.PartGone, o.Gone, o.Overwrite); err != nil {
			return &c.outcome, err
		}
	}
	err := c.whileTicking(ctx, c.read)
	if err == nil {
		err = c.readRun(ctx)
	}
	err = cmp.Or(err, c.flush())
	if c.gone != nil {
		err = cmp.Or(err, c.gone.Close())
	}
	return &c.outcome, err
}

// collector is one call of Collect.
type collector struct {
	q *Queue
	o *CollectOptions

	mu       sync.Mutex // results are written and flushed by two goroutines
	outcome  Outcome
	out      *bufio.Writer
	gone     *bulk.Output // nil without a file of gone records
	reported int64        // results in the last call of OnOutcome
}

// whileTicking calls read, and tick at the same time until read returns. It returns the
// first error of both; one of tick ends the context of read.
func (c *collector) whileTicking(ctx context.Context, read func(context.Context) error) error {
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ticked := make(chan error, 1)
	go func() {
		err := c.tick(reading)
		if err != nil {
			stop(err)
		}
		ticked <- err
	}()
	err := read(reading)
	if reading.Err() != nil {
		err = context.Cause(reading)
	}
	stop(nil)
	return cmp.Or(err, <-ticked)
}

// readRun reads the state of the run, if one is selected.
func (c *collector) readRun(ctx context.Context) (err error) {
	if c.o.Run != "" {
		c.outcome.Run, c.outcome.Known, err = c.q.Run(ctx, c.o.Run)
	}
	return err
}

// read writes all results.
func (c *collector) read(ctx context.Context) error {
	for r, err := range c.q.Results(ctx, c.o.ResultsOptions) {
		if err == nil {
			err = c.write(&r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write writes one result, and its record if its subscription is gone.
func (c *collector) write(r *Result) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcome.Add(r)
	if c.gone != nil && r.Record != nil {
		if err := c.gone.WriteLine(r.Record); err != nil {
			return err
		}
	}
	if c.o.Output == nil {
		return nil
	}
	if c.o.Run != "" {
		r.Run = "" // the same for all
	}
	line, err := text.JSON(r)
	if err == nil {
		_, err = c.out.Write(append(printable.JSON(line), '\n'))
	}
	return err
}

// tick flushes the results and reports the outcome at intervals, until ctx is done.
func (c *collector) tick(ctx context.Context) error {
	flush, report := time.NewTicker(flushEvery), time.NewTicker(cmp.Or(c.o.Interval, time.Second))
	defer flush.Stop()
	defer report.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-flush.C:
			err = c.flush()
		case <-report.C:
			err = c.report(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// report calls OnOutcome if there are new results.
func (c *collector) report(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.outcome.Counts.Total()
	if c.o.OnOutcome == nil || n == c.reported {
		return nil
	}
	c.reported = n
	if err := c.readRun(ctx); ctx.Err() != nil {
		return nil // all results were read
	} else if err != nil {
		return err
	}
	return c.o.OnOutcome(&c.outcome)
}

func (c *collector) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone != nil {
		if err := c.gone.Flush(); err != nil {
			return err
		}
	}
	return c.out.Flush()
}
