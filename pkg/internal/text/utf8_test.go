package text

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"
)

// utf16Of returns text in UTF-16 with a byte order mark.
func utf16Of(order binary.AppendByteOrder, text string) []byte {
	b := order.AppendUint16(nil, 0xfeff)
	for _, u := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, u)
	}
	return b
}

func TestUTF8(t *testing.T) {
	long := strings.Repeat("{\"endpoint\":\"https://push.example/é😀\"}\n", 500)
	for name, c := range map[string]struct{ in, whole, stream string }{
		"nothing":               {"", "", ""},
		"a letter":              {"a", "a", "a"},
		"ASCII":                 {"abcd", "abcd", "abcd"},
		"mark alone":            {"\xef\xbb\xbf", "", ""},
		"mark":                  {"\xef\xbb\xbf{}", "{}", "{}"},
		"two marks":             {"\xef\xbb\xbf\xef\xbb\xbf{}", "\xef\xbb\xbf{}", "\xef\xbb\xbf{}"},
		"half a mark":           {"\xef\xbb", "\xef\xbb", "\xef\xbb"},
		"UTF-16, little-endian": {string(utf16Of(binary.LittleEndian, long)), long, long},
		"UTF-16, big-endian":    {string(utf16Of(binary.BigEndian, long)), long, long},
		"UTF-16, a mark alone":  {"\xff\xfe", "", ""},
		"a lone surrogate":      {"\xff\xfea\x00b\x00\x3d\xd8c\x00", "ab\ufffdc", "ab\ufffdc"},
		"a surrogate at an end": {"\xfe\xff\x00a\x00b\xd8\x3d", "ab\ufffd", "ab\ufffd"},
		"a key":                 {"\xff\xfe" + strings.Repeat("\x81\x92", 15), "\xff\xfe" + strings.Repeat("\x81\x92", 15), strings.Repeat("銁", 15)},
		"an odd number":         {"\xff\xfea\x00b", "\xff\xfea\x00b", "a\ufffd"},
	} {
		if got := UTF8([]byte(c.in)); string(got) != c.whole {
			t.Errorf("%s: %.80q, want %.80q", name, got, c.whole)
		}
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
			if got, err := io.ReadAll(UTF8Reader(r)); string(got) != c.stream || err != nil {
				t.Errorf("%s from a stream: %.80q, %v, want %.80q", name, got, err, c.stream)
			}
		}
	}
	broken := errors.New("broken")
	for _, begin := range []string{"", "ab", "abcdef", "\xff\xfea\x00b\x00"} {
		if _, err := io.ReadAll(UTF8Reader(io.MultiReader(strings.NewReader(begin), iotest.ErrReader(broken)))); err != broken {
			t.Errorf("after %q: %v", begin, err)
		}
	}
}

func FuzzUTF8Reader(f *testing.F) {
	f.Add([]byte("{}"))
	f.Add(utf16Of(binary.LittleEndian, "a😀b"))
	f.Fuzz(func(t *testing.T, b []byte) {
		whole, err := io.ReadAll(UTF8Reader(bytes.NewReader(b)))
		if err != nil {
			t.Fatal(err)
		}
		if parts, err := io.ReadAll(UTF8Reader(iotest.OneByteReader(bytes.NewReader(b)))); err != nil || !bytes.Equal(parts, whole) {
			t.Errorf("%q: read at once %q, and in parts %q, %v", b, whole, parts, err)
		}
	})
}
