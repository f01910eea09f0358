package bulk

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// exportHead matches the beginning of a phpMyAdmin export.
var exportHead = pattern.New(`^\[\s*\{"type":\s*"header"`)

// csvRows reads the rows of CSV or TSV with a header line as JSON objects.
type csvRows struct {
	p      *splitter
	r      *csv.Reader
	header []string
	line   int64 // line number of the header
	budget int   // remaining size of the current row in bytes
}

// separators are the possible separators of fields.
var separators = []rune{',', '\t', ';', '|'}

// sniffCSV returns a reader of the rows if b, the text that the splitter has
// read without leading space, begins with a header line that has a column for
// the endpoint or the subscription. Otherwise, it returns nil.
func sniffCSV(p *splitter, b []byte) *csvRows {
	if len(b) == 0 || b[0] == '{' || b[0] == '[' {
		return nil
	}
	line, rest, ended := bytes.Cut(b, []byte("\n"))
	if ended && b[0] == '+' && rules.Match(bytes.TrimSpace(line)) { // the line above the header
		line, _, ended = bytes.Cut(rest, []byte("\n"))
	}
	if !ended && !p.eof || len(line) > 1<<14 {
		return nil
	}
	for _, separator := range separators {
		r := csv.NewReader(bytes.NewReader(line))
		r.Comma, r.LazyQuotes = separator, true
		header, err := r.Read()
		if err != nil || len(header) < 2 {
			continue
		}
		for _, name := range header {
			if webpush.IsEndpointName(name) || strings.TrimSpace(name) == p.column && p.column != "" {
				return newCSV(p, separator)
			}
		}
	}
	return nil
}

func newCSV(p *splitter, separator rune) *csvRows {
	c := &csvRows{p: p, line: p.line, budget: maxRecord}
	c.r = csv.NewReader(c)
	c.r.Comma, c.r.LazyQuotes, c.r.FieldsPerRecord, c.r.ReuseRecord = separator, true, -1, true
	header, err := c.r.Read()
	for err == nil && separator == '|' && isRule(header) {
		header, err = c.r.Read()
	}
	if err != nil {
		return nil
	}
	for _, name := range header {
		c.header = append(c.header, strings.Clone(strings.TrimSpace(name)))
	}
	return c
}

// Read passes the text of the splitter to the CSV reader, up to the maximum size of a
// row.
func (c *csvRows) Read(b []byte) (int, error) {
	if c.budget <= 0 {
		return 0, errTooLong
	}
	n, err := c.p.Read(b)
	c.budget -= n
	return n, err
}

// next returns the next row as a JSON object.
func (c *csvRows) next(r *Record) ([]byte, error) {
	for {
		c.budget = maxRecord
		fields, err := c.r.Read()
		r.Line, r.Element = 0, 0
		var syntax *csv.ParseError
		switch {
		case err == io.EOF:
			return nil, io.EOF
		case errors.Is(err, errTooLong):
			return nil, &inputEnd{errTooLong}
		case errors.As(err, &syntax):
			r.Line = c.line - 1 + int64(syntax.StartLine)
			return nil, &recordError{problem: "the row is not valid CSV: " + syntax.Err.Error(), hint: "double the quotes inside a field"}
		case err != nil:
			return nil, c.p.ended()
		}
		line, _ := c.r.FieldPos(0)
		r.Line = c.line - 1 + int64(line)
		if len(fields) == 1 && fields[0] == "" {
			continue
		}
		if c.r.Comma == '|' { // a table printed on a terminal
			if isRule(fields) {
				continue
			}
			for i, value := range fields {
				fields[i] = strings.TrimSpace(value)
			}
		}
		return rowObject(c.header, fields)
	}
}

// rules matches the lines of a table that are not rows: horizontal lines, and the count
// at the end.
var rules = pattern.New(`^(?:[-+=| ]+|\(\d+ rows?\)|\d+ rows? in set .*)$`)

func isRule(fields []string) bool { return rules.MatchString(strings.Join(fields, "|")) }

// rowObject returns a row as a JSON object with the columns in their order. Empty fields
// and the NULL of databases are omitted.
func rowObject(header, fields []string) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, value := range fields {
		if i >= len(header) || header[i] == "" || value == "" || value == "NULL" || value == `\N` {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		for j, text := range []string{header[i], value} {
			if j > 0 {
				b.WriteByte(':')
			}
			if err := e.Encode(text); err != nil {
				return nil, err
			}
			b.Truncate(b.Len() - 1) // without the line feed
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}
