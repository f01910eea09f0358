package mcs

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// errWire is the error for bytes that are not a protobuf message.
var errWire = errors.New("malformed protobuf")

// The wire types of protobuf. Groups (3 and 4) are refused, because no message here
// has one.
const (
	varint  = 0
	fixed64 = 1
	bytes   = 2
	fixed32 = 5
)

// field is one field of a message as it was received.
type field struct {
	number int
	kind   int
	value  uint64 // varint, fixed64, and fixed32
	data   []byte // bytes; shares memory with the message
}

// uint returns the value of an integer field, or 0 if the field has another
// wire type.
func (f field) uint() uint64 {
	if f.kind == bytes {
		return 0
	}
	return f.value
}

// text returns the value of a string field, or "" if it is not UTF-8.
func (f field) text() string {
	if !utf8.Valid(f.data) {
		return ""
	}
	return string(f.data)
}

// each calls do for each field of a message, in order. do must skip unknown fields.
func each(b []byte, do func(field) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 || key>>3 > 1<<29-1 {
			return errWire
		}
		b = b[n:]
		f := field{number: int(key >> 3), kind: int(key & 7)}
		size := 0
		switch f.kind {
		case varint:
			if f.value, size = binary.Uvarint(b); size <= 0 {
				return errWire
			}
		case fixed64:
			if size = 8; len(b) < size {
				return errWire
			}
			f.value = binary.LittleEndian.Uint64(b)
		case fixed32:
			if size = 4; len(b) < size {
				return errWire
			}
			f.value = uint64(binary.LittleEndian.Uint32(b))
		case bytes:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)-n) {
				return errWire
			}
			size = n + int(length)
			f.data = b[n:size]
		default:
			return errWire
		}
		b = b[size:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

// target is where read stores the fields with a number: a *string, *uint32, *uint64,
// *int32, *int, or *bool, which get the last one; a *[]byte, which then shares memory
// with the message; a *[]string, which gets all; or a func([]byte) error, which is
// called with the content of a nested message.
type target struct {
	number int
	to     any
}

// read stores the fields of a message and skips unknown ones.
func read(b []byte, targets ...target) error {
	return each(b, func(f field) error {
		for _, t := range targets {
			if t.number != f.number {
				continue
			}
			switch to := t.to.(type) {
			case *string:
				*to = f.text()
			case *[]string:
				*to = append(*to, f.text())
			case *[]byte:
				*to = f.data
			case *uint32:
				*to = uint32(f.uint())
			case *uint64:
				*to = f.uint()
			case *int32:
				*to = int32(f.uint())
			case *int:
				*to = int(int32(f.uint()))
			case *bool:
				*to = f.uint() != 0
			case func([]byte) error:
				return to(f.data)
			}
		}
		return nil
	})
}

func appendUint(b []byte, number int, value uint64) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|varint)
	return binary.AppendUvarint(b, value)
}

// appendSome is appendUint, but omits a value of 0.
func appendSome(b []byte, number int, value uint64) []byte {
	if value == 0 {
		return b
	}
	return appendUint(b, number, value)
}

func appendFixed64(b []byte, number int, value uint64) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|fixed64)
	return binary.LittleEndian.AppendUint64(b, value)
}

func appendBytes[T string | []byte](b []byte, number int, value T) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|bytes)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}

// appendText is appendBytes, but omits an empty value.
func appendText[T string | []byte](b []byte, number int, value T) []byte {
	if len(value) == 0 {
		return b
	}
	return appendBytes(b, number, value)
}
