package misuse_test

import (
	"testing"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/cmd/internal/misuse"
)

func tree() (root, send *cobra.Command) {
	root = &cobra.Command{Use: "webpush"}
	run := func(*cobra.Command, []string) {}
	send, sign := &cobra.Command{Use: "send", Run: run}, &cobra.Command{Use: "sign", Run: run}
	root.AddCommand(send, sign, &cobra.Command{Use: "scaling", Long: "a topic"})
	root.PersistentFlags().Bool("json", false, "")
	send.Flags().String("title", "", "")
	send.Flags().String("timeout", "", "")
	send.Flags().String("claims", "", "")
	return root, send
}

func TestCommand(t *testing.T) {
	root, send := tree()
	for _, c := range []struct {
		command *cobra.Command
		word    string
		want    string
	}{
		{root, "push", "did you mean: webpush send"}, // another word for it
		{root, "sing", "did you mean: webpush sign, webpush send"},
		{root, "scalin", "did you mean: webpush help scaling"},
		{root, "notfy", "did you mean: webpush send"}, // like another word for it
		{root, "xyzzyx", "see: webpush --help"},
		{send, "push", "see: webpush send --help"},
	} {
		if got := misuse.Command(c.command, c.word); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.command.Name(), c.word, got, c.want)
		}
	}
}

func TestFlag(t *testing.T) {
	root, send := tree()
	for _, c := range []struct {
		command *cobra.Command
		flag    string
		want    string
	}{
		{send, "--claims-file=x", "did you mean: --claims"}, // of another tool
		{send, "--ti", "did you mean: --timeout, --title"},
		{send, "--titel", "did you mean: --title"},
		{send, "--jsno", "did you mean: --json"},
		{root, "--title", "did you mean: webpush send --title"},
		{root, "-V", "did you mean: webpush version"},
		{send, "--vapid-subject", "see: webpush send --help"}, // send has no --subject here
	} {
		if got := misuse.Flag(c.command, c.flag); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.command.Name(), c.flag, got, c.want)
		}
	}
}

// The errors of pflag itself.
func TestFlagErrors(t *testing.T) {
	_, send := tree()
	send.Flags().Int("retries", 0, "")
	send.Flags().Bool("open", false, "")
	for _, c := range []struct{ arg, problem, hint string }{
		{"--retries=many", `--retries: "many" is not a whole number`, "see: webpush send --help"},
		{"--open=maybe", `--open: "maybe" is neither true nor false`, "see: webpush send --help"},
		{"--tilte=x", "unknown flag: --tilte", "did you mean: --title"},
		{"-d", "unknown shorthand flag: 'd' in -d", "did you mean: -p or --payload-file"},
	} {
		err := send.ParseFlags([]string{c.arg})
		if err == nil {
			t.Fatalf("%s is accepted", c.arg)
		}
		if problem, hint := misuse.FlagProblem(err), misuse.FlagHint(send, err); problem != c.problem || hint != c.hint {
			t.Errorf("%s: %q, %q", c.arg, problem, hint)
		}
	}
}
