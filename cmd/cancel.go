package cmd

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/vapid"
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

func runCancel(ctx context.Context, s *streams, o *cancelOptions, args []string) error {
	client, err := o.client(o.cmd, s)
	if err != nil {
		return err
	}
	var n bulk.CancelCounts
	var unread error
	for c, err := range bulk.Cancel(ctx, client, s.messages(args)) {
		if unread = err; err != nil {
			break
		}
		n.Add(&c)
		if s.json {
			line, err := marshal(&c, "")
			if err != nil {
				return err
			}
			_, _ = s.out.Write(line)
		}
	}
	all := n.Withdrawn + n.Failed
	switch {
	case ctx.Err() != nil:
		s.note("withdrew %s before the interruption", plural(n.Withdrawn, "message"))
		return context.Canceled
	case unread == nil && all == 0:
		return withHint(errors.New("the results have no message with a location"), "push services that withdraw messages return their location; see webpush cancel --help")
	case unread == nil && n.Failed == 1 && n.Withdrawn == 0:
		return n.Failures[0].Err
	case all > 0:
		s.note("withdrew %d of %s", n.Withdrawn, plural(all, "message"))
	}
	for _, f := range n.Failures {
		s.warn(fmt.Sprintf("%s not withdrawn: %v", plural(f.Count, "message"), f.Err), hintOf(f.Err))
	}
	switch {
	case unread != nil || n.Failed == 0:
		return unread
	case n.Withdrawn == 0:
		return n.Failures[0].Err
	}
	return &exitError{fmt.Errorf("%d of %s were not withdrawn", n.Failed, plural(all, "message")), exitPartial}
}

// messages yields the messages that the arguments name, up to the first error.
func (s *streams) messages(args []string) iter.Seq2[bulk.Result, error] {
	return func(yield func(bulk.Result, error) bool) {
		for _, arg := range args {
			for r, err := range s.messagesOf(arg) {
				if !yield(r, err) || err != nil {
					return
				}
			}
		}
	}
}

// messagesOf yields the message of a location, or those of a results file.
func (s *streams) messagesOf(arg string) iter.Seq2[bulk.Result, error] {
	return func(yield func(bulk.Result, error) bool) {
		if strings.HasPrefix(arg, "https://") || strings.HasPrefix(arg, "http://") {
			origin, err := vapid.Origin(arg)
			if err != nil {
				err = usage("copy the location as send prints it", "the location is not a URL")
			}
			yield(bulk.Result{Location: arg, Origin: origin}, err)
			return
		}
		in, err := s.open(arg, "the results")
		if err != nil {
			yield(bulk.Result{}, err)
			return
		}
		defer in.Close()
		for r, err := range bulk.ReadResults(in) {
			if err != nil {
				err = withHint(within(inputName(arg), err), "pass the output of send --results, or the location of a message")
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
