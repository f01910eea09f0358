package inspect

import (
	"cmp"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

var curlCommand = pattern.New(`(?s)^(?:\$\s+)?(?:(?:printf|echo|base64)\s.*\|\s*(?:\\\n\s*)?)?curl\s`)

// curl recognizes a curl command that sends a push message.
func (in inspector) curl(s string) *Thing {
	if !curlCommand.MatchString(s) {
		return nil
	}
	t := &Thing{Kind: KindCurl, Title: "curl command that sends a push message", Secret: true}
	words, err := shellWords(strings.TrimPrefix(s, "$ "))
	if err != nil {
		t.fail("the curl command is damaged: "+err.Error(), copyCurl)
		return t
	}
	at := slices.Index(words, "curl")
	if at < 0 {
		return nil
	}
	c := t.curlOptions(words[at+1:])
	if c.target == "" {
		t.fail("the curl command has no URL", copyCurl)
		return t
	}
	body := pipedBody(words[:at])
	in.addRequest(t, c.method, c.target, c.header, body, c.body != "")
	switch {
	case body != nil:
		t.add("body", "inline", "in the command itself")
	case strings.HasPrefix(c.body, "@"):
		t.add("body", c.body[1:], "in the file "+c.body[1:])
	}
	if c.connection != nil {
		t.add("connection", c.connection, strings.Join(c.connection, ", "))
	}
	return t
}

// copyCurl is the next step for a command that is not whole.
const copyCurl = "copy it again completely"

// pipedBody returns a body in base64 among the words of the command before curl, whose
// output curl sends, or nil.
func pipedBody(words []string) (body []byte) {
	for _, w := range words {
		if b, err := base64.StdEncoding.DecodeString(w); err == nil && len(b) >= ece.AESGCM.Overhead() {
			body = b
		}
	}
	return body
}

// curlRequest is the request that the options of a curl command describe.
type curlRequest struct {
	method, target string
	header         http.Header
	body           string   // value of the option for the body: @ and a file, or the body
	connection     []string // options for the connection
}

// curlValues are the options of curl, as far as they are of use here, that have a value.
var curlValues = []string{"-X", "--request", "-H", "--header", "--data-binary", "--data", "-d", "--data-raw", "--url", "--cacert", "-x", "--proxy", "--noproxy", "--connect-to", "--resolve",
	"--max-time", "-m", "-o", "--output", "-A", "--user-agent", "--connect-timeout", "--retry", "-T", "--upload-file"}

// curlOptions reads the options of a curl command, and adds problems with them.
func (t *Thing) curlOptions(words []string) curlRequest {
	c := curlRequest{header: make(http.Header)}
	for i := 0; i < len(words); i++ {
		w, v := words[i], ""
		if slices.Contains(curlValues, w) {
			if i++; i == len(words) {
				t.fail("the curl command ends after "+w, copyCurl)
				break
			}
			v = words[i]
		}
		switch w {
		case "-X", "--request":
			c.method = v
		case "-H", "--header":
			name, value, colon := strings.Cut(v, ":")
			if !colon {
				name, value = strings.TrimSuffix(v, ";"), ""
			}
			c.header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		case "--data-binary", "--data", "-d", "--data-raw", "-T", "--upload-file":
			c.method, c.body = cmp.Or(c.method, http.MethodPost), v
			if w == "--data" || w == "-d" {
				t.warn(w+" drops line ends from the body, which damages it", "use --data-binary")
			}
		case "--url":
			c.target = v
		case "--insecure", "-k":
			t.warn(w+": the service's certificate is not checked", "")
		case "-L", "--location":
			t.warn(w+": redirects are followed, but push services never redirect", "")
		case "-x", "--proxy", "--noproxy", "--connect-to", "--cacert", "--resolve":
			c.connection = append(c.connection, strings.TrimLeft(w, "-"))
		default:
			if v == "" && !strings.HasPrefix(w, "-") {
				c.target = cmp.Or(c.target, w)
			}
		}
	}
	return c
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
