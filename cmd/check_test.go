package cmd

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryRuleIsSpecified asserts that each rule of the preflight has a block
// in check-rules.txtar: a new one must show how it is broken.
func TestEveryRuleIsSpecified(t *testing.T) {
	script, err := os.ReadFile(filepath.Join("testdata", "script", "check-rules.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	finding := regexp.MustCompile(`(?:\.(?:say\([^",]+, |bad\(|addErr\()|Rule: +)"([a-z0-9-]+)"`)
	// The command line refuses these before there is a message; package preflight
	// tests them.
	library := []string{"urgency", "encryption"}
	rules := 0
	for _, name := range []string{"preflight/check.go", "preflight/endpoint.go", "preflight/payload.go", "bulk/check.go", "bulk/counts.go"} {
		source, err := os.ReadFile(filepath.Join("..", "pkg", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range finding.FindAllStringSubmatch(string(source), -1) {
			rules++
			if !slices.Contains(library, m[1]) && !strings.Contains(string(script), `\[`+m[1]+`\]`) {
				t.Errorf("%s: the rule %s has no block in check-rules.txtar", name, m[1])
			}
		}
	}
	if rules < 30 {
		t.Fatalf("found %d findings in the source, expected more", rules)
	}
}
