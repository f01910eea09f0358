package cmd

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/inspect"
	"github.com/seed81da77dd/webpush/pkg/keyfile"
	"github.com/seed81da77dd/webpush/pkg/preflight"
	"github.com/seed81da77dd/webpush/pkg/printable"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func newInspectCmd(s *streams) *cobra.Command {
	o := inspect.Options{Hint: commandHint}
	c := &cobra.Command{
		Use:               "inspect [INPUT…]",
		RunE:              func(_ *cobra.Command, args []string) error { return runInspect(s, o, args) },
		ValidArgsFunction: completeFiles,
	}
	c.Flags().BoolVar(&o.ShowSecrets, "show-secrets", false, "show complete endpoints")
	addColumnsFlag(c.Flags(), &o.Columns)
	return c
}

func runInspect(s *streams, o inspect.Options, args []string) error {
	if len(args) == 0 {
		args = []string{"-"}
	}
	broken := false
	for i, arg := range args {
		in, data, err := readThing(s, arg)
		if err != nil && exitCode(err) == exitUsage {
			return err
		}
		if in.literal && len(args) > 1 {
			in.name = fmt.Sprintf("argument %d", i+1)
		}
		t := &inspect.Thing{}
		if err == nil {
			t = inspect.Inspect(data, o)
		}
		if in.literal && isWord(arg) && t.Kind == inspect.KindText && t.Problems[0].Hint == "" { // rather the name of a file
			in.name = arg
			err = withHint(errors.New("no such file, and as text it is not recognized"), "pass a file, -, or env:NAME, or the text of a key, subscription, token, header, or response")
		}
		if err != nil {
			t = &inspect.Thing{Kind: "unreadable", Title: "not readable"}
			t.Problems = []inspect.Problem{{Severity: preflight.SeverityError, Message: plain(err, in.name), Hint: hintOf(err)}}
		}
		in.judge(t)
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

// isWord reports whether an argument may be the name of a file. A word that may be a
// secret is not.
func isWord(arg string) bool {
	return len(arg) < 256 && !strings.ContainsAny(arg, " \t\r\n") && shown(arg) == arg
}

// input says where a thing came from.
type input struct {
	name    string // for messages
	file    string // the file's name, or ""
	literal bool   // is on the command line
}

// readThing reads the input that an argument names: a file, standard input, a
// variable of the environment, or itself.
func readThing(s *streams, arg string) (in input, data []byte, err error) {
	variable, named := strings.CutPrefix(arg, "env:")
	switch {
	case arg == "":
		return in, nil, usage("pass a file, -, env:NAME, or a value, or check the shell variable that it came from", "the argument is empty")
	case arg == "env:":
		return in, nil, usage("write it as env:NAME", "%s names no variable of the environment", arg)
	case named && !vapid.MayBeKey(variable):
		in.name = "$" + variable
		v, set := os.LookupEnv(variable)
		if !set {
			err = fmt.Errorf("the environment variable %s is not set", variable)
		}
		return in, []byte(v), err
	case arg != "-" && !exists(arg):
		return input{name: "the argument", literal: true}, []byte(arg), nil
	case arg != "-":
		in.file = arg
	}
	in.name = inputName(arg)
	r, err := s.open(arg, "what to inspect")
	if err != nil {
		return in, nil, err
	}
	defer r.Close()
	data, cut, err := inspect.Head(r, fileio.Limit)
	switch {
	case errors.Is(err, inspect.ErrTooLarge):
		err = withHint(fileio.ReadError(in.name, fileio.ErrTooLarge), "if it has subscriptions, use webpush check -f; otherwise, inspect a part of it, such as: head -n 100 FILE | webpush inspect")
	case err != nil:
		err = fileProblem(in.name, err)
	case cut:
		s.warn(fmt.Sprintf("%s is large: only its first lines are inspected, %d bytes", in.name, len(data)), "")
	}
	return in, data, err
}

// judge adds problems with the place where a thing was found.
func (o input) judge(t *inspect.Thing) {
	switch {
	case !t.Secret:
		return
	case o.literal:
		t.Warn("it is a secret on the command line, where other users of this machine can see it", "pass a file, -, or env:NAME")
	case o.file != "" && keyfile.Readable(o.file):
		t.Warn("it is a secret that every user of this machine can read", "chmod 600 "+shellWord(o.file))
	}
	if name := strings.ToLower(o.file); t.Kind == inspect.KindPrivateKey && (strings.Contains(name, "public") || strings.HasSuffix(name, ".pub") || strings.Contains(name, ".pub.")) {
		t.Warn("a private key is in a file whose name suggests a public key", commandHint(inspect.HintExposed))
	}
}

// printThing writes a thing for people, or as JSON.
func printThing(s *streams, t *inspect.Thing, name string, another bool) error {
	if s.json {
		return s.printJSON(struct {
			Input    string            `json:"input"`
			Kind     string            `json:"kind"`
			Title    string            `json:"title"`
			Fields   inspect.Fields    `json:"fields"`
			Problems []inspect.Problem `json:"problems"`
		}{name, t.Kind, t.Title, t.Fields, append([]inspect.Problem{}, t.Problems...)})
	}
	if another {
		fmt.Fprintln(s.out)
	}
	fmt.Fprintf(s.out, "%s: %s\n", printable.Text(name), s.paint(s.outTTY, printable.Text(t.Title), color.Bold))
	width := 0
	for _, f := range t.Fields {
		width = max(width, utf8.RuneCountInString(printable.Text(f.Name)))
	}
	for _, f := range t.Fields {
		fmt.Fprintf(s.out, "  %-*s  %s\n", width, printable.Text(f.Name), printable.Quoted(f.Text))
	}
	for _, p := range t.Problems {
		s.talk(p.Severity.String(), severityColor[p.Severity], name+": "+printable.Quoted(p.Message), p.Hint)
	}
	return nil
}
