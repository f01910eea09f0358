//go:build unix

package limit

import (
	"runtime"
	"syscall"
	"testing"
	"time"
)

// CPU is the processor time that this process has used.
func CPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Each is the processor time of the limit for one payload of size bytes: the
// mean of 5,000, after a collection of garbage.
func Each(tb testing.TB, size int) time.Duration {
	tb.Helper()
	const n = 5000
	work := Of(tb, size)
	runtime.GC()
	start := CPU()
	for range n {
		work()
	}
	return (CPU() - start) / n
}
