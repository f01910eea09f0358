package inspect

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	if pythonDict.MatchString(s) {
		if status, h, body = loggedJSON(pythonToJSON.Replace(s)); body != "" {
			return status, h, body
		}
	}
	forms := logged
	if s != "" && strings.IndexByte("{[\"", s[0]) < 0 && len(s) < 1<<14 {
		forms = append(slices.Clip(forms), prose...)
	}
	for _, form := range forms {
		m := form.status.FindStringSubmatch(s)
		if m == nil {
			continue
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
	pythonDict   = regexp.MustCompile(`^\{\s*'[a-z]+'\s*:`)
	pythonToJSON = strings.NewReplacer(`'`, `"`, `None`, `null`, `True`, `true`, `False`, `false`)
)

// nothing is the expression of a form without a body.
var nothing = regexp.MustCompile(`$^`)

// loggedForm is a form of text in which a status and a body stand.
type loggedForm struct {
	status, body *regexp.Regexp
	quoted       bool
}

// logged are the forms of libraries for Web Push.
var logged = []loggedForm{
	// pywebpush: WebPushException: Push failed: 410 Gone, with the response's body in the next line
	{regexp.MustCompile(`Push failed: ([1-5]\d\d)\b`), regexp.MustCompile(`(?s)Response body:\s*(.*?)(?:, Response |$)`), false},
	// Guzzle: Client error: `POST https://…` resulted in a `410 Gone` response:
	{regexp.MustCompile("resulted in an? `([1-5]\\d\\d) "), regexp.MustCompile(`(?s)response:\s*(.*)$`), false},
	// Ruby: host: …, #<Net::HTTPGone 410 Gone readbody=true>
	{regexp.MustCompile(`#<Net::HTTP\w+ ([1-5]\d\d)\b`), regexp.MustCompile(`(?s)\nbody:\s*(.*)$`), false},
	// Elixir: %HTTPoison.Response{status_code: 410, body: "…"}, %Finch.Response{status: 410, body: "…"}
	{regexp.MustCompile(`%[A-Z][\w.]*Response\{.*?\bstatus(?:_code)?: ([1-5]\d\d)\b`), regexp.MustCompile(`\bbody: "((?:[^"\\]|\\.)*)"`), true},
	// npm's web-push, printed: WebPushError { statusCode: 410, body: '…' }
	{regexp.MustCompile(`(?s)WebPushError.*?\bstatusCode: ([1-5]\d\d)\b`), regexp.MustCompile(`\bbody: ['"]((?:[^'"\\]|\\.)*)['"]`), true},
	// Tesla of Elixir, which is not named a response
	{regexp.MustCompile(`(?s)%Tesla\.Env\{.*?\bstatus: ([1-5]\d\d)\b`), regexp.MustCompile(`\bbody: "((?:[^"\\]|\\.)*)"`), true},
	// .NET: WebPush.WebPushException: …, StatusCode: 410
	{regexp.MustCompile(`(?s)WebPushException\b.*?\bStatusCode: ([1-5]\d\d)\b`), nothing, false},
	// Rust's web-push: ErrorInfo { code: 410, errno: 103, …, message: "…" }
	{regexp.MustCompile(`\bErrorInfo \{ code: ([1-5]\d\d)\b`), regexp.MustCompile(`\bmessage: "((?:[^"\\]|\\.)*)"`), true},
}

// prose are the forms of HTTP clients and logs, which are not looked for in JSON: a
// notification may say that something failed.
var prose = []loggedForm{
	// HTTP clients: axios, requests, httpx, aiohttp, reqwest, Apache's, OkHttp, fetch,
	// Go's %v of a response, Faraday, and lines of access logs
	{regexp.MustCompile(`\b(?:status code:?|failed with status) ([1-5]\d\d)\b`), nothing, false},
	{regexp.MustCompile(`\b([45]\d\d) (?:Client|Server) Error: `), nothing, false},
	{regexp.MustCompile(`(?:Client|Server|Redirect) error '([1-5]\d\d) `), nothing, false},
	{regexp.MustCompile(`\bClientResponseError: ([1-5]\d\d), message=`), nothing, false},
	{regexp.MustCompile(`\bHTTP status (?:client|server) error \(([45]\d\d) `), nothing, false},
	{regexp.MustCompile(`\{HTTP/[\d.]+ ([1-5]\d\d) `), nothing, false},
	{regexp.MustCompile(`\bResponse\{protocol=\S+ code=([1-5]\d\d),`), nothing, false},
	{regexp.MustCompile(`(?s)\bResponse \{[^}]*?\bstatus: ([1-5]\d\d),`), nothing, false},
	{regexp.MustCompile(`&\{([1-5]\d\d) [A-Z][^{}]* \d{3} HTTP/`), nothing, false},
	{regexp.MustCompile(`#<Faraday::.*?@status=([1-5]\d\d)\b`), nothing, false},
	{regexp.MustCompile(`"(?:POST|DELETE|GET) \S+ HTTP/[\d.]+" ([1-5]\d\d)\b`), nothing, false},
	// Somebody's own words: push failed: 410 the body
	{regexp.MustCompile(`(?i)\b(?:failed|failure|error)\b[^\n:]{0,60}: ([45]\d\d)\b`), regexp.MustCompile(`(?is)\b(?:failed|failure|error)\b[^\n:]{0,60}: [45]\d\d\b[\s:,-]*(.*)$`), false},
}

// loggedJSON reads the error of npm's web-push, or the body of autopush, which
// repeats its status.
func loggedJSON(s string) (status int, h http.Header, body string) {
	var v struct {
		StatusCode int             `json:"statusCode"`
		Headers    map[string]any  `json:"headers"`
		Body       json.RawMessage `json:"body"`
		Code       int             `json:"code"`
		Errno      *int            `json:"errno"`
		Keys       json.RawMessage `json:"keys"`
	}
	if json.Unmarshal([]byte(s), &v) != nil || v.Keys != nil {
		return 0, nil, ""
	}
	h = make(http.Header)
	switch {
	case v.StatusCode >= 100 && v.StatusCode < 600:
		for name, value := range v.Headers {
			if text, ok := value.(string); ok {
				h.Set(name, text)
			}
		}
		if json.Unmarshal(v.Body, &body) != nil {
			body = string(v.Body)
		}
		return v.StatusCode, h, body
	case v.Errno != nil && v.Code >= 400 && v.Code < 600:
		return v.Code, h, s
	}
	return 0, nil, ""
}
