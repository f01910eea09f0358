package cmd

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/inspect"
)

// runIn runs a command line with the given standard input and returns its
// standard output.
func runIn(t *testing.T, input []byte, args ...string) []byte {
	t.Helper()
	var out, err bytes.Buffer
	s := &streams{in: bytes.NewReader(input), out: &out, err: &err}
	if code := run(context.Background(), s, args); code != 0 {
		t.Fatalf("webpush %s: exit code %d\n%s", strings.Join(args, " "), code, err.String())
	}
	return out.Bytes()
}

// everythingWritten returns what this tool writes, with the kind that inspect
// should find in it.
func everythingWritten(t *testing.T) map[string]struct {
	kind string
	data []byte
} {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("HOME", t.TempDir())
	out := make(map[string]struct {
		kind string
		data []byte
	})
	add := func(name, kind string, data []byte) {
		out[name] = struct {
			kind string
			data []byte
		}{kind, data}
	}
	file := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const subject = "--subject=mailto:ops@example.com"
	w := func(args ...string) []byte { return runIn(t, nil, args...) }
	w("gen")
	for _, format := range []string{"pem", "der", "raw", "base64url", "jwk"} {
		w("gen", "--format", format, "-k", "k."+format, "--public-key", "p."+format)
		add("gen "+format, inspect.KindPrivateKey, file("k."+format))
		add("gen "+format+" public", inspect.KindPublicKey, file("p."+format))
	}
	for _, format := range []string{"pem", "sec1", "der", "raw", "base64url", "hex", "jwk", "json"} {
		add("convert "+format, inspect.KindPrivateKey, w("convert", "--to", format, "-o", "-"))
	}
	for _, format := range []string{"pem", "der", "raw", "base64url", "hex", "jwk", "json", "uint8array"} {
		add("convert --public "+format, inspect.KindPublicKey, w("convert", "--public", "--to", format, "-o", "-"))
	}
	for _, format := range []string{"base64url", "hex", "uint8array", "jwk", "pem"} {
		add("app-server-key "+format, inspect.KindPublicKey, w("app-server-key", "--format", format))
	}
	add("app-server-key --json", inspect.KindPublicKey, w("app-server-key", "--json"))
	add("gen --json", inspect.KindPrivateKey, w("gen", "--json"))
	add("status", inspect.KindStatus, w())
	add("status --json", inspect.KindStatus, w("--json"))
	w("gen", "--receiver")
	add("receiver.json", inspect.KindReceiver, file("receiver.json"))
	add("subscription.json", inspect.KindSubscription, file("subscription.json"))
	add("gen --receiver --json", inspect.KindReceiver, w("gen", "--receiver", "--json"))
	for _, scheme := range []string{"vapid", "webpush"} {
		add("sign "+scheme, inspect.KindHeaders, w("sign", "--scheme", scheme, subject, "--audience", "https://fcm.googleapis.com"))
		add("sign --json "+scheme, inspect.KindHeaders, w("sign", "--json", "--scheme", scheme, subject, "--audience", "https://fcm.googleapis.com"))
	}
	add("verify", inspect.KindVerdict, runIn(t, out["sign vapid"].data, "verify"))
	add("verify --json", inspect.KindVerdict, runIn(t, out["sign vapid"].data, "verify", "--json"))
	for _, encoding := range []string{"aes128gcm", "aesgcm"} {
		add("encrypt --json "+encoding, inspect.KindMessage, w("encrypt", "-f", "subscription.json", "-p", "hi", "-e", encoding, "--json"))
		add("dry-run "+encoding, inspect.KindRequest, w("send", "-f", "subscription.json", "-p", "hi", subject, "-e", encoding, "--dry-run"))
		add("dry-run --json "+encoding, inspect.KindRequest, w("send", "-f", "subscription.json", "-p", "hi", subject, "-e", encoding, "--dry-run", "--json"))
		add("dry-run --show-secrets "+encoding, inspect.KindRequest, w("send", "-f", "subscription.json", "-p", "hi", subject, "-e", encoding, "--dry-run", "--json", "--show-secrets"))
		add("curl --inline "+encoding, inspect.KindCurl, w("curl", "-f", "subscription.json", "-p", "hi", subject, "-e", encoding, "--inline"))
		add("curl "+encoding, inspect.KindCurl, w("curl", "-f", "subscription.json", "-p", "hi", subject, "-e", encoding, "--body-file", "b."+encoding))
		add("curl --json "+encoding, inspect.KindCurl, w("curl", "-f", "subscription.json", "-p", "hi", subject, "-e", encoding, "--inline", "--json"))
	}
	add("dry-run without payload", inspect.KindRequest, w("send", "-f", "subscription.json", subject, "--dry-run", "--json"))
	add("encrypt", inspect.KindBody, w("encrypt", "-f", "subscription.json", "-p", "hi", "--pad", "auto"))
	add("body of curl", inspect.KindBody, file("b.aes128gcm"))
	add("decrypt --json", inspect.KindDecrypted, runIn(t, out["encrypt --json aes128gcm"].data, "decrypt", "--json"))
	return out
}

// tokenStart is the header of a token and a bit more; three letters alone occur
// in keys by chance.
var tokenStart = regexp.MustCompile(`eyJ(?:hbGci|0eXAi)[A-Za-z0-9_.-]{50}`)

// TestInspectKnowsWhatIsWritten asserts that inspect recognizes everything that
// this tool writes, finds nothing broken in it, and shows no secret.
func TestInspectKnowsWhatIsWritten(t *testing.T) {
	written := everythingWritten(t)
	secrets := []string{}
	for _, name := range []string{"receiver.json", "gen --json", "gen jwk", "convert json", "gen --receiver --json"} {
		var members map[string]any
		if err := json.Unmarshal(written[name].data, &members); err != nil {
			t.Fatal(err)
		}
		if inner, ok := members["receiver"].(map[string]any); ok {
			members = inner
		}
		for _, secret := range []string{"privateKey", "auth", "d"} {
			if v, ok := members[secret].(string); ok {
				secrets = append(secrets, v)
			}
		}
	}
	for name, w := range written {
		got := inspect.Inspect(w.data, inspect.Options{})
		if got.Kind != w.kind || got.Broken() || !got.Recognized() {
			t.Errorf("%s: found %s (%s) with %v, want %s", name, got.Kind, got.Title, got.Problems, w.kind)
		}
		var out, talk bytes.Buffer
		for _, asJSON := range []bool{false, true} {
			if err := printThing(&streams{out: &out, err: &talk, json: asJSON}, got, name, true); err != nil {
				t.Fatal(err)
			}
		}
		all := out.String() + talk.String()
		for _, secret := range append(secrets, strings.TrimSpace(string(written["convert base64url"].data))) {
			if strings.Contains(all, secret) {
				t.Errorf("%s: the secret %s… is shown", name, secret[:4])
			}
		}
		if token := tokenStart.FindString(string(w.data)); token != "" && strings.Contains(all, token) {
			t.Errorf("%s: the token is shown", name)
		}
		if strings.Contains(all, "/test") && strings.Contains(all, "push.example.net/test") {
			t.Errorf("%s: the endpoint is shown", name)
		}
	}
}

// inspectSeeds are things of every kind that are no output of this tool.
var inspectSeeds = []string{
	"", " ", "hello", "null", "[]", "{}", `"`, "{", `{"endpoint":"https://fcm.googleapis.com/fcm/send/a","keys":{`, "[object Object]",
	`{"endpoint":"https://updates.push.services.mozilla.com/wpush/v2/gAAAAABl","expirationTime":1,"keys":{"p256dh":"AA==","auth":"AA"}}`,
	`{"subscription":"{\"endpoint\":\"https://a.example/x\"}"}`, `"{\"endpoint\":\"https://a.example/x\",\"keys\":{}}"`,
	`[{"endpoint":"https://a.example/x"},{"endpoint":1}]`, "{}\n{}\n", `{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`, `{"publicKey":"AA","privateKey":7}`,
	`{"privateKey":"AA","auth":"AA"}`, `{"aud":["a"],"exp":"1","sub":null}`, "eyJ0eXAiOiJKV1QifQ.e30.AA", "vapid t=a.b.c, k=AA", "WebPush eyJ.a.b", "key=AAAAabc",
	"Authorization: vapid t=…, k=BA1H\nCrypto-Key: p256ecdsa=AA", "Encryption: salt=AA==;rs=1;keyid=x", "Crypto-Key: dh=AA,p256ecdsa=AA", "salt=AAAAAAAAAAAAAAAAAAAAAA;rs=99999999999999999999",
	"POST https://a.example/… \nTTL: -1\nUrgency: x\nTopic: abcde", "HTTP/1.1 403 Forbidden\n\n{\"reason\":\"BadJwtToken\"}", "HTTP/2 201\r\nttl: 1\r\nlocation: /m\r\n\r\n", "HTTP/1.1 200 OK\nHTTP/1.1 410 Gone\n\n", "* x\n> POST /\n< HTTP/2 429\n< retry-after: 9\n\nx",
	`{"errno":null,"code":404}`, `{"code":50701,"http":507,"error":"x","link":"y"}`, `{"reason":7}`, `{"error":{"code":400,"status":"X"}}`, "invalid JWT provided", "<html><title>UnauthorizedRegistration</title>",
	"curl -X POST -H 'TTL: 1' https://a.example/x", "printf %s 'AAAA' | base64 -d | curl --url", "curl '", "https://permanently-removed.invalid/fcm/send/x", "http://localhost/", "https://android.googleapis.com/gcm/send/x",
	"-----BEGIN PRIVATE KEY-----\n", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----", "new Uint8Array([4, 5])", "[4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4,4]",
	"signature  good, key B\nvalid", "accepted by FCM: 201 Created", `{"web_push":8030,"notification":{"title":"x"}}`, `{"title":"x"}`, `{"level":"error","message":"x"}`, `{"status":201,"service":"fcm","origin":"x","ttl":-1}`,
	"\x00\x01", "\xff\xfea\x00", "0\x82\x01", "0\x80", "0123456789abcdef0123456789abcdef", "ZZZZ", "SGVsbG8gd29ybGQsIHRoaXMgaXMgdGV4dA==", "\x89PNG\r\n\x1a\n",
	`{"valid":true,"claims":[],"problems":1}`, `{"receiver":1,"subscription":2}`, `{"method":"POST","url":"x/…","headers":{"a":["b"]},"body":"!"}`, `{"headers":1,"body":"AA"}`, `{"command":"curl x"}`, `{"a":{"b":{"endpoint":"https://a.example/x","keys":1}}}`,
}

// FuzzInspect asserts that inspect takes any bytes: it never panics, always
// says something, and what it prints as JSON is JSON.
func FuzzInspect(f *testing.F) {
	if len(inspectSeeds) < 60 {
		f.Fatalf("only %d seeds", len(inspectSeeds))
	}
	for _, seed := range inspectSeeds {
		f.Add([]byte(seed))
		f.Add([]byte(base64.StdEncoding.EncodeToString([]byte(seed))))
	}
	scripts, err := filepath.Glob("testdata/script/inspect*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range scripts {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for part := range bytes.SplitSeq(b, []byte("\n-- ")) {
			if _, content, ok := bytes.Cut(part, []byte(" --\n")); ok {
				f.Add(content)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := inspect.Inspect(data, inspect.Options{})
		if got == nil || got.Kind == "" || got.Title == "" {
			t.Fatalf("nothing is said: %+v", got)
		}
		if !got.Recognized() && !got.Broken() {
			t.Errorf("%s is not recognized and exits with 0: %s", got.Kind, got.Title)
		}
		var out, talk bytes.Buffer
		if err := printThing(&streams{out: &out, err: &talk, json: true}, got, "x", false); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) {
			t.Errorf("no JSON: %s", out.Bytes())
		}
		out.Reset()
		if err := printThing(&streams{out: &out, err: &talk}, got, "x", false); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() + talk.String() {
			if r < ' ' && r != '\n' || r == 0x7f {
				t.Errorf("prints the control character %q", r)
			}
		}
	})
}
