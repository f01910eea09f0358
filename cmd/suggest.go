package cmd

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed81da77dd/webpush/pkg/preflight"
)

// otherTools are commands and flags of other tools for Web Push, with the words
// that mean the same here.
var otherTools = map[string]string{
	// py_vapid
	"--gen": "webpush gen", "--sign": "webpush sign CLAIMS", "--applicationServerKey": "webpush app-server-key",
	"--version1": "webpush sign --scheme webpush", "--version2": "webpush sign", "--json-only": "webpush sign --json",
	// pywebpush
	"--data": "-p or --payload-file", "--info": "-f", "--head": "--header", "--claims-file": "--claims", "--wns": "--wns-type",
	"--gcm-api-key": "--gcm-key", "--key-file": "-k", "--subscription-info": "-f",
	// web-push of npm
	"generate-vapid-keys": "webpush gen", "send-notification": "webpush send", "--vapid-subject": "--subject",
	"--vapid-pubkey": "-k with the private key, which has the public one", "--vapid-pvtkey": "-k", "--payload": "-p",
	"--encoding-type": "--encoding",
	// words for the same things
	"generate": "webpush gen", "keygen": "webpush gen", "vapid": "webpush gen", "keys": "webpush gen", "push": "webpush send", "notify": "webpush send",
	"server": "webpush serve", "publickey": "webpush app-server-key", "public-key": "webpush app-server-key",
	"applicationServerKey": "webpush app-server-key", "mock": "webpush push-service", "doctor": "webpush check",
	"receive": "webpush listen", "decode": "webpush decrypt", "encode": "webpush encrypt", "validate": "webpush check",
	"lint": "webpush check", "identify": "webpush inspect", "env": "webpush config", "backend": "webpush serve",
	// flags of other commands
	"worker --to": "--nats", "listen -k": "--application-server-key", "results --to": "--nats", "sign --claims": "webpush sign CLAIMS", "decrypt --subscription": "--receiver",
	"inspect -f": "webpush inspect FILE", "decrypt -f": "webpush decrypt FILE", "app-server-key -f": "webpush app-server-key FILE",
	"convert -f": "webpush convert FILE", "cancel -f": "webpush cancel FILE", "import -f": "webpush serve import FILE",
	"webpush -f": "webpush send -f FILE", "webpush -p": "webpush send -p TEXT",
	"-V": "webpush version", "-v": "webpush version",
	// letters of py_vapid and pywebpush
	"-g": "webpush gen", "-s": "webpush sign CLAIMS", "-1": "webpush sign --scheme webpush", "-2": "webpush sign", "-i": "-f", "-d": "-p or --payload-file",
	// options of other programs
	"--format": "--to", "--port": "--listen", "--out": "--private-key", "--output-format": "--to",
}

// similarCommand returns the hint for a word that is not a command below c.
func similarCommand(c *cobra.Command, word string) string {
	if same, ok := otherTools[word]; ok && !c.HasParent() {
		return "did you mean: " + same
	}
	if c.SuggestionsMinimumDistance == 0 {
		c.SuggestionsMinimumDistance = 2
	}
	path := c.CommandPath() + " "
	similar := c.SuggestionsFor(word)
	if best := preflight.Nearest(word, similar, 2); best != "" {
		similar = append([]string{best}, slices.DeleteFunc(similar, func(name string) bool { return name == best })...)
	}
	for _, topic := range c.Commands() {
		if topic.IsAdditionalHelpTopicCommand() && len(word) > 2 && (strings.HasPrefix(topic.Name(), word) || preflight.Nearest(word, []string{topic.Name()}, 1) != "") {
			return "did you mean: " + path + "help " + topic.Name()
		}
	}
	if len(similar) > 0 {
		return "did you mean: " + path + strings.Join(similar, ", "+path)
	}
	if !c.HasParent() {
		if len(word) > 4 {
			words := slices.DeleteFunc(slices.Sorted(maps.Keys(otherTools)), func(name string) bool { return strings.HasPrefix(name, "-") || strings.Contains(name, " ") })
			if best := preflight.Nearest(word, words, 2); best != "" {
				return "did you mean: " + otherTools[best]
			}
		}
	}
	return "see: " + path + "--help"
}

// similarFlag returns the hint for an unknown flag, given with its dashes: the
// same thing in the words of this tool, the flags that begin so, a flag with a
// similar name, or a command that has the flag.
func similarFlag(c *cobra.Command, flag string) string {
	flag, _, _ = strings.Cut(flag, "=")
	name := strings.TrimLeft(flag, "-")
	for _, word := range []string{c.Name() + " " + flag, flag} {
		if same, ok := otherTools[word]; ok && has(c, same) {
			return "did you mean: " + same
		}
	}
	var longer []string
	prefix := func(f *pflag.Flag) {
		if !f.Hidden && len(name) > 1 && strings.HasPrefix(f.Name, name) {
			longer = append(longer, "--"+f.Name)
		}
	}
	c.LocalFlags().VisitAll(prefix)
	c.InheritedFlags().VisitAll(prefix)
	if len(longer) > 0 {
		return "did you mean: " + strings.Join(longer[:min(len(longer), 3)], ", ")
	}
	var names []string
	visit := func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	}
	c.Flags().VisitAll(visit)
	c.InheritedFlags().VisitAll(visit)
	if best := preflight.Nearest(name, names, 2); best != "" {
		return "did you mean: --" + best
	}
	if name != "" && !c.HasParent() {
		var have []string
		for _, sub := range c.Commands() {
			if sub.Flags().Lookup(name) != nil {
				have = append(have, "webpush "+sub.Name()+" --"+name)
			}
		}
		if len(have) > 0 {
			return "did you mean: " + strings.Join(have[:min(len(have), 3)], ", ")
		}
	}
	return "see: " + c.CommandPath() + " --help"
}

// has reports whether a suggestion is not a flag, or a flag that the command has.
func has(c *cobra.Command, suggestion string) bool {
	name, long := strings.CutPrefix(suggestion, "--")
	return !long || !c.HasParent() || c.Flags().Lookup(name) != nil
}
