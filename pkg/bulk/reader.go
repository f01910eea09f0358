package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/internal/notation"
)

// Source is one input of a [Reader].
type Source struct {
	// Name is the name of a file, a pipe, or a directory whose *.json are read. If
	// Stream is set, it is the name of the stream in errors and results.
	Name string
	// Stream is read instead of a file.
	Stream io.Reader
}

// Files returns sources with these names.
func Files(names ...string) []Source {
	sources := make([]Source, len(names))
	for i, name := range names {
		sources[i].Name = name
	}
	return sources
}

// Reader reads the records of several inputs, one input after another, as a
// stream: its memory does not grow with their size. It must be used by one goroutine
// at a time.
type Reader struct {
	ctx     context.Context // ends blocking reads; nil before the run
	sources []Source        // sources that are not open yet
	all     []Source

	output *usedFile // file of the results if it is in an input directory, or nil

	open  *splitter // current input
	close func() error
	dir   *os.File // current directory
	files []string // next files of the directory
	index int64
	size  int64 // total size of the regular files among the sources in bytes, or -1
	done  int64 // size of the finished inputs in bytes

	columns *Columns
}

// Columns has the names of the parts of a subscription in the records of an input,
// for names that [webpush.ParseSubscription] does not know. An empty name means the
// known names.
type Columns struct {
	Endpoint, P256DH, Auth, ID string // names of columns or fields
}

// ParseColumns reads pairs such as "p256dh=COLUMN", with a part of endpoint, p256dh,
// auth, or id.
func ParseColumns(pairs ...string) (Columns, error) {
	var c Columns
	parts := map[string]*string{"endpoint": &c.Endpoint, "p256dh": &c.P256DH, "auth": &c.Auth, "id": &c.ID}
	for _, pair := range pairs {
		part, column, _ := strings.Cut(pair, "=")
		if parts[part] == nil || column == "" {
			return Columns{}, fmt.Errorf("%q is not PART=COLUMN with a part of endpoint, p256dh, auth, or id, such as p256dh=key1", pair)
		}
		*parts[part] = column
	}
	return c, nil
}

// SetColumns sets the columns of the subscriptions. It must be called before anything is
// read.
func (r *Reader) SetColumns(c Columns) { r.columns = &c }

// apply returns the subscription in a record with other column names. Text that is not
// an object is not changed.
func (c *Columns) apply(raw []byte) []byte {
	object, _ := notation.Unwrap(raw)
	var fields map[string]json.RawMessage
	if json.Unmarshal(object, &fields) != nil || fields == nil {
		return raw
	}
	out := make(map[string]any)
	keys := make(map[string]json.RawMessage)
	for _, part := range []struct {
		column, name string
		key          bool
	}{{c.Endpoint, "endpoint", false}, {c.P256DH, "p256dh", true}, {c.Auth, "auth", true}, {c.ID, "id", false}} {
		value, ok := fields[part.column]
		switch {
		case !ok || part.column == "":
		case part.key:
			keys[part.name] = value
			delete(fields, part.column)
		default:
			out[part.name] = value
			delete(fields, part.column)
		}
	}
	for name, value := range fields {
		if _, ok := out[name]; !ok {
			out[name] = value
		}
	}
	if len(keys) > 0 {
		out["keys"] = keys
	}
	b, err := json.Marshal(out)
	if err != nil {
		return raw
	}
	return b
}

// Open returns a reader of the sources. It checks all sources first, to find a wrong name
// before anything is sent. The error is an [*Error] with [PartInput].
func Open(sources ...Source) (*Reader, error) {
	r := &Reader{sources: sources, all: slices.Clone(sources)}
	for _, source := range sources {
		if source.Stream != nil {
			r.size = -1
			continue
		}
		info, err := os.Stat(source.Name)
		if err != nil {
			return nil, fileError(PartInput, source.Name, err)
		}
		switch {
		case info.IsDir():
			if f, err := firstIn(source); err != nil {
				return nil, err
			} else if f == "" {
				return nil, &Error{Part: PartInput, Path: source.Name, Problem: "the directory has no *.json", hint: "pass the files themselves"}
			}
			r.size = -1
		case !info.Mode().IsRegular():
			r.size = -1
		case r.size >= 0:
			r.size += info.Size()
		}
	}
	return r, nil
}

// Alone returns the text of a single source that has at most one record, even if the text
// is not a record. Otherwise, it returns nil and does not change the reader. It must be
// called before anything is read. The error is an [*Error].
func (r *Reader) Alone() ([]byte, error) {
	if len(r.sources) != 1 {
		return nil, nil
	}
	source := r.sources[0]
	if info, err := os.Stat(source.Name); source.Stream == nil && err == nil && info.IsDir() {
		return nil, nil
	}
	if err := r.begin(source); err != nil {
		return nil, err
	}
	r.sources = nil
	if r.open.sniff() == many || r.open.isEmptyList() {
		return nil, nil
	}
	p := r.open
	defer r.end()
	if p.err != nil {
		return nil, fileError(PartInput, source.Name, p.err)
	}
	if p.end > maxRecord && notation.Foreign(p.buf[:p.end]) == "" {
		return nil, fileError(PartInput, source.Name, fileio.ErrTooLarge)
	}
	return p.buf[:p.end:p.end], nil
}

// Table reports whether the input has the rows of a table: CSV, or an SQL dump. Use it for
// a single input, or for one that [Reader.Alone] has opened.
func (r *Reader) Table() bool {
	if r.open == nil && len(r.sources) == 1 && r.begin(r.sources[0]) == nil {
		r.sources = nil
		r.open.sniff()
	}
	return r.open != nil && (r.open.csv != nil || r.open.sql != nil)
}

// isEmptyList reports whether an input that was sniffed has no records but the name of a
// list.
func (p *splitter) isEmptyList() bool {
	ext := filepath.Ext(p.name)
	return (ext == ".ndjson" || ext == ".jsonl") && p.err == nil && len(bytes.TrimSpace(p.buf[p.start:p.end])) == 0
}

// firstIn returns the name of one file of records in a directory, or "".
func firstIn(dir Source) (string, error) {
	r := Reader{sources: []Source{dir}}
	source, err := r.nextSource()
	if r.dir != nil {
		r.dir.Close()
	}
	return source.Name, err
}

// Size returns the size of all inputs in bytes, or 0 if it is not known, because one is
// a pipe or a directory.
func (r *Reader) Size() int64 { return max(0, r.size) }

// Read returns the number of bytes of the inputs that were read so far.
func (r *Reader) Read() int64 {
	if r.open == nil {
		return r.done
	}
	return r.done + r.open.read - int64(r.open.end-r.open.start)
}

// Close closes the open input. Its error does not affect the records that were
// read.
func (r *Reader) Close() error {
	if r.dir != nil {
		r.dir.Close()
		r.dir = nil
	}
	if r.open == nil {
		return nil
	}
	err := r.close()
	r.open, r.sources = nil, nil
	return err
}

// Records returns the remaining records. A record or an input that cannot be read has an
// error and a position, and does not affect the others. The iteration stops when ctx is
// done.
func (r *Reader) Records(ctx context.Context) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		r.ctx = ctx
		for {
			rec, ok := r.next()
			if !ok || ctx.Err() != nil || !yield(rec, rec.err) {
				return
			}
		}
	}
}

// begin opens an input.
func (r *Reader) begin(source Source) error {
	defer func() {
		if r.open != nil && r.columns != nil {
			r.open.column = r.columns.Endpoint
		}
	}()
	if source.Stream != nil {
		r.open, r.close = newSplitter(&blocking{owner: r, r: source.Stream}, source.Name), func() error { return nil }
		return nil
	}
	f, err := os.Open(source.Name)
	if err != nil {
		return fileError(PartInput, source.Name, err)
	}
	var in io.Reader = f
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		in = &blocking{owner: r, r: f}
	} else if r.output != nil && os.SameFile(info, r.output.info) { // an output in an input directory
		f.Close()
		return &Error{Part: PartInput, Path: source.Name, Problem: fmt.Sprintf("%s is written to this file", r.output.name), hint: "write to another directory, or use an extension other than .json"}
	}
	r.open, r.close = newSplitter(in, source.Name), f.Close
	return nil
}

// blocking is an input that may block. It ends when the reader's context is done.
type blocking struct {
	owner *Reader
	r     io.Reader
	until io.Reader
}

func (b *blocking) Read(p []byte) (int, error) {
	if b.owner.ctx == nil { // checked before the run
		return b.r.Read(p)
	}
	if b.until == nil {
		b.until = UntilDone(b.owner.ctx, b.r)
	}
	return b.until.Read(p)
}

func (r *Reader) end() {
	r.done += r.open.read
	_ = r.close()
	r.open = nil
}

// next returns the next record; its err reports a record that could not be
// read. ok is false at the end of the last input.
func (r *Reader) next() (rec *Record, ok bool) {
	rec = &Record{Index: r.index}
	for {
		if r.open == nil {
			source, err := r.nextSource()
			if source.Name == "" && source.Stream == nil {
				return nil, false
			}
			rec.File = source.Name
			if err == nil {
				err = r.begin(source)
			}
			if err != nil {
				rec.err = err
				break
			}
			r.open.sniff()
		}
		rec.File = r.open.name
		b, err := r.open.next(rec)
		if err == io.EOF {
			r.end()
			continue
		}
		if err == nil && r.open.mixed && isExportHeader(b) {
			continue
		}
		var end *inputEnd
		if errors.As(err, &end) {
			r.end()
			rec.Line, rec.Element = 0, 0
		}
		rec.Raw, rec.err = bytes.Clone(b), err
		rec.unfold()
		if r.columns != nil && err == nil {
			rec.Raw = r.columns.apply(rec.Raw)
		}
		break
	}
	r.index++
	return rec, true
}

// isRecordFile reports whether a file of that name in an input directory is read.
func isRecordFile(name string) bool {
	ok, _ := filepath.Match("*.json", name)
	return ok
}

// nextSource returns the next input to read, or the zero value at the end. A
// directory is read in parts, to keep memory bounded.
func (r *Reader) nextSource() (Source, error) {
	for {
		if len(r.files) > 0 {
			name := r.files[0]
			r.files = r.files[1:]
			return Source{Name: name}, nil
		}
		if r.dir != nil {
			entries, err := r.dir.ReadDir(1000)
			dir := r.dir.Name()
			for _, e := range entries {
				if isRecordFile(e.Name()) && !e.IsDir() {
					r.files = append(r.files, filepath.Join(dir, e.Name()))
				}
			}
			slices.Sort(r.files)
			if err != nil || len(entries) == 0 {
				r.dir.Close()
				r.dir = nil
				if err != nil && err != io.EOF {
					return Source{Name: dir}, fileError(PartInput, dir, err)
				}
			}
			continue
		}
		if len(r.sources) == 0 {
			return Source{}, nil
		}
		source := r.sources[0]
		r.sources = r.sources[1:]
		if source.Stream != nil {
			return source, nil
		}
		if info, err := os.Stat(source.Name); err == nil && info.IsDir() {
			f, err := os.Open(source.Name)
			if err != nil {
				return source, fileError(PartInput, source.Name, err)
			}
			r.dir = f
			continue
		}
		return source, nil
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// usedFile is a file that a run reads or writes.
type usedFile struct {
	name string
	info fs.FileInfo // info of an existing file, or nil
	path string      // path of a file that does not exist, without symbolic links
}

func newUsedFile(name string) usedFile {
	u := usedFile{name: name}
	info, err := os.Stat(name)
	if err == nil {
		u.info = info
		return u
	}
	dir := filepath.Dir(name)
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	u.path = filepath.Join(dir, filepath.Base(name))
	if absolute, err := filepath.Abs(u.path); err == nil {
		u.path = absolute
	}
	return u
}

// streamFile returns the file behind a stream, such as one that a shell redirected, or
// nil.
func streamFile(name string, stream any) *usedFile {
	if f, ok := stream.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := f.Stat(); err == nil {
			return &usedFile{name: name, info: info}
		}
	}
	return nil
}

// inputFiles returns the files of the sources.
func (r *Reader) inputFiles() []usedFile {
	var files []usedFile
	for _, source := range r.all {
		if source.Stream == nil {
			files = append(files, newUsedFile(source.Name))
		} else if file := streamFile(source.Name, source.Stream); file != nil {
			files = append(files, *file)
		}
	}
	return slices.Clip(files)
}

func (u usedFile) same(v usedFile) bool {
	if u.info == nil || v.info == nil {
		return u.info == nil && v.info == nil && u.path == v.path
	}
	return u.info.Mode().IsRegular() && os.SameFile(u.info, v.info)
}

// within reports whether the file is read as part of an input directory.
func (u usedFile) within(dir usedFile) bool {
	if dir.info == nil || !dir.info.IsDir() || !isRecordFile(filepath.Base(u.name)) {
		return false
	}
	info, err := os.Stat(filepath.Dir(u.name))
	return err == nil && os.SameFile(info, dir.info)
}

// apart returns an error if the file is one of the others: it would be overwritten, or
// read again and again as it grows.
func (u usedFile) apart(part Part, others []usedFile) error {
	for _, other := range others {
		if u.same(other) {
			return &Error{Part: part, Path: u.name, Conflict: true, Problem: fmt.Sprintf("this file is also read or written as %q", other.name), hint: "use a different name for each file"}
		}
		if u.within(other) {
			return &Error{Part: part, Path: u.name, Conflict: true, Problem: fmt.Sprintf("this file would be read as an input: it is in the directory %q", other.name), hint: "write to another directory, or use an extension other than .json"}
		}
	}
	return nil
}
