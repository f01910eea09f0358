package ece

import (
	"crypto/cipher"
	"encoding/binary"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

const (
	// headerSize is the size of salt, rs, and idlen, without the keyid (RFC
	// 8188 section 2.1).
	headerSize    = saltSize + 4 + 1
	delimiterSize = 1

	minRecordSizeAES128GCM       = delimiterSize + tagSize + 1
	maxRecordSizeAES128GCM int64 = 1<<32 - 1

	// recordSlack is by how much the record size has to exceed the payload:
	// RFC 8291 section 4 wants it greater than payload, delimiter and tag, so
	// that the only record is one that could be followed by no other.
	recordSlack = delimiterSize + tagSize + 1

	delimiterLast = 2
	delimiterMore = 1

	cekInfoAES128GCM = "Content-Encoding: aes128gcm\x00"
)

// keyInfoPrefix and two points make the info of the key.
const keyInfoPrefix = "WebPush: info\x00"

// appendKeyInfo appends the info that binds the key to the two public keys (RFC
// 8291, section 3.3).
func appendKeyInfo(dst, receiver, sender []byte) []byte {
	return append(append(append(dst, keyInfoPrefix...), receiver...), sender...)
}

// appendHeader appends the header of an aes128gcm body.
func appendHeader(dst, salt []byte, rs uint32, keyID []byte) []byte {
	dst = append(dst, salt...)
	dst = binary.BigEndian.AppendUint32(dst, rs)
	dst = append(dst, byte(len(keyID)))
	return append(dst, keyID...)
}

// appendAES128GCM appends a record: data, delimiter and padding, encrypted in
// place if dst has the capacity.
func appendAES128GCM(dst []byte, aead cipher.AEAD, nonce, data []byte, delimiter byte, pad int) []byte {
	start := len(dst)
	dst = append(dst, data...)
	dst = append(dst, delimiter)
	dst = append(dst, make([]byte, pad)...)
	return aead.Seal(dst[:start], nonce, dst[start:], nil)
}

// stripAES128GCM returns the data in the plaintext of a record: what precedes
// the last byte that is not zero, which is the delimiter.
func stripAES128GCM(plain []byte, pos recordPos) ([]byte, error) {
	end := len(plain) - 1
	for end >= 0 && plain[end] == 0 {
		end--
	}
	if end < 0 {
		return nil, fail(CodeDelimiter, "%s has no delimiter, only zeros", pos)
	}
	switch delimiter := plain[end]; {
	case pos.last() && delimiter == delimiterMore:
		return nil, fail(CodeDelimiter, "%s has delimiter %d, want %d: the message was cut between records", pos, delimiter, delimiterLast)
	case pos.last() && delimiter != delimiterLast:
		return nil, fail(CodeDelimiter, "%s has delimiter %d, want %d", pos, delimiter, delimiterLast)
	case !pos.last() && delimiter != delimiterMore:
		return nil, fail(CodeDelimiter, "%s has delimiter %d, want %d", pos, delimiter, delimiterMore)
	}
	return plain[:end], nil
}

// frameAES128GCM splits a body.
func frameAES128GCM(body []byte) (frame, error) {
	if len(body) < headerSize {
		return frame{}, fail(CodeShortHeader, "body is %s, shorter than the %d bytes of salt, record size and key id length", text.Count(len(body), "byte"), headerSize)
	}
	rs := int64(binary.BigEndian.Uint32(body[saltSize:]))
	if rs < minRecordSizeAES128GCM {
		return frame{}, fail(CodeRecordSize, "record size %d is below the minimum of %d", rs, minRecordSizeAES128GCM)
	}
	idLen := int(body[headerSize-1])
	if len(body) < headerSize+idLen {
		return frame{}, fail(CodeShortHeader, "body is %d bytes, shorter than its header of %d with a key id of %d", len(body), headerSize+idLen, idLen)
	}
	f := frame{
		encoding: AES128GCM,
		salt:     body[:saltSize],
		rs:       rs,
		keyID:    body[headerSize : headerSize+idLen],
		chunk:    rs,
		framing:  delimiterSize + tagSize,
		records:  body[headerSize+idLen:],
	}
	return f, f.checkRecords()
}
