package fileio_test

import (
	"errors"
	"fmt"

	"github.com/seed81da77dd/webpush/pkg/fileio"
)

// Find out before a long run that the directory of its results is missing.
func ExampleCheck() {
	err := fileio.Check("results/today.ndjson", false)
	fmt.Println(err)
	if e, ok := errors.AsType[*fileio.Error](err); ok {
		fmt.Println(e.Hint())
	}
	// Output:
	// results/today.ndjson: directory results not found
	// create the directory first
}
