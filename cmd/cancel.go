package cmd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// cancelConcurrency is the maximum number of requests in flight.
const cancelConcurrency = 32

type cancelOptions struct {
	cmd *cobra.Command
	connection
}

func newCancelCmd(s *streams) *cobra.Command {
	var o cancelOptions
	c := &cobra.Command{
		Use:   "cancel LOCATION…|RESULTS",
		Short: "Withdraw messages that were accepted and have not been delivered",
		Long: `Withdraw messages that push services have accepted but not yet delivered. Name a
message by its location, as send prints it, or by the results of a run: a file of send
--results or of send --json, or - for standard input. Only messages with a location in
the results are withdrawn.

Mozilla's push service and other implementations of RFC 8030 withdraw messages. The
push services of Apple, Google, and Microsoft do not; there, a message with the same
topic replaces an undelivered one. Mozilla also confirms the withdrawal of a message
that has already been delivered.

A location is a secret, and other users of this machine can see arguments: if that
matters, use a file. A location is used only at the push service that accepted the
message.

The exit code is 0 if every message was withdrawn, 3 if some were, and otherwise the
code of the first failure.`,
		Example: `  webpush cancel results.ndjson
  webpush send -f subscription.json -p "hi" --json | webpush cancel -
  webpush cancel https://updates.push.services.mozilla.com/m/gAAAAAB…`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("give the location of a message, or a file of results", "there is nothing to cancel")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runCancel(c.Context(), s, &o, args) },
	}
	o.cmd = c
	o.connection.addFlags(c)
	return c
}

// accepted is a message of a results file, as far as cancel reads it.
type accepted struct {
	Location string          `json:"location"`
	Origin   string          `json:"origin"`
	Service  webpush.Service `json:"service"`
	ID       json.RawMessage `json:"id,omitempty"`
	Index    *int64          `json:"index,omitempty"`
}

// canceled is the JSON output of cancel for one message.
type canceled struct {
	ID      json.RawMessage `json:"id,omitempty"`
	Index   *int64          `json:"index,omitempty"`
	Origin  string          `json:"origin"`
	Service webpush.Service `json:"service,omitempty"`
	State   string          `json:"state"` // withdrawn, or the code of the failure
	Reason  string          `json:"reason,omitempty"`
}

func runCancel(ctx context.Context, s *streams, o *cancelOptions, args []string) error {
	client, _, err := o.client(o.cmd, s)
	if err != nil {
		return err
	}
	var (
		mu             sync.Mutex
		all, withdrawn int
		first          error
		reasons        []string // in the order in which they came
	)
	counts := make(map[string]int)
	hints := make(map[string]string)
	work := make(chan accepted)
	var workers sync.WaitGroup
	for range cancelConcurrency {
		workers.Go(func() {
			for m := range work {
				err := client.Cancel(ctx, &webpush.Receipt{Service: m.Service, Origin: m.Origin, Location: m.Location})
				mu.Lock()
				all++
				out := canceled{ID: m.ID, Index: m.Index, Origin: m.Origin, Service: m.Service, State: "withdrawn"}
				if err == nil {
					withdrawn++
				} else {
					if first == nil {
						first = err
					}
					out.State, out.Reason = "failed", err.Error()
					var refused *webpush.Error
					if errors.As(err, &refused) {
						out.State = string(refused.Code)
					}
					if counts[out.Reason] == 0 {
						reasons, hints[out.Reason] = append(reasons, out.Reason), hintOf(err)
					}
					counts[out.Reason]++
				}
				if s.json {
					if b, err := marshal(out, ""); err == nil {
						_, _ = s.out.Write(b)
					}
				}
				mu.Unlock()
			}
		})
	}
	err = nil
	for m, problem := range s.messages(args) {
		if problem != nil {
			err = problem
			break
		}
		select {
		case work <- m:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	workers.Wait()
	if ctx.Err() != nil {
		s.note("withdrew %d messages before the interruption", withdrawn)
		return context.Canceled
	}
	switch {
	case err != nil:
	case all == 0:
		return withHint(errors.New("the results have no message with a location"), "services that withdraw messages give their location in the response; see webpush cancel --help")
	case all == 1 && first != nil:
		return first
	}
	if all > 0 {
		s.note("withdrew %d of %s", withdrawn, plural(all, "message"))
	}
	for _, reason := range reasons {
		s.warn(fmt.Sprintf("%s not withdrawn: %s", plural(counts[reason], "message"), reason), hints[reason])
	}
	switch {
	case err != nil:
		return err
	case withdrawn > 0 && first != nil:
		return &exitError{fmt.Errorf("%d of %s were not withdrawn", all-withdrawn, plural(all, "message")), exitPartial}
	}
	return first
}

// messages yields the messages that the arguments name.
func (s *streams) messages(args []string) iter.Seq2[accepted, error] {
	return func(yield func(accepted, error) bool) {
		for _, arg := range args {
			if strings.HasPrefix(arg, "https://") || strings.HasPrefix(arg, "http://") {
				origin, err := vapid.Origin(arg)
				if err != nil {
					err = usage("copy the location as send prints it", "the location is not a URL")
				}
				if !yield(accepted{Location: arg, Origin: origin}, err) || err != nil {
					return
				}
				continue
			}
			if !s.results(arg, yield) {
				return
			}
		}
	}
}

// results yields the messages of a results file that have a location; it reports
// whether to continue.
func (s *streams) results(name string, yield func(accepted, error) bool) bool {
	fail := func(err error) bool {
		yield(accepted{}, err)
		return false
	}
	var in io.Reader
	if name == "-" {
		r, err := s.stdin("the results")
		if err != nil {
			return fail(err)
		}
		in, name = r, "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return fail(fileProblem(name, err))
		}
		defer f.Close()
		in = f
	}
	d := json.NewDecoder(bufio.NewReader(in))
	for n := 1; ; n++ {
		var m accepted
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return fail(withHint(fmt.Errorf("%s: result %d is not a JSON object", name, n), "pass the output of send --results, or the location of a message"))
		}
		if m.Location == "" {
			continue
		}
		if m.Origin == "" {
			if m.Origin, err = vapid.Origin(m.Location); err != nil {
				return fail(fmt.Errorf("%s: result %d has a location that is not a URL", name, n))
			}
		}
		if !yield(m, nil) {
			return false
		}
	}
}
