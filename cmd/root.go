// Package cmd is the command line of webpush: flags, settings, files, streams,
// wording, and exit codes. The packages in pkg do the work.
package cmd

import (
	"context"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
	"github.com/seed81da77dd/webpush/cmd/internal/misuse"
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
		help.Plain(root)
	}
	root.SetArgs(append([]string{}, args...)) // cobra reads os.Args instead of nil
	err := root.ExecuteContext(ctx)
	return s.finish(ctx, err)
}

func newRootCmd(s *streams) *cobra.Command {
	var keys keyPair
	var version bool
	c := &cobra.Command{
		Use: "webpush",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := misuse.Command(c, args[0])
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
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := refuseEmpty(c); err != nil {
				return err
			}
			return s.applySettings(c)
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
	c.SetFlagErrorFunc(flagError)
	help.Install(c)
	keys.addFlags(c)
	c.Flags().BoolVar(&version, "version", false, "print the version, like webpush version")
	p := c.PersistentFlags()
	p.BoolVar(&s.json, "json", false, "print the result as JSON, and errors and warnings as one JSON object per line")
	p.BoolVar(&s.noColor, "no-color", false, "never color the output (also: NO_COLOR in the environment)")
	p.StringVar(&s.configFile, "config", "", "read settings from `FILE` (default webpush.yaml here and webpush/config.yaml in your configuration directory)")
	asSetting(p, "no-color")
	inGroup(p, help.Everywhere)
	addCommands(c, s)
	addHelpTexts(c)
	return c
}

// addCommands adds all commands, in the groups of the help, and the help topics.
func addCommands(root *cobra.Command, s *streams) {
	add := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, c := range commands {
			c.GroupID = id
		}
		root.AddCommand(commands...)
	}
	add("keys", "Keys and claims:", newGenCmd(s), newAppServerKeyCmd(s), newConvertCmd(s), newSignCmd(s), newVerifyCmd(s))
	add("messages", "Messages:", newSendCmd(s), newCancelCmd(s), newCurlCmd(s), newCheckCmd(s), newExplainCmd(s), newEncryptCmd(s), newDecryptCmd(s),
		newPushServiceCmd(s), newBrowserCmd(s), newListenCmd(s), newServeCmd(s), newWorkerCmd(s), newResultsCmd(s), newSubscribeCmd(s), newInspectCmd(s), newDemoCmd(s))
	add("other", "Other:", newConfigCmd(s), newVersionCmd(s), newCompletionCmd(s))
	root.AddCommand(newTopics()...)
	root.SetHelpCommand(newHelpCmd())
	root.SetHelpCommandGroupID("other")
	root.InitDefaultHelpCmd() // among the commands that get their texts
}

// flagError words pflag's error about the flags of a command.
func flagError(c *cobra.Command, err error) error {
	// Errors that repeat a word, which may be a key.
	badFlag := regexp.MustCompile(`(?s)^(bad flag syntax: |unknown flag: |unknown shorthand flag: '.*' in )(.*)$`)
	if m := badFlag.FindStringSubmatch(err.Error()); m != nil && shown(m[2]) != m[2] {
		return usage("write -- before a word that begins with -, or give it in a file", "%s%s", m[1], shown(m[2]))
	}
	if words := c.Flags().Args(); len(words) > 0 && !c.HasParent() { // the flags are of a command that does not exist
		return c.Args(c, words)
	}
	return usage(misuse.FlagHint(c, err), "%s", misuse.FlagProblem(err))
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

// noArgs refuses arguments.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(misuse.Command(c, args[0]), "%s accepts no arguments, found %q", c.CommandPath(), shown(args[0]))
	}
	return nil
}

// atMostOne refuses a second argument, and an empty one, which usually comes from a shell
// variable that is not set.
func atMostOne(c *cobra.Command, args []string) error {
	if len(args) == 1 && args[0] == "" {
		return usage("omit it, or check the shell variable that it came from", "the argument of %s is empty", c.CommandPath())
	}
	if len(args) > 1 {
		return usage("see: "+c.CommandPath()+" --help", "%s accepts one argument, found %q after it", c.CommandPath(), shown(args[1]))
	}
	return nil
}
