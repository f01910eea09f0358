// Package pattern has regular expressions that are compiled when they are first
// used. Compiling all of them was a fifth of the time that a command needs to start,
// and most commands use only a few of them.
package pattern

import (
	"regexp"
	"sync"
)

// Pattern is a regular expression. It has the methods of regexp.Regexp, and
// is safe for concurrent use.
type Pattern struct {
	compiled func() *regexp.Regexp
}

// New returns the pattern of an expression in the syntax of package regexp. The
// first use of the pattern panics if the expression is invalid.
func New(expr string) *Pattern {
	return &Pattern{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })}
}

// Match reports whether b contains a match.
func (p *Pattern) Match(b []byte) bool { return p.compiled().Match(b) }

// MatchString reports whether s contains a match.
func (p *Pattern) MatchString(s string) bool { return p.compiled().MatchString(s) }

// FindString returns the first match in s, or "".
func (p *Pattern) FindString(s string) string { return p.compiled().FindString(s) }

// FindStringIndex returns where the first match in s begins and ends, or nil.
func (p *Pattern) FindStringIndex(s string) []int { return p.compiled().FindStringIndex(s) }

// FindStringSubmatch returns the first match in s and its groups, or nil.
func (p *Pattern) FindStringSubmatch(s string) []string { return p.compiled().FindStringSubmatch(s) }

// FindAllString returns the first n matches in s, or all if n is negative.
func (p *Pattern) FindAllString(s string, n int) []string { return p.compiled().FindAllString(s, n) }

// FindAllStringSubmatch returns the first n matches in s, or all if n is negative,
// each with its groups.
func (p *Pattern) FindAllStringSubmatch(s string, n int) [][]string {
	return p.compiled().FindAllStringSubmatch(s, n)
}

// ReplaceAllString returns src with repl in place of all matches.
func (p *Pattern) ReplaceAllString(src, repl string) string {
	return p.compiled().ReplaceAllString(src, repl)
}

// ReplaceAllStringFunc returns src with repl of each match in its place.
func (p *Pattern) ReplaceAllStringFunc(src string, repl func(string) string) string {
	return p.compiled().ReplaceAllStringFunc(src, repl)
}

// Split returns the parts of s between the first n-1 matches, or between all if n
// is negative.
func (p *Pattern) Split(s string, n int) []string { return p.compiled().Split(s, n) }
