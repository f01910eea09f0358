package bulk

import (
	"bufio"
	"bytes"
	"encoding/hex"
)

// ReadJournal reads the content of a journal, and returns how many records of each
// class it holds. Both results are nil if data is not a journal; the error is an
// [*Error] for one that is damaged. A last line that is not complete does not
// count, as when a journal is opened.
func ReadJournal(data []byte) (Counts, error) {
	const header = len(journalMagic) + 32 + 1
	if len(data) < header || !bytes.HasPrefix(data, []byte(journalMagic)) || data[header-1] != '\n' {
		return nil, nil
	}
	if _, err := hex.Decode(make([]byte, 16), data[len(journalMagic):header-1]); err != nil {
		return nil, nil
	}
	j := &Journal{name: "journal", n: make(Counts)}
	_, err := j.read(bufio.NewReader(bytes.NewReader(data[header:])), int64(len(data)-header))
	return j.n, err
}
