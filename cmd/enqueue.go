package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/queue"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// enqueueOptions are the flags of send that put records into a queue.
type enqueueOptions struct {
	run, cancelRun string
	nats           natsOptions
}

func (o *enqueueOptions) addFlags(c *cobra.Command) {
	f := c.Flags()
	o.nats.flag = "to"
	f.StringVar(&o.nats.address, "to", "", "do not deliver: put the records into the NATS server at `URL`, for webpush worker")
	f.StringVar(&o.run, "run", "", "with --to: the `NAME` of the run; repeat the command with it to continue")
	f.StringVar(&o.cancelRun, "cancel-run", "", "with --to: withdraw the unsent records of the run `NAME`")
	inGroup(f, help.NATS)
	o.nats.addFlags(f)
}

// asked reports whether records are to be enqueued.
func (o *enqueueOptions) asked(c *cobra.Command) bool {
	return help.Given(c.Flags(), help.NATS, help.Streams) != ""
}

// enqueueing are the flags of send that have an effect with --to, in addition to those
// under the headings in noEffect.
var enqueueing = []string{"subscription", "payload", "payload-file", "ttl", "urgency", "topic", "topic-hash", "map", "empty", "resume", "quiet"}

// noEffect returns an error for the first flag that has no effect with --to.
func (o *sendOptions) noEffect() (wrong error) {
	worker, _, _ := o.cmd.Root().Find([]string{"worker"})
	o.cmd.Flags().Visit(func(f *pflag.Flag) {
		if wrong != nil || slices.Contains(enqueueing, f.Name) || slices.Contains([]string{help.Notification, help.NATS, help.Streams, help.Everywhere}, help.GroupOf(f)) ||
			source(o.cmd, f.Name) != "--"+f.Name {
			return
		}
		hint := "omit it"
		switch {
		case worker.Flags().Lookup(f.Name) != nil:
			hint = "use it with webpush worker, which sends"
		case slices.Contains([]string{"results", "gone", "show-endpoints"}, f.Name):
			hint = "use webpush results, which prints the results of a run; its --gone collects gone subscriptions"
		case slices.Contains([]string{"endpoint", "key", "auth"}, f.Name):
			hint = "pass a file with -f"
		}
		wrong = usage(hint, "--%s has no effect with --to", f.Name)
	})
	return wrong
}

// runEnqueue puts the records into the stream, or cancels a run.
func runEnqueue(ctx context.Context, s *streams, o *sendOptions) error {
	if err := o.noEffect(); err != nil {
		return err
	}
	e := &o.enqueue
	if err := e.nats.check(s); err != nil {
		return err
	}
	if e.cancelRun != "" {
		return o.cancelRun(ctx, s)
	}
	reader, eo, err := o.enqueueOptions(s)
	if err != nil {
		return err
	}
	defer reader.Close()
	q, err := e.nats.connect(ctx, s, s.logNotes)
	if err != nil {
		return err
	}
	defer q.Close()
	if e.run == "" && !o.bulk.quiet {
		s.note("the run is %s; to continue it after an interruption, repeat the command with --run %s", eo.Run, eo.Run)
	}
	if err := o.enqueueAll(ctx, s, q, reader, eo); err != nil {
		return err
	}
	if err := o.printEnqueued(s, q, eo); err != nil {
		return err
	}
	if n := eo.Progress.Refused.Load(); n > 0 {
		return &exitError{fmt.Errorf("%s not enqueued", were(n)), exitPartial}
	}
	return nil
}

// enqueueOptions returns the records of -f and the options of their run. It checks
// everything that can be known before the NATS server is asked.
func (o *sendOptions) enqueueOptions(s *streams) (*bulk.Reader, queue.EnqueueOptions, error) {
	run := o.enqueue.run
	eo := queue.EnqueueOptions{Run: run, Empty: o.bulk.Empty, Journal: o.bulk.Journal, Progress: new(queue.EnqueueProgress)}
	if err := checkRun("run", run); err != nil {
		return nil, eo, err
	}
	switch {
	case len(o.inputs) == 0:
		return nil, eo, usage("pass them with -f subs.ndjson", "send needs subscriptions")
	case eo.Journal != "" && run == "":
		return nil, eo, usage("add --run NAME, with the same name each time", "with --to, --resume requires --run")
	case run == "":
		eo.Run = queue.NewRunName()
	}
	var err error
	if eo.Message, err = o.enqueuedMessage(s); err != nil {
		return nil, eo, err
	}
	reader, err := o.openReader(s)
	if err != nil {
		return nil, eo, err
	}
	return reader, eo, s.mayWrite(outputFile{"resume", eo.Journal, true})
}

// enqueuedMessage returns the message for records without fields of their own.
func (o *sendOptions) enqueuedMessage(s *streams) (webpush.Message, error) {
	if err := exclusive(o.cmd, "topic", "topic-hash"); err != nil {
		return webpush.Message{}, err
	}
	all, err := o.faultless(s)
	if err != nil {
		return webpush.Message{}, err
	}
	m := webpush.Message{Payload: all.Payload, Urgency: all.Urgency, Topic: all.Topic}
	if given(o.cmd, "ttl") {
		m.TTL = all.TTL
	}
	if err := queue.CheckMessage(&m); err != nil {
		return m, &usageError{err: err}
	}
	return m, nil
}

// enqueueAll puts the records into the stream and shows the progress.
func (o *sendOptions) enqueueAll(ctx context.Context, s *streams, q *queue.Queue, reader *bulk.Reader, eo queue.EnqueueOptions) error {
	p, refused := eo.Progress, 0
	eo.Stop = ctx.Done()
	eo.Refused = func(r *bulk.Record, err error) {
		if refused++; refused <= maxReasons {
			s.warn(fmt.Sprintf("not enqueued: %s: %v", r.Position(), err), hintOf(err))
		}
	}
	end := func() {}
	if !o.bulk.quiet {
		end = repeat(progressEvery, func() { s.note("%s so far", p.Text()) })
	}
	err := q.Enqueue(context.WithoutCancel(ctx), reader.Records(ctx), eo)
	end()
	if refused > maxReasons {
		s.warn(fmt.Sprintf("not enqueued: %s more", plural(refused-maxReasons, "record")), "")
	}
	s.warnIgnored(&p.Ignored)
	next := "repeat the command with --run " + eo.Run + " to continue"
	switch n := p.Enqueued.Load(); {
	case ctx.Err() != nil:
		s.note("%s enqueued into the run %s; %s", were(n+p.Skipped.Load()), eo.Run, next)
		return ctx.Err()
	case errors.As(err, new(*bulk.Error)):
		return wrongFile(err)
	case err != nil && n > 0:
		err = withHint(err, joinHints(hintOf(err), were(n)+" enqueued; "+next))
	}
	return natsError(err)
}

// were counts records as the subject of a sentence in the past.
func were(n int64) string {
	if n == 1 {
		return "1 record was"
	}
	return fmt.Sprintf("%d records were", n)
}

// printEnqueued prints the name of the run, and says what to do next.
func (o *sendOptions) printEnqueued(s *streams, q *queue.Queue, eo queue.EnqueueOptions) error {
	if s.json {
		return s.printJSON(eo.Progress)
	}
	if !o.bulk.quiet {
		for _, line := range eo.Progress.Lines() {
			s.note("%s", line)
		}
		s.hint(fmt.Sprintf("webpush worker --nats %s sends them; webpush results --nats %s --run %s --follow prints the results", q.Server(), q.Server(), eo.Run))
	}
	_, err := fmt.Fprintln(s.out, eo.Run)
	return err
}

// cancelRun cancels a run.
func (o *sendOptions) cancelRun(ctx context.Context, s *streams) error {
	e := &o.enqueue
	if len(o.inputs) > 0 || e.run != "" {
		return usage("use --cancel-run alone", "--cancel-run cannot be combined with -f or --run")
	}
	if err := checkRun("cancel-run", e.cancelRun); err != nil {
		return err
	}
	q, err := e.nats.connect(ctx, s, s.logNotes)
	if err != nil {
		return err
	}
	defer q.Close()
	_, known, err := q.Run(ctx, e.cancelRun)
	if err != nil {
		return natsError(err)
	}
	if err := q.Cancel(ctx, e.cancelRun); err != nil {
		return natsError(err)
	}
	if !known {
		s.warn(fmt.Sprintf("run not found: %q; records with this run from other programs are withdrawn", e.cancelRun), "check the name")
	}
	s.note("the run %s is canceled: workers withdraw the records that have not been sent", e.cancelRun)
	return nil
}
