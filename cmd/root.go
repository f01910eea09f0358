// Package cmd is the command line of webpush: flags, settings, files, streams,
// wording, and exit codes. The packages in pkg do the work.
package cmd

import (
	"context"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/bulk"
)

// Main runs the command line of this process and returns its exit code.
func Main() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := systemStreams()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it
		signal.Notify(signals, syscall.SIGHUP) // the terminal was closed
	}
	go func() {
		<-signals
		cancel()
		<-signals // the process exits immediately, even if the first signal is ignored
		if last := s.atOnce.Load(); last != nil {
			s.note("%s", *last)
		}
		s.committing.Lock() // let a write in progress finish
		os.Exit(exitInterrupted)
	}()
	return run(ctx, s, os.Args[1:])
}

func run(ctx context.Context, s *streams, args []string) int {
	s.in = bulk.UntilDone(ctx, s.in)
	s.out = &latch{Writer: s.out}
	s.err = &serial{Writer: s.err}
	root := newRootCmd(s)
	if len(args) > 0 && args[0] == cobra.ShellCompRequestCmd {
		plainUsage(root)
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return s.finish(ctx, err)
}

// The groups of commands in the help.
const (
	groupKeys     = "keys"
	groupMessages = "messages"
	groupOther    = "other"
)

func newRootCmd(s *streams) *cobra.Command {
	var keys keyPair
	var version bool
	c := &cobra.Command{
		Use: "webpush",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := similarCommand(c, args[0])
			if exists(args[0]) {
				hint = "to identify a file: webpush inspect " + shellWord(args[0])
			}
			return usage(hint, "unknown command %q", shown(args[0]))
		},
		RunE: func(c *cobra.Command, _ []string) error {
			if version {
				return printVersion(s)
			}
			return runStatus(c, s, keys)
		},
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableAutoGenTag:          true,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	c.SetIn(s.in)
	c.SetOut(s.out)
	c.SetErr(s.err)
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if m := badFlag.FindStringSubmatch(err.Error()); m != nil && shown(m[2]) != m[2] {
			return usage("write -- before a word that begins with -, or give it in a file", "%s%s", m[1], shown(m[2]))
		}
		if words := c.Flags().Args(); len(words) > 0 && !c.HasParent() { // the flags are of a command that does not exist
			return c.Args(c, words)
		}
		hint := "see: " + c.CommandPath() + " --help"
		if m := badShorthand.FindStringSubmatch(err.Error()); m != nil {
			hint = similarFlag(c, m[1])
		}
		if flag, ok := strings.CutPrefix(err.Error(), "unknown flag: "); ok {
			hint = similarFlag(c, flag)
		}
		return usage(hint, "%s", flagProblem(err))
	})
	c.SetUsageFunc(writeUsage)
	c.SetHelpFunc(writeHelp)
	keys.addFlags(c)
	c.Flags().BoolVar(&version, "version", false, "print the version, like webpush version")

	p := c.PersistentFlags()
	p.BoolVar(&s.json, "json", false, "print the result as JSON, and errors and warnings as one JSON object per line")
	p.BoolVar(&s.noColor, "no-color", false, "never color the output (also: NO_COLOR in the environment)")
	p.StringVar(&s.configFile, "config", "", "read settings from `FILE` (default webpush.yaml here and webpush/config.yaml in your configuration directory)")
	asSetting(p, "no-color")
	inGroup(p, "Everywhere")
	c.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := refuseEmpty(c); err != nil {
			return err
		}
		return s.applySettings(c)
	}
	c.SetHelpCommand(newHelpCmd())

	c.AddGroup(&cobra.Group{ID: groupKeys, Title: "Keys and claims:"},
		&cobra.Group{ID: groupMessages, Title: "Messages:"},
		&cobra.Group{ID: groupOther, Title: "Other:"})
	c.SetHelpCommandGroupID(groupOther)
	for _, g := range []struct {
		id       string
		commands []*cobra.Command
	}{
		{groupKeys, []*cobra.Command{newGenCmd(s), newAppServerKeyCmd(s), newConvertCmd(s), newSignCmd(s), newVerifyCmd(s)}},
		{groupMessages, []*cobra.Command{newSendCmd(s), newCancelCmd(s), newCurlCmd(s), newCheckCmd(s), newExplainCmd(s), newEncryptCmd(s), newDecryptCmd(s), newPushServiceCmd(s), newBrowserCmd(s), newListenCmd(s), newServeCmd(s), newWorkerCmd(s), newResultsCmd(s), newSubscribeCmd(s), newInspectCmd(s), newDemoCmd(s)}},
		{groupOther, []*cobra.Command{newConfigCmd(s), newVersionCmd(s), newCompletionCmd(s)}},
	} {
		for _, sub := range g.commands {
			sub.GroupID = g.id
			c.AddCommand(sub)
		}
	}
	c.AddCommand(newTopics()...)
	c.InitDefaultHelpCmd() // among the commands that get their texts
	addHelpTexts(c)
	return c
}

// mayBeEmpty lists the flags whose empty value has a meaning, or is refused when it is
// read.
var mayBeEmpty = []string{"payload", "title", "body", "topic", "private-key", "public-key"}

// refuseEmpty refuses flags with an empty value, which usually comes from a shell
// variable that is not set, and would silently change the result.
func refuseEmpty(c *cobra.Command) error {
	var empty error
	c.Flags().Visit(func(f *pflag.Flag) {
		if empty == nil && f.Value.Type() == "string" && f.Value.String() == "" && !slices.Contains(mayBeEmpty, f.Name) {
			empty = usage("omit --"+f.Name+", or check the shell variable that it came from", "--%s is empty", f.Name)
		}
	})
	return empty
}

// badFlag matches pflag's errors that repeat a word, which may be a key.
var badFlag = regexp.MustCompile(`(?s)^(bad flag syntax: |unknown flag: |unknown shorthand flag: '.*' in )(.*)$`)

// badShorthand finds the letter in pflag's error for one that is unknown.
var badShorthand = regexp.MustCompile(`^unknown shorthand flag: .* in (-\w)$`)

var goParse = regexp.MustCompile(`strconv\.Parse(\w+): parsing (".*"): .*`)

// flagProblem words pflag's errors like all others.
func flagProblem(err error) string {
	text := goParse.ReplaceAllStringFunc(err.Error(), func(s string) string {
		m := goParse.FindStringSubmatch(s)
		if m[1] == "Bool" {
			return m[2] + " is neither true nor false"
		}
		return m[2] + " is not a whole number"
	})
	if i := strings.Index(text, " flag: "); strings.HasPrefix(text, "invalid argument ") && i >= 0 {
		// invalid argument "x" for "--ttl" flag: problem
		if at := strings.Index(text, ` for "`); at >= 0 && at < i {
			return strings.Trim(text[at+5:i], `"`) + ": " + text[i+7:]
		}
	}
	return text
}

// noArgs refuses arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(similarCommand(c, args[0]), "%s accepts no arguments, found %q", c.CommandPath(), shown(args[0]))
	}
	return nil
}

// atMostOne refuses a second argument.
func atMostOne(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage("see: "+c.CommandPath()+" --help", "%s accepts one argument, found %q after it", c.CommandPath(), shown(args[1]))
	}
	return nil
}
