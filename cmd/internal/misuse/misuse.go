// Package misuse words what is wrong with a command line, and finds what was meant: a
// command or flag with a similar name, or with the same meaning in another tool.
package misuse

import (
	"maps"
	"regexp"
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
	"--data": "-p or --payload-file", "--info": "-f", "--head": "--header", "--claims-file": "--claims",
	"--gcm-api-key": "--gcm-key", "--key-file": "-k", "--subscription-info": "-f",
	// web-push of npm
	"generate-vapid-keys": "webpush gen", "send-notification": "webpush send", "--vapid-subject": "--subject",
	"--vapid-pubkey": "-k with the private key, which has the public one", "--vapid-pvtkey": "-k", "--payload": "-p",
	"--encoding-type": "--encoding",
	"--message":       "-p or --title and --body", "--data-file": "--payload-file",
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

// Command returns the hint for a word that is not a command below c.
func Command(c *cobra.Command, word string) string {
	if same, ok := otherTools[word]; ok && !c.HasParent() {
		return didYouMean(same)
	}
	path := c.CommandPath() + " "
	for _, topic := range c.Commands() {
		if topic.IsAdditionalHelpTopicCommand() && len(word) > 2 && (strings.HasPrefix(topic.Name(), word) || preflight.Nearest(word, []string{topic.Name()}, 1) != "") {
			return didYouMean(path + "help " + topic.Name())
		}
	}
	if c.SuggestionsMinimumDistance == 0 {
		c.SuggestionsMinimumDistance = 2
	}
	similar := c.SuggestionsFor(word)
	if best := preflight.Nearest(word, similar, 2); best != "" {
		similar = append([]string{best}, slices.DeleteFunc(similar, func(name string) bool { return name == best })...)
	}
	if len(similar) > 0 {
		return didYouMean(path + strings.Join(similar, ", "+path))
	}
	if !c.HasParent() && len(word) > 4 {
		words := slices.DeleteFunc(slices.Sorted(maps.Keys(otherTools)), func(name string) bool { return strings.HasPrefix(name, "-") || strings.Contains(name, " ") })
		if best := preflight.Nearest(word, words, 2); best != "" {
			return didYouMean(otherTools[best])
		}
	}
	return seeHelp(c)
}

// Flag returns the hint for an unknown flag of c, given with its dashes: the same thing in
// the words of this tool, the flags that begin with it, a flag with a similar name, or a
// command that has the flag.
func Flag(c *cobra.Command, flag string) string {
	flag, _, _ = strings.Cut(flag, "=")
	name := strings.TrimLeft(flag, "-")
	if name != "" && name[0] >= '0' && name[0] <= '9' && c.HasParent() && c.Name() != "sign" {
		return "if it is an argument, write -- before it"
	}
	if flag == "--wns" { // a flag of pywebpush
		return "omit it: WNS is detected from the endpoint"
	}
	for _, word := range []string{c.Name() + " " + flag, flag} {
		if same, ok := otherTools[word]; ok && has(c, same) {
			return didYouMean(same)
		}
	}
	names := flagNames(c)
	var longer []string
	for _, n := range names {
		if len(name) > 1 && strings.HasPrefix(n, name) {
			longer = append(longer, "--"+n)
		}
	}
	if len(longer) > 0 {
		return didYouMean(longer...)
	}
	if best := preflight.Nearest(name, names, 2); best != "" {
		return didYouMean("--" + best)
	}
	var have []string
	if name != "" && !c.HasParent() {
		for _, sub := range c.Commands() {
			if sub.Flags().Lookup(name) != nil {
				have = append(have, sub.CommandPath()+" --"+name)
			}
		}
	}
	if len(have) > 0 {
		return didYouMean(have...)
	}
	return seeHelp(c)
}

// didYouMean returns a hint with at most three suggestions.
func didYouMean(suggestions ...string) string {
	return "did you mean: " + strings.Join(suggestions[:min(len(suggestions), 3)], ", ")
}

func seeHelp(c *cobra.Command) string { return "see: " + c.CommandPath() + " --help" }

// flagNames returns the names of all flags of a command, its own first.
func flagNames(c *cobra.Command) (names []string) {
	add := func(f *pflag.Flag) {
		if !f.Hidden && !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	c.LocalFlags().VisitAll(add)
	c.InheritedFlags().VisitAll(add)
	return names
}

// has reports whether a suggestion is not a flag, or a flag that the command has.
func has(c *cobra.Command, suggestion string) bool {
	name, long := strings.CutPrefix(suggestion, "--")
	return !long || !c.HasParent() || c.Flags().Lookup(name) != nil
}

// FlagHint returns the hint for pflag's error about the flags of c.
func FlagHint(c *cobra.Command, err error) string {
	badShorthand := regexp.MustCompile(`^unknown shorthand flag: .* in (-\w)$`)
	if m := badShorthand.FindStringSubmatch(err.Error()); m != nil {
		return Flag(c, m[1])
	}
	if flag, ok := strings.CutPrefix(err.Error(), "unknown flag: "); ok {
		return Flag(c, flag)
	}
	return seeHelp(c)
}

// FlagProblem words the errors of pflag, and of the values of flags, like all others.
func FlagProblem(err error) string {
	goParse := regexp.MustCompile(`strconv\.Parse(\w+): parsing (".*"): .*`)
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
