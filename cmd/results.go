package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/queue"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type resultsOptions struct {
	address string
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
		Use:   "results",
		Short: "Print the results of records that workers have sent",
		Long: `Print the results of a run that send --to enqueued and workers sent: one JSON object
per record, like send --results, from the first. A record that was sent again after a
crash has one result. Without --run, print the results of all runs, with the field
run. Records that other programs published without a run are in the run "unnamed".

With --follow, wait for more results, and exit when all records of the run have one.
With --summary, print the number of results in each class; with both, print the
progress. --gone collects the records whose subscription is gone, to delete them from
your database.

Results are kept for 7 days, or for the --results-max-age that was set when the streams
were created. Exit code 0 means that the results were read, whatever they are.`,
		Example: `  webpush results --nats nats://localhost:4222 --run newsletter-7
  webpush results --nats nats://localhost:4222 --run newsletter-7 --follow --summary
  webpush results --nats nats://localhost:4222 --run newsletter-7 --gone gone.ndjson > results.ndjson`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return runResults(c.Context(), s, o) },
	}
	f := c.Flags()
	f.StringVar(&o.address, "nats", "", "connect to the NATS server at `URL`, or to one of several, separated by commas (also: "+natsEnv+")")
	f.StringVar(&o.run, "run", "", "print the results of the run `NAME`")
	f.StringVar(&o.gone, "gone", "", "write the records whose subscription is gone to `FILE`")
	f.BoolVar(&o.force, "force", false, "overwrite that file if it exists")
	f.BoolVar(&o.follow, "follow", false, "wait for more results")
	f.BoolVar(&o.summary, "summary", false, "print numbers instead of results")
	inGroup(f, "Flags")
	o.nats.addFlags(f)
	return c
}

func runResults(ctx context.Context, s *streams, o resultsOptions) error {
	if err := o.nats.check(); err != nil {
		return err
	}
	if o.run != "" {
		if err := queue.CheckRun(o.run); err != nil {
			return wrongFlag("run", err)
		}
	}
	if o.force && o.gone == "" {
		return usage("add the file to replace", "--force requires --gone")
	}
	if o.gone == "-" {
		return usage("give the name of a file", "--gone cannot be -: standard output is for the results")
	}
	address, err := natsAddress(s, "nats", o.address)
	if err != nil {
		return err
	}
	q, err := o.nats.open(ctx, s, address, func(message string) { s.note("%s", message) })
	if err != nil {
		return err
	}
	defer q.Close()
	p := &resultsPrinter{s: s, o: &o, q: q, out: bufio.NewWriterSize(s.out, 1<<16), counts: make(map[webpush.Class]int64)}
	if o.gone != "" {
		f, err := p.createGone()
		if err != nil {
			return err
		}
		defer f.Close()
		p.gone = bufio.NewWriter(f)
	}
	err = p.print(ctx)
	if flushed := p.flush(); err == nil {
		err = flushed
	}
	return err
}

// resultsPrinter prints results as they come.
type resultsPrinter struct {
	s      *streams
	o      *resultsOptions
	q      *queue.Queue
	out    *bufio.Writer
	gone   *bufio.Writer // nil without a file
	n      int64
	shown  int64 // of n in the last summary
	counts map[webpush.Class]int64
}

// createGone creates the file of --gone.
func (p *resultsPrinter) createGone() (io.WriteCloser, error) {
	name := p.o.gone
	if err := p.s.mayReplace(name, p.o.force); err != nil {
		return nil, within("--gone", err)
	}
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if p.o.force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(name, mode, 0o600)
	if os.IsExist(err) {
		return nil, withHint(fmt.Errorf("--gone: %s: the file already exists", shown(name)), "give another name, or --force to replace the file")
	}
	if err != nil {
		return nil, within("--gone", fileProblem(name, err))
	}
	return f, nil
}

func (p *resultsPrinter) print(ctx context.Context) error {
	run, known := queue.Run{}, false
	if p.o.run != "" {
		var err error
		if run, known, err = p.q.Run(ctx, p.o.run); err != nil {
			return natsError(err)
		}
	}
	type item struct {
		r   queue.Result
		err error
	}
	items := make(chan item, 1000)
	reading, end := context.WithCancel(ctx)
	defer end()
	go func() {
		defer close(items)
		for r, err := range p.q.Results(reading, queue.ResultsOptions{Run: p.o.run, Follow: p.o.follow}) {
			select {
			case items <- item{r, err}:
			case <-reading.Done():
				return
			}
		}
	}()
	every := progressEvery
	if !p.o.summary {
		every = 200 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if p.o.summary && p.o.follow && p.n != p.shown {
				p.shown = p.n
				if err := p.summary(ctx); err != nil {
					return err
				}
			}
			if err := p.flush(); err != nil {
				return err
			}
		case i, ok := <-items:
			switch {
			case !ok:
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if p.n == 0 && p.o.run != "" && !known {
					return withHint(fmt.Errorf("no results of the run %q, and no such run was enqueued", p.o.run), "check the name: send --to prints it")
				}
				if p.o.summary {
					return p.summary(ctx)
				}
				if p.n == 0 && known && run.Records > 0 && !p.o.follow {
					p.s.note("no result of the %s yet; --follow waits for them", records(run.Records))
				}
				return nil
			case i.err != nil:
				return natsError(i.err)
			}
			if err := p.result(i.r); err != nil {
				return err
			}
		}
	}
}

func (p *resultsPrinter) result(r queue.Result) error {
	p.n++
	p.counts[r.Class]++
	if p.gone != nil && r.Record != nil {
		if _, err := p.gone.Write(append(r.Record, '\n')); err != nil {
			return within("--gone", fileProblem(p.o.gone, err))
		}
	}
	if p.o.summary {
		return nil
	}
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	if p.o.run != "" {
		return e.Encode(r.Result)
	}
	return e.Encode(struct {
		Run string `json:"run"`
		bulk.Result
	}{r.Run, r.Result})
}

func (p *resultsPrinter) flush() error {
	if p.gone != nil {
		if err := p.gone.Flush(); err != nil {
			return within("--gone", fileProblem(p.o.gone, err))
		}
	}
	return p.out.Flush()
}

// summary prints the numbers so far.
func (p *resultsPrinter) summary(ctx context.Context) error {
	var run queue.Run
	known := false
	if p.o.run != "" {
		var err error
		if run, known, err = p.q.Run(context.WithoutCancel(ctx), p.o.run); err != nil {
			return natsError(err)
		}
	}
	if p.s.json {
		counts := make(map[string]int64)
		for _, c := range webpush.Classes() {
			counts[string(c)] = p.counts[c]
		}
		out := map[string]any{"results": p.n, "counts": counts}
		if p.o.run != "" {
			out["run"] = p.o.run
		}
		if known {
			out["complete"], out["canceled"] = run.Complete, run.Canceled
			if run.Complete {
				out["records"] = run.Records
			}
		}
		return p.s.printJSON(out)
	}
	of := records(p.n)
	if known && run.Complete {
		of = fmt.Sprintf("%d of %s", p.n, records(run.Records))
	}
	text := of + " have a result"
	if of == "1 record" {
		text = "1 record has a result"
	}
	if p.n > 0 {
		text += ": " + countsOf(p.counts, false)
	}
	if known && run.Canceled {
		text += "; the run is canceled"
	}
	if known && !run.Complete && !run.Canceled {
		text += "; enqueueing is not finished"
	}
	_, err := fmt.Fprintln(p.out, text)
	return err
}
