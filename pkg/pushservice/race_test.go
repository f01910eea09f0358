//go:build race

package pushservice_test

// raceDetector reports whether the race detector is on, which needs memory of its
// own.
const raceDetector = true
