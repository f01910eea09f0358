package bulk

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/seed81da77dd/webpush/pkg/fileio"
	"github.com/seed81da77dd/webpush/pkg/internal/filelock"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Journal is a file that remembers the finished records of a run. A run that was
// killed can continue where it stopped. It holds hashes of the records, 25 bytes each,
// but no endpoints. A journal that is opened again uses 16 bytes and one bit of memory
// per record.
//
// [Run] keeps a journal if Options.Journal names one. A program that calls
// [webpush.Client.SendAll] itself skips the records that are [Journal.Done] in
// the iterator that feeds it. In its Commit, it calls [Journal.Record] for each
// result that is final ([webpush.Final]) and then [Journal.Commit]. If the process is
// killed, only messages that were in flight are sent again.
//
// Done can be called while another goroutine calls Record or Commit. Otherwise, a
// Journal must be used by one goroutine at a time.
type Journal struct {
	f    *os.File
	name string
	keys []journalKey // records of earlier runs, sorted
	used []uint64     // one bit per key: Done has returned true for it
	n    Counts
	old  bool
	end  int64 // end of the committed part
	buf  []byte
}

// journalKey identifies a record: half of its SHA-256.
type journalKey [16]byte

func keyOf(record []byte) journalKey {
	sum := sha256.Sum256(record)
	return journalKey(sum[:16])
}

const (
	journalMagic = "webpush journal 1 "
	// journalLine is a key in base64url, a space, the letter of the class and a
	// line feed.
	journalLine = 22 + 3
	// journalRoom is the room on the disk that a run requires, in bytes.
	journalRoom = 1000 * journalLine
)

var journalLetters = map[webpush.Class]byte{webpush.ClassDelivered: 'd', webpush.ClassGone: 'g', webpush.ClassRejected: 'r', webpush.ClassInvalid: 'i', webpush.ClassExpired: 'e'}

// OpenJournal opens the journal at path, or creates it with mode 0600. run identifies
// the message in any form. The journal keeps a digest of it and is refused for another
// run. A partial line of a killed process is removed. Until [Journal.Close], the
// journal is locked against other processes that open it (on Linux, macOS, the BSDs,
// and Windows). The error is an [*Error].
func OpenJournal(path, run string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, journalProblem(path, err)
	}
	j := &Journal{f: f, name: path, n: make(Counts)}
	if err := j.open(run); err != nil {
		f.Close()
		return nil, err
	}
	return j, nil
}

func journalProblem(path string, err error) error {
	problem := fileError(PartJournal, path, err)
	if fileio.DiskFull(err) {
		problem.hint = "make room, or keep the journal on another disk"
	}
	return problem
}

func (j *Journal) open(run string) error {
	bad := func(problem, hint string) error {
		return &Error{Part: PartJournal, Path: j.name, Problem: problem, hint: hint}
	}
	info, err := j.f.Stat()
	if err != nil {
		return journalProblem(j.name, err)
	}
	if !info.Mode().IsRegular() {
		return fileError(PartJournal, j.name, fileio.ErrNotRegular)
	}
	if err := filelock.File(j.f); errors.Is(err, filelock.ErrLocked) {
		return &Error{Part: PartJournal, Path: j.name, Problem: "another process is using this journal", Err: err,
			hint: "wait until that process exits, or use another journal for this run"}
	} else if err != nil {
		return &Error{Part: PartJournal, Path: j.name, Problem: "the journal cannot be locked against other processes: " + err.Error(), Err: err,
			hint: "keep the journal on a disk of this machine"}
	}
	if info, err = j.f.Stat(); err != nil { // it may have grown before it was locked
		return journalProblem(j.name, err)
	}
	sum := sha256.Sum256([]byte(run))
	header := journalMagic + hex.EncodeToString(sum[:16]) + "\n"
	r := bufio.NewReaderSize(j.f, 1<<16)
	found := make([]byte, len(header))
	n, err := io.ReadFull(r, found)
	found = found[:n]
	switch {
	case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
		return journalProblem(j.name, err)
	case err != nil && bytes.HasPrefix([]byte(header), found):
		return j.create(header) // empty, or killed while the header was written
	case !bytes.HasPrefix(found, []byte(journalMagic)) || found[n-1] != '\n':
		return bad("this is not a webpush journal, or has another version", "use the name of a file that does not exist yet")
	case string(found) != header:
		return bad("this journal was made for another message, other options, or another key",
			"repeat the run with the same payload, TTL, other options of the message, and key (limits may differ), or use another journal for this run")
	}
	j.old = true
	size, err := j.read(r, info.Size()-int64(len(header)))
	if err != nil {
		return err
	}
	j.end = int64(len(header)) + size
	if j.end < info.Size() {
		if err := j.f.Truncate(j.end); err != nil {
			return journalProblem(j.name, err)
		}
	}
	return j.reserve()
}

// reserve returns an error unless the disk has room for all results in flight: a
// message that cannot be recorded must not be sent. Otherwise, a run that is started
// repeatedly while the disk is full would send to the same subscriptions each time.
func (j *Journal) reserve() error {
	_, err := j.f.WriteAt(make([]byte, journalRoom), j.end)
	if err == nil {
		err = j.f.Sync()
	}
	if err := errors.Join(err, j.f.Truncate(j.end)); err != nil {
		return journalProblem(j.name, err)
	}
	return nil
}

func (j *Journal) create(header string) error {
	_, err := j.f.WriteAt([]byte(header), 0)
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return journalProblem(j.name, err)
	}
	j.end = int64(len(header))
	if err := j.reserve(); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(j.name)); err == nil { // makes the name durable where the system allows it
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

// read reads the lines after the header and returns the size of the valid ones. A kill
// leaves the last line unfinished; a power failure may leave zeros at the end, starting
// at any byte.
func (j *Journal) read(r *bufio.Reader, size int64) (int64, error) {
	lines := int(size / journalLine)
	j.keys = make([]journalKey, 0, lines)
	classes := make(map[byte]webpush.Class)
	for class, letter := range journalLetters {
		classes[letter] = class
	}
	var line [journalLine]byte
	for i := range lines {
		if _, err := io.ReadFull(r, line[:]); err != nil {
			return 0, journalProblem(j.name, err)
		}
		var key journalKey
		n, err := base64.RawURLEncoding.Decode(key[:], line[:22])
		class, known := classes[line[23]]
		if err != nil || n != len(key) || !known || line[22] != ' ' || line[24] != '\n' {
			if line[journalLine-1] == 0 && onlyZeros(r) {
				return int64(i) * journalLine, j.sort()
			}
			return 0, &Error{Part: PartJournal, Path: j.name, Problem: fmt.Sprintf("line %d of the journal is damaged", i+2),
				hint: "restore the file; a journal that was edited cannot be trusted"}
		}
		j.keys = append(j.keys, key)
		j.n[class]++
	}
	return int64(lines) * journalLine, j.sort()
}

// onlyZeros reports whether only zeros are left to read.
func onlyZeros(r *bufio.Reader) bool {
	for {
		switch c, err := r.ReadByte(); {
		case err == io.EOF:
			return true
		case err != nil || c != 0:
			return false
		}
	}
}

func (j *Journal) sort() error {
	slices.SortFunc(j.keys, func(a, b journalKey) int { return bytes.Compare(a[:], b[:]) })
	j.used = make([]uint64, (len(j.keys)+63)/64)
	return nil
}

// Done reports whether an earlier run finished record, given as it was read. If a
// record occurs several times, Done returns true as many times as the record was
// finished.
func (j *Journal) Done(record []byte) bool {
	if len(j.keys) == 0 {
		return false
	}
	key := keyOf(record)
	// Among equal keys, those that Done has returned true for come first.
	i := sort.Search(len(j.keys), func(i int) bool {
		c := bytes.Compare(j.keys[i][:], key[:])
		return c > 0 || c == 0 && j.used[i/64]&(1<<(i%64)) == 0
	})
	if i == len(j.keys) || j.keys[i] != key {
		return false
	}
	j.used[i/64] |= 1 << (i % 64)
	return true
}

// Resumed reports whether the journal existed before, and how many records of
// each class it held.
func (j *Journal) Resumed() (bool, Counts) { return j.old, j.n }

// Record notes the result of a record, given as it was read, for the next Commit.
// A record that is temporary or skipped is not finished, so it is not noted.
func (j *Journal) Record(record []byte, class webpush.Class) {
	letter, finished := journalLetters[class]
	if !finished {
		return
	}
	key := keyOf(record)
	j.buf = base64.RawURLEncoding.AppendEncode(j.buf, key[:])
	j.buf = append(j.buf, ' ', letter, '\n')
}

// Commit writes the recorded results and returns once they survive a crash of the
// machine. After an error, it can be called again to write them when there is room.
func (j *Journal) Commit() error {
	if len(j.buf) == 0 {
		return nil
	}
	_, err := j.f.WriteAt(j.buf, j.end)
	if err == nil {
		err = j.f.Sync()
	}
	if err != nil {
		return journalProblem(j.name, err)
	}
	j.end += int64(len(j.buf))
	j.buf = j.buf[:0]
	return nil
}

// Close closes the file. Results that were recorded but not committed are lost.
func (j *Journal) Close() error { return j.f.Close() }
