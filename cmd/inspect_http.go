package cmd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

var (
	statusLine  = regexp.MustCompile(`^HTTP/[0-9.]+\s+([1-5][0-9]{2})(?:\s+.*)?$`)
	requestLine = regexp.MustCompile(`^(POST|PUT|DELETE|GET)\s+(\S+)(?:\s+HTTP/[0-9.]+)?$`)
	anyHeader   = regexp.MustCompile(`^(?:-H\s+|--header\s+|[<>]\s)?\s*(['"]?)([A-Za-z0-9!#$%&*+.^_|~-]+)\s*:\s?(.*?)\s*\\?$`)
)

// knownHeaders are those by which header lines are recognised.
var knownHeaders = []string{"Authorization", "Crypto-Key", "Encryption", "Content-Encoding", "Ttl", "Urgency", "Topic", "Encryption-Key"}

// headerLines reads lines of headers: bare, as options of curl, or as curl -v
// shows them. It returns nil when a line is none.
func headerLines(s string) http.Header {
	h := make(http.Header)
	for line := range strings.Lines(s) {
		line = strings.TrimRight(line, "\r\n \t")
		if line == "" || line == ">" || line == "<" {
			continue
		}
		m := anyHeader.FindStringSubmatch(line)
		if m == nil {
			return nil
		}
		h.Add(m[2], strings.TrimSuffix(m[3], m[1]))
	}
	return h
}

// headers recognises lines of headers with one that matters here.
func (in inspector) headers(s string) *thing {
	h := headerLines(s)
	var names []string
	for _, name := range knownHeaders {
		if h.Get(name) != "" {
			names = append(names, webpush.HeaderName(name))
		}
	}
	if names == nil {
		return nil
	}
	t := &thing{kind: kindHeaders, title: "header " + names[0]}
	if len(names) > 1 {
		t.title = "headers " + strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
	}
	in.addHeaders(t, h, nil, false, "")
	return t
}

// headerMap reads headers from a JSON object, whose values are strings or lists.
func headerMap(raw json.RawMessage) http.Header {
	h := make(http.Header)
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return h
	}
	for name, v := range members {
		var list []string
		if s := str(v); s != "" {
			list = []string{s}
		} else if json.Unmarshal(v, &list) != nil {
			continue
		}
		for _, s := range list {
			h.Add(name, s)
		}
	}
	return h
}

// addHeaders shows the headers of a push message and its body, if that is here.
func (in inspector) addHeaders(t *thing, h http.Header, body []byte, complete bool, audience string) {
	authorization, cryptoKey := h.Get("Authorization"), h.Get("Crypto-Key")
	keyShown := false
	if authorization != "" {
		scheme, _, _ := strings.Cut(authorization, " ")
		keyShown = !strings.EqualFold(scheme, "vapid")
		in.addToken(t, authorization, cryptoKey, audience)
	} else if complete {
		t.warn("the request is not signed, which most push services refuse", "sign it: webpush sign")
	}
	in.addOptions(t, h, complete)
	if h.Get("Encryption-Key") != "" || strings.EqualFold(h.Get("Content-Encoding"), "aesgcm128") {
		t.warn("aesgcm128 with Encryption-Key is older than aesgcm and no longer read by browsers", "encrypt it with webpush encrypt")
	}
	encoding := h.Get("Content-Encoding")
	switch {
	case body != nil && encoding != "":
		in.addBody(t, encoding, h.Get("Encryption"), cryptoKey, body, keyShown)
		if m, err := ece.ParseMessage(ece.Encoding(encoding), h.Get("Encryption"), cryptoKey, body); err == nil {
			if head, err := m.Header(); err == nil && authorization != "" {
				if token, err := vapid.ParseToken(authorization, cryptoKey); err == nil && bytes.Equal(token.PublicKey().Bytes(), head.KeyID) {
					t.warn("the message is encrypted with the key that signs it, which RFC 8292 forbids", "encrypt each message with a key pair of its own: webpush encrypt")
				}
			}
		}
	case body != nil:
		t.add("size", len(body), plural(len(body), "byte"))
		if complete {
			t.warn("the body has no Content-Encoding, so it cannot be decrypted", "send the headers that webpush encrypt prints")
		}
	default:
		if encoding != "" {
			if e, err := ece.ParseEncoding(encoding); err != nil {
				t.failErr(err)
			} else {
				t.add("coding", e, string(e))
			}
		}
		in.addFields(t, h.Get("Encryption"), cryptoKey, nil, keyShown)
	}
}

// addOptions shows the headers that are not about keys.
func (in inspector) addOptions(t *thing, h http.Header, complete bool) {
	if v := h.Get("Ttl"); v != "" {
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		switch {
		case err != nil || n < 0:
			t.add("TTL", v)
			t.warn(fmt.Sprintf("TTL is %q, expected whole seconds of 0 or more", clip(v, 40)), "")
		case n == 0:
			t.add("TTL", n, "0: now or never")
		default:
			t.add("TTL", n, fmt.Sprintf("%d seconds (%s)", n, shortDuration(time.Duration(min(n, 1<<31))*time.Second)))
			if n > 2592000 {
				t.warn("TTL is longer than the 28 to 30 days that push services keep a message", "")
			}
		}
	} else if complete {
		t.warn("TTL is missing, which every push service refuses", "send TTL, in whole seconds")
	}
	if v := h.Get("Urgency"); v != "" {
		t.add("Urgency", v)
		if _, err := webpush.ParseUrgency(v); err != nil {
			t.warn(fmt.Sprintf("Urgency is %q, expected very-low, low, normal or high", clip(v, 40)), "")
		}
	}
	if v := h.Get("Topic"); v != "" {
		t.add("Topic", v, fmt.Sprintf("%s (%d of 32 characters)", v, len(v)))
		if err := webpush.CheckTopic(v); err != nil {
			t.warn(err.Error(), hintOf(err))
		} else if len(v)%4 == 1 {
			t.warn(fmt.Sprintf("Apple decodes the topic as base64url and refuses one of %d characters", len(v)), "use --topic-hash, or a topic with another number of characters")
		}
	}
	var others []string
	for name := range h {
		switch name {
		case "Authorization", "Crypto-Key", "Encryption", "Content-Encoding", "Ttl", "Urgency", "Topic":
		case "Content-Length", "Content-Type", "User-Agent", "Accept", "Host", "Accept-Encoding", "Connection":
		default:
			others = append(others, webpush.HeaderName(clip(name, 40)))
		}
	}
	if others != nil {
		slices.Sort(others)
		t.add("other headers", others, strings.Join(others, ", "))
	}
}

// request recognises a request in letters, such as webpush send --dry-run
// prints.
func (in inspector) request(s string) *thing {
	first, rest, _ := strings.Cut(s, "\n")
	m := requestLine.FindStringSubmatch(strings.TrimSpace(strings.TrimPrefix(first, "> ")))
	if m == nil || !strings.Contains(m[2], "/") {
		return nil
	}
	head, body, separate := strings.Cut(strings.ReplaceAll(rest, "\r\n", "\n"), "\n\n")
	h := headerLines(head)
	if h == nil {
		return nil
	}
	target := m[2]
	if host := h.Get("Host"); strings.HasPrefix(target, "/") && host != "" {
		target = "https://" + host + target
	}
	t := &thing{kind: kindRequest, title: "request of a push message"}
	in.addRequest(t, m[1], target, h, nil, separate && body != "")
	return t
}

// addRequest shows a whole request. body is nil when it is not here.
func (in inspector) addRequest(t *thing, method, target string, h http.Header, body []byte, complete bool) {
	audience := ""
	if strings.HasSuffix(target, "/…") { // as --dry-run prints it
		t.add("endpoint", target)
		if sub, err := webpush.NewSubscription(strings.TrimSuffix(target, "/…")+"/", "", ""); err == nil {
			audience = sub.Origin()
			t.addService(sub.Service())
		}
	} else if sub := in.addEndpoint(t, target); sub != nil {
		audience = sub.Origin()
	}
	if method != "" && method != http.MethodPost {
		t.add("method", method)
		if method != http.MethodDelete {
			t.warn("the method is "+method+", a push message is sent with POST", "")
		}
	}
	in.addHeaders(t, h, body, true, audience)
	if body == nil && h.Get("Content-Encoding") == "" && !complete {
		t.add("payload", nil, "none: a push without payload")
	}
}

// requestJSON describes what webpush send --dry-run --json prints.
func (in inspector) requestJSON(members map[string]json.RawMessage) *thing {
	t := &thing{kind: kindRequest, title: "request of a push message, as webpush send --dry-run --json prints it"}
	var body []byte
	if s := str(members["body"]); s != "" {
		b, _, ok := decodeBase64(s)
		if !ok {
			t.fail("the body is no base64: it is damaged or cut off", "")
		}
		body = b
	}
	in.addRequest(t, str(members["method"]), str(members["url"]), headerMap(members["headers"]), body, false)
	return t
}

// response recognises a push service's answer.
func (in inspector) response(s string) *thing {
	status, h, body := pastedAnswer(s)
	if status == 0 {
		return nil
	}
	return in.answer(status, h, body)
}

// answer describes a response that was taken apart.
func (in inspector) answer(status int, h http.Header, body string) *thing {
	t := &thing{kind: kindResponse}
	in.addAnswer(t, status, h, []byte(body))
	return t
}

// pastedAnswer takes an answer apart, as curl -i or curl -v prints it. Of
// several, as a proxy's and the service's, the last one counts. The status is 0
// when s is none.
func pastedAnswer(s string) (status int, h http.Header, body string) {
	if !strings.HasPrefix(s, "HTTP/") {
		if !strings.Contains(s, "\n< HTTP/") && !strings.HasPrefix(s, "< HTTP/") {
			return loggedAnswer(s)
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

// fromVerbose takes the answer out of what curl -v prints.
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

// answerService finds out which service answered, by what it says of itself.
func answerService(h http.Header) webpush.Service {
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

// addAnswer shows what an answer means.
func (in inspector) addAnswer(t *thing, status int, h http.Header, body []byte) {
	service := answerService(h)
	phrase := strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	if status/100 == 2 && webpush.Explain(service, status, h, body).Code != webpush.CodeOtherServer {
		r := webpush.ExplainAccepted(service, status, h)
		t.title = "answer of " + service.String() + ": accepted, " + phrase
		if service == webpush.Other {
			t.title = "answer of a push service: accepted, " + phrase
		}
		t.add("status", status, phrase)
		t.addService(service)
		t.add("meaning", r.Meaning())
		if r.Location != "" {
			t.add("location", in.redactURL(r.Location), in.redactURL(r.Location)+", the message's own URL; DELETE cancels it where the service supports that")
		}
		if r.TTL != nil {
			t.add("TTL", int64(r.TTL.Seconds()), fmt.Sprintf("%d seconds (%s) granted", int64(r.TTL.Seconds()), shortDuration(*r.TTL)))
		}
		if r.Note != "" {
			t.warn(r.Note, "")
		}
		in.addDate(t, h)
		return
	}
	if status/100 == 1 {
		t.title = "interim answer, " + phrase
		t.add("status", status, phrase)
		return
	}
	t.title = "answer of a push service: " + phrase
	in.addExplanations(t, service, status, h, body)
	in.addDate(t, h)
}

// addExplanations shows what a refusal means, for each service that may have
// given it.
func (in inspector) addExplanations(t *thing, service webpush.Service, status int, h http.Header, body []byte) {
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
				t.add("retry after", e.RetryAfter.Seconds(), shortDuration(e.RetryAfter.Round(time.Second)))
			}
		}
		if len(list) == 1 {
			t.title = strings.Replace(t.title, "of a push service", "of "+e.Service.String(), 1)
			t.addService(e.Service)
			t.add("code", e.Code, string(e.Code))
			t.add("meaning", e.Meaning)
			t.add("to do", commandHint(e.Hint()))
			continue
		}
		name := e.Service.String()
		if e.Service == webpush.Other {
			name = "others"
		}
		t.add("if "+name, map[string]string{"code": string(e.Code), "meaning": e.Meaning, "hint": commandHint(e.Hint())}, fmt.Sprintf("%s: %s; %s", e.Code, e.Meaning, commandHint(e.Hint())))
	}
}

func (t *thing) addService(s webpush.Service) {
	if s == webpush.Other {
		t.add("service", s, "none that is known here")
		return
	}
	t.add("service", s, s.String())
}

func (in inspector) addDate(t *thing, h http.Header) {
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
func (in inspector) errorBody(s string, members map[string]json.RawMessage) *thing {
	t := &thing{kind: kindErrorBody, title: "error of a push service"}
	status := number(members["code"])
	if status < 300 || status > 599 {
		status = number(members["http"])
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(members["error"], &inner) == nil && status == 0 {
		status = number(inner["code"])
	}
	if known := appleStatus[str(members["reason"])]; known != 0 {
		status = known
	}
	guessed := status < 300 || status > 599
	if guessed {
		status = http.StatusBadRequest
	}
	t.title = "answer of a push service, its body alone"
	in.addExplanations(t, webpush.Other, status, nil, []byte(s))
	if guessed || members["reason"] != nil {
		t.fields = slices.DeleteFunc(t.fields, func(f thingField) bool { return f.name == "status" })
		if !guessed {
			t.add("status", status, fmt.Sprintf("%d %s, as it usually comes with that reason", status, http.StatusText(status)))
		} else {
			t.add("status", nil, "not told: the status line says more, see curl -i")
		}
	}
	return t
}

// appleStatus is the status with which Apple gives its reasons.
var appleStatus = map[string]int{
	"BadTtl": 400, "BadUrgency": 400, "BadWebPushTopic": 400, "BadWebPushRequest": 400, "BadAuthorizationHeader": 400,
	"VapidPkHashMismatch": 400, "BadVapidPublicKey": 400, "BadJwtToken": 403, "Forbidden": 403, "BadPath": 404,
	"MethodNotAllowed": 405, "Unregistered": 410, "ExpiredToken": 410, "PayloadTooLarge": 413, "TooManyRequests": 429,
	"InternalServerError": 500, "ServiceUnavailable": 503, "Shutdown": 503, "IdleTimeout": 408,
}

// errorText recognises FCM's refusals, which are plain text or a page.
func (in inspector) errorText(s string) *thing {
	if len(s) > 8192 {
		return nil
	}
	list := webpush.ExplainAll(0, nil, []byte(s)) // no status: the words alone can match
	if len(list) != 1 || list[0].Service == webpush.Other || list[0].Code == webpush.CodeRejected {
		return nil
	}
	e := list[0]
	t := &thing{kind: kindErrorBody, title: "answer of " + e.Service.String() + ", its text alone"}
	t.addService(e.Service)
	t.add("reason", e.Reason)
	t.add("code", e.Code, string(e.Code))
	t.add("meaning", e.Meaning)
	t.add("to do", commandHint(e.Hint()))
	return t
}

var curlCommand = regexp.MustCompile(`(?s)^(?:\$\s+)?(?:(?:printf|echo|base64)\s.*\|\s*(?:\\\n\s*)?)?curl\s`)

// curl recognises a curl command that sends a push message.
func (in inspector) curl(s string) *thing {
	if !curlCommand.MatchString(s) {
		return nil
	}
	t := &thing{kind: kindCurl, title: "curl command that sends a push message", secret: true}
	words, err := shellWords(strings.TrimPrefix(s, "$ "))
	if err != nil {
		t.fail("the curl command is damaged: "+err.Error(), "copy it again, whole")
		return t
	}
	at := slices.Index(words, "curl")
	if at < 0 {
		return nil
	}
	var body []byte
	if at > 0 {
		for _, w := range words[:at] {
			if b, err := base64.StdEncoding.DecodeString(w); err == nil && len(b) >= ece.AESGCM.Overhead() {
				body = b
			}
		}
	}
	method, target, bodyFile := "", "", ""
	h := make(http.Header)
	takes := func(w string) bool {
		return slices.Contains([]string{"-X", "--request", "-H", "--header", "--data-binary", "--data", "-d", "--data-raw", "--url", "--cacert", "-x", "--proxy", "--noproxy", "--connect-to", "--resolve", "--max-time", "-m", "-o", "--output", "-A", "--user-agent", "--connect-timeout", "--retry", "-T", "--upload-file"}, w)
	}
	var connection []string
	for i := at + 1; i < len(words); i++ {
		w, v := words[i], ""
		if takes(w) {
			if i++; i == len(words) {
				t.fail("the curl command ends after "+w, "copy it again, whole")
				break
			}
			v = words[i]
		}
		switch w {
		case "-X", "--request":
			method = v
		case "-H", "--header":
			name, value, colon := strings.Cut(v, ":")
			if !colon {
				name, value = strings.TrimSuffix(v, ";"), ""
			}
			h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		case "--data-binary", "--data", "-d", "--data-raw", "-T", "--upload-file":
			if method == "" {
				method = http.MethodPost
			}
			bodyFile = v
			if w == "--data" || w == "-d" {
				t.warn(w+" drops line ends from the body, which damages it", "use --data-binary")
			}
		case "--url":
			target = v
		case "--insecure", "-k":
			t.warn(w+": the service's certificate is not checked", "")
		case "-L", "--location":
			t.warn(w+": redirects are followed, which push services never need", "")
		case "-x", "--proxy", "--noproxy", "--connect-to", "--cacert", "--resolve":
			connection = append(connection, strings.TrimLeft(w, "-"))
		default:
			if v == "" && !strings.HasPrefix(w, "-") && target == "" {
				target = w
			}
		}
	}
	if target == "" {
		t.fail("the curl command has no URL", "copy it again, whole")
		return t
	}
	in.addRequest(t, method, target, h, body, bodyFile != "")
	switch {
	case body != nil:
		t.add("body", "inline", "in the command itself")
	case strings.HasPrefix(bodyFile, "@"):
		t.add("body", bodyFile[1:], "in the file "+bodyFile[1:])
	}
	if connection != nil {
		t.add("connection", connection, strings.Join(connection, ", "))
	}
	return t
}

// shellWords splits a command as a POSIX shell does, without expanding
// anything.
func shellWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	started := false
	end := func() {
		if started {
			words = append(words, word.String())
			word.Reset()
			started = false
		}
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'':
			j := strings.IndexByte(s[i+1:], '\'')
			if j < 0 {
				return nil, errors.New("a quote does not end")
			}
			word.WriteString(s[i+1 : i+1+j])
			started = true
			i += j + 1
		case '"':
			started = true
			for i++; ; i++ {
				if i >= len(s) {
					return nil, errors.New("a quote does not end")
				}
				if s[i] == '"' {
					break
				}
				if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"\\$`\n", s[i+1]) >= 0 {
					if i++; s[i] == '\n' {
						continue
					}
				}
				word.WriteByte(s[i])
			}
		case '\\':
			if i++; i < len(s) && s[i] != '\n' && s[i] != '\r' {
				word.WriteByte(s[i])
				started = true
			}
		case ' ', '\t', '\r', '\n':
			end()
		case '|', ';', '&':
			if c == '&' && started && i+1 < len(s) && s[i+1] != '&' && s[i+1] != ' ' { // an unquoted URL's
				word.WriteByte(c)
				continue
			}
			end()
		default:
			word.WriteByte(c)
			started = true
		}
	}
	end()
	return words, nil
}

func number(raw json.RawMessage) (n int) {
	if json.Unmarshal(raw, &n) != nil {
		return 0
	}
	return n
}
