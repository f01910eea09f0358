package help_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
)

// --help is the first paragraph and the flags under their headings, in the order of the
// help; help.Write prints the whole text.
func TestHelp(t *testing.T) {
	var out strings.Builder
	root := &cobra.Command{Use: "webpush"}
	send := &cobra.Command{Use: "send", Run: func(*cobra.Command, []string) {}}
	root.AddCommand(send)
	root.SetOut(&out)
	help.Install(root)
	f := send.Flags()
	f.String("title", "", "set the `TEXT`")
	help.Group(f, "Message")
	f.Bool("force", false, "overwrite")
	help.AddTexts(root, fstest.MapFS{
		"webpush.txt": {Data: []byte("Short\n\nLong.\n")},
		"send.txt":    {Data: []byte("Send a message\n\nSend {{what}}.\n\nMore text.\n\nExamples:\n  webpush send\n")},
	}, strings.NewReplacer("{{what}}", "it"))
	if send.Short != "Send a message" || send.Long != "Send it.\n\nMore text." || send.Example != "  webpush send" {
		t.Errorf("the texts are %q, %q, %q", send.Short, send.Long, send.Example)
	}
	if text, more := help.Brief(send); text != "Send it." || !more {
		t.Errorf("the brief text is %q, %v", text, more)
	}
	root.SetArgs([]string{"send", "--help"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	inOrder(t, out.String(), "Send it.\n", "More: webpush help send\n", "Usage:\n  webpush send", "Examples:\n  webpush send\n", "\nFlags:\n", "--force", "\nMessage:\n", "--title TEXT")
	if strings.Contains(out.String(), "More text") {
		t.Errorf("--help is %s", out.String())
	}
	out.Reset()
	if err := help.Write(send); err != nil {
		t.Fatal(err)
	}
	inOrder(t, out.String(), "Send it.\n\nMore text.\n", "Usage:")
	help.Plain(root)
	if usage := f.Lookup("title").Usage; usage != "set the TEXT" {
		t.Errorf("the plain usage is %q", usage)
	}
}

func inOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, part := range parts {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			t.Errorf("%q is missing, or in another place, in:\n%s", part, text)
			return
		}
		rest = after
	}
}

func TestWrap(t *testing.T) {
	if got := help.Wrap([]string{"one", "two", "three"}, 9); got != "one, two,\nthree" {
		t.Errorf("wrapped %q", got)
	}
}
