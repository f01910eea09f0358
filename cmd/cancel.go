package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type cancelOptions struct {
	cmd *cobra.Command
	connection
}

func newCancelCmd(s *streams) *cobra.Command {
	var o cancelOptions
	c := &cobra.Command{
		Use: "cancel LOCATION…|RESULTS",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage("pass the location of a message, or a results file", "nothing to cancel")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return runCancel(c.Context(), s, &o, args) },
	}
	o.cmd = c
	o.connection.addFlags(c)
	return c
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

// newCanceled describes an outcome.
func newCanceled(c *bulk.Canceled) canceled {
	out := canceled{ID: c.Result.ID, Origin: c.Result.Origin, Service: c.Result.Service, State: "withdrawn"}
	if c.Result.Class != "" { // a result of many, which has an index
		out.Index = &c.Result.Index
	}
	if c.Err != nil {
		out.State, out.Reason = "failed", c.Err.Error()
		var refused *webpush.Error
		if errors.As(c.Err, &refused) {
			out.State = string(refused.Code)
		}
	}
	return out
}

func runCancel(ctx context.Context, s *streams, o *cancelOptions, args []string) error {
	client, err := o.client(o.cmd, s)
	if err != nil {
		return err
	}
	all, withdrawn := 0, 0
	var failures []error // one of each kind, the first one first
	counts := make(map[string]int)
	err = nil
	for c, unread := range bulk.Cancel(ctx, client, s.messages(args)) {
		if unread != nil {
			err = unread
			break
		}
		all++
		if c.Err == nil {
			withdrawn++
		} else {
			if counts[c.Err.Error()] == 0 {
				failures = append(failures, c.Err)
			}
			counts[c.Err.Error()]++
		}
		if s.json {
			if b, err := marshal(newCanceled(&c), ""); err == nil {
				_, _ = s.out.Write(b)
			}
		}
	}
	switch {
	case ctx.Err() != nil:
		s.note("withdrew %s before the interruption", plural(withdrawn, "message"))
		return context.Canceled
	case err == nil && all == 0:
		return withHint(errors.New("the results have no message with a location"), "push services that withdraw messages return their location; see webpush cancel --help")
	case err == nil && all == 1 && withdrawn == 0:
		return failures[0]
	}
	if all > 0 {
		s.note("withdrew %d of %s", withdrawn, plural(all, "message"))
	}
	for _, failure := range failures {
		s.warn(fmt.Sprintf("%s not withdrawn: %v", plural(counts[failure.Error()], "message"), failure), hintOf(failure))
	}
	switch {
	case err != nil:
		return err
	case withdrawn > 0 && withdrawn < all:
		return &exitError{fmt.Errorf("%d of %s were not withdrawn", all-withdrawn, plural(all, "message")), exitPartial}
	case withdrawn == 0:
		return failures[0]
	}
	return nil
}

// messages yields the messages that the arguments name.
func (s *streams) messages(args []string) iter.Seq2[bulk.Result, error] {
	return func(yield func(bulk.Result, error) bool) {
		for _, arg := range args {
			if strings.HasPrefix(arg, "https://") || strings.HasPrefix(arg, "http://") {
				origin, err := vapid.Origin(arg)
				if err != nil {
					err = usage("copy the location as send prints it", "the location is not a URL")
				}
				if !yield(bulk.Result{Location: arg, Origin: origin}, err) || err != nil {
					return
				}
				continue
			}
			in, err := s.openResults(arg)
			if err != nil {
				yield(bulk.Result{}, err)
				return
			}
			for r, err := range bulk.ReadResults(in) {
				if err != nil {
					err = withHint(within(inputName(arg), err), "pass the output of send --results, or the location of a message")
				}
				if !yield(r, err) || err != nil {
					in.Close()
					return
				}
			}
			in.Close()
		}
	}
}

// openResults opens a results file.
func (s *streams) openResults(name string) (io.ReadCloser, error) {
	if name == "-" {
		in, err := s.stdin("the results")
		return io.NopCloser(in), err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fileProblem(name, err)
	}
	return f, nil
}
