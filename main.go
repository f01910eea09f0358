// Command webpush is a toolkit for Web Push application servers.
package main

import (
	"os"

	"github.com/seed81da77dd/webpush/cmd"
)

func main() { os.Exit(cmd.Main()) }
