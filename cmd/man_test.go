package cmd

import (
	_ "embed"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/cmd/internal/help"
)

var update = flag.Bool("update", false, "write the generated files instead of comparing with them")

// manDate is the fixed date of the manual pages, so that they depend on the
// commands alone.
var manDate = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

// manTail has the sections that every page of a command ends with.
//
//go:embed help/manual.roff
var manTail string

// manPages returns every manual page by its file's name.
func manPages(t *testing.T) map[string]string {
	t.Helper()
	pages := make(map[string]string)
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		c.InitDefaultHelpFlag()
		section := manSection(c)
		pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+"."+section] = manPage(c, section)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRootCmd(systemStreams()))
	return pages
}

// TestManPages asserts that man/ equals the command tree; with -update it
// writes it.
func TestManPages(t *testing.T) {
	pages := manPages(t)
	if len(pages) < 10 {
		t.Fatalf("only %d pages", len(pages))
	}
	dir := filepath.Join("..", "man")
	old, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range old {
		if _, ok := pages[filepath.Base(name)]; !ok {
			if *update {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
				continue
			}
			t.Errorf("%s belongs to no command; run: make man", name)
		}
	}
	for name, page := range pages {
		file := filepath.Join(dir, name)
		if *update {
			if err := os.WriteFile(file, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v; run: make man", err)
		} else if string(got) != page {
			t.Errorf("%s is not what the command says; run: make man", file)
		}
	}
}

// TestEveryCommandIsExplained asserts that each command has a summary, a text
// whose first paragraph fits --help, and examples, and that each file of help texts
// belongs to a command or topic.
func TestEveryCommandIsExplained(t *testing.T) {
	files, err := helpTexts.ReadDir("help")
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		commands++
		for _, text := range []string{c.Short, c.Long, c.Example} {
			if i := strings.Index(text, "{{"); i >= 0 {
				t.Errorf("%s: no value for %.30q", c.CommandPath(), text[i:])
			}
		}
		if c.IsAdditionalHelpTopicCommand() {
			return
		}
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s lacks a summary, a text or an example", c.CommandPath())
		}
		if text, _ := help.Brief(c); strings.Count(text, "\n")+1 > 6 {
			t.Errorf("%s: --help says %d lines about the command, at most 6 fit: begin a new paragraph, which webpush help and the manual page have\n%s", c.CommandPath(), strings.Count(text, "\n")+1, text)
		}
		if strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the summary ends with a full stop", c.CommandPath())
		}
		for _, line := range strings.Split(c.Example, "\n") {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, "webpush ") && !strings.HasPrefix(line, "  # ") {
				t.Errorf("%s: the example %q is not an indented command or comment", c.CommandPath(), line)
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(newRootCmd(systemStreams()))
	if commands != len(files) {
		t.Errorf("%d commands and topics, but %d files of help texts", commands, len(files))
	}
}
