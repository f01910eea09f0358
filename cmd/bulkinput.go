package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// maxRecord is how long one record may be, in bytes.
const maxRecord = maxInput

// record is one entry of the input.
type record struct {
	index   int64
	raw     []byte // as it was read, without the space around it, on one line if it is JSON; nil when it was too long to keep
	file    string
	line    int64           // where it begins, from 1; 0 in an array
	element int64           // its number in an array, from 1; else 0
	id      json.RawMessage // that it has beside the subscription
	err     error           // of the input itself: no record follows from the same file
}

// where says where the record stands, for people.
func (r *record) where() string {
	switch {
	case r.element > 0:
		return fmt.Sprintf("%s, element %d", r.file, r.element)
	case r.line > 0:
		return fmt.Sprintf("%s:%d", r.file, r.line)
	}
	return r.file
}

// unfold puts a record that stands on several lines on one, as the files have it
// that are made of it: there it is to be the same for the journal.
func (r *record) unfold() {
	if bytes.IndexByte(r.raw, '\n') < 0 {
		return
	}
	var c bytes.Buffer
	if json.Compact(&c, r.raw) == nil {
		r.raw = c.Bytes()
	}
}

// setID keeps what the results repeat: a string or a number.
func (r *record) setID(id []byte) {
	if len(id) > 0 && (id[0] == '"' || id[0] == '-' || '0' <= id[0] && id[0] <= '9') {
		r.id = bytes.ToValidUTF8(id, []byte("\ufffd"))
	}
}

// splitter cuts the JSON values out of an input without reading it whole: the
// lines of NDJSON, values of several lines, or the elements of arrays. Only
// quotes and brackets count, so that a value that is no valid JSON ends alone.
type splitter struct {
	r     io.Reader
	name  string
	lines bool // one value a line

	buf        []byte
	start, end int // what is read and not yet returned
	eof        bool
	err        error // of reading

	line    int64 // where start is, from 1
	array   bool  // start is within an array
	element int64
	read    int64 // bytes, of the decoded text
}

func newSplitter(r io.Reader, name string) *splitter {
	return &splitter{r: &utf8Reader{r: r}, name: name, line: 1, buf: make([]byte, 1<<16)}
}

// utf8Reader takes a byte order mark away, and turns what Windows' shells write
// with > into UTF-8.
type utf8Reader struct {
	r     io.Reader
	begun bool
}

func (u *utf8Reader) Read(p []byte) (int, error) {
	if !u.begun {
		u.begun = true
		var head [3]byte
		n, err := io.ReadFull(u.r, head[:])
		b := head[:n]
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		rest := u.r
		if u.r = io.MultiReader(bytes.NewReader(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))), rest); bytes.HasPrefix(b, []byte{0xff, 0xfe}) || bytes.HasPrefix(b, []byte{0xfe, 0xff}) {
			u.r = transform.NewReader(u.r, unicode.BOMOverride(transform.Nop))
		}
	}
	return u.r.Read(p)
}

// more reads on and reports whether there is more to look at.
func (p *splitter) more() bool {
	if p.eof {
		return false
	}
	if p.start > 0 && p.end == len(p.buf) {
		p.end = copy(p.buf, p.buf[p.start:p.end])
		p.start = 0
	}
	if p.end == len(p.buf) {
		p.buf = append(p.buf, make([]byte, len(p.buf))...)
	}
	for range 100 {
		n, err := p.r.Read(p.buf[p.end:])
		p.end += n
		p.read += int64(n)
		if err != nil {
			p.eof = true
			if err != io.EOF {
				p.err = err
			}
			return n > 0
		}
		if n > 0 {
			return true
		}
	}
	p.eof, p.err = true, io.ErrNoProgress
	return false
}

// The number of records that an input is seen to have.
type amount int

const (
	undecided amount = iota
	one              // or none, or what is no record at all
	many
)

// sniffed is how much of an input is looked at for its form.
const sniffed = 1 << 16

// sniff reads as much of the input as tells its form, and whether it is many
// records: one alone is only known at its end.
func (p *splitter) sniff() amount {
	for {
		lines, n := sniff(p.buf[p.start:p.end], p.eof)
		p.lines = lines
		if n != undecided {
			return n
		}
		if p.end-p.start > maxRecord || !p.more() && p.eof {
			if p.lines, n = sniff(p.buf[p.start:p.end], true); n == undecided {
				n = one
			}
			return n
		}
	}
}

// sniff tells from the beginning of a text, or all of it, whether it has a
// record on each line, and how many records it has.
func sniff(b []byte, all bool) (lines bool, n amount) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 {
		return true, amountAt(all, one)
	}
	if b[0] == '[' {
		return false, many
	}
	first, rest, ended := bytes.Cut(b, []byte("\n"))
	if (ended || all) && isObject(first) {
		return true, others(rest, all)
	}
	var s valueScanner
	if end := s.scan(b); b[0] == '{' && end > 0 && json.Valid(b[:end]) {
		return false, others(b[end:], all)
	}
	// A first value that is broken, or goes on: are there lines that are records?
	if all || len(b) >= sniffed {
		for line := range bytes.Lines(b) {
			if isObject(line) {
				return true, many
			}
		}
		return b[0] != '{', amountAt(all, one)
	}
	return false, undecided
}

func amountAt(all bool, n amount) amount {
	if all {
		return n
	}
	return undecided
}

// others tells how many records there are when rest follows the first.
func others(rest []byte, all bool) amount {
	trimmed := bytes.TrimLeft(rest, " \t\r\n,")
	if len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		return many
	}
	for line := range bytes.Lines(rest) {
		if isObject(line) {
			return many
		}
	}
	if len(rest) > sniffed {
		return many
	}
	return amountAt(all, one)
}

func isObject(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 1 && line[0] == '{' && line[len(line)-1] == '}' && json.Valid(line)
}

// valueScanner finds the end of a JSON value by its quotes and brackets.
type valueScanner struct {
	n       int // bytes seen
	depth   int
	text    bool // within a string
	escaped bool
	scalar  bool
}

// scan goes on in b, which begins with the value, and returns where it ends,
// or 0 when it goes on.
func (s *valueScanner) scan(b []byte) int {
	for ; s.n < len(b); s.n++ {
		c := b[s.n]
		if s.text {
			switch {
			case s.escaped:
				s.escaped = false
			case c == '\\':
				s.escaped = true
			case c == '"':
				if s.text = false; s.depth == 0 {
					return s.n + 1
				}
			default: // to the next that counts
				if i := bytes.IndexAny(b[s.n:], `"\`); i > 0 {
					s.n += i - 1
				} else if i < 0 {
					s.n = len(b) - 1
				}
			}
			continue
		}
		switch c {
		case '{', '[':
			if s.scalar {
				return s.n
			}
			s.depth++
		case '}', ']':
			if s.scalar {
				return s.n
			}
			if s.depth--; s.depth <= 0 {
				return s.n + 1
			}
		case '"':
			if s.scalar {
				return s.n
			}
			s.text = true
		case ',', ' ', '\t', '\r', '\n':
			if s.depth == 0 {
				return max(s.n, 1)
			}
		default:
			s.scalar = s.scalar || s.depth == 0
		}
	}
	return 0
}

// errTooLong is told of a record that is not kept.
var errTooLong = withHint(errors.New("the record is longer than 1 MiB, which none is"), "write one subscription a line, or a JSON array of them")

// next returns the next value: its text, which is good until the next call,
// where it is, and why there is none. The error is io.EOF at the end.
func (p *splitter) next(r *record) ([]byte, error) {
	if p.lines {
		return p.nextLine(r)
	}
	return p.nextValue(r)
}

func (p *splitter) nextLine(r *record) ([]byte, error) {
	for seen := 0; ; {
		b := p.buf[p.start:p.end]
		i := bytes.IndexByte(b[seen:], '\n')
		switch {
		case i >= 0:
			i += seen
		case len(b) > maxRecord:
			r.line, r.element = p.line, 0
			p.skipLine()
			return nil, errTooLong
		default:
			seen = len(b)
			if p.more() {
				continue
			}
			if len(b) == 0 || p.err != nil { // a part of a line is no record
				return nil, p.ended()
			}
			i = len(b)
		}
		r.line, r.element = p.line, 0
		line := bytes.TrimSpace(b[:i])
		p.start = min(p.start+i+1, p.end)
		p.line++
		if seen = 0; len(line) > maxRecord {
			return nil, errTooLong
		}
		if len(line) > 0 {
			return line, nil
		}
	}
}

func (p *splitter) skipLine() {
	for {
		if i := bytes.IndexByte(p.buf[p.start:p.end], '\n'); i >= 0 {
			p.start += i + 1
			p.line++
			return
		}
		p.start = p.end
		if !p.more() {
			return
		}
	}
}

// ended is the error at the end of the input.
func (p *splitter) ended() error {
	if p.err != nil {
		err := p.err
		p.err = nil
		return &inputEnd{fileProblem(inputName(p.name), err)}
	}
	if p.array {
		p.array = false
		return &inputEnd{withHint(errors.New("the array does not end: the input is cut off"), "copy it again, whole")}
	}
	return io.EOF
}

// inputEnd is an error after which nothing more can be read of an input.
type inputEnd struct{ error }

func (e *inputEnd) Unwrap() error { return e.error }

func (p *splitter) nextValue(r *record) ([]byte, error) {
	for { // up to the value
		if p.start == p.end && !p.more() {
			return nil, p.ended()
		}
		c := p.buf[p.start]
		switch {
		case c == '\n':
			p.line++
		case c == ' ', c == '\t', c == '\r', c == ',':
		case c == '[' && !p.array:
			p.array, p.element = true, 0
		case c == ']' && p.array:
			p.array = false
		default:
			return p.value(r)
		}
		p.start++
	}
}

func (p *splitter) value(r *record) ([]byte, error) {
	r.line, r.element = p.line, 0
	if p.array {
		p.element++
		r.line, r.element = 0, p.element
	}
	var s valueScanner
	tooLong := false
	for {
		b := p.buf[p.start:p.end]
		end := s.scan(b)
		switch {
		case end == 0 && len(b) > maxRecord: // go on without keeping it
			tooLong = true
			p.line += int64(bytes.Count(b, []byte("\n")))
			p.start, s.n = p.end, 0
			fallthrough
		case end == 0:
			if p.more() {
				continue
			}
			if p.err != nil {
				return nil, p.ended()
			}
			end = p.end - p.start
			p.array = false // told with this
		}
		b = p.buf[p.start : p.start+end]
		p.start += end
		p.line += int64(bytes.Count(b, []byte("\n")))
		if tooLong || len(b) > maxRecord {
			return nil, errTooLong
		}
		return bytes.TrimSpace(b), nil
	}
}

// recordSource reads the records of several inputs, one after another.
type recordSource struct {
	s     *streams
	ctx   context.Context // of what may block; nil before the run
	names []string        // files, folders and -, in their order

	stdout *usedFile // where results go, or nil

	open   *splitter // the input that is read
	close  func() error
	folder *os.File // the folder that is read
	files  []string // of the folder, to be read next
	index  int64
	total  int64 // bytes of the regular files among names, or -1
	done   int64 // bytes of those that are read
}

// openSources looks at all inputs before anything is sent. alone is the whole
// text of the only input, when that is one record.
func openSources(s *streams, names []string, bulk bool) (src *recordSource, alone []byte, err error) {
	src = &recordSource{s: s, names: names}
	for _, name := range names {
		if name == "" {
			return nil, nil, usage("leave it out, or check the shell variable that it came from", "--subscription is empty")
		}
		if name == "-" {
			src.total = -1
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			_, err = loadSubscription(s, name) // words it
			return nil, nil, err
		}
		switch {
		case info.IsDir():
			if f, err := firstIn(name); err != nil || f == "" {
				return nil, nil, cmp.Or(err, withHint(fmt.Errorf("the folder %s has no *.json", name), "give the files themselves with -f"))
			}
			bulk, src.total = true, -1
		case !info.Mode().IsRegular():
			src.total = -1
		case src.total >= 0:
			src.total += info.Size()
		}
	}
	if slices.Contains(names, "-") {
		if _, err := s.stdin("the subscriptions"); err != nil {
			return nil, nil, err
		}
		if i := slices.Index(names, "-"); slices.Contains(names[i+1:], "-") {
			return nil, nil, usage("give one of them as a file", "standard input is asked for twice: for -f and for -f")
		}
	}
	if bulk || len(names) > 1 {
		return src, nil, nil
	}
	if err := src.begin(names[0]); err != nil {
		return nil, nil, err
	}
	if src.open.sniff() == many || src.open.isEmptyList(names[0]) {
		src.names = nil
		return src, nil, nil
	}
	p := src.open
	defer src.end()
	if p.err != nil {
		return nil, nil, fileProblem(inputName(names[0]), p.err)
	}
	if p.end > maxInput {
		return nil, nil, fmt.Errorf("%s is larger than 1 MiB, which nothing that belongs there is", inputName(names[0]))
	}
	return nil, p.buf[:p.end], nil
}

// isEmptyList reports whether an input that was sniffed is without records, and
// by its name a list, as --retry-later may have left it.
func (p *splitter) isEmptyList(name string) bool {
	ext := filepath.Ext(name)
	return (ext == ".ndjson" || ext == ".jsonl") && p.err == nil && len(bytes.TrimSpace(p.buf[p.start:p.end])) == 0
}

// firstIn returns some file of subscriptions in a folder, or "".
func firstIn(folder string) (string, error) {
	src := recordSource{names: []string{folder}}
	name, err := src.nextName()
	if src.folder != nil {
		src.folder.Close()
	}
	return name, err
}

// read returns how many bytes were read so far.
func (src *recordSource) read() int64 {
	if src.open == nil {
		return src.done
	}
	return src.done + src.open.read - int64(src.open.end-src.open.start)
}

// begin opens an input.
func (src *recordSource) begin(name string) error {
	if name == "-" {
		src.open, src.close = newSplitter(&inputOf{src, src.s.in, nil}, name), func() error { return nil }
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return fileProblem(name, err)
	}
	var r io.Reader = f
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		r = &inputOf{src, f, nil}
	} else if src.stdout != nil && os.SameFile(info, src.stdout.info) { // it lies in a folder
		f.Close()
		return withHint(fmt.Errorf("%s is what standard output goes to", name), "keep it elsewhere, or give it another ending than .json")
	}
	src.open, src.close = newSplitter(r, name), f.Close
	return nil
}

// inputOf is an input that may block, which ends with the source's context.
type inputOf struct {
	src  *recordSource
	r    io.Reader
	read *interruptible
}

func (i *inputOf) Read(p []byte) (int, error) {
	if i.src.ctx == nil { // it is looked at before the run
		return i.r.Read(p)
	}
	if i.read == nil {
		i.read = &interruptible{ctx: i.src.ctx, r: i.r}
	}
	return i.read.Read(p)
}

func (src *recordSource) end() {
	src.done += src.open.read
	_ = src.close()
	src.open = nil
}

// next returns the next record; its err says why there is none here. ok is
// false at the end of the last input.
func (src *recordSource) next() (r *record, ok bool) {
	r = &record{index: src.index}
	for {
		if src.open == nil {
			name, err := src.nextName()
			if name == "" {
				return nil, false
			}
			r.file = inputName(name)
			if err == nil {
				err = src.begin(name)
			}
			if err != nil {
				r.err = err
				break
			}
			src.open.sniff()
		}
		r.file = inputName(src.open.name)
		b, err := src.open.next(r)
		if err == io.EOF {
			src.end()
			continue
		}
		var end *inputEnd
		if errors.As(err, &end) {
			src.end()
			r.line, r.element = 0, 0
		}
		r.raw, r.err = bytes.Clone(b), err
		break
	}
	src.index++
	return r, true
}

// isRecordFile reports whether a file of that name is read of a folder.
func isRecordFile(name string) bool {
	ok, _ := filepath.Match("*.json", name)
	return ok
}

// nextName returns the next file to read, or "" at the end. A folder is read
// in parts, so that its size does not matter.
func (src *recordSource) nextName() (string, error) {
	for {
		if len(src.files) > 0 {
			name := src.files[0]
			src.files = src.files[1:]
			return name, nil
		}
		if src.folder != nil {
			entries, err := src.folder.ReadDir(1000)
			dir := src.folder.Name()
			for _, e := range entries {
				if isRecordFile(e.Name()) && !e.IsDir() {
					src.files = append(src.files, filepath.Join(dir, e.Name()))
				}
			}
			slices.Sort(src.files)
			if err != nil || len(entries) == 0 {
				src.folder.Close()
				src.folder = nil
				if err != nil && err != io.EOF {
					return dir, fileProblem(dir, err)
				}
			}
			continue
		}
		if len(src.names) == 0 {
			return "", nil
		}
		name := src.names[0]
		src.names = src.names[1:]
		if info, err := os.Stat(name); name != "-" && err == nil && info.IsDir() {
			f, err := os.Open(name)
			if err != nil {
				return name, fileProblem(name, err)
			}
			src.folder = f
			continue
		}
		return name, nil
	}
}
