package cmd

import (
	"bytes"
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
	service  enumFlag
	endpoint string
	headers  []string
}

func newExplainCmd(s *streams) *cobra.Command {
	o := explainOptions{service: newEnum("", append(serviceNames(), string(webpush.KaiOS), string(webpush.Other))...)}
	c := &cobra.Command{
		Use: "explain {STATUS [BODY] | WORDS}",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && s.inTTY {
				return needsResponse()
			}
			if len(args) > 2 {
				return usage("quote BODY: webpush explain 403 'invalid JWT provided'", "explain accepts a status and a body, found %q after them", args[2])
			}
			return exclusive(c, "service", "endpoint")
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 { // … | webpush explain
				b, err := s.input("-", "the response")
				if err != nil {
					return err
				}
				if len(bytes.TrimSpace(b)) == 0 {
					return needsResponse()
				}
				s.in, s.stdinFor, args = bytes.NewReader(b), "", []string{"-"}
			}
			return runExplain(s, o, args)
		},
	}
	f := c.Flags()
	f.Var(&o.service, "service", "the push service that responded: "+strings.Join(o.service.allowed, ", "))
	f.StringVar(&o.endpoint, "endpoint", "", "determine the push service from the endpoint `URL`")
	f.StringArrayVar(&o.headers, "header", nil, "add a response header, `'Name: value'`, such as X-WNS-… or Retry-After; repeatable")
	completeEnum(c, "service", &o.service)
	return c
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

// explanation is the output of explain for one push service.
type explanation struct {
	Service    webpush.Service `json:"service"`
	Status     int             `json:"status,omitempty"`
	Code       webpush.Code    `json:"code,omitempty"`
	Errno      int             `json:"errno,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Meaning    string          `json:"meaning"`
	Note       string          `json:"note,omitempty"`
	Hint       string          `json:"hint,omitempty"`
	Gone       bool            `json:"gone"`
	Temporary  bool            `json:"temporary"`
	RetryAfter float64         `json:"retryAfter,omitempty"` // seconds
	Exit       int             `json:"exit"`
	Checklist  []string        `json:"checklist,omitempty"`
}

func runExplain(s *streams, o explainOptions, args []string) error {
	r, err := o.response(s, args)
	if err != nil {
		return err
	}
	if r.Status == 0 {
		return o.words(s, r)
	}
	status, h, body := r.Status, r.Header, r.Body
	for _, line := range o.headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return usage("write it as --header 'Name: value'", "--header: %q is not of the form Name: value", line)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	service, err := o.whose(r)
	if err != nil {
		return err
	}
	var list []explanation
	e := webpush.Explain(service, status, h, body)
	switch {
	case e.Code == webpush.CodeOtherServer:
		list = append(list, explained(e))
	case status/100 == 2:
		r := webpush.ExplainAccepted(service, status, h)
		list = append(list, explanation{Service: service, Status: status, Meaning: r.Meaning(), Note: r.Note, Exit: exitOK, Checklist: r.Checklist(),
			Hint: "accepted does not mean delivered: push services do not report delivery"})
	case service == webpush.Other && !o.service.changed && o.endpoint == "":
		for _, e := range webpush.ExplainAll(status, h, body) {
			list = append(list, explained(e))
		}
	default:
		list = append(list, explained(e))
	}
	return printExplanations(s, list)
}

// words explains a response without a status by its wording.
func (o *explainOptions) words(s *streams, r inspect.Response) error {
	text := r.Body
	service, err := o.whose(r)
	if err != nil {
		return err
	}
	var list []explanation
	for _, e := range webpush.ExplainReason(string(text)) {
		if service == webpush.Other || service == e.Service {
			x := explained(e)
			if x.Exit == exitFailure {
				x.Exit = exitRejected
			}
			list = append(list, x)
		}
	}
	if list == nil {
		return usage("give the status as well: webpush explain 403 'invalid JWT provided'; - reads what curl -i prints", "found no status and no words of a push service in %q", clip(string(text)))
	}
	return printExplanations(s, list)
}

func printExplanations(s *streams, list []explanation) error {
	if s.json {
		return s.printJSON(list)
	}
	for i, x := range list {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		x.print(s, len(list) > 1)
	}
	return nil
}

// response reads the response from the arguments or standard input. The status is 0
// if there are only words.
func (o *explainOptions) response(s *streams, args []string) (r inspect.Response, err error) {
	pasted := func(text string) inspect.Response {
		if r, ok := inspect.ParseResponse(text); ok {
			return r
		}
		return inspect.Response{Body: []byte(text)}
	}
	if args[0] == "-" {
		if len(args) > 1 {
			return r, usage("omit BODY", "BODY cannot be combined with -, which reads the body from standard input: %q", args[1])
		}
		b, err := s.input("-", "the response")
		if err == nil && len(bytes.TrimSpace(b)) == 0 {
			err = needsResponse()
		}
		return pasted(string(b)), err
	}
	status, err := strconv.Atoi(args[0])
	if err != nil && len(args) == 1 {
		return pasted(args[0]), nil
	}
	if first := pasted(args[0]); err != nil && first.Status != 0 && len(first.Body) == 0 { // 410 Gone
		status, err = first.Status, nil
	}
	if err != nil || status < 200 || status > 999 {
		return r, usage("webpush explain 403 'invalid JWT provided'", "the status is %q, expected a number such as 403, or - for standard input", clip(args[0]))
	}
	r = inspect.Response{Status: status, Header: make(http.Header)}
	switch {
	case len(args) == 1:
	case args[1] == "-":
		r.Body, err = s.input("-", "the body of the response")
	default:
		r.Body = []byte(args[1])
	}
	return r, err
}

// whose returns the push service that responded, or Other.
func (o *explainOptions) whose(r inspect.Response) (webpush.Service, error) {
	switch {
	case o.service.value != "":
		return webpush.Service(o.service.value), nil
	case o.endpoint == "":
		return r.Service(), nil
	}
	sub, err := webpush.NewSubscription(o.endpoint, "", "")
	if err != nil {
		return "", wrongFlag("endpoint", err)
	}
	return sub.Service(), nil
}

func explained(e *webpush.Error) explanation {
	return explanation{Service: e.Service, Status: e.Status, Code: e.Code, Errno: e.Errno, Reason: e.Reason, Meaning: e.Problem, Hint: commandHint(e.Hint()),
		Gone: e.Gone(), Temporary: e.Temporary(), RetryAfter: e.RetryAfter.Seconds(), Exit: exitCode(e)}
}

// print writes an explanation as text; one of several names its push service.
func (x *explanation) print(s *streams, several bool) {
	name := x.Service.String()
	if several && x.Service == webpush.Other {
		name = "other services"
	}
	phrase := ""
	if x.Status != 0 {
		phrase = strings.TrimSpace(fmt.Sprintf(", %d %s", x.Status, http.StatusText(x.Status)))
	}
	outcome, attribute := "refused", color.FgRed
	switch {
	case x.Exit == exitOK:
		outcome, attribute = "accepted", color.FgGreen
	case x.Gone:
		outcome = "gone"
	case x.Temporary:
		outcome, attribute = "temporary", color.FgYellow
	}
	fmt.Fprintf(s.out, "%s%s: %s\n", name, phrase, s.paint(s.outTTY, outcome, attribute))
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(s.out, "%-10s %s\n", label, text)
		}
	}
	line("reason", x.Reason)
	line("meaning", x.Meaning)
	line("note", x.Note)
	line("to do", x.Hint)
	line("code", string(x.Code))
	if x.RetryAfter > 0 {
		line("wait", shortDuration(time.Duration(x.RetryAfter*float64(time.Second)).Round(time.Second)))
	}
	line("exit code", fmt.Sprintf("%d, %s", x.Exit, map[int]string{exitOK: "accepted", exitGone: "delete the subscription", exitRejected: "the same message will be refused again", exitTemporary: "try again later"}[x.Exit]))
	if x.Checklist != nil {
		fmt.Fprintln(s.out, "\nIf nothing shows, look at:")
		for _, item := range x.Checklist {
			fmt.Fprintf(s.out, "  - %s\n", item)
		}
	}
}
