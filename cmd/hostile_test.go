package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/printable"
)

// actsOnTerminal returns a harmful character that is in the output, or 0.
func actsOnTerminal(output string) rune {
	for _, r := range output {
		if printable.Harmful(r) {
			return r
		}
	}
	return 0
}

// hostileServer responds to every request with such text wherever there can be some. The
// HTTP client refuses headers with control characters of ASCII, so they have only the others.
func hostileServer(t *testing.T, status int) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	field := strings.NewReplacer("\x1b", "", "\x7f", "").Replace(hostile)
	acceptAll(t, l, func(c net.Conn) {
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, 1<<16)
		_, _ = c.Read(buf)
		body := `{"reason":"` + hostile + `","message":"` + hostile + `","errno":"` + hostile + `","error":"` + hostile + `"}`
		fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: text/plain; x=%s\r\nLocation: /m/%s\r\nTTL: %s\r\nRetry-After: %s\r\nLink: <%s>\r\nLink: <https://push.example.net/r/%s>; rel=\"urn:ietf:params:push:receipt\"\r\nX-WNS-Error-Description: %s\r\nX-WNS-Status: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			status, hostile, field, field, field, field, field, field, field, field, len(body), body)
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetDeadline(time.Now().Add(100 * time.Millisecond)) // for what it still sends
		_, _ = io.Copy(io.Discard, c)
	})
	return "http://" + l.Addr().String()
}

// acceptAll serves the connections of a listener until the test ends.
func acceptAll(t *testing.T, l net.Listener, serve func(net.Conn)) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// TestHostileText feeds each command such text through everything that it reads:
// nothing of it reaches the terminal as it is, neither in words nor in JSON.
func TestHostileText(t *testing.T) {
	inFolder(t)
	quoted := strings.ReplaceAll(strconv.QuoteToASCII(hostile), `\x`, `\u00`) // as JSON has it
	quoted = quoted[1 : len(quoted)-1]
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	do := func(in string, args ...string) string {
		t.Helper()
		var out, talk bytes.Buffer
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		run(ctx, &streams{in: strings.NewReader(in), out: &out, err: &talk}, args)
		return out.String() + talk.String()
	}
	do("", "gen")
	do("", "gen", "--receiver")
	bad, gone, accepted := hostileServer(t, 400), hostileServer(t, 410), hostileServer(t, 201)
	sub := func(endpoint string) string {
		b, err := os.ReadFile("subscription.json")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Replace(string(b), "https://push.example.net/test", endpoint, 1)
	}
	files := map[string]string{
		"endpoint.json":  sub("https://push.example.net/" + quoted),
		"host.json":      sub("https://" + quoted + "/x"),
		"key.json":       strings.Replace(sub("https://push.example.net/x"), `"p256dh": "`, `"p256dh": "`+quoted, 1),
		"auth.json":      strings.Replace(sub("https://push.example.net/x"), `"auth": "`, `"auth": "`+quoted, 1),
		"names.json":     `{"endpoint":"https://push.example.net/x","` + quoted + `":"AAAAAAAAAAAAAAAAAAAAAA","p256dh` + quoted + `":"x"}`,
		"ttl.json":       `{"subscription":` + sub("https://push.example.net/x") + `,"ttl":"` + quoted + `"}`,
		"urgency.json":   `{"subscription":` + sub("https://push.example.net/x") + `,"urgency":"` + quoted + `","topic":"` + quoted + `","` + quoted + `":1,"id":"` + quoted + `"}`,
		"vapidkey.json":  `{"subscription":` + sub("https://push.example.net/x") + `,"vapidKey":"` + quoted + `"}`,
		"jwk.json":       `{"kty":"` + quoted + `","crv":"` + quoted + `","x":"a","y":"b","d":"` + quoted + `"}`,
		"crv.json":       `{"kty":"EC","crv":"` + quoted + `","x":"a","y":"b"}`,
		"nested.json":    `{"` + quoted + `":{"privateKey` + `":"` + quoted + `"}}`,
		"key.env":        "VAPID_PRIVATE_KEY=" + strings.Repeat("A", 41) + hostile + "\nVAPID_" + hostile + "_PRIVATE_KEY=" + strings.Repeat("B", 43) + "\n",
		"key.pem":        "-----BEGIN " + hostile + "-----\nAAAA\n-----END " + hostile + "-----\n",
		"claims.bad":     `{"aud":"` + quoted + `","sub":"` + quoted + `","exp":"` + quoted + `","` + quoted + `":"` + quoted + `"}`,
		"headers.txt":    "Authorization: vapid t=" + hostile + ", k=" + hostile + "\nCrypto-Key: dh=" + hostile + "\nEncryption: salt=" + hostile + "\nX-" + hostile + ": " + hostile + "\n",
		"response.txt":   "HTTP/1.1 400 " + hostile + "\r\nX-WNS-Status: " + hostile + "\r\n\r\n{\"reason\":\"" + quoted + "\"}",
		"logged.txt":     "pywebpush.WebPushException: Push failed: 410 " + hostile + "\nResponse body:" + hostile,
		"results.ndjson": `{"index":0,"class":"gone","reason":"` + quoted + `","hint":"` + quoted + `"}` + "\n" + `{"index":1,"class":"gone","reason":"` + quoted + `"}`,
		"dump.sql":       "INSERT INTO `" + hostile + "` (`" + hostile + "`) VALUES ('" + hostile + "');\n",
		"rows.csv":       "endpoint,p256dh,auth," + hostile + "\n" + hostile + "," + hostile + "," + hostile + "," + hostile + "\n",
		"text.txt":       hostile,
		"extra.json":     `{"sub":"mailto:a@example.com","` + quoted + `":"` + quoted + `"}`,
		"notation.txt":   "Array\n(\n    [endpoint] => " + hostile + "\n)\n",
		"field.json":     `{"` + quoted + `":` + sub("https://push.example.net/x") + `}`,
		"list.json":      `{"` + quoted + `":[` + sub("https://push.example.net/x") + `]}`,
		"structured.log": "status=403 body=\"" + hostile + "\" " + hostile,
		"payload.json":   `{"web_push":8030,"notification":{"title":"` + quoted + `","navigate":"` + quoted + `","` + quoted + `":1}}`,
		"receiver.bad":   `{"privateKey":"` + quoted + `","publicKey":"` + quoted + `","auth":"` + quoted + `"}`,
		"message.json":   `{"headers":{"Content-Encoding":"` + quoted + `","Encryption":"` + quoted + `","Crypto-Key":"` + quoted + `"},"body":"` + quoted + `"}`,
		"talk.json":      `{"level":"error","message":"` + quoted + `","hint":"` + quoted + `"}`,
		"state.json":     `{"server":"` + quoted + `","endpoint":"` + quoted + `"}`,
		"curl.txt":       "curl -X POST -H 'Authorization: " + hostile + "' -H '" + hostile + ": x' https://push.example.net/" + hostile,
		"request.txt":    "POST /" + hostile + " HTTP/1.1\r\nHost: " + hostile + "\r\nTTL: " + hostile + "\r\nUrgency: " + hostile + "\r\n\r\n" + hostile,
		"settings.yaml":  "subject: \"" + quoted + "\"\n\"" + quoted + "\": 1\n",
		"settings2.yaml": "ttl: \"" + quoted + "\"\n",
		"settings3.yaml": "subject: " + hostile + "\n\t- " + hostile,
		"bad400.json":    sub(bad + "/x"),
		"bad410.json":    sub(gone + "/x"),
		"good201.json":   sub(accepted + "/x"),
		"many.ndjson":    compact(sub(bad+"/1")) + "\n" + compact(sub(gone+"/2")) + "\n" + compact(sub(accepted+"/3")) + "\n" + hostile + "\n",
	}
	if name := "\x1b[31mname\u202e.json"; os.WriteFile(name, nil, 0o600) == nil { // not on Windows
		files[name] = `{"x":1}`
	}
	var cases [][]string
	for name, text := range files {
		write(name, text)
		cases = append(cases, []string{"inspect", name}, []string{"inspect", "--show-secrets", name}, []string{"explain", "-"}, []string{"verify"}, []string{"check", "-f", name, "-p", "hi"},
			[]string{"send", "-f", name, "-p", "hi", "--dry-run"}, []string{"encrypt", "-f", name, "-p", "hi", "-o", "body.bin", "--force"}, []string{"convert", name, "--to", "jwk"}, []string{"app-server-key", name},
			[]string{"-k", name}, []string{"--public-key", name}, []string{"sign", "--audience", "https://push.example.net", "--claims", name}, []string{"sign", "-f", name},
			[]string{"decrypt", "--receiver", name, "text.txt"}, []string{"decrypt", "--receiver", "receiver.json", name}, []string{"listen", "--state", name, "--timeout", "20ms", "--server", "ws" + strings.TrimPrefix(bad, "http")},
			[]string{"config", "--config", name}, []string{"serve", "import", "--data", "data", "--file", name}, []string{"check", "-f", "subscription.json", "--payload-file", name})
	}
	for _, f := range []string{"bad400.json", "bad410.json", "good201.json", "many.ndjson"} {
		cases = append(cases, []string{"send", "-f", f, "-p", "hi", "-vv", "--retries", "0"}, []string{"send", "-f", f, "-p", "hi", "--retries", "0", "-v", "--allow-http"}, []string{"check", "-f", f, "-p", "hi", "--online"})
	}
	for _, u := range []string{bad, gone, accepted} {
		cases = append(cases, []string{"listen", "--server", u, "--timeout", "20ms"}, []string{"listen", "--server", "ws" + strings.TrimPrefix(u, "http"), "--timeout", "20ms"}, []string{"check", "-f", "subscription.json", "--ask-time", u}, []string{"cancel", u + "/m/x", "--retries", "0"})
	}
	for i, atOnce := range []bool{true, false} {
		state := fmt.Sprintf("closed%d.json", i)
		cases = append(cases, []string{"listen", "--server", closingServer(t, atOnce), "--state", state, "-f", "sub-" + state, "--force"})
	}
	for _, option := range []string{"--ttl", "--urgency", "--topic", "--header", "--endpoint", "--encoding", "--subject", "--title", "--data", "--map", "--rate", "--proxy", "--unknown"} {
		cases = append(cases, []string{"send", "-f", "subscription.json", "-p", "hi", "--dry-run", option, hostile})
	}
	cases = append(cases, []string{hostile}, []string{"inspect", hostile}, []string{"explain", hostile}, []string{"explain", "403", hostile}, []string{"explain", "403", "--header", "X-WNS-Status: " + hostile}, []string{"verify", hostile},
		[]string{"--" + hostile}, []string{"-" + hostile}, []string{"send", hostile}, []string{"convert", hostile}, []string{"serve", hostile})
	if got := do("", "send", "-f", "good201.json", "-p", "hi"); !strings.Contains(got, "location: ") || !strings.Contains(got, "receipts: ") {
		t.Errorf("send prints %q, without the headers of the response", got)
	}
	for _, args := range cases {
		in := ""
		if args[len(args)-1] == "-" || args[0] == "verify" && len(args) == 1 {
			in = hostile // and each file below
		}
		for _, more := range [][]string{nil, {"--json"}} {
			full := append(append([]string{}, args...), more...)
			if r := actsOnTerminal(do(in, full...)); r != 0 {
				t.Errorf("webpush %q prints %U", full, r)
			}
		}
	}
	for name, text := range files {
		for _, args := range [][]string{{"explain", "-"}, {"explain", "403", "-"}, {"verify"}, {"inspect", "-"}} {
			if r := actsOnTerminal(do(text, args...)); r != 0 {
				t.Errorf("webpush %q < %s prints %U", args, name, r)
			}
		}
	}
	if n := len(cases); n < 500 {
		t.Errorf("only %d cases", n)
	}
}

// compact puts JSON on one line.
func compact(s string) string { return strings.Join(strings.Fields(s), "") }
