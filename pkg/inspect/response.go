package inspect

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/bulk"
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

// pastedResponse parses a response as curl -i or curl -v prints it. If there
// are several, such as a proxy's and the service's, the last one counts. The
// status is 0 if s is not a response.
func pastedResponse(s string) (status int, h http.Header, body string) {
	if !strings.HasPrefix(s, "HTTP/") {
		if !strings.Contains(s, "\n< HTTP/") && !strings.HasPrefix(s, "< HTTP/") {
			return loggedResponse(s)
		}
		s = fromVerbose(s)
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
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
	return status, h, body
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
	service, status, h, body := r.Service(), r.Status, r.Header, r.Body
	phrase := strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	if status/100 == 2 && webpush.Explain(service, status, h, body).Code != webpush.CodeOtherServer {
		r := webpush.ExplainAccepted(service, status, h)
		t.Title = "response of " + service.String() + ": accepted, " + phrase
		if service == webpush.Other {
			t.Title = "response of a push service: accepted, " + phrase
		}
		t.add("status", status, phrase)
		t.addService(service)
		t.add("meaning", r.Meaning())
		if r.Location != "" {
			t.add("location", in.redactURL(r.Location), in.redactURL(r.Location)+", the message's own URL; DELETE cancels it where the service supports that")
		}
		if r.TTL != nil {
			t.add("TTL", int64(r.TTL.Seconds()), fmt.Sprintf("%d seconds (%s) granted", int64(r.TTL.Seconds()), bulk.FormatDuration(*r.TTL)))
		}
		if r.Note != "" {
			t.warn(r.Note, "")
		}
		in.addDate(t, h)
		return
	}
	if status/100 == 1 {
		t.Title = "interim response, " + phrase
		t.add("status", status, phrase)
		return
	}
	t.Title = "response of a push service: " + phrase
	in.addExplanations(t, service, status, h, body)
	in.addDate(t, h)
}

// addExplanations shows the meaning of a rejection, for each service that may
// have sent it.
func (in inspector) addExplanations(t *Thing, service webpush.Service, status int, h http.Header, body []byte) {
	list := []*webpush.Error{webpush.Explain(service, status, h, body)}
	if service == webpush.Other {
		list = webpush.ExplainAll(status, h, body)
	}
	for i, e := range list {
		if i == 0 {
			t.add("status", status, strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status))))
			if e.Errno != 0 {
				t.add("errno", e.Errno)
			}
			if e.Reason != "" {
				t.add("reason", e.Reason)
			}
			if e.RetryAfter > 0 {
				t.add("retry after", e.RetryAfter.Seconds(), bulk.FormatDuration(e.RetryAfter.Round(time.Second)))
			}
		}
		if len(list) == 1 {
			t.Title = strings.Replace(t.Title, "of a push service", "of "+e.Service.String(), 1)
			t.addService(e.Service)
			t.add("code", e.Code, string(e.Code))
			t.add("meaning", e.Problem)
			t.add("to do", e.Hint())
			continue
		}
		name := e.Service.String()
		if e.Service == webpush.Other {
			name = "others"
		}
		t.add("if "+name, map[string]string{"code": string(e.Code), "meaning": e.Problem, "hint": e.Hint()}, fmt.Sprintf("%s: %s; %s", e.Code, e.Problem, e.Hint()))
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
	if known := appleStatus[str(fields["reason"])]; known != 0 {
		status = known
	}
	guessed := status < 300 || status > 599
	if guessed {
		status = http.StatusBadRequest
	}
	t.Title = "response of a push service, its body alone"
	in.addExplanations(t, webpush.Other, status, nil, []byte(s))
	if guessed || fields["reason"] != nil {
		t.Fields = slices.DeleteFunc(t.Fields, func(f Field) bool { return f.Name == "status" })
		if !guessed {
			t.add("status", status, fmt.Sprintf("%d %s, as it usually comes with that reason", status, http.StatusText(status)))
		} else {
			t.add("status", nil, "unknown: the status line is missing, see curl -i")
		}
	}
	return t
}

// appleStatus maps Apple's reasons to their status.
var appleStatus = map[string]int{
	"BadTtl": 400, "BadUrgency": 400, "BadWebPushTopic": 400, "BadWebPushRequest": 400, "BadAuthorizationHeader": 400,
	"VapidPkHashMismatch": 400, "BadVapidPublicKey": 400, "BadJwtToken": 403, "Forbidden": 403, "BadPath": 404,
	"MethodNotAllowed": 405, "Unregistered": 410, "ExpiredToken": 410, "PayloadTooLarge": 413, "TooManyRequests": 429,
	"InternalServerError": 500, "ServiceUnavailable": 503, "Shutdown": 503, "IdleTimeout": 408,
}

// errorText recognizes FCM's refusals, which are plain text or a page.
func (in inspector) errorText(s string) *Thing {
	if len(s) > 8192 {
		return nil
	}
	list := webpush.ExplainAll(0, nil, []byte(s)) // no status: the words alone can match
	if len(list) != 1 || list[0].Service == webpush.Other || list[0].Code == webpush.CodeRejected {
		return nil
	}
	e := list[0]
	t := &Thing{Kind: KindErrorBody, Title: "response of " + e.Service.String() + ", its text alone"}
	t.addService(e.Service)
	t.add("reason", e.Reason)
	t.add("code", e.Code, string(e.Code))
	t.add("meaning", e.Problem)
	t.add("to do", e.Hint())
	return t
}

// Response is a response that was pasted or logged.
type Response struct {
	Status int         // HTTP status
	Header http.Header // header fields in the text, or nil
	Body   []byte      // body in the text, or nil

	service webpush.Service // service of an endpoint in the text, or ""
}

// ParseResponse parses a response of a push service: as curl -i or curl -v
// prints it (of several, such as a proxy's and the service's, the last), or as
// libraries and programs log it: the error of npm's web-push, exceptions of
// pywebpush and Guzzle, lines of Ruby's web-push, tuples of Elixir, structured logs,
// and the JSON of autopush or ntfy alone. It reports whether the text is a response.
func ParseResponse(s string) (Response, bool) {
	status, h, body := pastedResponse(strings.TrimLeft(s, " \t\r\n"))
	return Response{status, h, []byte(body), serviceIn(s)}, status != 0
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
var endpointIn = regexp.MustCompile(`https://[\w.-]+(?::\d+)?/[\w./?=&%:~-]*|\bhost: [\w.-]+`)

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
