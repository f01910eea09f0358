package cmd

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
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
		Use:   "explain {STATUS [BODY] | WORDS}",
		Short: "Say what a push service's answer means, and what to do",
		Long: `explain says what an answer means, in the words that send has for it, without
sending anything. STATUS is its number, BODY the text that came with it, or -
for standard input. WORDS are those of a push service without the status, such as
BadJwtToken, or a whole answer, as curl -i or curl -v prints it or a library logs
it; - reads it from standard input.

Whose answer it is says --service, or --endpoint by its host. Without them
explain tells it by the words of the answer, or else gives the meaning for each
service that has one of its own. A success is explained as well: accepted is
not delivered, and there is a list of what keeps a message from being shown.

"exit code" is the one with which send would end.`,
		Example: `  webpush explain 403 '{"reason":"BadJwtToken"}'
  webpush explain BadJwtToken
  webpush explain 410 --service fcm
  webpush explain 400 --service wns --header 'X-WNS-Error-Description: Ttl value conflicts with X-WNS-Cache-Policy.'
  curl -i … | webpush explain -
  webpush explain 201`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && s.inTTY {
				return needsAnswer()
			}
			if len(args) > 2 {
				return usage("quote the body: webpush explain 403 'invalid JWT provided'", "explain takes a status and a body, found %q after them", args[2])
			}
			return exclusive(c, "service", "endpoint")
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 { // … | webpush explain
				b, err := s.input("-", "the answer")
				if err != nil {
					return err
				}
				if len(bytes.TrimSpace(b)) == 0 {
					return needsAnswer()
				}
				s.in, s.stdinFor, args = bytes.NewReader(b), "", []string{"-"}
			}
			return runExplain(s, o, args)
		},
	}
	f := c.Flags()
	f.Var(&o.service, "service", "whose answer it is: "+strings.Join(o.service.allowed, ", "))
	f.StringVar(&o.endpoint, "endpoint", "", "whose answer it is, by the `URL` that it was sent to")
	f.StringArrayVar(&o.headers, "header", nil, "a header of the answer, `'Name: value'`, such as X-WNS-… or Retry-After; repeatable")
	completeEnum(c, "service", &o.service)
	return c
}

// statusLine is a status with its phrase.
var statusLine = regexp.MustCompile(`^\s*([1-9]\d\d) [A-Z][A-Za-z' -]{1,40}$`)

// clip shortens text of an answer for a message.
func clip(s string) string {
	if r := []rune(strings.TrimSpace(s)); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return strings.TrimSpace(s)
}

func needsAnswer() error {
	return usage("webpush explain 403 '{\"reason\":\"BadJwtToken\"}'; - reads what curl -i prints", "explain needs the status of an answer")
}

// explanation is what explain prints of one service.
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
	status, h, body, err := o.answer(s, args)
	if err != nil {
		return err
	}
	if status == 0 {
		return o.words(s, body)
	}
	for _, line := range o.headers {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return usage("write it as --header 'Name: value'", "--header: %q has no name and value with a colon between", line)
		}
		h.Add(name, strings.TrimSpace(value))
	}
	service, err := o.whose(h)
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
			Hint: "accepted is not delivered: no push service tells the sender whether it was"})
	case service == webpush.Other && !o.service.changed && o.endpoint == "":
		for _, e := range webpush.ExplainAll(status, h, body) {
			list = append(list, explained(e))
		}
	default:
		list = append(list, explained(e))
	}
	return printExplanations(s, list)
}

// words explains an answer without a status by its words.
func (o *explainOptions) words(s *streams, text []byte) error {
	service, err := o.whose(nil)
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

// answer reads the answer from the arguments or standard input. The status is 0 if
// there are only words.
func (o *explainOptions) answer(s *streams, args []string) (int, http.Header, []byte, error) {
	fail := func(err error) (int, http.Header, []byte, error) { return 0, nil, nil, err }
	if args[0] == "-" {
		if len(args) > 1 {
			return fail(usage("leave the body away", "with - the body stands in the answer on standard input, found %q", args[1]))
		}
		b, err := s.input("-", "the answer")
		if err != nil {
			return fail(err)
		}
		r, ok := inspect.ParseResponse(string(b))
		if !ok && len(bytes.TrimSpace(b)) > 0 {
			return 0, nil, b, nil
		}
		if !ok {
			return fail(needsAnswer())
		}
		return r.Status, r.Header, r.Body, nil
	}
	status, err := strconv.Atoi(args[0])
	if m := statusLine.FindStringSubmatch(args[0]); m != nil { // 410 Gone
		status, err = strconv.Atoi(m[1])
	}
	if err != nil && len(args) == 1 {
		if r, ok := inspect.ParseResponse(args[0]); ok {
			return r.Status, r.Header, r.Body, nil
		}
		return 0, nil, []byte(args[0]), nil
	}
	if err != nil || status < 200 || status > 999 {
		return fail(usage("webpush explain 403 'invalid JWT provided'", "the status is %q, expected a number such as 403, or - for standard input", clip(args[0])))
	}
	h := make(http.Header)
	switch {
	case len(args) == 1:
		return status, h, nil, nil
	case args[1] == "-":
		b, err := s.input("-", "the answer's body")
		return status, h, b, err
	}
	return status, h, []byte(args[1]), nil
}

// whose returns the service that answered, or Other.
func (o *explainOptions) whose(h http.Header) (webpush.Service, error) {
	switch {
	case o.service.value != "":
		return webpush.Service(o.service.value), nil
	case o.endpoint == "":
		return inspect.Response{Header: h}.Service(), nil
	}
	sub, err := webpush.NewSubscription(o.endpoint, "", "")
	if err != nil {
		return "", wrongFlag("endpoint", err)
	}
	return sub.Service(), nil
}

func explained(e *webpush.Error) explanation {
	return explanation{Service: e.Service, Status: e.Status, Code: e.Code, Errno: e.Errno, Reason: e.Reason, Meaning: e.Meaning, Hint: commandHint(e.Hint()),
		Gone: e.Gone(), Temporary: e.Temporary(), RetryAfter: e.RetryAfter.Seconds(), Exit: exitCode(e)}
}

// print writes an explanation for people; one of several says whose it is.
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
