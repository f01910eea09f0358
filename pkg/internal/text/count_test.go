package text

import (
	"testing"
	"time"
)

func TestCount(t *testing.T) {
	for got, want := range map[string]string{
		Time(time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600))): "2026-01-02 02:04:05Z",
		Count(0, "record"):                       "0 records",
		Count(int64(1), "record"):                "1 record",
		Count(1000, "record"):                    "1000 records",
		PerSecond(0.26):                          "0.3/s",
		PerSecond(9.94):                          "9.9/s",
		PerSecond(1234.5):                        "1234/s",
		Latency(1234 * time.Microsecond):         "1.2ms",
		Latency(123456 * time.Microsecond):       "123ms",
		Duration(1234 * time.Microsecond):        "1.2ms",
		Duration(456 * time.Millisecond):         "460ms",
		Duration(12345 * time.Millisecond):       "12.3s",
		Duration(3*time.Hour + time.Second/3):    "3h0m0s",
		Duration(99*time.Second + 700*time.Hour): "700h1m39s",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
