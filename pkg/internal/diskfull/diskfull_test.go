package diskfull_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/diskfull"
)

// TestIs takes the error of a device that is always full.
func TestIs(t *testing.T) {
	if diskfull.Is(nil) || diskfull.Is(fs.ErrPermission) || diskfull.Is(errors.New("full")) {
		t.Error("other errors are taken for those of a full disk")
	}
	if !diskfull.Is(fmt.Errorf("writing: %w", diskfull.Error)) {
		t.Error("its own error is not recognized")
	}
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	err := os.WriteFile("/dev/full", []byte("x"), 0)
	if !diskfull.Is(err) {
		t.Errorf("%v is not recognized", err)
	}
}
