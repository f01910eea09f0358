package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/spf13/cobra"
)

type inspectOptions struct {
	showSecrets bool
}

func newInspectCmd(s *streams) *cobra.Command {
	var o inspectOptions
	c := &cobra.Command{
		Use:   "inspect [THING…]",
		Short: "Say what something is, and what is wrong with it",
		Long: `inspect recognises things by their content, says what they are and what each
part of them means, and warns of what looks wrong: a key that was encoded twice,
a subscription that was cut off, a private key where a public one belongs.

A THING is a file, - for standard input, env:NAME, or the text itself; without
any it is standard input. It can be a subscription, a VAPID key in any format,
claims, a token, headers, an encrypted body, an endpoint, what a push service
answered (as curl -i prints it, or the body alone), a receiver's keys, a curl
command, and whatever webpush itself prints.

Private keys, secrets and tokens are never shown; an endpoint is shown as its
origin, as whoever knows all of it can send to it. --json prints one object for
each thing: input, kind, fields, problems.

The exit code is 0 when everything was recognised, also if there are warnings,
and 1 when something was not or is broken.`,
		Example: `  webpush inspect subscription.json private_key.pem claims.json
  webpush inspect https://updates.push.services.mozilla.com/wpush/v2/gAAAAA…
  webpush inspect 'vapid t=eyJ0…, k=BA1H…'
  webpush curl -f subscription.json -p hi --inline | webpush inspect`,
		RunE: func(_ *cobra.Command, args []string) error { return runInspect(s, o, args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	c.Flags().BoolVar(&o.showSecrets, "show-secrets", false, "show endpoints whole")
	return c
}

func runInspect(s *streams, o inspectOptions, args []string) error {
	if len(args) == 0 {
		args = []string{"-"}
	}
	broken := false
	for i, arg := range args {
		in, data, err := readThing(s, arg, i, len(args))
		if err != nil && exitCode(err) == exitUsage {
			return err
		}
		t := &thing{kind: "unreadable", title: "not readable"}
		if err != nil {
			t.fail(err.Error(), hintOf(err))
		} else {
			t = inspector{showSecrets: o.showSecrets}.inspect(data)
			in.judge(t)
		}
		broken = broken || t.broken()
		if err := t.print(s, in.name, i > 0); err != nil {
			return err
		}
	}
	if broken {
		return &silentError{}
	}
	return nil
}

// origin is where a thing came from.
type origin struct {
	name     string // for messages
	file     string // the file's name, or ""
	literal  bool   // stands in the command line
	readable bool   // the file can be read by every user
}

// readThing returns what an argument stands for: a file, standard input, a
// variable of the environment, or itself.
func readThing(s *streams, arg string, i, n int) (origin, []byte, error) {
	if arg == "-" {
		b, err := s.inputBytes("-", "what to inspect")
		return origin{name: "standard input"}, b, err
	}
	if variable, ok := strings.CutPrefix(arg, "env:"); ok && !literalKey(variable) {
		v, set := os.LookupEnv(variable)
		if !set {
			return origin{name: "$" + variable}, nil, fmt.Errorf("the environment has no variable %s", variable)
		}
		return origin{name: "$" + variable}, []byte(v), nil
	}
	if len(arg) < 4096 && !strings.ContainsAny(arg, "\x00\n") && exists(arg) {
		o := origin{name: arg, file: arg}
		if info, err := os.Stat(arg); err == nil {
			o.readable = runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode()&0o004 != 0
		}
		b, err := readBytes(arg)
		return o, b, err
	}
	o := origin{name: "the argument", literal: true}
	if n > 1 {
		o.name = fmt.Sprintf("argument %d", i+1)
	}
	if looksLikeFile(arg) && (inspector{}).inspect([]byte(arg)).kind == kindText {
		return origin{name: arg}, nil, withHint(fmt.Errorf("there is no file %s, and as a text it is nothing known here", arg), "")
	}
	return o, []byte(arg), nil
}

// looksLikeFile reports whether a text is the name of a file that is not there.
func looksLikeFile(arg string) bool {
	return len(arg) < 256 && utf8.ValidString(arg) && strings.ContainsAny(arg, "./") && !strings.ContainsAny(arg, " \t\r\n:;,{}\"'") && !literalKey(arg)
}

// judge adds what is wrong with the place where a thing was found.
func (o origin) judge(t *thing) {
	if !t.secret {
		return
	}
	switch {
	case o.literal:
		t.warn("it is a secret that stands in the command line, where other users of this machine can see it", "give a file, - or env:NAME")
	case o.readable:
		t.warn("it is a secret that every user of this machine can read", "chmod 600 "+shellWord(o.file))
	}
	if name := strings.ToLower(o.file); t.kind == kindPrivateKey && (strings.Contains(name, "public") || strings.HasSuffix(name, ".pub") || strings.Contains(name, ".pub.")) {
		t.warn("a private key stands in a file that is named as if it held the public one", exposedHint)
	}
}

// print writes the thing for people, or as JSON.
func (t *thing) print(s *streams, name string, further bool) error {
	if s.json {
		return s.printJSON(struct {
			Input    string         `json:"input"`
			Kind     string         `json:"kind"`
			Title    string         `json:"title"`
			Fields   fieldList      `json:"fields"`
			Problems []thingProblem `json:"problems"`
		}{name, t.kind, t.title, t.fields, append([]thingProblem{}, t.problems...)})
	}
	if further {
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "%s: %s\n", name, s.paint(s.outTTY, safe(t.title), color.Bold))
	width := 0
	for _, f := range t.fields {
		width = max(width, utf8.RuneCountInString(f.name))
	}
	for _, f := range t.fields {
		fmt.Fprintf(s.out, "  %s%s  %s\n", f.name, strings.Repeat(" ", width-utf8.RuneCountInString(f.name)), visible(f.text))
	}
	for _, p := range t.problems {
		if p.Severity == severityError {
			s.talk("error", color.FgRed, name+": "+visible(p.Message), p.Hint)
		} else {
			s.warn(name+": "+visible(p.Message), p.Hint)
		}
	}
	return nil
}

// The kinds of things, as --json names them.
const (
	kindSubscription  = "subscription"
	kindSubscriptions = "subscriptions"
	kindEndpoint      = "endpoint"
	kindPrivateKey    = "private-key"
	kindPublicKey     = "public-key"
	kindOtherKey      = "other-key"
	kindReceiver      = "receiver"
	kindClaims        = "claims"
	kindToken         = "token"
	kindHeaders       = "headers"
	kindBody          = "encrypted-body"
	kindMessage       = "encrypted-message"
	kindDecrypted     = "decrypted-message"
	kindPayload       = "payload"
	kindRequest       = "request"
	kindCurl          = "curl"
	kindResponse      = "response"
	kindErrorBody     = "error-body"
	kindReceipt       = "receipt"
	kindVerdict       = "verdict"
	kindStatus        = "status"
	kindTalk          = "talk"
	kindJSON          = "json"
	kindText          = "text"
	kindBase64        = "base64"
	kindBinary        = "binary"
	kindEmpty         = "empty"
)

// thing is what was found out about some bytes.
type thing struct {
	kind     string
	title    string
	fields   fieldList
	problems []thingProblem
	secret   bool // nobody else should be able to read it
}

const (
	severityError   = "error"
	severityWarning = "warning"
)

type thingProblem struct {
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

type thingField struct {
	name  string
	value any    // for JSON
	text  string // for people
}

// fieldList is written as an object in its order.
type fieldList []thingField

// MarshalJSON writes the fields as one object.
func (l fieldList) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range l {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(f.value, "")
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(bytes.TrimSuffix(value, []byte("\n")))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// add adds a field, whose text is its value unless one is given. A name that
// is there already gets a number.
func (t *thing) add(name string, value any, text ...string) {
	show := fmt.Sprint(value)
	if len(text) > 0 {
		show = strings.Join(text, ", ")
	}
	base := name
	for n := 2; t.has(name); n++ {
		name = fmt.Sprintf("%s %d", base, n)
	}
	t.fields = append(t.fields, thingField{name, value, clip(show, 600)})
}

func (t *thing) has(name string) bool {
	for _, f := range t.fields {
		if f.name == name {
			return true
		}
	}
	return false
}

func (t *thing) fail(message, hint string) { t.problem(severityError, message, hint) }
func (t *thing) warn(message, hint string) { t.problem(severityWarning, message, hint) }

func (t *thing) problem(severity, message, hint string) {
	for _, p := range t.problems {
		if p.Message == message {
			return
		}
	}
	t.problems = append(t.problems, thingProblem{severity, clip(message, 600), hint})
}

// failErr adds an error with its hint.
func (t *thing) failErr(err error) {
	if err != nil {
		t.fail(err.Error(), hintOf(err))
	}
}

func (t *thing) broken() bool {
	for _, p := range t.problems {
		if p.Severity == severityError {
			return true
		}
	}
	return false
}

// clip bounds a text that came from outside.
func clip(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
