//go:build !race

package pushservice_test

const raceDetector = false
