package inspect

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

// loggedResponse parses a response as libraries for Web Push log it: the error
// of npm's web-push as JSON, exceptions of pywebpush and of Guzzle, lines of
// Ruby's web-push, tuples of Elixir, and the fields of autopush as a dictionary
// of Python. The status is 0 if s has none of these forms.
func loggedResponse(s string) (status int, h http.Header, body string) {
	if strings.HasPrefix(s, "{") {
		if status, h, body = loggedJSON(s); status != 0 {
			return status, h, body
		}
	}
	if status, body = statusBeside(s); status != 0 {
		return status, make(http.Header), body
	}
	if pythonDict.MatchString(s) {
		if status, h, body = loggedJSON(pythonToJSON.Replace(s)); body != "" {
			return status, h, body
		}
	}
	if status, h, body = loggedAs(s, logged); status != 0 || s == "" || strings.IndexByte("{[\"", s[0]) >= 0 || len(s) >= 1<<14 {
		return status, h, body
	}
	if i := strings.Index(s, `{"`); i > 0 { // JSON after somebody's own words
		if status, h, body = loggedJSON(s[i:]); status != 0 {
			return status, h, body
		}
	}
	return loggedAs(s, prose)
}

var (
	statusBefore = pattern.New(`(?s)^(?i:HTTP[ :]*|status[ :=]*)?([45]\d\d)[\s:-]+(\{.*)$`)
	statusAfter  = pattern.New(`^[\s]*(?i:HTTP[ :]*|status[ :=]*)?([45]\d\d)$`)
)

// statusBeside parses a body in JSON with its status before it, or after it as
// curl -w '%{http_code}' prints it.
func statusBeside(s string) (status int, body string) {
	if s = strings.TrimSpace(s); strings.Contains(s, `"endpoint"`) { // a subscription, or a log
		return 0, ""
	}
	if m := statusBefore.FindStringSubmatch(s); m != nil {
		if body = jsonAlone(m[2]); json.Valid([]byte(body)) {
			status, _ = strconv.Atoi(m[1])
			return status, body
		}
	}
	if body = jsonAlone(s); len(body) < len(s) {
		if m := statusAfter.FindStringSubmatch(s[len(body):]); m != nil {
			status, _ = strconv.Atoi(m[1])
			return status, body
		}
	}
	return 0, ""
}

// loggedAs reads a response in the first of the forms that matches.
func loggedAs(s string, forms []loggedForm) (status int, h http.Header, body string) {
	for _, form := range forms {
		m := form.status.FindStringSubmatch(s)
		if m == nil {
			continue
		}
		if len(m) == 1 { // the words of a library for one status
			return form.means, make(http.Header), ""
		}
		status, _ = strconv.Atoi(m[1])
		if b := form.body.FindStringSubmatch(s); b != nil {
			body = strings.TrimSpace(b[1])
			if form.quoted {
				if text, err := strconv.Unquote(`"` + b[1] + `"`); err == nil {
					body = text
				}
			}
		}
		return status, make(http.Header), body
	}
	return 0, nil, ""
}

var (
	pythonDict   = pattern.New(`^\{\s*'[a-z]+'\s*:`)
	pythonToJSON = strings.NewReplacer(`'`, `"`, `None`, `null`, `True`, `true`, `False`, `false`)
)

// nothing is the expression of a form without a body.
var nothing = pattern.New(`$^`)

// loggedForm is a form of text with a status and a body.
type loggedForm struct {
	status, body *pattern.Pattern
	quoted       bool
	means        int // status of words without a number
}

// logged are the forms of libraries for Web Push.
var logged = []loggedForm{
	// pywebpush: WebPushException: Push failed: 410 Gone, with the response's body in the next line
	{pattern.New(`Push failed: ([1-5]\d\d)\b`), pattern.New(`(?s)Response body:\s*(.*?)(?:, Response |$)`), false, 0},
	// Guzzle: Client error: `POST https://…` resulted in a `410 Gone` response:
	{pattern.New("resulted in an? `([1-5]\\d\\d) "), pattern.New(`(?s)response:\s*(.*)$`), false, 0},
	// Ruby: host: …, #<Net::HTTPGone 410 Gone readbody=true>
	{pattern.New(`#<Net::HTTP\w+ ([1-5]\d\d)\b`), pattern.New(`(?s)\nbody:\s*(.*)$`), false, 0},
	// Elixir: %HTTPoison.Response{status_code: 410, body: "…"}, %Finch.Response{status: 410, body: "…"}
	{pattern.New(`%[A-Z][\w.]*Response\{.*?\bstatus(?:_code)?: ([1-5]\d\d)\b`), pattern.New(`\bbody: "((?:[^"\\]|\\.)*)"`), true, 0},
	// npm's web-push, printed: WebPushError { statusCode: 410, body: '…' }
	{pattern.New(`(?s)WebPushError.*?\bstatusCode: ([1-5]\d\d)\b`), pattern.New(`\bbody: ['"]((?:[^'"\\]|\\.)*)['"]`), true, 0},
	// Tesla of Elixir, which is not named a response
	{pattern.New(`(?s)%Tesla\.Env\{.*?\bstatus: ([1-5]\d\d)\b`), pattern.New(`\bbody: "((?:[^"\\]|\\.)*)"`), true, 0},
	// Elixir: {:error, {:http_error, 410, "…"}}
	{pattern.New(`^\{:error,.*?\b([45]\d\d)\b`), pattern.New(`"((?:[^"\\]|\\.)*)"`), true, 0},
	// Python: a dictionary with the parts of a response
	{pattern.New(`^\{.*?'status(?:_code)?': ([1-5]\d\d)\b`), pattern.New(`'(?:text|body|content|data)': b?'((?:[^'\\]|\\.)*)'`), true, 0},
	// .NET: WebPush.WebPushException: …, StatusCode: 410
	{pattern.New(`(?s)WebPushException\b.*?\bStatusCode: ([1-5]\d\d)\b`), nothing, false, 0},
	// Rust's web-push: ErrorInfo { code: 410, errno: 103, …, message: "…" }
	{pattern.New(`\bErrorInfo \{ code: ([1-5]\d\d)\b`), pattern.New(`\bmessage: "((?:[^"\\]|\\.)*)"`), true, 0},
}

// prose are the forms of HTTP clients and logs, which are not looked for in JSON: a
// notification may say that something failed.
var prose = []loggedForm{
	// HTTP clients: axios, requests, httpx, aiohttp, reqwest, Apache's, OkHttp, fetch,
	// Go's %v of a response, Faraday, and lines of access logs
	{pattern.New(`\b(?:status code:?|failed with status) ([1-5]\d\d)\b`), nothing, false, 0},
	{pattern.New(`\b([45]\d\d) (?:Client|Server) Error: `), nothing, false, 0},
	{pattern.New(`(?:Client|Server|Redirect) error '([1-5]\d\d) `), nothing, false, 0},
	{pattern.New(`\bClientResponseError: ([1-5]\d\d), message=`), nothing, false, 0},
	{pattern.New(`\bHTTP status (?:client|server) error \(([45]\d\d) `), nothing, false, 0},
	{pattern.New(`\{HTTP/[\d.]+ ([1-5]\d\d) `), nothing, false, 0},
	{pattern.New(`\bResponse\{protocol=\S+ code=([1-5]\d\d),`), nothing, false, 0},
	{pattern.New(`(?s)\bResponse \{[^}]*?\bstatus: ([1-5]\d\d),`), nothing, false, 0},
	{pattern.New(`&\{([1-5]\d\d) [A-Z][^{}]* \d{3} HTTP/`), nothing, false, 0},
	{pattern.New(`#<Faraday::.*?@status=([1-5]\d\d)\b`), nothing, false, 0},
	{pattern.New(`"(?:POST|DELETE|GET) \S+ HTTP/[\d.]+" ([1-5]\d\d)\b`), nothing, false, 0},
	// The representation of a response in Python: <Response [410]>, <ClientResponse(…) [410 Gone]>
	{pattern.New(`<\w*Response\b[^>]*\[([1-5]\d\d)\b`), nothing, false, 0},
	// .NET: WebPushException: Received unexpected response code: 410, and its own words for one;
	// an HttpResponseMessage
	{pattern.New(`\bunexpected response code:? ([1-5]\d\d)\b`), nothing, false, 0},
	{pattern.New(`\bWebPushException: Subscription no longer valid\b`), nothing, false, 410},
	{pattern.New(`\bStatusCode: ([1-5]\d\d)\b`), nothing, false, 0},
	// A status line without its protocol
	{pattern.New(`^([1-5]\d\d)(?: [A-Z][A-Za-z' -]{1,40})?$`), nothing, false, 0},
	// Structured logs: status=410 body="…"
	{pattern.New(`(?i)\b(?:status|status_?code|http_status|code)=["']?([1-5]\d\d)\b`), pattern.New(`\b(?:body|response|reason|error|err)="((?:[^"\\]|\\.)*)"`), true, 0},
	// Somebody's own words: push failed: 410 the body
	{pattern.New(`(?i)\b(?:failed|failure|error)\b[^\n:]{0,60}: ([45]\d\d)\b`), pattern.New(`(?is)\b(?:failed|failure|error)\b[^\n:]{0,60}: [45]\d\d\b[\s:,-]*(.*)$`), false, 0},
}

// loggedJSON reads a response that was logged as JSON: the error of npm's web-push or
// of axios, a line of a structured log, or the body of autopush or ntfy, which repeats
// its status. What follows the first value is ignored.
func loggedJSON(s string) (status int, h http.Header, body string) {
	var v struct {
		StatusCode  int             `json:"statusCode"`
		StatusCode2 int             `json:"status_code"`
		Status      json.RawMessage `json:"status"`
		Headers     map[string]any  `json:"headers"`
		Body        json.RawMessage `json:"body"`
		Data        json.RawMessage `json:"data"`
		Text        json.RawMessage `json:"text"`
		Reason      json.RawMessage `json:"reason"`
		Response    json.RawMessage `json:"response"`
		Code        int             `json:"code"`
		HTTP        int             `json:"http"`
		Errno       *int            `json:"errno"`
		Keys        json.RawMessage `json:"keys"`
		Title       json.RawMessage `json:"title"`
		Class       json.RawMessage `json:"class"`
		Service     json.RawMessage `json:"service"`
	}
	d := json.NewDecoder(strings.NewReader(s))
	if d.Decode(&v) != nil || v.Keys != nil {
		return 0, nil, ""
	}
	s = s[:d.InputOffset()]
	h = make(http.Header)
	for name, value := range v.Headers {
		if text, ok := value.(string); ok {
			h.Set(name, text)
		}
	}
	inner := v.Body
	for _, other := range []json.RawMessage{v.Data, v.Text, v.Reason} {
		if inner == nil {
			inner = other
		}
	}
	status = cmp.Or(v.StatusCode, v.StatusCode2)
	if status == 0 && inner != nil && v.Service == nil && v.Class == nil && v.Title == nil { // not a result of this module, or a notification
		_ = json.Unmarshal(v.Status, &status)
	}
	switch {
	case status >= 100 && status < 600:
		if json.Unmarshal(inner, &body) != nil {
			body = string(inner)
		}
		return status, h, body
	case v.Response != nil && v.Response[0] == '{':
		return loggedJSON(string(v.Response))
	case v.Errno != nil && v.Code >= 400 && v.Code < 600:
		return v.Code, h, s
	case v.HTTP >= 400 && v.HTTP < 600 && v.Code/100 == v.HTTP: // ntfy
		return v.HTTP, h, s
	}
	return 0, nil, ""
}
