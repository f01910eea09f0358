package bulk

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// outputs are the files that a run writes as it goes. Outputs that are not requested are
// nil.
type outputs struct {
	all              []*Output
	stdout, results  *Output
	gone, retryLater *Output
	client           *webpush.Client
	showEndpoints    bool
}

// Output is a file or stream of results or records, one on each line. It is not safe for
// concurrent use.
type Output struct {
	name  string
	part  Part
	w     *bufio.Writer
	f     *os.File // nil for a stream
	lines int64
	file  bool // supports being made durable
	dirty bool // has lines that are not durable yet
}

// whole reports whether all lines were written.
func (o *Output) whole() bool { return o.w.Flush() == nil }

// target is a file to write.
type target struct {
	part Part
	name string
	own  bool // belongs to this run alone, and is not appended to
	out  **Output
}

func (o *outputs) targets(opts *Options) []target {
	list := []target{{PartResults, opts.Results, false, &o.results}, {PartGone, opts.Gone, false, &o.gone}, {PartRetryLater, opts.RetryLater, true, &o.retryLater}}
	return slices.DeleteFunc(list, func(t target) bool { return t.name == "" })
}

// check checks all files before any is changed. If the journal already exists, they may
// also exist.
func (o *outputs) check(opts *Options, stdout *usedFile, inputs []usedFile, resumed bool) error {
	used := inputs
	if stdout != nil {
		if err := stdout.apart(PartOutput, inputs); err != nil {
			return err
		}
		used = append(used, *stdout)
	}
	if opts.Journal != "" {
		used = append(used, newUsedFile(opts.Journal))
	}
	for _, t := range o.targets(opts) {
		file := newUsedFile(t.name)
		if err := file.apart(t.part, used); err != nil {
			return err
		}
		used = append(used, file)
		if e := file.exists(t.part); e != nil && !opts.Overwrite {
			if resumed && t.ours() {
				continue
			}
			switch {
			case resumed:
				e.hint = "use another name: the file does not look like one from an earlier run"
			case opts.Journal != "":
				e.hint = fmt.Sprintf("use another name: the journal %q is new, so the file is not from one of its runs", opts.Journal)
			}
			return e
		}
	}
	return nil
}

// exists returns the error for a file that would be replaced, or nil if there is
// none or if it is empty.
func (f usedFile) exists(part Part) *Error {
	if f.info == nil || !f.info.Mode().IsRegular() || f.info.Size() == 0 {
		return nil
	}
	e := fileError(part, f.name, fs.ErrExist)
	e.hint = "use another name"
	return e
}

// MayCreate returns the error of [Create] that can be known before, and creates
// nothing.
func MayCreate(part Part, name string, overwrite bool) error {
	file := newUsedFile(name)
	if e := file.exists(part); e != nil && !overwrite {
		return e
	}
	if err := fileio.Check(name, true); err != nil {
		return fileError(part, name, err)
	}
	return nil
}

// Create creates a file with mode 0600 for the records or results of a program that
// does not use [Run]. It returns an [*Error] if the file exists and has content,
// unless overwrite is set.
func Create(part Part, name string, overwrite bool) (*Output, error) {
	if err := MayCreate(part, name, overwrite); err != nil {
		return nil, err
	}
	return openOutput(part, name, false)
}

// ours reports whether a file begins like a file of a run, or like a partial line of a
// killed run.
func (t target) ours() bool {
	begin := []byte("{")
	if t.part == PartResults {
		begin = []byte(`{"index":`)
	}
	f, err := os.Open(t.name)
	if err != nil {
		return true // opening it for writing reports the error
	}
	defer f.Close()
	found := make([]byte, len(begin))
	n, _ := io.ReadFull(f, found)
	return bytes.HasPrefix(begin, found[:n])
}

// open creates the files. If a run is resumed, results and gone records are
// appended to the files of its earlier runs; the file of records to retry later
// is created again.
func (o *outputs) open(opts *Options, resumed bool) error {
	o.showEndpoints, o.client = opts.Endpoints, opts.Client
	if opts.Output != nil {
		o.stdout = &Output{name: opts.OutputName, part: PartOutput, w: bufio.NewWriterSize(opts.Output, 1<<16)}
		o.all = append(o.all, o.stdout)
	}
	for _, t := range o.targets(opts) {
		out, err := openOutput(t.part, t.name, resumed && !t.own)
		if err != nil {
			o.abandon()
			return err
		}
		*t.out = out
		o.all = append(o.all, out)
	}
	return nil
}

func (o *outputs) abandon() {
	for _, out := range o.all {
		if out.f != nil {
			out.f.Close()
		}
	}
}

// openOutput opens a file for lines with mode 0600. A partial line of a killed
// process is removed before others are appended.
func openOutput(part Part, name string, add bool) (*Output, error) {
	mode := os.O_RDWR | os.O_CREATE
	info, err := os.Stat(name)
	regular := err != nil || info.Mode().IsRegular()
	switch {
	case err == nil && info.IsDir():
		return nil, fileError(part, name, syscall.EISDIR)
	case !regular:
		mode = os.O_WRONLY // a pipe or device
	case !add:
		mode |= os.O_TRUNC
	}
	f, err := os.OpenFile(name, mode, 0o600)
	if err != nil {
		return nil, fileError(part, name, err)
	}
	out := &Output{name: name, part: part, f: f, file: regular, w: bufio.NewWriterSize(f, 1<<16)}
	if regular && add {
		err = toLineEnd(f)
	}
	if err != nil {
		f.Close()
		return nil, fileError(part, name, err)
	}
	return out, nil
}

// toLineEnd truncates the file after its last line feed, and seeks there.
func toLineEnd(f *os.File) error {
	end, err := f.Seek(0, io.SeekEnd)
	buf := make([]byte, 1<<12)
	for at := end; err == nil && at > 0; {
		n := min(at, int64(len(buf)))
		if _, err = f.ReadAt(buf[:n], at-n); err != nil {
			break
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			at += int64(i) + 1 - n
			if at < end {
				err = f.Truncate(at)
			}
			_, err2 := f.Seek(at, io.SeekStart)
			return errors.Join(err, err2)
		}
		at -= n
	}
	if err != nil || end == 0 {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// WriteLine writes a result or a record, and a line feed unless it ends with one. The
// line is in the file at the latest after [Output.Flush]. The error is an [*Error].
func (o *Output) WriteLine(b []byte) error {
	_, err := o.w.Write(b)
	if err == nil && (len(b) == 0 || b[len(b)-1] != '\n') {
		err = o.w.WriteByte('\n')
	}
	o.lines++
	o.dirty = true
	return o.problem(err)
}

// Flush writes all lines to the file. The error is an [*Error].
func (o *Output) Flush() error { return o.problem(o.w.Flush()) }

// Close writes all lines to the file, and closes it. The error is an [*Error].
func (o *Output) Close() error {
	err := o.w.Flush()
	if o.f != nil {
		err = cmp.Or(err, o.f.Close())
	}
	return o.problem(err)
}

func (o *Output) problem(err error) error {
	if err == nil {
		return nil
	}
	return fileError(o.part, o.name, err)
}

// write writes the result of a record. If one file fails, it still writes to the others.
func (o *outputs) write(r *webpush.Result, rec *Record) (err error) {
	if o.stdout != nil || o.results != nil {
		b, err := NewResult(o.client, r, rec, o.showEndpoints).line()
		if err != nil {
			return err
		}
		for _, out := range []*Output{o.stdout, o.results} {
			if out != nil {
				err = cmp.Or(err, out.WriteLine(b))
			}
		}
	}
	var to *Output
	switch r.Class {
	case webpush.ClassGone:
		to = o.gone
	case webpush.ClassTemporary, webpush.ClassSkipped:
		to = o.retryLater
	}
	if to == nil || rec.Raw == nil {
		return err
	}
	return cmp.Or(err, to.WriteLine(rec.Raw))
}

// flush writes buffered data to the files, and to the disk if it must be durable.
func (o *outputs) flush(durable bool) error {
	var first error
	for _, out := range o.all {
		first = cmp.Or(first, out.Flush())
	}
	if durable {
		first = cmp.Or(first, o.sync())
	}
	return first
}

func (o *outputs) sync() error {
	errs := make([]error, len(o.all))
	var w sync.WaitGroup
	for i, out := range o.all {
		if out.file && out.dirty {
			out.dirty = false
			w.Go(func() { errs[i] = out.problem(out.f.Sync()) })
		}
	}
	w.Wait()
	return errors.Join(errs...)
}

func (o *outputs) close() (first error) {
	for _, out := range o.all {
		first = cmp.Or(first, out.Close())
	}
	return first
}
