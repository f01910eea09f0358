package bulk

import "github.com/seed81da77dd/webpush/pkg/fileio"

// Part is the part of a run that an [Error] is about.
type Part string

// The parts of a run.
const (
	PartInput      Part = "input"
	PartOutput     Part = "output" // the stream of Options.Output
	PartResults    Part = "results"
	PartGone       Part = "gone"
	PartRetryLater Part = "retryLater"
	PartJournal    Part = "journal"
)

// Error reports why a file of a run was refused, or could not be read or
// written.
type Error struct {
	// Part identifies the file of the run.
	Part Part
	// Path is the file's name.
	Path string
	// Problem describes the problem.
	Problem string
	// Conflict reports that the run was refused because two of its files are
	// the same file, or because one would be read as an input. No file was
	// changed.
	Conflict bool
	// Err is the cause, a [*fileio.Error] if it is an error of the file system, or nil.
	Err error

	hint string
}

// Error returns the path and the problem.
func (e *Error) Error() string {
	if file, ok := e.Err.(*fileio.Error); ok {
		return file.Error()
	}
	return e.Path + ": " + e.Problem
}

// Hint returns the next step to take, or "".
func (e *Error) Hint() string {
	if file, ok := e.Err.(*fileio.Error); ok && e.hint == "" {
		return file.Hint()
	}
	return e.hint
}

// Unwrap returns the error of the file system, or nil.
func (e *Error) Unwrap() error { return e.Err }

// fileError returns the error for an error of the file system.
func fileError(part Part, path string, err error) *Error {
	file := fileio.WriteError(path, err)
	if part == PartInput {
		file = fileio.ReadError(path, err)
	}
	return &Error{Part: part, Path: path, Problem: file.Problem, Err: file}
}

// recordError reports a problem with the text of a record. It is final, because
// the text will not change.
type recordError struct {
	problem, hint string
}

func (e *recordError) Error() string { return e.problem }
func (e *recordError) Hint() string  { return e.hint }
func (e *recordError) Final() bool   { return true }
