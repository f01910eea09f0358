// Package mcs implements the framing and the messages of Mobile Connection Server,
// Chromium's protocol for receiving push messages, and the messages of the check-in
// that precedes it, for both sides. The names come from Chromium's sources; only the
// fields that either side uses exist here. Decoding is
// bounded: a frame has at most [MaxFrame] bytes, and a decoded message holds at
// most a small multiple of its frame.
package mcs

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

const (
	// Version is the protocol version, which each side sends as one byte
	// before its first frame.
	Version = 41
	// MaxFrame is the maximum size of a frame, in bytes: enough for a message of
	// 4 KiB with its headers, or a login with more than 2,000 persistent IDs.
	MaxFrame = 64 << 10
)

// maxAtOnce is the size up to which the memory for a frame is allocated before it
// arrives, in bytes: enough for a message. Larger frames cost memory only as they
// arrive, since announcing one costs the sender nothing.
const maxAtOnce = 8 << 10

// Tag is the type of a frame.
type Tag byte

// The tags in use.
const (
	TagHeartbeatPing Tag = 0
	TagHeartbeatAck  Tag = 1
	TagLoginRequest  Tag = 2
	TagLoginResponse Tag = 3
	TagClose         Tag = 4
	TagIq            Tag = 7
	TagDataMessage   Tag = 8
	TagStreamError   Tag = 10
)

// ReadVersion reads the byte that precedes the first frame. It accepts 41 and
// later versions, and 38, as Chromium does.
func ReadVersion(r io.ByteReader) error {
	v, err := r.ReadByte()
	if err != nil {
		return err
	}
	if v < Version && v != 38 {
		return fmt.Errorf("unsupported version %d", v)
	}
	return nil
}

// ReadFrame reads a frame: a tag, a size, and a message of that size. A size
// above [MaxFrame], or one of more than five bytes, is an error before anything
// of that size is allocated. The error is io.EOF only between frames.
func ReadFrame(r *bufio.Reader) (Tag, []byte, error) {
	tag, err := r.ReadByte()
	if err != nil {
		return 0, nil, err
	}
	body, err := readBody(r)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return Tag(tag), body, err
}

func readBody(r *bufio.Reader) ([]byte, error) {
	size := uint64(0)
	for i := 0; ; i++ {
		c, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		if i == 5 {
			return nil, fmt.Errorf("the size of a frame has more than 5 bytes")
		}
		size |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			break
		}
	}
	if size > MaxFrame {
		return nil, fmt.Errorf("a frame of %d bytes, the largest allowed is %d", size, MaxFrame)
	}
	if size <= maxAtOnce {
		body := make([]byte, size)
		_, err := io.ReadFull(r, body)
		return body, err
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err == nil && uint64(len(body)) < size {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}

// AppendFrame appends a frame with the given message to b.
func AppendFrame(b []byte, tag Tag, message []byte) []byte {
	b = append(b, byte(tag))
	b = binary.AppendUvarint(b, uint64(len(message)))
	return append(b, message...)
}
