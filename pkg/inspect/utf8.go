package inspect

import (
	"bytes"
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// UTF8 turns what Windows' shells write with > (UTF-16) into UTF-8 and drops a
// byte order mark. Bytes that only begin like that, as a key may, stay.
func UTF8(b []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(b, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case bytes.HasPrefix(b, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	}
	if len(b)%2 != 0 {
		return b
	}
	units := make([]uint16, 0, len(b)/2)
	ascii := 0
	for i := 2; i < len(b); i += 2 {
		u := order.Uint16(b[i:])
		units = append(units, u)
		if u < 0x80 {
			ascii++
		}
	}
	if ascii*2 < len(units) {
		return b
	}
	return []byte(string(utf16.Decode(units)))
}

// IsText reports whether data is text in UTF-8, without control characters other than
// line ends and tabs.
func IsText(data []byte) bool {
	return bytes.IndexFunc(data, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == utf8.RuneError
	}) < 0
}
