package inspect

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// ErrTooLarge is the error of [Head] for an input that is too large to be inspected.
var ErrTooLarge = errors.New("the input is too large")

// Head reads what [Inspect] needs of an input: all of it, at most size bytes, or the
// complete lines at the beginning of a longer one that consists of lines of JSON, is
// a table with a column of endpoints, or is a journal. cut reports whether there is
// more. The error is [ErrTooLarge] or an error of r.
func Head(r io.Reader, size int) (data []byte, cut bool, err error) {
	data, err = io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err != nil || len(data) <= size {
		return data, false, err
	}
	data = data[:size]
	first, _, lines := bytes.Cut(data, []byte("\n"))
	if !lines || !json.Valid(first) && !bytes.HasPrefix(first, []byte("webpush journal ")) && !tableHead(first) {
		return nil, true, ErrTooLarge
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	if tableHead(first) {
		quoted := false
		for i, c := range data {
			switch {
			case c == '"':
				quoted = !quoted
			case c == '\n' && !quoted:
				end = i + 1
			}
		}
	}
	return data[:end], true, nil
}

// tableHead reports whether a line names the columns of CSV or TSV with endpoints.
func tableHead(line []byte) bool {
	return len(line) > 0 && line[0] != '{' && line[0] != '[' && bytes.ContainsAny(line, ",;\t") && bytes.Contains(bytes.ToLower(line), []byte("endpoint")) && !bytes.Contains(line, []byte("://"))
}
