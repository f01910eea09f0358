package sqlite

// hinted is an error with the next step to take.
type hinted struct {
	error
	hint string
}

func withHint(err error, hint string) error { return &hinted{err, hint} }

func (h *hinted) Unwrap() error { return h.error }

// Hint returns the next step.
func (h *hinted) Hint() string { return h.hint }
