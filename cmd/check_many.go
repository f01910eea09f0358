package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/fatih/color"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/preflight"
)

// checkMany checks the message for each of many subscriptions, and prints each finding
// once, with the number of records.
func (o *checkOptions) checkMany(ctx context.Context, s *streams, d *delivery) error {
	found, n, err := bulk.Check(ctx, d.source, d.client, d.message, o.forList.list...)
	if err != nil {
		return err
	}
	if n == 0 {
		return withHint(fmt.Errorf("%s has no records", inputName(o.send.inputs[0])), "give a file of subscriptions")
	}
	for _, f := range d.found() {
		found = append(found, &bulk.Found{Finding: f, Records: n})
	}
	return printMany(s, found, n)
}

func printMany(s *streams, found []*bulk.Found, n int64) error {
	count := make(map[preflight.Severity]int)
	var failed error
	for _, f := range found {
		f.Hint = commandHint(f.Hint)
		if count[f.Severity]++; f.Severity != preflight.SeverityNote {
			failed = &silentError{}
		}
	}
	if s.json {
		if found == nil {
			found = []*bulk.Found{}
		}
		if err := s.printJSON(found); err != nil {
			return err
		}
		return failed
	}
	for _, severity := range []preflight.Severity{preflight.SeverityError, preflight.SeverityWarning, preflight.SeverityNote} {
		for _, f := range found {
			if f.Severity != severity {
				continue
			}
			where := fmt.Sprintf("%d of %s, the first is %s", f.Records, plural(n, "record"), f.First)
			switch {
			case f.Records == n && n > 1:
				where = fmt.Sprintf("all %s", plural(n, "record"))
			case f.Records == 1:
				where = f.First
			}
			label := s.paint(s.outTTY, severity.String()+":", color.Bold, severityColor[severity])
			fmt.Fprintf(s.out, "%s %s [%s]\n  in: %s\n", label, safe(f.Message), f.Rule, safe(where))
			if f.Hint != "" {
				fmt.Fprintf(s.out, "  fix: %s\n", safe(f.Hint))
			}
			fmt.Fprintf(s.out, "  source: %s\n", f.Source)
		}
	}
	if failed != nil {
		fmt.Fprintln(s.out, s.paint(s.outTTY, strings.TrimSpace(counted(count)+", in "+plural(n, "record")), color.FgRed))
		return failed
	}
	fmt.Fprintf(s.out, "%s: nothing that the push services are known to refuse, in %s\n", s.paint(s.outTTY, "good", color.FgGreen), plural(n, "record"))
	return nil
}
