package cmd

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/queue"
)

type resultsOptions struct {
	nats    natsOptions
	run     string
	gone    string
	force   bool
	follow  bool
	summary bool
}

func newResultsCmd(s *streams) *cobra.Command {
	var o resultsOptions
	c := &cobra.Command{
		Use:  "results",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runResults(c.Context(), s, o) },
	}
	f := c.Flags()
	o.nats.addAddressFlag(f)
	f.StringVar(&o.run, "run", "", "print the results of the run `NAME`")
	f.StringVar(&o.gone, "gone", "", "write the records whose subscription is gone to `FILE`")
	f.BoolVar(&o.force, "force", false, "overwrite the file of --gone")
	f.BoolVar(&o.follow, "follow", false, "wait for more results")
	f.BoolVar(&o.summary, "summary", false, "print numbers instead of results")
	inGroup(f, "Flags")
	o.nats.addFlags(f)
	return c
}

func runResults(ctx context.Context, s *streams, o resultsOptions) error {
	if err := o.nats.check(s); err != nil {
		return err
	}
	if err := checkRun("run", o.run); err != nil {
		return err
	}
	if o.force && o.gone == "" {
		return usage("add the file to overwrite", "--force requires --gone")
	}
	if err := o.checkGone(s); err != nil {
		return err
	}
	q, err := o.nats.connect(ctx, s, s.logNotes)
	if err != nil {
		return err
	}
	defer q.Close()
	p := &resultsPrinter{s: s, o: &o, q: q, out: bufio.NewWriterSize(s.out, 1<<16)}
	if o.gone != "" {
		f, err := bulk.Create(bulk.PartGone, o.gone, o.force)
		if err != nil {
			return wrongFile(err)
		}
		defer f.Close()
		p.gone = bufio.NewWriter(f)
	}
	return p.print(ctx)
}

// checkGone checks the file of --gone before anything is connected.
func (o *resultsOptions) checkGone(s *streams) error {
	switch o.gone {
	case "":
		return nil
	case "-":
		return usage("pass a file name", "--gone cannot be -: standard output is for the results")
	}
	if info, err := os.Stat(o.gone); err == nil && info.Mode().IsRegular() && s.isOutput(info) {
		return usage("give each its own name", "--gone: %s is also standard output, which is for the results", o.gone)
	}
	if err := s.mayWrite(outputFile{"gone", o.gone, o.force}); err != nil {
		return err
	}
	return wrongFile(bulk.MayCreate(bulk.PartGone, o.gone, o.force))
}

// resultsPrinter prints results as they come.
type resultsPrinter struct {
	s *streams
	o *resultsOptions
	q *queue.Queue

	mu      sync.Mutex // results are printed and flushed by two goroutines
	outcome queue.Outcome
	out     *bufio.Writer
	gone    *bufio.Writer // nil without a file
	shown   int64         // results in the last summary
}

// print prints all results. While it waits for more, it flushes its output and prints
// summaries.
func (p *resultsPrinter) print(ctx context.Context) error {
	if err := p.readRun(ctx); err != nil {
		return err
	}
	interval := progressEvery
	if !p.o.summary {
		interval = 200 * time.Millisecond
	}
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	end := repeat(interval, func() {
		if err := p.tick(ctx); err != nil {
			stop(err)
		}
	})
	err := p.results(reading)
	end()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case reading.Err() != nil:
		err = context.Cause(reading)
	case err == nil:
		err = p.end(ctx)
	}
	return cmp.Or(err, p.flush())
}

// results prints the results until there are no more.
func (p *resultsPrinter) results(ctx context.Context) error {
	for r, err := range p.q.Results(ctx, queue.ResultsOptions{Run: p.o.run, Follow: p.o.follow}) {
		if err != nil {
			return natsError(err)
		}
		if err := p.result(r); err != nil {
			return err
		}
	}
	return nil
}

// tick flushes the output, and prints a summary if there are more results than in the
// last one.
func (p *resultsPrinter) tick(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := p.outcome.Counts.Total(); p.o.summary && p.o.follow && n != p.shown {
		p.shown = n
		if err := p.summary(ctx); err != nil {
			return err
		}
	}
	return p.flush()
}

// readRun reads the state of the run, if one was named.
func (p *resultsPrinter) readRun(ctx context.Context) (err error) {
	if p.o.run != "" {
		p.outcome.Run, p.outcome.Known, err = p.q.Run(ctx, p.o.run)
	}
	return natsError(err)
}

// end prints the summary or a note after the last result.
func (p *resultsPrinter) end(ctx context.Context) error {
	o, n := &p.outcome, p.outcome.Counts.Total()
	switch {
	case n == 0 && p.o.run != "" && !o.Known:
		return withHint(fmt.Errorf("no results of the run %q, and no such run was enqueued", p.o.run), "check the name: send --to prints it")
	case p.o.summary:
		return p.summary(ctx)
	case n == 0 && o.Known && o.Run.Records > 0 && !p.o.follow:
		p.s.note("no result of the %s yet; --follow waits for them", plural(o.Run.Records, "record"))
	}
	return nil
}

// result prints one result, and writes its record to the file of gone records.
func (p *resultsPrinter) result(r queue.Result) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outcome.Add(&r)
	if p.gone != nil && r.Record != nil {
		if _, err := p.gone.Write(append(r.Record, '\n')); err != nil {
			return within("--gone", fileio.WriteError(p.o.gone, err))
		}
	}
	if p.o.summary {
		return nil
	}
	if p.o.run != "" {
		r.Run = "" // the same for all
	}
	line, err := marshal(r, "")
	if err != nil {
		return err
	}
	_, err = p.out.Write(line)
	return err
}

func (p *resultsPrinter) flush() error {
	if p.gone != nil {
		if err := p.gone.Flush(); err != nil {
			return within("--gone", fileio.WriteError(p.o.gone, err))
		}
	}
	return p.out.Flush()
}

// summary prints the number of results so far.
func (p *resultsPrinter) summary(ctx context.Context) error {
	if err := p.readRun(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	if p.s.json {
		return p.s.printJSON(&p.outcome)
	}
	_, err := fmt.Fprintln(p.out, &p.outcome)
	return err
}
