package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type checkOptions struct {
	send    sendOptions
	forList servicesFlag
	askTime string
	online  bool
}

// servicesFlag is a flag for push services, separated by commas.
type servicesFlag struct {
	text string
	list []webpush.Service
}

func (f *servicesFlag) String() string { return f.text }
func (f *servicesFlag) Type() string   { return "SERVICES" }
func (f *servicesFlag) Set(v string) (err error) {
	f.text = strings.TrimPrefix(f.text+","+v, ",")
	f.list, err = preflight.ParseServices(f.text)
	return err
}

// serviceNames are the words for push services on the command line.
func serviceNames() []string { return words(webpush.Services()) }

func newCheckCmd(s *streams) *cobra.Command {
	var o checkOptions
	var file string
	o.send.bulk.Empty = true
	c := &cobra.Command{
		Use:  "check [subscription.json]",
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.send.inputs, err = oneSubscription(file, args); err != nil {
				return err
			}
			return runCheck(c.Context(), s, o)
		},
		ValidArgsFunction: completeJSON,
	}
	f := c.Flags()
	f.Var(&o.forList, "for", "check for these push services: "+strings.Join(serviceNames(), ", ")+" or all (default: the endpoint's own)")
	f.StringVar(&o.askTime, "ask-time", "", "compare the clock with the Date header of the server at `URL`")
	f.BoolVar(&o.online, "online", false, "ask the push service, if that does not show a notification")
	addColumnsFlag(f, &o.send.bulk.columns)
	addSubscriptionFlag(c, &file)
	o.send.addFlags(c)
	complete(c, "for", func() []string { return append(serviceNames(), "all") })
	return c
}

func runCheck(ctx context.Context, s *streams, o checkOptions) error {
	if o.online && o.send.inputs == nil {
		return usage("add -f subscription.json", "--online needs a subscription")
	}
	d, err := o.send.prepare(s, o.forList.list != nil)
	if err != nil {
		return err
	}
	if d.source != nil {
		defer d.source.Close()
		if o.online || o.askTime != "" {
			return usage("give a file with one subscription", "--online and --ask-time need a single subscription, but there are many")
		}
		return o.checkMany(ctx, s, d)
	}
	found := d.findings(d.client, o.forList.list...)
	asked, err := o.ask(ctx, s, d, found)
	if err != nil {
		return err
	}
	found = append(found, asked...)
	preflight.Sort(found)
	found = inWords(found)
	who := "the push service"
	switch {
	case o.forList.list != nil:
		var names []string
		for _, service := range o.forList.list {
			names = append(names, service.String())
		}
		who = strings.Join(names, ", ")
	case d.sub != nil:
		who = d.sub.Service().String()
	}
	return printFindings(s, findings{found: found, good: "no known reason for " + who + " to reject it"}, found)
}

// ask asks the servers that the flags name, and returns their findings.
func (o *checkOptions) ask(ctx context.Context, s *streams, d *delivery, found []preflight.Finding) (asked []preflight.Finding, err error) {
	if o.askTime != "" {
		f, err := preflight.Clock(ctx, d.client, o.askTime)
		var input *webpush.InputError
		if errors.As(err, &input) {
			err = wrongFlag("ask-time", err)
		}
		if err != nil {
			return nil, err
		}
		asked = append(asked, f)
	}
	if !o.online {
		return asked, nil
	}
	if slices.ContainsFunc(found, func(f preflight.Finding) bool { return f.Err != nil }) {
		s.note("skipped --online: fix the errors first")
		return asked, nil
	}
	f, err := preflight.Online(ctx, d.client, d.sub)
	return append(asked, f), err
}

// checkMany checks the message for each of many subscriptions, and prints each finding
// once, with the number of records.
func (o *checkOptions) checkMany(ctx context.Context, s *streams, d *delivery) error {
	many, n, err := bulk.Check(ctx, d.source, d.client, d.message, o.forList.list...)
	if err != nil {
		return err
	}
	if n == 0 {
		return withHint(fmt.Errorf("%s has no records", inputName(o.send.inputs[0])), "give a file of subscriptions")
	}
	for _, f := range d.found() {
		many = append([]*bulk.Found{{Finding: f, Records: n}}, many...)
	}
	result := findings{in: ", in " + plural(n, "record"), good: "nothing that the push services are known to refuse, in " + plural(n, "record")}
	for _, f := range many {
		f.Hint = commandHint(f.Hint)
		result.found = append(result.found, f.Finding)
		result.where = append(result.where, f.Where(n))
	}
	return printFindings(s, result, append([]*bulk.Found{}, many...))
}

// findings returns the findings for the files and the message, most severe first. It
// applies the rules of the services, or those for the endpoint if none are given.
func (d *delivery) findings(client *webpush.Client, services ...webpush.Service) []preflight.Finding {
	if d.sub == nil && services == nil { // a damaged subscription, which is found already
		services = []webpush.Service{webpush.Other}
	}
	found := preflight.Check(client, d.sub, d.message, services...)
	for _, damaged := range d.found() { // an unreadable input says nothing about the message
		about := map[string]string{"vapid-key": "unsigned", "claims": "sub"}[damaged.Rule]
		found = slices.DeleteFunc(found, func(f preflight.Finding) bool { return f.Rule == about })
	}
	found = append(d.found(), found...)
	preflight.Sort(found)
	return found
}

// inWords returns the findings with the command line's hints.
func inWords(found []preflight.Finding) []preflight.Finding {
	words := make([]preflight.Finding, len(found))
	for i, f := range found {
		f.Hint = commandHint(f.Hint)
		words[i] = f
	}
	return words
}

var severityColor = map[preflight.Severity]color.Attribute{preflight.SeverityError: color.FgRed, preflight.SeverityWarning: color.FgYellow, preflight.SeverityNote: color.FgCyan}

// findings is the result of check as text.
type findings struct {
	found []preflight.Finding
	where []string // the records with each finding, if there are many
	in    string   // what follows the number of findings
	good  string   // what is said if nothing is worse than a note
}

// printFindings prints the result of check, in JSON as v. Its error, if any, has
// already been reported.
func printFindings(s *streams, r findings, v any) error {
	var failed error
	if slices.ContainsFunc(r.found, func(f preflight.Finding) bool { return f.Severity > preflight.SeverityNote }) {
		failed = &silentError{}
	}
	if s.json {
		if err := s.printJSON(v); err != nil {
			return err
		}
		return failed
	}
	for i, f := range r.found {
		fmt.Fprintf(s.out, "%s %s [%s]\n", s.paint(s.outTTY, f.Severity.String()+":", color.Bold, severityColor[f.Severity]), printable.Text(f.Message), f.Rule)
		where := ""
		if r.where != nil {
			where = r.where[i]
		}
		s.lines("  %s: %s\n", [2]string{"in", where}, [2]string{"fix", f.Hint}, [2]string{"source", f.Source})
	}
	if failed != nil {
		fmt.Fprintln(s.out, s.paint(s.outTTY, preflight.Summary(r.found)+r.in, color.FgRed))
		return failed
	}
	fmt.Fprintf(s.out, "%s: %s\n", s.paint(s.outTTY, "good", color.FgGreen), r.good)
	return nil
}

// notSent reports why send --check did not send.
type notSent struct {
	errors int
	cause  error // the error that send would have returned, or nil
}

func (e *notSent) Error() string {
	if e.errors == 1 {
		return "nothing was sent: the check found an error"
	}
	return fmt.Sprintf("nothing was sent: the check found %d errors", e.errors)
}
func (e *notSent) Unwrap() error { return e.cause }
func (e *notSent) Hint() string  { return "fix it, or send without --check" }

// reportFindings reports findings before a message is sent. Without --check, it
// reports only those that do not prevent sending, as warnings.
func (s *streams) reportFindings(found []preflight.Finding, check bool, verbose int) error {
	stop := &notSent{}
	for _, f := range inWords(found) {
		level := f.Severity
		switch {
		case !check && (level == preflight.SeverityNote || f.Err != nil), level == preflight.SeverityNote && verbose == 0:
			continue
		case !check:
			level = preflight.SeverityWarning
		case level == preflight.SeverityError:
			stop.errors++
			var gone *webpush.Error
			if stop.cause == nil && errors.As(f.Err, &gone) {
				stop.cause = gone
			}
		}
		if s.json {
			s.talkJSON(map[string]any{"level": level, "rule": f.Rule, "message": f.Message, "hint": f.Hint, "source": f.Source})
			continue
		}
		s.talk(level.String(), severityColor[level], f.Message, f.Hint)
	}
	if stop.errors > 0 {
		return stop
	}
	return nil
}
