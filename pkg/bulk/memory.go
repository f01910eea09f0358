package bulk

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// spareMemory is the amount of garbage, in bytes, that may accumulate before it
// is collected; at most four times the live memory.
const spareMemory = 16 << 20

// CollectLess lets up to 16 MiB of garbage accumulate, until the returned function is
// called. By default, Go collects when there is as much garbage as live memory. A sender
// has so little live memory that this would happen about 20 times per second. GOGC and
// GOMEMLIMIT take precedence.
func CollectLess() (end func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(100)
	percent := 100
	adapt := func() {
		live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(live)
		bytes := max(live[0].Value.Uint64(), spareMemory/4)
		wanted := int(100 * max(bytes, spareMemory) / bytes)
		if wanted < percent*9/10 || wanted > percent*11/10 {
			debug.SetGCPercent(wanted)
			percent = wanted
		}
	}
	adapt()
	done := make(chan struct{})
	go func() {
		ticks := time.NewTicker(time.Second)
		defer ticks.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticks.C:
				adapt()
			}
		}
	}()
	return func() {
		close(done)
		debug.SetGCPercent(before)
	}
}
