package cmd

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// resultLine is the result of a record, as --json and --results write it.
type resultLine struct {
	Index        int64           `json:"index"`
	ID           json.RawMessage `json:"id,omitempty"`
	File         string          `json:"file,omitempty"`
	Line         int64           `json:"line,omitempty"`
	Element      int64           `json:"element,omitempty"`
	Origin       string          `json:"origin,omitempty"`
	Service      webpush.Service `json:"service,omitempty"`
	EndpointHash string          `json:"endpointHash,omitempty"`
	Endpoint     string          `json:"endpoint,omitempty"`
	Class        webpush.Class   `json:"class"`
	Status       int             `json:"status,omitempty"`
	Code         webpush.Code    `json:"code,omitempty"`
	Reason       string          `json:"reason,omitempty"`
	Hint         string          `json:"hint,omitempty"`
	Attempts     int             `json:"attempts,omitempty"`
	TTL          *int64          `json:"ttl,omitempty"`
	Location     string          `json:"location,omitempty"`
	Note         string          `json:"note,omitempty"`
	LatencyMs    float64         `json:"latencyMs,omitempty"`
}

func newResultLine(r *webpush.Result, rec *record, endpoints bool) resultLine {
	l := resultLine{Index: rec.index, ID: rec.id, File: rec.file, Line: rec.line, Element: rec.element, Class: r.Class, Attempts: r.Attempts,
		LatencyMs: math.Round(r.Latency.Seconds()*1e4) / 10}
	if sub := r.Job.Subscription; sub != nil {
		l.Origin, l.Service, l.EndpointHash = sub.Origin(), sub.Service(), sub.Hash()
		if endpoints {
			l.Endpoint = sub.Endpoint()
		}
	}
	if receipt := r.Receipt; receipt != nil {
		l.Status, l.Location, l.Note = receipt.Status, receipt.Location, receipt.Note
		if receipt.TTL != nil {
			seconds := int64(receipt.TTL.Seconds())
			l.TTL = &seconds
		}
	}
	var answer *webpush.Error
	if errors.As(r.Err, &answer) {
		l.Status, l.Code = answer.Status, answer.Code
	}
	if r.Err != nil {
		l.Reason, l.Hint = r.Err.Error(), hintOf(r.Err)
	}
	return l
}

// outputs are the files that a run writes as it goes. An output that was not
// asked for is nil.
type outputs struct {
	all              []*output
	stdout, results  *output
	gone, retryLater *output
	showEndpoints    bool
}

// output is one file of lines.
type output struct {
	name  string
	flag  string
	w     *bufio.Writer
	f     *os.File // nil for standard output
	lines int64
	file  bool // it can be made durable
	dirty bool // it has lines that are not durable yet
}

// whole reports whether all lines could be written.
func (o *output) whole() bool { return o.w.Flush() == nil }

// target is a file that was asked for.
type target struct {
	flag, name string
	own        bool // it is of this run alone, and not added to
	out        **output
}

func (o *outputs) targets(b *bulkFlags) []target {
	list := []target{{"results", b.results, false, &o.results}, {"gone", b.gone, false, &o.gone}, {"retry-later", b.retryLater, true, &o.retryLater}}
	return slices.DeleteFunc(list, func(t target) bool { return t.name == "" || t.name == "-" && t.flag == "results" })
}

// check looks at all files before one is touched. With a journal that is there
// already they may be there, too.
func (o *outputs) check(b *bulkFlags, stdout *usedFile, inputs []usedFile, resumed bool) error {
	taken := inputs
	if stdout != nil {
		if err := stdout.apart("", inputs); err != nil {
			return err
		}
		taken = append(taken, *stdout)
	}
	if b.resume != "" {
		taken = append(taken, newUsedFile(b.resume))
	}
	for _, t := range o.targets(b) {
		if t.name == "-" {
			return usage("give the name of a file", "--%s is -, but standard output is for the results", t.flag)
		}
		file := newUsedFile(t.name)
		if err := file.apart(t.flag, taken); err != nil {
			return err
		}
		taken = append(taken, file)
		if info := file.info; info != nil && info.Mode().IsRegular() && info.Size() > 0 && !b.force {
			if resumed && t.ours() {
				continue
			}
			hint := "--force replaces it"
			switch {
			case resumed:
				hint = fmt.Sprintf("give another name: it does not look like --%s of an earlier run", t.flag)
			case b.resume != "":
				hint = fmt.Sprintf("the journal %s is new, so these are not the results of its runs; --force replaces the file", b.resume)
			}
			return withHint(within("--"+t.flag, fileProblem(t.name, fs.ErrExist)), hint)
		}
	}
	return nil
}

// ours reports whether a file begins as those that a run writes, or as much of
// one as a kill has left.
func (t target) ours() bool {
	begin := []byte("{")
	if t.flag == "results" {
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

// usedFile is a file that a run reads or writes.
type usedFile struct {
	name string
	info os.FileInfo // of one that is there, else nil
	path string      // of one that is not there, without symbolic links
}

func newUsedFile(name string) usedFile {
	u := usedFile{name: name}
	info, err := os.Stat(name)
	if err == nil {
		u.info = info
		return u
	}
	folder := filepath.Dir(name)
	if resolved, err := filepath.EvalSymlinks(folder); err == nil {
		folder = resolved
	}
	u.path = filepath.Join(folder, filepath.Base(name))
	if absolute, err := filepath.Abs(u.path); err == nil {
		u.path = absolute
	}
	return u
}

// inputFiles are those which names of inputs stand for.
func inputFiles(s *streams, names []string) []usedFile {
	var files []usedFile
	for _, name := range names {
		if name != "-" {
			files = append(files, newUsedFile(name))
		} else if file := streamFile(inputName(name), s.in); file != nil {
			files = append(files, *file)
		}
	}
	return slices.Clip(files)
}

// streamFile returns the file that the shell has put behind a standard stream,
// or nil.
func streamFile(name string, stream any) *usedFile {
	switch v := stream.(type) {
	case *interruptible:
		return streamFile(name, v.r)
	case *latch:
		return streamFile(name, v.Writer)
	case *os.File:
		if info, err := v.Stat(); err == nil {
			return &usedFile{name: name, info: info}
		}
	}
	return nil
}

func (u usedFile) same(v usedFile) bool {
	if u.info == nil || v.info == nil {
		return u.info == nil && v.info == nil && u.path == v.path
	}
	return u.info.Mode().IsRegular() && os.SameFile(u.info, v.info)
}

// within reports whether a folder that is read has the file among those that
// are read of it.
func (u usedFile) within(folder usedFile) bool {
	if folder.info == nil || !folder.info.IsDir() || !isRecordFile(filepath.Base(u.name)) {
		return false
	}
	info, err := os.Stat(filepath.Dir(u.name))
	return err == nil && os.SameFile(info, folder.info)
}

// apart refuses a file that is one of the others: it would be overwritten, or
// read again and again as it grows.
func (u usedFile) apart(flag string, others []usedFile) error {
	what := u.name
	if flag != "" {
		what = "--" + flag + " " + u.name
	}
	for _, other := range others {
		if u.same(other) {
			return usage("give it a name of its own", "%s is read or written as %s too", what, other.name)
		}
		if u.within(other) {
			return usage("keep it elsewhere, or give it another ending than .json", "%s would be read as an input: it is in the folder %s", what, other.name)
		}
	}
	return nil
}

// open makes the files. Of a run that is resumed, results and gone records are
// added to those of its earlier runs; the records for later are this run's.
func (o *outputs) open(s *streams, b *bulkFlags, resumed bool) error {
	o.showEndpoints = b.showEndpoints
	if s.json || b.results == "-" {
		o.stdout = &output{name: "standard output", w: bufio.NewWriterSize(s.out, 1<<16)}
		o.all = append(o.all, o.stdout)
	}
	for _, t := range o.targets(b) {
		out, err := openOutput(t.name, resumed && !t.own)
		if err != nil {
			o.abandon()
			return within("--"+t.flag, err)
		}
		out.flag = t.flag
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

// openOutput opens a file for lines, for the user alone. What a killed process
// has written of a line is cut off before others are added.
func openOutput(name string, add bool) (*output, error) {
	mode := os.O_RDWR | os.O_CREATE
	info, err := os.Stat(name)
	regular := err != nil || info.Mode().IsRegular()
	switch {
	case err == nil && info.IsDir():
		return nil, fmt.Errorf("%s is a folder, expected a file", name)
	case !regular:
		mode = os.O_WRONLY // a pipe or device
	case !add:
		mode |= os.O_TRUNC
	}
	f, err := os.OpenFile(name, mode, 0o600)
	if err != nil {
		return nil, newFileProblem(name, err)
	}
	out := &output{name: name, f: f, file: regular, w: bufio.NewWriterSize(f, 1<<16)}
	if regular && add {
		err = toLineEnd(f)
	}
	if err != nil {
		f.Close()
		return nil, fileProblem(name, err)
	}
	return out, nil
}

// newFileProblem words why a file could not be made.
func newFileProblem(name string, err error) error {
	if folder := filepath.Dir(name); errors.Is(err, fs.ErrNotExist) && shown(name) == name && !exists(folder) {
		return withHint(&reworded{fmt.Sprintf("%s: there is no folder %s", name, folder), err}, "mkdir -p "+shellWord(folder))
	}
	return fileProblem(name, err)
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
	if o.flag == "" {
		return fmt.Errorf("%s: %w", o.name, err)
	}
	return within("--"+o.flag, fileProblem(o.name, err))
}

// write writes the result of a record, to the other files too where one fails.
func (o *outputs) write(r *webpush.Result, rec *record) (err error) {
	if o.stdout != nil || o.results != nil {
		b, err := marshal(newResultLine(r, rec, o.showEndpoints), "")
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
	if to == nil || rec.raw == nil {
		return err
	}
	return cmp.Or(err, to.line(rec.raw))
}

// flush hands what is written to the system, and if durable to the disk.
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
