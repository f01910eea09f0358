package webpush

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCurl(t *testing.T) {
	request := func(url string, body string, header ...string) *http.Request {
		var r io.Reader
		if body != "" {
			r = strings.NewReader(body)
		}
		req, err := http.NewRequest("POST", url, r)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Add(header[i], header[i+1])
		}
		return req
	}
	for _, tt := range []struct {
		name string
		req  *http.Request
		o    CurlOptions
		want []string // lines; the first line and the --url are always the same
	}{
		{"no body", request("https://h/p?a=1&b='2'", "", "TTL", "0"), CurlOptions{}, []string{
			`curl --include --globoff --path-as-is --request POST \`,
			`  --header 'TTL: 0' \`,
			`  --header 'Content-Length: 0' \`,
			`  --url 'https://h/p?a=1&b='\''2'\'''`,
		}},
		{"body in a file", request("https://h/p", "x", "TTL", "5", "x-wns-cache-policy", "cache", "Urgency", "high"), CurlOptions{BodyFile: "it's $HOME.bin"}, []string{
			`curl --include --globoff --path-as-is --request POST \`,
			`  --header 'TTL: 5' \`,
			`  --header 'Urgency: high' \`,
			`  --header 'X-WNS-Cache-Policy: cache' \`,
			`  --data-binary '@it'\''s $HOME.bin' \`,
			`  --url 'https://h/p'`,
		}},
		{"body inline", request("https://h/p", "\x00'\n", "A", "$(id)", "A", "`id`", "B", ""), CurlOptions{Inline: true, BodyFile: "ignored"}, []string{
			`printf %s 'ACcK' \`,
			`  | base64 -d \`,
			`  | curl --include --globoff --path-as-is --request POST \`,
			`  --header 'A: $(id)' \`,
			"  --header 'A: `id`' \\",
			`  --header 'B;' \`,
			`  --data-binary '@-' \`,
			`  --url 'https://h/p'`,
		}},
		{"options", request("https://h/p", ""), CurlOptions{CAFile: "ca's.pem", Timeout: 1500 * time.Millisecond,
			Transport: TransportOptions{Insecure: true, Proxy: "http://u:p'@proxy:3128"}}, []string{
			`curl --include --globoff --path-as-is --request POST \`,
			`  --cacert 'ca'\''s.pem' \`,
			`  --insecure \`,
			`  --proxy 'http://u:p'\''@proxy:3128' \`,
			`  --max-time '1.500' \`,
			`  --header 'Content-Length: 0' \`,
			`  --url 'https://h/p'`,
		}},
		{"connect-to", request("https://h/p", ""), CurlOptions{Timeout: 30 * time.Second,
			Transport: TransportOptions{ConnectTo: []string{"[::1]:8443", "h:443:127.0.0.1:1"}}}, []string{
			`curl --include --globoff --path-as-is --request POST \`,
			`  --noproxy '*' \`,
			`  --connect-to '::[::1]:8443' \`,
			`  --connect-to 'h:443:127.0.0.1:1' \`,
			`  --max-time '30' \`,
			`  --header 'Content-Length: 0' \`,
			`  --url 'https://h/p'`,
		}},
		{"no proxy", request("https://h/p", ""), CurlOptions{Transport: TransportOptions{Proxy: "none"}}, []string{
			`curl --include --globoff --path-as-is --request POST \`,
			`  --noproxy '*' \`,
			`  --header 'Content-Length: 0' \`,
			`  --url 'https://h/p'`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			command, body, err := Curl(tt.req, tt.o)
			if want := strings.Join(tt.want, "\n") + "\n"; err != nil || command != want {
				t.Errorf("%v, got\n%swant\n%s", err, command, want)
			}
			if sent := readBody(t, tt.req); string(body) != string(sent) {
				t.Errorf("body %q, the request has %q", body, sent)
			}
		})
	}
	for _, file := range []string{"", "-"} {
		if _, _, err := Curl(request("https://h/p", "x"), CurlOptions{BodyFile: file}); err == nil {
			t.Errorf("a body in the file %q", file)
		}
	}
}

// The command is run by the shells that there are, against a server that
// decrypts what arrives: nothing but curl may act, and every byte must be there.
func TestCurlRuns(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "sh", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: the printed curl command was NOT run, as this machine has no %s", tool)
		}
	}
	const secret = "/wpush/" + testToken
	id := testIdentity(t)
	type arrival struct {
		method, uri string
		header      http.Header
		length      int64
		body        []byte
	}
	arrivals := make(chan arrival, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		arrivals <- arrival{r.Method, r.RequestURI, r.Header, r.ContentLength, body}
		w.WriteHeader(http.StatusCreated)
	}))
	defer s.Close()
	c := &Client{Key: testKey(t), Subject: "mailto:ops@example.com"}
	payload := "the quick brown fox's \x00\n$(touch PWNED)"
	for _, shell := range []string{"sh", "bash", "dash", "zsh", "busybox"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("%s is not here, so the command was not run in it", shell)
			continue
		}
		for _, endpoint := range []string{
			secret,
			secret + "?token=BQ%2b%2F&x=1",
			`/$(touch` + "${IFS}" + `PWNED)'"&;` + "`touch${IFS}PWNED`" + `{[1-3]}{a,b}|>PWNED<!-a*~?x=$HOME&y='\''%7E\`,
			"/a/../b/./c//d",
		} {
			for _, kind := range []string{"inline", "file", "none"} {
				t.Run(fmt.Sprintf("%s/%s/%.12s", shell, kind, endpoint), func(t *testing.T) {
					dir := t.TempDir()
					o := CurlOptions{BodyFile: filepath.Join(dir, "it's $(touch PWNED) a body"), Inline: kind == "inline", Timeout: 20 * time.Second, Transport: TransportOptions{Proxy: "none"}}
					msg := Message{Topic: "t", Urgency: High, Header: http.Header{"X-Odd": {"$(touch PWNED) '`touch PWNED`' \\"}, "X-Empty": {""}}}
					want := "none"
					if kind != "none" {
						msg.Payload, want = []byte(payload), payload
					}
					req, err := c.NewRequest(t.Context(), testSubscription(t, s.URL+endpoint, id), msg)
					if err != nil {
						t.Fatal(err)
					}
					command, body, err := Curl(req, o)
					if err != nil {
						t.Fatal(err)
					}
					files := 0
					if kind == "file" {
						files = 1
						if err := os.WriteFile(o.BodyFile, body, 0o600); err != nil {
							t.Fatal(err)
						}
					}
					args := []string{"-c", command}
					if shell == "busybox" {
						args = append([]string{"sh"}, args...)
					}
					run := exec.CommandContext(t.Context(), path, args...)
					run.Dir = dir
					run.Env = append(os.Environ(), "HOME="+dir, "CURL_HOME="+dir)
					out, err := run.CombinedOutput()
					if err != nil || !strings.Contains(string(out), "201 Created") || strings.Contains(string(out), "not found") {
						t.Fatalf("%v: %s\n%s", err, out, command)
					}
					if n := len(arrivals); n != 1 {
						t.Fatalf("%d requests arrived", n)
					}
					got, plain := <-arrivals, "none"
					if len(got.body) > 0 {
						plain = decrypted(t, id, got.header, got.body)
					}
					if got.method != "POST" || int64(len(got.body)) != got.length || got.header.Get("Content-Length") == "" {
						t.Errorf("%s with %d bytes, Content-Length %d", got.method, len(got.body), got.length)
					}
					if got.uri != endpoint || plain != want {
						t.Errorf("%q with %q arrived as %q with %q", endpoint, want, got.uri, plain)
					}
					for name, values := range req.Header {
						if got := got.header.Values(name); len(got) != 1 || got[0] != values[0] {
							t.Errorf("%s: %q arrived as %q", name, values, got)
						}
					}
					left, err := os.ReadDir(dir)
					if err != nil || len(left) != files {
						t.Errorf("the command left files behind: %v, %v", left, err)
					}
				})
			}
		}
	}
}

func FuzzShellQuote(f *testing.F) {
	for _, s := range []string{"", "'", `'\''`, "$(id)", "a\nb", "\\", "''"} {
		f.Add(s)
	}
	// A POSIX shell reads '…' as it is, and \' as a quote; nothing else may be
	// outside of quotes.
	f.Fuzz(func(t *testing.T, s string) {
		var got strings.Builder
		q := shellQuote(s)
		for q != "" {
			switch {
			case q[0] == '\'':
				end := strings.IndexByte(q[1:], '\'')
				if end < 0 {
					t.Fatalf("%q has a quote that does not end", shellQuote(s))
				}
				got.WriteString(q[1 : 1+end])
				q = q[end+2:]
			case strings.HasPrefix(q, `\'`):
				got.WriteByte('\'')
				q = q[2:]
			default:
				t.Fatalf("%q has something outside of quotes", shellQuote(s))
			}
		}
		if got.String() != s {
			t.Fatalf("%q is read as %q", s, got.String())
		}
	})
}

func TestHeaderName(t *testing.T) {
	for in, want := range map[string]string{"ttl": "TTL", "Ttl": "TTL", "x-wns-cache-policy": "X-WNS-Cache-Policy", "authorization": "Authorization"} {
		if got := HeaderName(in); got != want {
			t.Errorf("%s is written %s, want %s", in, got, want)
		}
	}
}
