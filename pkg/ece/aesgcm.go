package ece

import (
	"crypto/cipher"
	"encoding/binary"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

const (
	// padLenSize is the size of the padding length, which starts a record.
	padLenSize = 2

	// The range of rs, which here counts the plaintext of a record, without
	// the tag (draft-ietf-httpbis-encryption-encoding-03 section 3.1).
	minRecordSizeAESGCM       = 2
	maxRecordSizeAESGCM int64 = 1<<36 - 31

	authInfoAESGCM = "Content-Encoding: auth\x00"
	cekInfoAESGCM  = "Content-Encoding: aesgcm\x00"
)

// contextAESGCM binds content key and nonce to the two public keys, each
// preceded by its length (draft-ietf-httpbis-encryption-encoding-03 section
// 4.2).
func contextAESGCM(receiver, sender []byte) string {
	const keyLen = "\x00\x41" // KeySize in 16 bits
	return "P-256\x00" + keyLen + string(receiver) + keyLen + string(sender)
}

// appendAESGCM appends a record: length of the padding, padding and data,
// encrypted in place if dst has the capacity.
func appendAESGCM(dst []byte, aead cipher.AEAD, nonce, data []byte, pad int) []byte {
	start := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(pad))
	dst = append(dst, make([]byte, pad)...)
	dst = append(dst, data...)
	return aead.Seal(dst[:start], nonce, dst[start:], nil)
}

// stripAESGCM returns the data in the plaintext of a record, which is at least
// as long as the length it starts with.
func stripAESGCM(plain []byte, pos recordPos) ([]byte, error) {
	pad := int(binary.BigEndian.Uint16(plain))
	rest := plain[padLenSize:]
	if pad > len(rest) {
		return nil, fail(CodePadding, "%s has padding of %s, but only %d left", pos, text.Count(pad, "byte"), len(rest))
	}
	for i, b := range rest[:pad] {
		if b != 0 {
			return nil, fail(CodePadding, "%s has 0x%02x at position %d of its padding, want zeros", pos, b, i+1)
		}
	}
	return rest[pad:], nil
}

// frameAESGCM splits a message; most of its parts are already in m.
func frameAESGCM(m *EncryptedMessage) (frame, error) {
	if len(m.Salt) != saltSize {
		return frame{}, errSalt(len(m.Salt))
	}
	rs := int64(m.RecordSize)
	if rs == 0 {
		rs = DefaultRecordSize
	}
	if err := checkRecordSizeAESGCM(rs); err != nil {
		return frame{}, err
	}
	f := frame{
		encoding: AESGCM,
		salt:     m.Salt,
		rs:       rs,
		keyID:    m.SenderKey,
		chunk:    rs + tagSize,
		framing:  padLenSize + tagSize,
		records:  m.Body,
	}
	if len(m.Body) > 0 && int64(len(m.Body))%f.chunk == 0 {
		return frame{}, fail(CodeTruncated, "body of %d bytes is a multiple of the %d bytes of a full record: its end is missing", len(m.Body), f.chunk)
	}
	return f, f.checkRecords()
}

func errSalt(size int) error {
	return fail(CodeSalt, "salt is %s, want %d", text.Count(size, "byte"), saltSize)
}

func checkRecordSizeAESGCM(rs int64) error {
	switch {
	case rs < minRecordSizeAESGCM:
		return fail(CodeRecordSize, "record size %d is below the minimum of %d", rs, minRecordSizeAESGCM)
	case rs > maxRecordSizeAESGCM:
		return fail(CodeRecordSize, "record size %d is above the maximum of %d", rs, maxRecordSizeAESGCM)
	}
	return nil
}
