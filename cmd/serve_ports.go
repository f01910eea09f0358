package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// portsFlag is --allow-port, which can be repeated.
type portsFlag struct{ list []int }

func (p *portsFlag) addFlag(f *pflag.FlagSet) {
	f.Var(p, "allow-port", "also accept endpoints at port `N`; repeatable (default: only 443, or any with --allow-private)")
}

// Set adds a port.
func (p *portsFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("%q is not a port, expected 1 to 65535", text)
	}
	if !slices.Contains(p.list, n) {
		p.list = append(p.list, n)
	}
	return nil
}

// Type returns the name of the value in usage texts.
func (p *portsFlag) Type() string { return "port" }

func (p *portsFlag) String() string {
	var out []string
	for _, n := range p.list {
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ",")
}
