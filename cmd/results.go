package cmd

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
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
	outcome, err := q.Collect(ctx, o.collect(s))
	n := outcome.Counts.Total()
	switch {
	case err != nil:
		return natsError(wrongFile(err))
	case n == 0 && o.run != "" && !outcome.Known:
		return withHint(fmt.Errorf("no results of the run %q, and no such run was enqueued", o.run), "check the name: send --to prints it")
	case o.summary:
		return o.print(s, outcome)
	case n == 0 && outcome.Known && outcome.Run.Records > 0 && !o.follow:
		s.note("no result of the %s yet; --follow waits for them", plural(outcome.Run.Records, "record"))
	}
	return nil
}

// collect returns the options that select the results and the outputs.
func (o *resultsOptions) collect(s *streams) queue.CollectOptions {
	c := queue.CollectOptions{ResultsOptions: queue.ResultsOptions{Run: o.run, Follow: o.follow}, Gone: o.gone, Overwrite: o.force}
	switch {
	case !o.summary:
		c.Output = s.out
	case o.follow:
		c.Interval, c.OnOutcome = progressEvery, func(outcome *queue.Outcome) error { return o.print(s, outcome) }
	}
	return c
}

// print prints the number of results so far.
func (o *resultsOptions) print(s *streams, outcome *queue.Outcome) error {
	if s.json {
		return s.printJSON(outcome)
	}
	_, err := fmt.Fprintln(s.out, outcome)
	return err
}

// checkGone checks the file of --gone before anything is connected.
func (o *resultsOptions) checkGone(s *streams) error {
	if o.gone == "" {
		return nil
	}
	if info, err := os.Stat(o.gone); err == nil && info.Mode().IsRegular() && s.isOutput(info) {
		return usage("give each its own name", "--gone: %s is also standard output, which is for the results", o.gone)
	}
	if err := s.mayWrite(outputFile{"gone", o.gone, o.force}); err != nil {
		return err
	}
	return wrongFile(bulk.MayCreate(bulk.PartGone, o.gone, o.force))
}
