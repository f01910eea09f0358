package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/inspect"
	"github.com/seed81da77dd/webpush/pkg/preflight"
)

type inspectOptions struct {
	showSecrets bool
	columns     columnsFlag
}

func newInspectCmd(s *streams) *cobra.Command {
	var o inspectOptions
	c := &cobra.Command{
		Use:  "inspect [INPUT…]",
		RunE: func(_ *cobra.Command, args []string) error { return runInspect(s, o, args) },
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	c.Flags().BoolVar(&o.showSecrets, "show-secrets", false, "show complete endpoints")
	o.columns.add(c.Flags())
	return c
}

func runInspect(s *streams, o inspectOptions, args []string) error {
	if len(args) == 0 {
		args = []string{"-"}
	}
	columns, err := o.columns.read()
	if err != nil {
		return err
	}
	broken := false
	for i, arg := range args {
		in, data, err := readThing(s, arg, i, len(args))
		if err != nil && exitCode(err) == exitUsage {
			return err
		}
		t := &inspect.Thing{Kind: "unreadable", Title: "not readable"}
		if err != nil {
			t.Problems = []inspect.Problem{{Severity: preflight.SeverityError, Message: err.Error(), Hint: hintOf(err)}}
		} else {
			t = inspect.Inspect(data, inspect.Options{ShowSecrets: o.showSecrets, Columns: columns})
			in.judge(t)
		}
		broken = broken || t.Broken()
		if err := printThing(s, t, in.name, i > 0); err != nil {
			return err
		}
	}
	if broken {
		return &silentError{}
	}
	return nil
}

// input says where a thing came from.
type input struct {
	name     string // for messages
	file     string // the file's name, or ""
	literal  bool   // is on the command line
	readable bool   // the file can be read by every user
}

// readThing reads the input that an argument names: a file, standard input, a
// variable of the environment, or itself.
func readThing(s *streams, arg string, i, n int) (input, []byte, error) {
	if arg == "-" {
		b, err := s.inputBytes("-", "what to inspect")
		return input{name: "standard input"}, b, err
	}
	if variable, ok := strings.CutPrefix(arg, "env:"); ok && !literalKey(variable) {
		v, set := os.LookupEnv(variable)
		if !set {
			return input{name: "$" + variable}, nil, fmt.Errorf("the environment variable %s is not set", variable)
		}
		return input{name: "$" + variable}, []byte(v), nil
	}
	if len(arg) < 4096 && !strings.ContainsAny(arg, "\x00\n") && exists(arg) {
		o := input{name: arg, file: arg}
		if info, err := os.Stat(arg); err == nil {
			o.readable = runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode()&0o004 != 0
		}
		if b := firstLines(arg); b != nil {
			s.warn(fmt.Sprintf("%s is large: only its first lines are inspected, %d bytes", arg, len(b)), "")
			return o, b, nil
		}
		b, err := readBytes(arg)
		return o, b, err
	}
	o := input{name: "the argument", literal: true}
	if n > 1 {
		o.name = fmt.Sprintf("argument %d", i+1)
	}
	if looksLikeFile(arg) && inspect.Inspect([]byte(arg), inspect.Options{}).Kind == inspect.KindText {
		return input{name: arg}, nil, withHint(fmt.Errorf("file %s not found, and as text it is not recognized", arg), "")
	}
	return o, []byte(arg), nil
}

// firstLines returns the first complete lines of a file that is too large to be read
// whole, if it consists of lines of JSON or is a journal, or nil.
func firstLines(name string) []byte {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() <= maxInput {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, maxInput)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	if !json.Valid(first) && !bytes.HasPrefix(first, []byte("webpush journal ")) {
		return nil
	}
	return b[:bytes.LastIndexByte(b, '\n')+1]
}

// looksLikeFile reports whether a text is the name of a file that is not there.
func looksLikeFile(arg string) bool {
	return len(arg) < 256 && utf8.ValidString(arg) && strings.ContainsAny(arg, "./") && !strings.ContainsAny(arg, " \t\r\n:;,{}\"'") && !literalKey(arg)
}

// judge adds problems with the place where a thing was found.
func (o input) judge(t *inspect.Thing) {
	if !t.Secret {
		return
	}
	switch {
	case o.literal:
		t.Warn("it is a secret on the command line, where other users of this machine can see it", "pass a file, -, or env:NAME")
	case o.readable:
		t.Warn("it is a secret that every user of this machine can read", "chmod 600 "+shellWord(o.file))
	}
	if name := strings.ToLower(o.file); t.Kind == inspect.KindPrivateKey && (strings.Contains(name, "public") || strings.HasSuffix(name, ".pub") || strings.Contains(name, ".pub.")) {
		t.Warn("a private key is in a file whose name suggests a public key", inspect.HintExposed)
	}
}

// printThing writes a thing for people, or as JSON, in the words of the command
// line.
func printThing(s *streams, t *inspect.Thing, name string, another bool) error {
	problems := make([]inspect.Problem, len(t.Problems))
	for i, p := range t.Problems {
		p.Hint = commandHint(p.Hint)
		problems[i] = p
	}
	fields := slices.Clone(t.Fields)
	for i, f := range fields {
		if !s.json {
			fields[i].Name = safe(f.Name)
		}
		if f.Name == "to do" {
			fields[i].Text, fields[i].Value = commandHint(f.Text), commandHint(f.Text)
		}
	}
	if s.json {
		return s.printJSON(struct {
			Input    string            `json:"input"`
			Kind     string            `json:"kind"`
			Title    string            `json:"title"`
			Fields   inspect.Fields    `json:"fields"`
			Problems []inspect.Problem `json:"problems"`
		}{name, t.Kind, t.Title, fields, problems})
	}
	if another {
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "%s: %s\n", safe(name), s.paint(s.outTTY, safe(t.Title), color.Bold))
	width := 0
	for _, f := range fields {
		width = max(width, utf8.RuneCountInString(f.Name))
	}
	for _, f := range fields {
		fmt.Fprintf(s.out, "  %s%s  %s\n", f.Name, strings.Repeat(" ", width-utf8.RuneCountInString(f.Name)), visible(f.Text))
	}
	for _, p := range problems {
		s.talk(p.Severity.String(), severityColor[p.Severity], name+": "+visible(p.Message), p.Hint)
	}
	return nil
}
