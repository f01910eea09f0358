package pattern

import (
	"slices"
	"sync"
	"testing"
)

func TestPattern(t *testing.T) {
	p := New(`(\d)(\d)`)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if !p.MatchString("a12") || !p.Match([]byte("12")) || p.MatchString("1") {
				t.Error("does not match what it should")
			}
			if s := p.FindString("a12b34"); s != "12" {
				t.Errorf("found %q", s)
			}
			if m := p.FindStringSubmatch("a12"); !slices.Equal(m, []string{"12", "1", "2"}) {
				t.Errorf("found %q", m)
			}
			if m := p.FindAllString("12 34 56", 2); !slices.Equal(m, []string{"12", "34"}) {
				t.Errorf("found %q", m)
			}
			if m := p.FindAllStringSubmatch("12 34", -1); len(m) != 2 || m[1][2] != "4" {
				t.Errorf("found %q", m)
			}
			if s := p.ReplaceAllString("a12b34", "$2"); s != "a2b4" {
				t.Errorf("replaced to %q", s)
			}
			if parts := p.Split("a12b34c", -1); !slices.Equal(parts, []string{"a", "b", "c"}) {
				t.Errorf("split to %q", parts)
			}
		})
	}
	all.Wait()
}

// An expression is compiled by the first use, not by New.
func TestCompiledWhenUsed(t *testing.T) {
	invalid := New("(")
	defer func() {
		if recover() == nil {
			t.Error("an invalid expression was accepted")
		}
	}()
	invalid.MatchString("")
}
