package bulk

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// outputs are the files that a run writes as it goes. An output that was not
// asked for is nil.
type outputs struct {
	all              []*output
	stdout, results  *output
	gone, retryLater *output
	current          *vapid.Key // of a run with several keys
	showEndpoints    bool
}

// output is one file of lines.
type output struct {
	name  string
	part  Part
	w     *bufio.Writer
	f     *os.File // nil for a stream
	lines int64
	file  bool // it can be made durable
	dirty bool // it has lines that are not durable yet
}

// whole reports whether all lines could be written.
func (o *output) whole() bool { return o.w.Flush() == nil }

// target is a file that was asked for.
type target struct {
	part Part
	name string
	own  bool // it is of this run alone, and not added to
	out  **output
}

func (o *outputs) targets(opts *Options) []target {
	list := []target{{PartResults, opts.Results, false, &o.results}, {PartGone, opts.Gone, false, &o.gone}, {PartRetryLater, opts.RetryLater, true, &o.retryLater}}
	return slices.DeleteFunc(list, func(t target) bool { return t.name == "" })
}

// check looks at all files before one is touched. With a journal that exists
// already, they may exist, too.
func (o *outputs) check(opts *Options, stdout *usedFile, inputs []usedFile, resumed bool) error {
	taken := inputs
	for _, name := range opts.Reserved {
		taken = append(taken, newUsedFile(name))
	}
	if stdout != nil {
		if err := stdout.apart(PartOutput, inputs); err != nil {
			return err
		}
		taken = append(taken, *stdout)
	}
	if opts.Journal != "" {
		taken = append(taken, newUsedFile(opts.Journal))
	}
	for _, t := range o.targets(opts) {
		file := newUsedFile(t.name)
		if err := file.apart(t.part, taken); err != nil {
			return err
		}
		taken = append(taken, file)
		if info := file.info; info != nil && info.Mode().IsRegular() && info.Size() > 0 && !opts.Overwrite {
			if resumed && t.ours() {
				continue
			}
			e := fileError(t.part, t.name, fs.ErrExist)
			e.hint = "give another name"
			switch {
			case resumed:
				e.hint = "give another name: the file does not look like that of an earlier run"
			case opts.Journal != "":
				e.hint = fmt.Sprintf("give another name: the journal %q is new, so the file is not that of its runs", opts.Journal)
			}
			return e
		}
	}
	return nil
}

// ours reports whether a file begins as those that a run writes, or with what a
// killed run left of one.
func (t target) ours() bool {
	begin := []byte("{")
	if t.part == PartResults {
		begin = []byte(`{"index":`)
	}
	f, err := os.Open(t.name)
	if err != nil {
		return true // told when it is opened to be written
	}
	defer f.Close()
	found := make([]byte, len(begin))
	n, _ := io.ReadFull(f, found)
	return bytes.HasPrefix(begin, found[:n])
}

// open makes the files. If a run is resumed, results and gone records are added
// to those of its earlier runs; the records to retry later are this run's.
func (o *outputs) open(opts *Options, resumed bool) error {
	o.showEndpoints = opts.Endpoints
	if len(opts.Client.OldKeys) > 0 {
		o.current = opts.Client.Key
	}
	if opts.Output != nil {
		o.stdout = &output{name: opts.OutputName, part: PartOutput, w: bufio.NewWriterSize(opts.Output, 1<<16)}
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

// openOutput opens a file for lines with mode 0600. What a killed process wrote of
// a line is cut off before others are added.
func openOutput(part Part, name string, add bool) (*output, error) {
	mode := os.O_RDWR | os.O_CREATE
	info, err := os.Stat(name)
	regular := err != nil || info.Mode().IsRegular()
	switch {
	case err == nil && info.IsDir():
		return nil, &Error{Part: part, Path: name, Problem: "this is a directory, expected a file"}
	case !regular:
		mode = os.O_WRONLY // a pipe or device
	case !add:
		mode |= os.O_TRUNC
	}
	f, err := os.OpenFile(name, mode, 0o600)
	if err != nil {
		return nil, fileError(part, name, err)
	}
	out := &output{name: name, part: part, f: f, file: regular, w: bufio.NewWriterSize(f, 1<<16)}
	if regular && add {
		err = toLineEnd(f)
	}
	if err != nil {
		f.Close()
		return nil, fileError(part, name, err)
	}
	return out, nil
}

// toLineEnd cuts off what follows the last line feed, and goes there.
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

func (o *output) line(b []byte) error {
	_, err := o.w.Write(b)
	if err == nil && (len(b) == 0 || b[len(b)-1] != '\n') {
		err = o.w.WriteByte('\n')
	}
	o.lines++
	o.dirty = true
	return o.problem(err)
}

func (o *output) problem(err error) error {
	if err == nil {
		return nil
	}
	return fileError(o.part, o.name, err)
}

// resultLine writes a result as a line. current is the key of a run that has
// several, or nil.
func resultLine(r *webpush.Result, rec *Record, endpoint bool, current *vapid.Key) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	line := NewResult(r, rec, endpoint)
	if current != nil && r.Receipt != nil && !r.Receipt.Key.IsZero() && r.Receipt.Key != current.PublicKey() {
		line.VAPIDKey = r.Receipt.Key.String()
	}
	err := e.Encode(line)
	return b.Bytes(), err
}

// write writes the result of a record, to the other files too if one fails.
func (o *outputs) write(r *webpush.Result, rec *Record) (err error) {
	if o.stdout != nil || o.results != nil {
		b, err := resultLine(r, rec, o.showEndpoints, o.current)
		if err != nil {
			return err
		}
		for _, out := range []*output{o.stdout, o.results} {
			if out != nil {
				err = cmp.Or(err, out.line(b))
			}
		}
	}
	var to *output
	switch r.Class {
	case webpush.ClassGone:
		to = o.gone
	case webpush.ClassTemporary, webpush.ClassSkipped:
		to = o.retryLater
	}
	if to == nil || rec.Raw == nil {
		return err
	}
	return cmp.Or(err, to.line(rec.Raw))
}

// flush hands what is written to the system, and to the disk if it is to be
// durable.
func (o *outputs) flush(durable bool) error {
	var first error
	for _, out := range o.all {
		if err := out.w.Flush(); err != nil {
			first = cmp.Or(first, out.problem(err))
		}
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

func (o *outputs) close() error {
	first := o.flush(false)
	for _, out := range o.all {
		if out.f != nil {
			if err := out.f.Close(); first == nil {
				first = out.problem(err)
			}
		}
	}
	return first
}
