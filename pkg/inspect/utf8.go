package inspect

import (
	"bytes"
	"unicode/utf8"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// UTF8 removes a byte order mark, and converts UTF-16, which Windows shells write with >,
// to UTF-8. Bytes that only begin with a mark of UTF-16, as a key may, remain as they are.
func UTF8(b []byte) []byte { return text.UTF8(b) }

// IsText reports whether data is text in UTF-8, without control characters other than
// line ends and tabs.
func IsText(data []byte) bool {
	return bytes.IndexFunc(data, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0x7f || r == utf8.RuneError
	}) < 0
}
