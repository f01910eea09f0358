// Package waittest runs the tests of packages whose tests mostly wait: for a time to
// pass, an attempt to be repeated, or a server to start.
package waittest

import (
	"flag"
	"testing"
)

// atOnce is the number of parallel tests that run at the same time. The tests of these
// packages need a processor for a quarter of their time.
const atOnce = "8"

// Run runs the tests, more of the parallel ones at a time than there are processors,
// and returns the exit code. The flag -parallel still sets another number.
func Run(m *testing.M) int {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err)
	}
	return m.Run()
}
