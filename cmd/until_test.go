package cmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
)

// until PATTERN COMMAND [ARGUMENT…] is a program for scripts: it runs a command until
// a line of its standard error matches, and then interrupts it. It fails if the
// command ends before, or not because of the interrupt.
func until() {
	pattern := regexp.MustCompile(os.Args[1])
	c := exec.Command(os.Args[2], os.Args[3:]...)
	c.Stdin, c.Stdout = os.Stdin, os.Stdout
	talk, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "until:", err)
		os.Exit(1)
	}
	matched := false
	for lines := bufio.NewReader(talk); err == nil; {
		var line string
		line, err = lines.ReadString('\n')
		_, _ = io.WriteString(os.Stderr, line)
		if !matched && pattern.MatchString(line) {
			matched = true
			if c.Process.Signal(os.Interrupt) != nil { // Windows
				_ = c.Process.Kill()
			}
		}
	}
	exit := (*exec.ExitError)(nil)
	switch err := c.Wait(); {
	case matched && errors.As(err, &exit) && (exit.ExitCode() == exitInterrupted || !exit.Exited()):
	case matched:
		fmt.Fprintln(os.Stderr, "until: the interrupted command ended with:", err)
		os.Exit(1)
	default:
		fmt.Fprintf(os.Stderr, "until: the command ended before %q: %v\n", pattern, err)
		os.Exit(1)
	}
}
