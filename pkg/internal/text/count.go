package text

import (
	"fmt"
	"time"
)

// Count returns the number with the noun, which gets an s unless n is 1.
func Count[N int | int64](n N, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Time returns a time to the second in UTC, such as "2006-01-02 15:04:05Z".
func Time(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// PerSecond returns a rate such as "0.5/s" or "120/s".
func PerSecond(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f/s", rate)
	}
	return fmt.Sprintf("%.0f/s", rate)
}

// Duration returns a duration, rounded to be read at a glance.
func Duration(d time.Duration) string {
	switch {
	case d < 100*time.Millisecond:
		return Latency(d)
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Latency returns a duration, rounded to milliseconds, or more precisely if it is
// short.
func Latency(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
