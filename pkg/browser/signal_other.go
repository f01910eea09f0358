//go:build !unix

package browser

import "os"

var terminate = os.Kill

func privileged() bool { return false }
