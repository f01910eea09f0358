package cmd

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/inspect"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

type explainOptions struct {
	service  webpush.Service
	endpoint string
	headers  []string
}

func newExplainCmd(s *streams) *cobra.Command {
	var o explainOptions
	c := &cobra.Command{
		Use: "explain {STATUS [BODY] | WORDS}",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && s.inTTY {
				return needsResponse()
			}
			if len(args) > 2 && isStatus(args[0]) {
				return usage("quote BODY: webpush explain 403 'invalid JWT provided'", "explain accepts a status and a body, found %q after them", args[2])
			}
			if len(args) > 2 && !isStatus(args[0]) && exists(args[0]) {
				return usage("pass the file alone", "explain accepts a file and a body, found %q after them", args[2])
			}
			return exclusive(c, "service", "endpoint")
		},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0: // … | webpush explain
				args = []string{"-"}
			case args[0] != "-" && !isStatus(args[0]) && !exists(args[0]): // words that are not quoted
				args = []string{strings.Join(args, " ")}
			}
			return runExplain(s, o, args)
		},
	}
	f := c.Flags()
	services := append(webpush.Services(), webpush.KaiOS, webpush.Other)
	wordFlag(c, &o.service, "service", "", "the push service that responded: "+strings.Join(words(services), ", "), services...)
	f.StringVar(&o.endpoint, "endpoint", "", "determine the push service from the endpoint `URL`")
	f.StringArrayVar(&o.headers, "header", nil, "add a response header, `'Name: value'`, such as X-WNS-… or Retry-After; repeatable")
	return c
}

// isStatus reports whether an argument is a number.
func isStatus(arg string) bool {
	_, err := strconv.Atoi(arg)
	return err == nil
}

// clip shortens text of a response for a message.
func clip(s string) string {
	if r := []rune(strings.TrimSpace(s)); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return strings.TrimSpace(s)
}

func needsResponse() error {
	return usage("use, for example: webpush explain 403 '{\"reason\":\"BadJwtToken\"}'; - reads the output of curl -i from standard input", "no status given")
}

func runExplain(s *streams, o explainOptions, args []string) error {
	r, from, err := o.response(s, args)
	if err != nil {
		return err
	}
	for _, line := range o.headers {
		name, value, err := headerLine(line)
		if err != nil {
			return err
		}
		if r.Status == 0 {
			return usage("give the status as well", "--header requires a status")
		}
		r.Header.Add(name, value)
	}
	service := o.service
	if o.endpoint != "" {
		sub, err := webpush.NewSubscription(o.endpoint, "", "")
		if err != nil {
			return wrongFlag("endpoint", err)
		}
		service = sub.Service()
	}
	list := r.Explain(service)
	if list == nil {
		return usage("give the status as well: webpush explain 403 'invalid JWT provided'; - reads what curl -i prints", "found no status and no words of a push service in %s", from)
	}
	if err := printExplanations(s, list); err != nil || list[0].Accepted() {
		return err
	}
	for _, p := range r.TokenProblems() {
		s.talk(p.Severity.String(), severityColor[p.Severity], p.Message, commandHint(p.Hint))
	}
	return nil
}

// response reads the response from the arguments, and says where it is from. The status
// is 0 if there are only words.
func (o *explainOptions) response(s *streams, args []string) (r inspect.Response, from string, err error) {
	if args[0] == "-" && len(args) > 1 {
		return r, "", usage("omit BODY", "BODY cannot be combined with -, which reads the body from standard input: %q", args[1])
	}
	status, notNumber := strconv.Atoi(args[0])
	if notNumber == nil {
		r = inspect.Response{Status: status, Header: make(http.Header)}
	} else {
		var text []byte
		if text, from, err = s.value(args[0], "the response"); err == nil && len(bytes.TrimSpace(text)) == 0 {
			err = needsResponse()
		}
		if err != nil {
			return r, "", err
		}
		from = cmp.Or(from, strconv.Quote(clip(shown(string(text)))))
		var whole bool
		if r, whole = inspect.ParseResponse(string(text)); !whole {
			r = inspect.Response{Body: text}
		}
	}
	if (notNumber == nil || len(args) == 2) && (r.Status < 200 || r.Status > 999 || len(r.Body) > 0) {
		hint := "webpush explain 403 'invalid JWT provided'"
		if 100 <= r.Status && r.Status < 200 {
			hint = fmt.Sprintf("for an errno of Mozilla: webpush explain errno %d", r.Status)
		}
		return r, "", usage(hint, "the status is %q, expected a number such as 403, or - for standard input", clip(shown(args[0])))
	}
	if len(args) == 2 {
		r.Body = []byte(args[1])
		if args[1] == "-" {
			r.Body, err = s.input("-", "the body of the response")
		}
	}
	return r, from, err
}

// outcome is what a response means for the caller of the command.
type outcome struct {
	exit         int
	name, advice string
	color        color.Attribute
}

func outcomeOf(e *inspect.Explanation) outcome {
	switch {
	case e.Accepted():
		return outcome{exitOK, "accepted", "accepted", color.FgGreen}
	case e.Gone:
		return outcome{exitGone, "gone", "delete the subscription", color.FgRed}
	case e.Temporary:
		return outcome{exitTemporary, "temporary", "try again later", color.FgYellow}
	}
	return outcome{exitRejected, "refused", "the same message will be refused again", color.FgRed}
}

func printExplanations(s *streams, list []inspect.Explanation) error {
	type result struct {
		inspect.Explanation
		Exit int `json:"exit"`
	}
	var results []result
	for i := range list {
		e := &list[i]
		e.Hint = commandHint(e.Hint)
		results = append(results, result{*e, outcomeOf(e).exit})
	}
	if s.json {
		return s.printJSON(results)
	}
	for i := range list {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		printExplanation(s, &list[i], len(list) > 1)
	}
	return nil
}

// printExplanation writes an explanation as text; one of several names its push
// service.
func printExplanation(s *streams, e *inspect.Explanation, several bool) {
	name := e.Service.String()
	if several && e.Service == webpush.Other {
		name = "other services"
	}
	if e.Status != 0 {
		name += ", " + e.Phrase()
	}
	out := outcomeOf(e)
	fmt.Fprintf(s.out, "%s: %s\n", name, s.paint(s.outTTY, out.name, out.color))
	wait := ""
	if e.RetryAfter > 0 {
		wait = shortDuration(time.Duration(e.RetryAfter * float64(time.Second)).Round(time.Second))
	}
	s.lines("%-10s %s\n", [][2]string{
		{"reason", e.Reason}, {"meaning", e.Meaning}, {"note", e.Note}, {"to do", e.Hint}, {"code", string(e.Code)}, {"wait", wait},
		{"exit code", fmt.Sprintf("%d, %s", out.exit, out.advice)},
	}...)
	if e.Checklist != nil {
		fmt.Fprintf(s.out, "\nIf nothing shows, look at:\n  - %s\n", strings.Join(e.Checklist, "\n  - "))
	}
}
