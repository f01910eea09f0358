package cmd

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// bulkFlags are the flags of send for many subscriptions.
type bulkFlags struct {
	bulk.Options
	quiet   bool
	columns *bulk.Columns // nil without the flag
}

// bulkOnly are the flags that select bulk sending, even for one subscription.
var bulkOnly = []string{"concurrency", "concurrency-per-origin", "rate", "rate-per-origin", "max-failures", "deadline", "results", "show-endpoints", "gone", "retry-later", "resume", "fail-on-gone", "map"}

// singleOnly are the flags for a single subscription, with the alternative for many.
var singleOnly = [][2]string{
	{"check", "use webpush check, or --dry-run, which sends nothing"},
	{"gcm-reg-id", "omit it: the ID is the end of each endpoint"},
}

func (o *bulkFlags) addFlags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.Results, "results", "", "write the result of each record to `FILE`, as NDJSON; - for standard output, like --json")
	f.BoolVar(&o.Endpoints, "show-endpoints", false, "include the endpoints, which are secrets, in the results")
	f.StringVar(&o.Gone, "gone", "", "write the records whose subscription is gone to `FILE`")
	f.StringVar(&o.RetryLater, "retry-later", "", "write the records to retry later to `FILE`, for -f")
	addColumnsFlag(f, &o.columns)
	f.BoolVar(&o.FailOnGone, "fail-on-gone", false, "exit with code 3 for gone subscriptions even if --gone collects them")
	f.BoolVar(&o.Overwrite, "force", false, "overwrite the files of --results, --gone, and --retry-later")
	f.StringVar(&o.Journal, "resume", "", "keep finished records in `JOURNAL`, and skip them when the command is repeated")
	addSendingFlags(c, &o.Send, "128, or 256 with --resume")
	f.Var(number(&o.Send.MaxFailures, 1, 0), "max-failures", "stop after `N` failures, not counting gone subscriptions (default: never)")
	f.Var(positive(&o.Deadline), "deadline", "stop after this time")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "do not show progress or a summary")
	inGroup(f, "Many subscriptions")
	asSetting(f, "max-failures")
}

// addSendingFlags adds the flags that limit concurrency and rates.
func addSendingFlags(c *cobra.Command, o *webpush.BulkOptions, concurrency string) {
	f := c.Flags()
	f.Var(number(&o.Concurrency, 1, 1e6), "concurrency", "send `N` messages at a time (default per processor: "+concurrency+")")
	f.Var(number(&o.ConcurrencyPerOrigin, 1, 1e6), "concurrency-per-origin", "send `N` messages at a time to one push service (default: nearly all)")
	f.Var(parsed(&o.Rate, "", "RATE", webpush.ParseRate), "rate", "send at most this many: 100/s, 5000/m, or 100000/h")
	addRatesFlag(f, &o.Rates)
	ways := []string{"auto", "standard"}
	f.Var(parsed(&o.StandardHTTP, "auto", "WORD", func(v string) (bool, error) {
		way, err := oneOf(v, ways)
		return way == "standard", err
	}), "http", "use HTTP/2 pipelining if possible: auto; or only Go's HTTP client: standard")
	asSetting(f, "concurrency", "concurrency-per-origin", "rate", "rate-per-origin", "http")
	complete(c, "http", func() []string { return ways })
}

// addRatesFlag adds the flag for rates, for all commands that send to many.
func addRatesFlag(f *pflag.FlagSet, rates *webpush.Rates) {
	f.Var(parsed(rates, "", "RATES", webpush.ParseRates), "rate-per-origin", "send at most this many to each push service: 200/s, or with names as fcm=10000/s,default=200/s")
}

// addColumnsFlag adds the flag that names columns. Without it, columns stays nil.
func addColumnsFlag(f *pflag.FlagSet, columns **bulk.Columns) {
	var pairs []string
	f.Var(parsed(columns, "", "strings", func(v string) (*bulk.Columns, error) {
		pairs = append(pairs, strings.Split(v, ",")...)
		c, err := bulk.ParseColumns(pairs...)
		return &c, err
	}), "map", "read parts from other columns: `PART=COLUMN` for endpoint, p256dh, auth, or id, separated by commas")
}

// partFlags are the flags for the files of a run.
var partFlags = map[bulk.Part]string{bulk.PartResults: "results", bulk.PartGone: "gone", bulk.PartRetryLater: "retry-later", bulk.PartJournal: "resume"}

// wrongFile adds the flag of the file, and its hint, to the error of a run.
func wrongFile(err error) error {
	var e *bulk.Error
	if !errors.As(err, &e) {
		return err
	}
	if hidden := shown(e.Path); hidden != e.Path {
		return fileProblem(e.Path, e.Err)
	}
	hint := commandHint(e.Hint())
	if flag := partFlags[e.Part]; flag != "" {
		if errors.Is(err, fs.ErrExist) {
			hint = joinHints(hint, "use --force to overwrite the file")
		}
		err = within("--"+flag, err)
	}
	if e.Conflict {
		return usage(hint, "%w", err)
	}
	return withHint(err, hint)
}

// inputs returns the sources that -f names.
func inputs(s *streams, names []string) ([]bulk.Source, error) {
	sources := bulk.Files(names...)
	for i, name := range names {
		switch name {
		case "":
			return nil, usage("omit it, or check the shell variable that it came from", "--subscription is empty")
		case "-":
			in, err := s.stdin("the subscriptions")
			if err != nil {
				return nil, err
			}
			sources[i] = bulk.Source{Name: inputName(name), Stream: in}
		default:
			s.reads(name)
		}
	}
	return sources, nil
}

// runOptions completes the options of a run.
func (o *sendOptions) runOptions(s *streams, d *delivery) (bulk.Options, error) {
	run := o.bulk.Options
	for _, only := range singleOnly {
		if o.cmd.Flags().Changed(only[0]) {
			return run, usage(only[1], "--%s requires a single subscription, but there are many", only[0])
		}
	}
	for _, name := range []string{"resume", "gone", "retry-later"} {
		if o.dryRun && o.cmd.Flags().Changed(name) {
			return run, usage("omit it: a dry run does not finish any record", "--dry-run cannot be combined with --%s", name)
		}
	}
	if o.showSecrets && o.verbose < 2 {
		return run, usage("use --show-endpoints to include the endpoints in the results", "with many subscriptions, --show-secrets requires -vv, because a dry run prints no requests")
	}
	if s.json || run.Results == "-" {
		run.Output, run.OutputName = s.out, "standard output"
	}
	if run.Results == "-" {
		run.Results = ""
	}
	run.Client, run.Message = d.client, d.message
	run.Send.DryRun = o.dryRun
	run.Progress, run.Committing = new(bulk.Progress), &s.committing
	return run, s.mayWrite(outputFile{"results", run.Results, run.Overwrite}, outputFile{"gone", run.Gone, run.Overwrite},
		outputFile{"retry-later", run.RetryLater, run.Overwrite}, outputFile{"resume", run.Journal, true})
}

// pipelining says how requests are sent, for -v. why is the reason of the client.
func (o *sendOptions) pipelining(why string) string {
	switch {
	case o.dryRun:
		return "no request is sent"
	case o.verbose > 1:
		why = "-vv prints each of them"
	case o.bulk.Send.StandardHTTP:
		why = "--http standard"
	}
	if why == "" {
		return "requests over HTTP/2 are pipelined"
	}
	return "requests are not pipelined: " + why
}

// runBulk sends to all records of the source.
func runBulk(ctx context.Context, s *streams, o *sendOptions, d *delivery) error {
	run, err := o.runOptions(s, d)
	if err != nil {
		return err
	}
	if err := d.reportMany(s, o.verbose); err != nil {
		return err
	}
	if o.verbose == 0 {
		d.client.OnRetry = nil
	}
	if o.verbose > 1 {
		d.client.HTTP = o.trace(s, d.client.HTTP)
	}
	if o.verbose > 0 {
		s.note("%s", o.pipelining(d.client.NotPipelined(run.Send)))
	}
	progress := startProgress(s, o, run.Progress.Snapshot)
	defer context.AfterFunc(ctx, func() { progress.interrupted() })()
	s.atOnce.Store(o.lostAtOnce(s.json))
	defer s.atOnce.Store(nil)
	run.Send.Stop = ctx.Done()
	summary, err := bulk.Run(context.WithoutCancel(ctx), d.source, run)
	progress.stop()
	if summary != nil {
		s.warnIgnored(&summary.Ignored)
		if !o.bulk.quiet {
			o.printSummary(s, summary)
		}
	}
	var incomplete *bulk.IncompleteError
	switch {
	case ctx.Err() != nil && (err == nil || errors.As(err, &incomplete)):
		return ctx.Err()
	case !errors.As(err, &incomplete):
		return wrongFile(err)
	case incomplete.Temporary() && summary.Stopped != bulk.StopFailures && !summary.DryRun:
		return &exitError{err, exitTemporary}
	}
	return &exitError{err, exitPartial}
}

// reportMany warns about problems of the message, which apply to every record, and
// returns an error if no message can be sent. As for a single message, Apple's rules
// count: some subscriptions of many are Safari's.
func (d *delivery) reportMany(s *streams, verbose int) error {
	found := d.findings(d.client, webpush.Other, webpush.Apple)
	for _, f := range found {
		if f.Err != nil {
			return f.Err
		}
	}
	return s.reportFindings(found, false, verbose)
}

// warnIgnored warns once about fields of records that have no effect: they may be
// misspelled or in the wrong place.
func (s *streams) warnIgnored(fields *bulk.Ignored) {
	for _, f := range fields.Findings() {
		s.warn(f.Message, f.Hint)
	}
}

// lostAtOnce returns the message for a second interrupt, which stops the run.
func (o *sendOptions) lostAtOnce(json bool) *string {
	b := &o.bulk
	switch {
	case b.Journal != "":
		return new("stopped now: repeat the command to send the rest; messages in flight may arrive twice")
	case b.Results != "" || b.Gone != "" || b.RetryLater != "" || json:
		return new("stopped now: requests in flight and records that were not read are in no file")
	}
	return new("stopped now: messages in flight may have arrived")
}
