package text

import (
	"bytes"
	"encoding/binary"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// TrimBOM returns b without a byte order mark of UTF-8 at its beginning.
func TrimBOM(b []byte) []byte { return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")) }

// UTF8 removes a byte order mark, and converts UTF-16, which Windows shells write with >,
// to UTF-8. A key may happen to begin with the byte order mark of UTF-16: unless at least
// half of the units after the mark are ASCII, the bytes are returned unchanged.
func UTF8(b []byte) []byte {
	order := orderOf(b)
	switch {
	case order == nil:
		return TrimBOM(b)
	case len(b)%2 != 0:
		return b
	}
	ascii := 0
	for i := 2; i < len(b); i += 2 {
		if order.Uint16(b[i:]) < 0x80 {
			ascii++
		}
	}
	if ascii*2 < len(b)/2-1 {
		return b
	}
	text, _ := decode(order, b[2:], true)
	return text
}

// UTF8Reader returns a reader of r that removes a byte order mark, and converts text that
// begins with the mark of UTF-16 to UTF-8.
func UTF8Reader(r io.Reader) io.Reader { return &utf8Reader{r: r} }

type utf8Reader struct {
	r     io.Reader
	begun bool
}

func (u *utf8Reader) Read(p []byte) (int, error) {
	if !u.begun {
		u.begun = true
		var head [3]byte
		n, err := io.ReadFull(u.r, head[:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return 0, err
		}
		b, rest := head[:n], u.r
		if order := orderOf(b); order != nil {
			u.r = &utf16Reader{r: io.MultiReader(bytes.NewReader(b[2:]), rest), order: order}
		} else {
			u.r = io.MultiReader(bytes.NewReader(TrimBOM(b)), rest)
		}
	}
	return u.r.Read(p)
}

// utf16Reader converts UTF-16 to UTF-8.
type utf16Reader struct {
	r     io.Reader
	order binary.ByteOrder
	raw   [4096]byte
	n     int    // bytes in raw
	text  []byte // converted, and not read yet
	err   error
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	if len(u.text) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		var n, used int
		n, u.err = u.r.Read(u.raw[u.n:])
		u.n += n
		u.text, used = decode(u.order, u.raw[:u.n], u.err != nil)
		u.n = copy(u.raw[:], u.raw[used:u.n])
	}
	n := copy(p, u.text)
	u.text = u.text[n:]
	return n, nil
}

// orderOf returns the byte order of UTF-16 that begins with a byte order mark, or nil.
func orderOf(b []byte) binary.ByteOrder {
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		return binary.LittleEndian
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		return binary.BigEndian
	}
	return nil
}

// decode converts UTF-16 to UTF-8, and returns how many bytes it has used. Unless they are
// the last ones, it leaves a part of a character at the end. Invalid UTF-16 becomes
// U+FFFD.
func decode(order binary.ByteOrder, b []byte, last bool) (text []byte, used int) {
	for used < len(b) {
		left := b[used:]
		r, size := utf8.RuneError, len(left)
		if size >= 2 {
			r, size = rune(order.Uint16(left)), 2
		}
		switch {
		case len(left) < 2 && !last, utf16.IsSurrogate(r) && len(left) < 4 && !last:
			return text, used
		case utf16.IsSurrogate(r) && len(left) >= 4:
			if r = utf16.DecodeRune(r, rune(order.Uint16(left[2:]))); r != utf8.RuneError {
				size = 4
			}
		}
		text, used = utf8.AppendRune(text, r), used+size // a surrogate becomes U+FFFD
	}
	return text, used
}
