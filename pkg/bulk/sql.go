package bulk

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// sqlHead matches the beginning of a database dump: a comment or a statement.
var sqlHead = pattern.New(`(?i)^(?:--[ \t\r\n]|/\*|(?:INSERT|REPLACE|COPY|CREATE|PRAGMA|BEGIN|START|SET|DROP|LOCK|USE|ALTER|DELETE|TRUNCATE)[\s;])`)

// sqlRows reads the rows that an SQL dump inserts, as JSON objects: with INSERT, REPLACE,
// or COPY … FROM stdin. It reads the rows of tables that have a column for the endpoint
// or the subscription, and skips all others.
type sqlRows struct {
	p       *splitter
	in      *bufio.Reader
	budget  int // remaining size of the current row in bytes
	line    int64
	tables  map[string][]string // columns in CREATE TABLE
	header  []string            // columns of the table, or nil to skip it
	state   sqlState
	escapes bool // a backslash escapes in every string, as in MySQL
	found   bool // a table with subscriptions was found
	seen    []string
}

type sqlState int

const (
	sqlOutside sqlState = iota
	sqlValues           // within the list after VALUES
	sqlCopying          // within the lines after COPY
)

// sniffSQL returns a reader of the rows if b begins like a dump, or nil.
func sniffSQL(p *splitter, b []byte) *sqlRows {
	if !sqlHead.Match(b) {
		return nil
	}
	s := &sqlRows{p: p, line: p.line, budget: maxRecord, tables: make(map[string][]string)}
	s.in = bufio.NewReader(p)
	return s
}

// next returns the next row as a JSON object.
func (s *sqlRows) next(r *Record) ([]byte, error) {
	r.Line, r.Element = 0, 0
	row, err := s.row(r)
	switch {
	case err == nil:
		return row, nil
	case err == io.EOF && s.p.err == nil && !s.found:
		s.found = true // report this only once
		names := "it does not fill any table"
		if len(s.seen) > 0 {
			names = "the tables are " + strings.Join(s.seen[:min(len(s.seen), 12)], ", ")
		}
		return nil, &recordError{problem: "no table in the SQL has a column for the endpoint; " + names, hint: "export the table of subscriptions with its column names"}
	case err == errTooLong:
		return nil, &inputEnd{errTooLong}
	}
	return nil, s.p.ended()
}

func (s *sqlRows) row(r *Record) ([]byte, error) {
	for {
		s.budget = maxRecord
		switch s.state {
		case sqlCopying:
			line, err := s.copyLine()
			if err != nil {
				return nil, err
			}
			if line == `\.` {
				s.state = sqlOutside
				continue
			}
			if s.header == nil || line == "" {
				continue
			}
			r.Line = s.line - 1
			return s.copied(line)
		case sqlValues:
			t, err := s.lex()
			if err != nil {
				return nil, err
			}
			switch t.text {
			case ",":
				continue
			case "(":
				r.Line = s.line
				values, err := s.tuple()
				if err != nil {
					return nil, err
				}
				if s.header != nil {
					return rowObject(s.header, values)
				}
				continue
			}
			if s.state = sqlOutside; t.text != ";" { // ON CONFLICT …
				if err := s.skipStatement(); err != nil {
					return nil, err
				}
			}
		default:
			if err := s.statement(); err != nil {
				return nil, err
			}
		}
	}
}

// statement reads the beginning of a statement, or skips it if it inserts nothing.
func (s *sqlRows) statement() error {
	t, err := s.lex()
	if err != nil {
		return err
	}
	switch verb := strings.ToUpper(t.text); {
	case t.text == ";":
		return nil
	case t.quoted, verb != "INSERT" && verb != "REPLACE" && verb != "COPY" && verb != "CREATE":
		return s.skipStatement()
	default:
		return s.intoTable(verb)
	}
}

// intoTable reads the text after INSERT, REPLACE, COPY, or CREATE.
func (s *sqlRows) intoTable(verb string) error {
	table, columns := "", []string(nil)
	for {
		t, err := s.lex()
		if err != nil {
			return err
		}
		word := strings.ToUpper(t.text)
		switch {
		case t.text == ";":
			return nil
		case t.text == "(":
			if verb == "CREATE" {
				if columns, err = s.definitions(); err != nil {
					return err
				}
				if table != "" {
					s.tables[strings.ToLower(table)] = columns
				}
				return s.skipStatement()
			}
			if columns, err = s.tuple(); err != nil {
				return err
			}
		case !t.quoted && verb == "CREATE" && table == "" && slices.Contains([]string{"INDEX", "VIEW", "FUNCTION", "TRIGGER", "TYPE", "SEQUENCE", "EXTENSION", "SCHEMA", "DATABASE"}, word):
			return s.skipStatement()
		case !t.quoted && slices.Contains([]string{"INTO", "IGNORE", "OR", "REPLACE", "TABLE", "IF", "NOT", "EXISTS", "ONLY", "TEMPORARY", "UNLOGGED", "LOW_PRIORITY", "DELAYED", "OVERRIDING", "SYSTEM", "USER", "VALUE"}, word):
		case !t.quoted && (word == "VALUES" || word == "FROM"):
			s.use(table, columns)
			if word == "VALUES" {
				s.state = sqlValues
				return nil
			}
			if verb != "COPY" { // INSERT … SELECT … FROM
				return s.skipStatement()
			}
			if err := s.skipStatement(); err != nil {
				return err
			}
			if _, err := s.copyLine(); err != nil { // the rest of the line
				return err
			}
			s.state = sqlCopying
			return nil
		case t.text == ".":
			table = ""
		case table == "":
			table = t.text
			if i := strings.LastIndexByte(table, '.'); !t.quoted && i >= 0 {
				table = table[i+1:]
			}
		}
	}
}

// use decides whether the rows of a table are read.
func (s *sqlRows) use(table string, columns []string) {
	if columns == nil {
		columns = s.tables[strings.ToLower(table)]
	}
	s.header = nil
	for _, name := range columns {
		if webpush.IsEndpointName(name) || name == s.p.column && name != "" {
			s.header, s.found = columns, true
			return
		}
	}
	if len(s.seen) < 100 {
		name := fmt.Sprintf("%q", text.OneLine(table, 40))
		if columns == nil {
			name += " without column names"
		}
		if !slices.Contains(s.seen, name) {
			s.seen = append(s.seen, name)
		}
	}
}

// tuple reads values up to the closing parenthesis. NULL and the result of a function
// are empty.
func (s *sqlRows) tuple() (values []string, err error) {
	value, whole := "", false // only the first part of a value counts, without casts
	for depth := 1; ; {
		if s.header == nil { // skip it regardless of its size
			s.budget = maxRecord
		}
		t, err := s.lex()
		if err != nil {
			return nil, err
		}
		switch {
		case t.quoted:
			if !whole && depth == 1 {
				value, whole = t.text, true
			}
		case t.text == "(":
			if depth++; depth == 2 {
				value, whole = "", true
			}
		case t.text == ")":
			if depth--; depth == 0 {
				return append(values, value), nil
			}
		case t.text == "," && depth == 1:
			values = append(values, value)
			value, whole = "", false
		case !whole && depth == 1:
			if whole = true; !strings.EqualFold(t.text, "NULL") {
				value = t.text
			}
		}
	}
}

// definitions reads the definitions of columns in CREATE TABLE, after the opening
// parenthesis.
func (s *sqlRows) definitions() (names []string, err error) {
	begins := true
	for depth := 1; ; {
		t, err := s.lex()
		if err != nil {
			return nil, err
		}
		switch {
		case !t.quoted && t.text == "(":
			depth++
		case !t.quoted && t.text == ")":
			if depth--; depth == 0 {
				return names, nil
			}
		case !t.quoted && t.text == "," && depth == 1:
			begins = true
			continue
		case begins && depth == 1:
			if t.quoted || !slices.Contains([]string{"PRIMARY", "KEY", "UNIQUE", "CONSTRAINT", "INDEX", "FOREIGN", "CHECK", "FULLTEXT", "SPATIAL"}, strings.ToUpper(t.text)) {
				names = append(names, t.text)
			}
		}
		begins = false
	}
}

// skipStatement reads to the end of the statement.
func (s *sqlRows) skipStatement() error {
	for {
		s.budget = maxRecord
		t, err := s.lex()
		if err != nil || !t.quoted && t.text == ";" {
			return err
		}
	}
}

// copyLine reads a line of COPY's data.
func (s *sqlRows) copyLine() (string, error) {
	var b strings.Builder
	for {
		c, err := s.get()
		switch {
		case err == io.EOF && b.Len() > 0:
			return b.String(), nil
		case err != nil:
			return "", err
		case c == '\n':
			return strings.TrimSuffix(b.String(), "\r"), nil
		}
		b.WriteByte(c)
	}
}

// copied returns the row in such a line as a JSON object.
func (s *sqlRows) copied(line string) ([]byte, error) {
	values := strings.Split(line, "\t")
	for i, v := range values {
		if v == `\N` {
			values[i] = ""
		} else if strings.Contains(v, `\`) {
			values[i] = unescapeCopy.Replace(v)
		}
	}
	return rowObject(s.header, values)
}

var unescapeCopy = strings.NewReplacer(`\\`, `\`, `\t`, "\t", `\n`, "\n", `\r`, "\r", `\b`, "\b", `\f`, "\f", `\v`, "\v")

// sqlToken is a word, a number, a string, a name, or a character.
type sqlToken struct {
	text   string
	quoted bool
}

// get reads a byte.
func (s *sqlRows) get() (byte, error) {
	if s.budget--; s.budget < 0 {
		return 0, errTooLong
	}
	c, err := s.in.ReadByte()
	if c == '\n' {
		s.line++
	}
	return c, err
}

// peek returns the next byte, or 0 at the end.
func (s *sqlRows) peek() byte {
	b, err := s.in.Peek(1)
	if err != nil {
		return 0
	}
	return b[0]
}

// lex reads a token, without the space and comments before it.
func (s *sqlRows) lex() (sqlToken, error) {
	for {
		c, err := s.get()
		if err != nil {
			return sqlToken{}, err
		}
		next := s.peek()
		switch {
		case c == ' ', c == '\t', c == '\r', c == '\n':
			continue
		case c == '-' && next == '-', c == '#':
			err = s.until(func(b byte) bool { return b == '\n' })
		case c == '/' && next == '*':
			last := byte(0)
			err = s.until(func(b byte) bool { done := last == '*' && b == '/'; last = b; return done })
		case c == '\'', c == '"', c == '`':
			s.escapes = s.escapes || c == '`'
			return s.text(c, s.escapes && c != '`')
		case c == '[' && isWord(next):
			return s.text(']', false)
		case isWord(c):
			word := []byte{c}
			for isWord(s.peek()) {
				if c, err = s.get(); err != nil {
					return sqlToken{}, err
				}
				word = append(word, c)
			}
			if s.peek() == '\'' && len(word) == 1 && strings.IndexByte("EeNnXxBbUu", word[0]) >= 0 { // E'…', N'…', X'…'
				if _, err = s.get(); err != nil {
					return sqlToken{}, err
				}
				t, err := s.text('\'', s.escapes || word[0]|0x20 == 'e')
				if word[0]|0x20 == 'x' {
					t.text = hexText(t.text)
				}
				return t, err
			}
			if digits, ok := bytes.CutPrefix(word, []byte("0x")); ok { // MySQL
				word = []byte(hexText(string(digits)))
			}
			return sqlToken{text: string(word)}, nil
		default:
			return sqlToken{text: string(c)}, nil
		}
		if err != nil {
			return sqlToken{}, err
		}
	}
}

// hexText returns the text that hexadecimal digits stand for. Bytes that are not text,
// such as those of a key, stay digits.
func hexText(digits string) string {
	b, err := hex.DecodeString(digits)
	if err != nil || !utf8.Valid(b) || bytes.ContainsFunc(b, unicode.IsControl) {
		return "0x" + digits
	}
	return string(b)
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c == '.' || c >= 0x80
}

// until skips bytes up to the one that ends, however long that is.
func (s *sqlRows) until(ends func(byte) bool) error {
	for {
		s.budget = maxRecord
		if c, err := s.get(); err != nil || ends(c) {
			return err
		}
	}
}

// text reads to the quote that ends a string or a name; the quote twice is one.
func (s *sqlRows) text(quote byte, escapes bool) (sqlToken, error) {
	var b []byte
	for {
		c, err := s.get()
		if err != nil {
			return sqlToken{}, err
		}
		switch {
		case c == '\\' && escapes:
			if c, err = s.get(); err != nil {
				return sqlToken{}, err
			}
			if i := strings.IndexByte("ntr0", c); i >= 0 {
				c = "\n\t\r\x00"[i]
			}
		case c == quote && s.peek() == quote:
			if _, err = s.get(); err != nil {
				return sqlToken{}, err
			}
		case c == quote:
			return sqlToken{text: string(b), quoted: true}, nil
		}
		if s.state == sqlValues && s.header == nil {
			s.budget = maxRecord
			continue
		}
		b = append(b, c)
	}
}
