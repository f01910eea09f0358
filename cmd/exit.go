package cmd

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Exit codes of every command.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitPartial     = 3
	exitGone        = 4
	exitRejected    = 5
	exitTemporary   = 6
	exitInterrupted = 130
)

// exitCode maps an error to the exit code.
func exitCode(err error) int {
	var (
		wrong  *usageError
		answer *webpush.Error
		coded  *exitError
	)
	switch {
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &coded):
		return coded.code
	case errors.As(err, &answer):
		switch {
		case answer.Gone():
			return exitGone
		case answer.Temporary():
			return exitTemporary
		case answer.Status != 0:
			return exitRejected
		}
	}
	return exitFailure
}

// usageError is a wrong command line.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Hint returns the error's own hint, or the hint of the cause.
func (e *usageError) Hint() string {
	if e.hint == "" {
		return hintOf(e.err)
	}
	return e.hint
}

func usage(hint, format string, a ...any) error {
	return &usageError{fmt.Errorf(format, a...), hint}
}

// wrongFlag names the flag whose value a package refused.
func wrongFlag(name string, err error) error {
	if err == nil {
		return nil
	}
	return usage(hintOf(err), "--%s: %w", name, err)
}

// wrongOption returns the error of a package for an option as an error of the flag with
// that name, if the command has one.
func wrongOption(c *cobra.Command, err error) error {
	wrong, ok := errors.AsType[*webpush.InputError](err)
	if !ok {
		return err
	}
	flag := c.Flags().Lookup(wrong.Part)
	switch {
	case flag == nil:
		return err
	case flag.Name == "ca-file":
		err = within(flag.Value.String(), err)
	}
	return wrongFlag(flag.Name, err)
}

// exitError is an error with its own exit code.
type exitError struct {
	error
	code int
}

func (e *exitError) Unwrap() error { return e.error }

// silentError is a failure that the command has already reported.
type silentError struct{}

func (*silentError) Error() string { return "failed" }

func withHint(err error, hint string) error { return webpush.WithHint(err, hint) }

// hintOf returns the hint of the outermost error that has one, with the names of flags
// and commands.
func hintOf(err error) string {
	hint := webpush.HintOf(err)
	if e, ok := errors.AsType[*fileio.Error](err); ok && e.Directory != "" && hint == e.Hint() {
		return "create it with: mkdir -p " + shellWord(e.Directory)
	}
	return commandHint(hint)
}

// within puts the name of a file before an error about its content.
func within(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", name, err)
}

// joinHints returns two hints as one.
func joinHints(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
