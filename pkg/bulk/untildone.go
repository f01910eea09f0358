package bulk

import (
	"context"
	"errors"
	"io"
	"io/fs"
)

// untilDone reads from another reader until its context is done. A read from a terminal
// or pipe may block indefinitely; it continues in a goroutine, and the next Read returns
// its bytes.
type untilDone struct {
	ctx  context.Context
	r    io.Reader
	done chan struct{} // signals the end of a read in progress, or nil
	buf  []byte
	n    int
	err  error
}

// UntilDone returns a reader of r that returns the error of ctx when ctx is done, even
// while r blocks, as a terminal or a pipe does.
func UntilDone(ctx context.Context, r io.Reader) io.Reader { return &untilDone{ctx: ctx, r: r} }

// Read reads from the underlying reader. When the context is done, it returns the
// context's error.
func (r *untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.done == nil {
		r.done = make(chan struct{})
		r.buf = make([]byte, len(p))
		go func() {
			defer close(r.done)
			r.n, r.err = r.r.Read(r.buf)
		}()
	}
	select {
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	case <-r.done:
	}
	n := copy(p, r.buf[:r.n])
	if r.buf = r.buf[n:r.n]; len(r.buf) > 0 {
		r.n = len(r.buf)
		return n, nil
	}
	r.done = nil
	return n, r.err
}

// Stat describes the file behind the underlying reader, if it has one.
func (r *untilDone) Stat() (fs.FileInfo, error) {
	if f, ok := r.r.(interface{ Stat() (fs.FileInfo, error) }); ok {
		return f.Stat()
	}
	return nil, errors.New("the reader is not a file")
}
