package inspect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// response recognizes a push service's response.
func (in inspector) response(s string) *Thing {
	r, ok := ParseResponse(s)
	if !ok {
		return nil
	}
	return in.describeResponse(r)
}

// describeResponse describes a parsed response.
func (in inspector) describeResponse(r Response) *Thing {
	t := &Thing{Kind: KindResponse}
	in.addMeaning(t, r)
	return t
}

// pastedResponse parses a response as curl -i or curl -v prints it, perhaps copied from
// a terminal with the command before it. If there are several, such as a proxy's and
// the service's, the last one counts. The status is 0 if s is not a response.
func pastedResponse(s string) (status int, h http.Header, body string) {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	switch at := statusLineWithin.FindStringIndex(s); {
	case strings.HasPrefix(s, "HTTP/"):
	case strings.Contains(s, "\n< HTTP/") || strings.HasPrefix(s, "< HTTP/"):
		s = fromVerbose(s)
	case at != nil && !strings.HasPrefix(s, "{"):
		s = s[at[0]:]
	default:
		return loggedResponse(s)
	}
	for range 20 {
		if !strings.HasPrefix(s, "HTTP/") {
			break
		}
		first, rest, _ := strings.Cut(s, "\n")
		m := statusLine.FindStringSubmatch(strings.TrimSpace(first))
		if m == nil {
			break
		}
		status, _ = strconv.Atoi(m[1])
		var head string
		if strings.HasPrefix(rest, "\n") {
			rest = "\n" + rest
		}
		head, body, _ = strings.Cut(rest, "\n\n")
		if h = headerLines(head); h == nil { // the blank line was lost
			h, body = make(http.Header), rest
			for line := range strings.Lines(head) {
				m := anyHeader.FindStringSubmatch(strings.TrimRight(line, "\r\n \t"))
				if m == nil {
					break
				}
				h.Add(m[2], m[3])
				body = strings.TrimPrefix(body, line)
			}
		}
		s = strings.TrimLeft(body, "\n")
	}
	return status, h, jsonAlone(body)
}

// jsonAlone removes text after the JSON of a body, such as the next prompt of a shell.
func jsonAlone(body string) string {
	if !strings.HasPrefix(body, "{") {
		return body
	}
	var value json.RawMessage
	d := json.NewDecoder(strings.NewReader(body))
	if d.Decode(&value) != nil {
		return body
	}
	return body[:d.InputOffset()]
}

// fromVerbose extracts the response from the output of curl -v.
func fromVerbose(s string) string {
	var head, body []string
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "<"):
			head = append(head, strings.TrimPrefix(strings.TrimPrefix(line, "<"), " "))
		case strings.HasPrefix(line, "* "), strings.HasPrefix(line, "> "), line == ">", strings.HasPrefix(line, "{ ["), strings.HasPrefix(line, "} ["):
		case head != nil:
			body = append(body, line)
		}
	}
	return strings.TrimRight(strings.Join(head, "\n"), "\n") + "\n\n" + strings.TrimLeft(strings.Join(body, "\n"), "\n")
}

// serviceOf identifies the service that responded by its headers.
func serviceOf(h http.Header) webpush.Service {
	for name := range h {
		switch {
		case strings.HasPrefix(name, "X-Wns-"), name == "Ms-Cv":
			return webpush.WNS
		case name == "Apns-Id":
			return webpush.Apple
		}
	}
	if sub, err := webpush.NewSubscription(h.Get("Location"), "", ""); err == nil {
		return sub.Service()
	}
	return webpush.Other
}

// addMeaning shows the meaning of a response.
func (in inspector) addMeaning(t *Thing, r Response) {
	if r.Status/100 == 1 {
		t.Title = "interim response, " + phrase(r.Status)
		t.add("status", r.Status, phrase(r.Status))
		return
	}
	list := r.Explain("")
	if list[0].Accepted() {
		in.addAccepted(t, r, list[0])
	} else {
		t.Title = "response of a push service: " + phrase(r.Status)
		in.addExplanations(t, list)
		t.Problems = append(t.Problems, r.TokenProblems()...)
	}
	in.addDate(t, r.Header)
}

// addAccepted shows the meaning of a response to a message that was accepted.
func (in inspector) addAccepted(t *Thing, r Response, e Explanation) {
	who := e.Service.String()
	if e.Service == webpush.Other {
		who = "a push service"
	}
	t.Title = "response of " + who + ": accepted, " + e.Phrase()
	t.add("status", e.Status, e.Phrase())
	t.addService(e.Service)
	t.add("meaning", e.Meaning)
	receipt := webpush.ExplainAccepted(e.Service, r.Status, r.Header)
	if receipt.Location != "" {
		t.add("location", in.redactURL(receipt.Location), in.redactURL(receipt.Location)+", the message's own URL; DELETE cancels it where the service supports that")
	}
	if receipt.TTL != nil {
		t.add("TTL", int64(receipt.TTL.Seconds()), fmt.Sprintf("%d seconds (%s) granted", int64(receipt.TTL.Seconds()), bulk.FormatDuration(*receipt.TTL)))
	}
	if e.Note != "" {
		t.warn(e.Note, "")
	}
}

// addExplanations shows the meaning of a rejection, for each service that may
// have sent it.
func (in inspector) addExplanations(t *Thing, list []Explanation) {
	first := list[0]
	if first.Status != 0 {
		t.add("status", first.Status, first.Phrase())
	}
	if first.Errno != 0 {
		t.add("errno", first.Errno)
	}
	if first.Reason != "" {
		t.add("reason", first.Reason)
	}
	if first.RetryAfter > 0 {
		wait := time.Duration(first.RetryAfter * float64(time.Second))
		t.add("retry after", first.RetryAfter, bulk.FormatDuration(wait.Round(time.Second)))
	}
	if len(list) == 1 {
		t.Title = strings.Replace(t.Title, "of a push service", "of "+first.Service.String(), 1)
		t.addService(first.Service)
		t.add("code", first.Code, string(first.Code))
		t.add("meaning", first.Meaning)
		t.add("to do", in.hint(first.Hint))
		return
	}
	for _, e := range list {
		name := e.Service.String()
		switch {
		case e.Service == webpush.Other:
			name = "others"
		case e.Service == first.Service && list[1].Service == first.Service: // one error number, two statuses
			name = e.Phrase()
		}
		t.add("if "+name, map[string]string{"code": string(e.Code), "meaning": e.Meaning, "hint": in.hint(e.Hint)}, fmt.Sprintf("%s: %s; %s", e.Code, e.Meaning, in.hint(e.Hint)))
	}
}

func (in inspector) addDate(t *Thing, h http.Header) {
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		t.add("date", date.UTC().Format(time.RFC3339), showTime(date))
	}
}

func (in inspector) redactURL(s string) string {
	if in.showSecrets {
		return s
	}
	if o, err := vapid.Origin(s); err == nil {
		return o + "/…"
	}
	return "…"
}

// errorBody describes the body of a refusal without its status.
func (in inspector) errorBody(s string, fields map[string]json.RawMessage) *Thing {
	t := &Thing{Kind: KindErrorBody, Title: "error of a push service"}
	status := number(fields["code"])
	if status < 300 || status > 599 {
		status = number(fields["http"])
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(fields["error"], &inner) == nil && status == 0 {
		status = number(inner["code"])
	}
	if known := webpush.AppleStatus(str(fields["reason"])); known != 0 {
		status = known
	}
	guessed := status < 300 || status > 599
	list := Response{Body: []byte(s)}.Explain("") // by its words
	if !guessed || list == nil {
		if guessed {
			status = http.StatusBadRequest
		}
		list = Response{Status: status, Body: []byte(s)}.Explain("")
	}
	t.Title = "response of a push service, its body alone"
	in.addExplanations(t, list)
	if guessed || fields["reason"] != nil {
		t.Fields = slices.DeleteFunc(t.Fields, func(f Field) bool { return f.Name == "status" })
		if !guessed {
			t.add("status", status, phrase(status)+", as it usually comes with that reason")
		} else {
			t.add("status", nil, "unknown: the status line is missing, see curl -i")
		}
	}
	return t
}

// errorText recognizes the words of a refusal: a reason, an error number, or a whole body
// that is plain text or a page.
func (in inspector) errorText(s string) *Thing {
	if len(s) > 8192 {
		return nil
	}
	list := Response{Body: []byte(s), service: serviceIn(s)}.Explain("")
	if list == nil || slices.ContainsFunc(list, func(e Explanation) bool { return e.Service != list[0].Service }) {
		return nil
	}
	t := &Thing{Kind: KindErrorBody, Title: "response of " + list[0].Service.String() + ", its text alone"}
	in.addExplanations(t, list)
	return t
}

// Response is a response that was pasted or logged.
type Response struct {
	Status int         // HTTP status
	Header http.Header // header fields in the text, or nil
	Body   []byte      // body in the text, or nil

	service  webpush.Service // service of an endpoint in the text, or ""
	token    *vapid.Token    // token of the request in the text, or nil
	audience string          // origin that the request was sent to, or ""
}

// ParseResponse parses a response of a push service: as curl -i or curl -v
// prints it (of several, such as a proxy's and the service's, the last), with the
// command before it or the status after the body, or as libraries and programs log
// it: the error of npm's web-push, exceptions of pywebpush and Guzzle, lines of
// Ruby's web-push, tuples of Elixir, structured logs, and the JSON of autopush or ntfy
// alone. It reports whether the text is a response.
func ParseResponse(s string) (Response, bool) {
	status, h, body := pastedResponse(strings.TrimLeft(s, " \t\r\n"))
	r := Response{Status: status, Header: h, Body: []byte(body), service: serviceIn(s)}
	if status != 0 {
		r.token, r.audience = requestIn(s)
	}
	return r, status != 0
}

// Service returns the push service that the header fields identify, or an endpoint
// in the text, or [webpush.Other].
func (r Response) Service() webpush.Service {
	if s := serviceOf(r.Header); s != webpush.Other || r.service == "" {
		return s
	}
	return r.service
}

// endpointIn matches an endpoint in the log of a failure, or its host.
var endpointIn = pattern.New(`https://[\w.-]+(?::\d+)?/[\w./?=&%:~-]*|\bhost: [\w.-]+`)

// redactEndpoints replaces URLs in text by their origins if they are endpoints of a known
// push service, or all of them.
func redactEndpoints(text string, all bool) string {
	return endpointIn.ReplaceAllStringFunc(text, func(url string) string {
		sub, err := webpush.NewSubscription(url, "", "")
		switch {
		case strings.HasPrefix(url, "host: "), err == nil && !all && sub.Service() == webpush.Other:
			return url
		case err == nil:
			return sub.Origin() + "/…"
		}
		return "…"
	})
}

// serviceIn returns the only push service that text names by an endpoint, or "".
func serviceIn(text string) webpush.Service {
	var found webpush.Service
	for _, url := range endpointIn.FindAllString(text[:min(len(text), 1<<14)], 20) {
		if host, ok := strings.CutPrefix(url, "host: "); ok {
			url = "https://" + host + "/"
		}
		sub, err := webpush.NewSubscription(url, "", "")
		switch {
		case err != nil || sub.Service() == webpush.Other:
		case found != "" && found != sub.Service():
			return ""
		default:
			found = sub.Service()
		}
	}
	return found
}
