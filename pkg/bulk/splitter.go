package bulk

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/seed81da77dd/webpush/pkg/internal/notation"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// maxRecord is the maximum size of a record, in bytes.
const maxRecord = 1 << 20

// splitter streams the JSON values of an input: the lines of NDJSON, values of
// several lines, or the elements of arrays. It looks only at quotes and
// brackets, so an invalid value does not affect the next one.
type splitter struct {
	r     io.Reader
	name  string
	lines bool // one value per line

	buf        []byte
	start, end int // bytes read but not yet returned
	eof        bool
	err        error // error of reading

	line    int64 // line number of start, from 1
	array   bool  // start is within an array
	element int64
	outer   []frame // enclosing containers
	inMap   bool    // start is within a map from names to records
	key     []byte  // the name of the next record there, as JSON
	mixed   bool    // objects of the input may be containers
	csv     *csvRows
	sql     *sqlRows
	column  string // name of the endpoint's column, if set
	read    int64  // bytes, of the decoded text
}

// frame is the state of the splitter before it entered a container.
type frame struct {
	kind    container
	depth   int // number of objects around a list, including a map itself
	array   bool
	inMap   bool
	element int64
}

func newSplitter(r io.Reader, name string) *splitter {
	return &splitter{r: text.UTF8Reader(r), name: name, line: 1, buf: make([]byte, 1<<16)}
}

// more reads more of the input and reports whether there is any.
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

// Read reads the text that is not yet returned, for rows that another reader parses.
func (p *splitter) Read(b []byte) (int, error) {
	if p.start == p.end && !p.more() {
		if p.err != nil {
			return 0, p.err
		}
		return 0, io.EOF
	}
	n := copy(b, p.buf[p.start:p.end])
	p.start += n
	return n, nil
}

// The number of records that were found in an input.
type amount int

const (
	undecided amount = iota
	one              // one record, none, or something that is not a record
	many
)

// sniffed is the number of bytes of an input that are examined to detect its
// form.
const sniffed = 1 << 16

// sniff reads enough of the input to detect its form and whether it has many
// records. A single record is only known at the end of the input.
func (p *splitter) sniff() amount {
	for {
		b := bytes.TrimLeft(p.buf[p.start:p.end], " \t\r\n")
		if !p.eof && (len(b) == 0 || b[0] == '[' && (len(b) < 64 || len(b) < sniffed && !hasFirst(b))) && p.more() {
			continue
		}
		if len(b) > 0 && b[0] == '{' {
			if kind, _, _ := enter(b); kind != noContainer {
				p.lines, p.mixed = false, true
				return many
			}
		}
		if p.sql = sniffSQL(p, b); p.sql != nil {
			return many
		}
		if p.csv = sniffCSV(p, b); p.csv != nil {
			return many
		}
		lines, n := sniff(b, p.eof)
		p.lines = lines
		if n != undecided {
			p.mixed = exportHead.Match(b) || holdsLists(b)
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

// sniff detects, from the beginning of a text or all of it, whether it has one
// record per line, and how many records it has.
func sniff(b []byte, all bool) (lines bool, n amount) {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 {
		return true, amountAt(all, one)
	}
	if b[0] == '[' && !logLine.Match(b) {
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

// hasFirst reports whether the first element of an array is complete.
func hasFirst(array []byte) bool {
	first := bytes.TrimLeft(array[1:], " \t\r\n")
	var s valueScanner
	return len(first) > 0 && s.scan(first) > 0
}

// holdsLists reports whether text begins with an array of objects that have lists of
// records.
func holdsLists(b []byte) bool {
	if len(b) == 0 || b[0] != '[' {
		return false
	}
	inner := bytes.TrimLeft(b[1:], " \t\r\n")
	if len(inner) == 0 || inner[0] != '{' {
		return false
	}
	kind, _, _ := enter(inner)
	return kind == listOf
}

// logLine matches the beginning of a line of a log: a time or a level in brackets,
// which is not an array.
var logLine = pattern.New(`^\[[^\]\n,{"\[]+\][ \t]*[^\s,]`)

func amountAt(all bool, n amount) amount {
	if all {
		return n
	}
	return undecided
}

// others returns the number of records, given the text after the first one.
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

// isObject reports whether a line is a JSON object, perhaps within an encoding such
// as a JSON string.
func isObject(line []byte) bool {
	line = bytes.TrimSpace(line)
	return len(line) > 1 && (line[0] == '{' && line[len(line)-1] == '}' && json.Valid(line) || notation.Wrapped(line))
}

// valueScanner finds the end of a JSON value by its quotes and brackets.
type valueScanner struct {
	n       int // bytes seen
	depth   int
	text    bool // within a string
	escaped bool
	scalar  bool
}

// scan continues in b, which begins with the value, and returns the end of the value, or
// 0 if b does not contain it.
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
			default: // skip to the next quote or bracket
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

// errTooLong is the error of a record that exceeds maxRecord.
var errTooLong error = &recordError{problem: "the record exceeds the limit of 1 MiB", hint: "write one subscription on each line, or a JSON array of them"}

// next returns the text of the next value, which is valid until the next call,
// and sets its position in r. The error is io.EOF at the end.
func (p *splitter) next(r *Record) ([]byte, error) {
	switch {
	case p.csv != nil:
		return p.csv.next(r)
	case p.sql != nil:
		return p.sql.next(r)
	case p.lines:
		return p.nextLine(r)
	}
	return p.nextValue(r)
}

func (p *splitter) nextLine(r *Record) ([]byte, error) {
	for seen := 0; ; {
		b := p.buf[p.start:p.end]
		i := bytes.IndexByte(b[seen:], '\n')
		switch {
		case i >= 0:
			i += seen
		case len(b) > maxRecord:
			r.Line, r.Element = p.line, 0
			p.skipLine()
			return nil, errTooLong
		default:
			seen = len(b)
			if p.more() {
				continue
			}
			if len(b) == 0 || p.err != nil { // a partial line is not a record
				return nil, p.ended()
			}
			i = len(b)
		}
		r.Line, r.Element = p.line, 0
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
		return &inputEnd{fileError(PartInput, p.name, err)}
	}
	if p.array || p.inMap {
		p.array, p.inMap, p.outer = false, false, nil
		return &inputEnd{&recordError{problem: "the JSON array is not closed: the input is truncated", hint: "copy the complete input again"}}
	}
	return io.EOF
}

// inputEnd is an error that ends an input.
type inputEnd struct{ error }

func (e *inputEnd) Unwrap() error { return e.error }

func (p *splitter) nextValue(r *Record) ([]byte, error) {
	for { // up to the value
		if p.start == p.end && !p.more() {
			return nil, p.ended()
		}
		c := p.buf[p.start]
		switch {
		case c == '\n':
			p.line++
		case c == ' ', c == '\t', c == '\r', c == ',':
		case c == '[' && !p.array && !p.inMap:
			p.array, p.element = true, 0
		case c == ']' && p.array:
			p.start++
			p.leave()
			continue
		case c == '}' && p.inMap:
			p.start++
			p.leave()
			continue
		case c == '"' && p.inMap && p.readName():
			continue
		case c == '{' && p.mixed && p.enter():
			continue
		default:
			return p.value(r)
		}
		p.start++
	}
}

// enter enters a container that begins here, after reading enough of it to
// recognize it.
func (p *splitter) enter() bool {
	for p.end-p.start < 1<<12 && p.more() {
	}
	kind, n, depth := enter(p.buf[p.start:p.end])
	if kind == noContainer {
		return false
	}
	p.outer = append(p.outer, frame{kind, depth, p.array, p.inMap, p.element})
	p.skip(n)
	p.array, p.inMap, p.element = kind == listOf, kind == mapOf, 0
	return true
}

// leave leaves an array or a map that ends here, and its container, unless the rest of
// the container has another list of subscriptions.
func (p *splitter) leave() {
	n := p.element
	p.array, p.inMap = false, false
	if len(p.outer) == 0 {
		return
	}
	f := p.outer[len(p.outer)-1]
	p.outer = p.outer[:len(p.outer)-1]
	p.array, p.inMap, p.element = f.array, f.inMap, f.element
	if f.kind == mapOf { // itself one of the objects
		f.depth--
	}
	if depth := p.nextList(f.depth); depth > 0 {
		f.kind, f.depth = listOf, depth
		p.outer = append(p.outer, f)
		p.array, p.inMap, p.element = true, false, n
	}
}

// nextList skips the fields up to the next list of subscriptions in depth objects, and
// enters it. It returns the number of objects around it, or 0 after the last object.
func (p *splitter) nextList(depth int) int {
	for depth > 0 {
		if p.start == p.end && !p.more() {
			return 0
		}
		switch p.buf[p.start] {
		case '}':
			depth--
			fallthrough
		case ' ', '\t', '\r', '\n', ',', ':':
			p.skip(1)
			continue
		case '{':
			depth++
			p.skip(1)
			continue
		case '[':
			for p.end-p.start < sniffed && p.more() { // enough for the first element
			}
			if beginsWithSubscription(p.buf[p.start:p.end]) {
				p.skip(1)
				return depth
			}
		}
		p.skipValue()
	}
	return 0
}

// skipValue skips the value that begins here without keeping it.
func (p *splitter) skipValue() {
	var s valueScanner
	for {
		b := p.buf[p.start:p.end]
		if end := s.scan(b); end > 0 {
			p.skip(end)
			return
		}
		p.skip(len(b))
		s.n = 0
		if !p.more() {
			return
		}
	}
}

func (p *splitter) skip(n int) {
	p.line += int64(bytes.Count(p.buf[p.start:p.start+n], []byte("\n")))
	p.start += n
}

// readName reads the name of a field of a map and the colon after it.
func (p *splitter) readName() bool {
	for {
		at := p.start
		b := p.buf[:p.end]
		if _, ok := fieldName(b, &at); ok {
			var s valueScanner
			p.key = bytes.Clone(b[p.start : p.start+s.scan(b[p.start:])])
			p.skip(at - p.start)
			return true
		}
		if p.end-p.start > 1<<12 || !p.more() {
			return false
		}
	}
}

func (p *splitter) value(r *Record) ([]byte, error) {
	r.Line, r.Element = p.line, 0
	if p.inMap {
		p.element++
		r.Line, r.Element = 0, p.element
		r.setID(p.key)
	}
	if p.array {
		p.element++
		r.Line, r.Element = 0, p.element
	}
	var s valueScanner
	tooLong := false
	for {
		b := p.buf[p.start:p.end]
		end := s.scan(b)
		switch {
		case end == 0 && len(b) > maxRecord: // skip it without keeping it
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
			p.array = false // reported with this error
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
