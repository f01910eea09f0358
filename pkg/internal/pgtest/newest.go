package pgtest

import (
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
)

// newest returns the directory of the newest of programs such as
// /usr/lib/postgresql/17/bin/initdb, or "" for none.
func newest(programs []string) string {
	if len(programs) == 0 {
		return ""
	}
	version := func(program string) float64 {
		v, _ := strconv.ParseFloat(filepath.Base(filepath.Dir(filepath.Dir(program))), 64)
		return v
	}
	return filepath.Dir(slices.MaxFunc(programs, func(a, b string) int { return cmp.Compare(version(a), version(b)) }))
}
