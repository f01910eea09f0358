package ece

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"encoding/binary"
	"fmt"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// parsePoint returns the public key in b. Its errors have the given code and
// start with the text what.
func parsePoint(code Code, what string, b []byte) (*ecdh.PublicKey, error) {
	const convert = "export the key in uncompressed form, 0x04 and two coordinates of 32 bytes"
	switch {
	case len(b) == KeySize && b[0] == 4:
		key, err := ecdh.P256().NewPublicKey(b)
		if err != nil {
			return nil, fail(code, "%s is not a point on the curve P-256", what)
		}
		return key, nil
	case len(b) == KeySize:
		return nil, fail(code, "%s starts with 0x%02x, want 0x04 of an uncompressed point", what, b[0])
	case len(b) == 33 && (b[0] == 2 || b[0] == 3):
		return nil, hinted(code, convert, "%s is a compressed point of 33 bytes, want an uncompressed one of %d", what, KeySize)
	case len(b) == KeySize-1:
		return nil, hinted(code, convert, "%s is %d bytes, want %d: the leading 0x04 of an uncompressed point is missing", what, len(b), KeySize)
	case len(b) > KeySize && b[0] == 0x30:
		return nil, hinted(code, "the last 65 bytes of a DER public key are the point", "%s is %d bytes that look like DER, want a point of %d", what, len(b), KeySize)
	}
	return nil, fail(code, "%s is %s, want %d", what, text.Count(len(b), "byte"), KeySize)
}

func checkAuth(auth []byte) error {
	if len(auth) != AuthSize {
		return fail(CodeAuth, "auth is %s, want %d", text.Count(len(auth), "byte"), AuthSize)
	}
	return nil
}

// contentKey holds the key and nonce for the records of one message.
type contentKey struct {
	cek   [cekSize]byte   // AES-128 key
	nonce [nonceSize]byte // nonce of the first record
}

// webPushKey derives the key of a message from the ECDH secret and the
// authentication secret (RFC 8291 section 3.4; draft-ietf-webpush-encryption-04
// section 3). receiver and sender are points of 65 bytes.
func webPushKey(enc Encoding, secret, auth, salt, receiver, sender []byte) (contentKey, error) {
	prk := extract(auth, secret)
	switch enc {
	case AES128GCM:
		var info [len(keyInfoPrefix) + 2*KeySize]byte
		ikm := expand(prk, appendKeyInfo(info[:0], receiver, sender))
		return deriveKey(ikm[:], salt, cekInfoAES128GCM, nonceInfo), nil
	case AESGCM:
		ikm := expand(prk, authInfoAESGCM)
		context := contextAESGCM(receiver, sender)
		return deriveKey(ikm[:], salt, cekInfoAESGCM+context, nonceInfo+context), nil
	}
	return contentKey{}, errEncoding(string(enc))
}

// nonceInfo is common to both encodings (RFC 8188 section 2.3).
const nonceInfo = "Content-Encoding: nonce\x00"

// deriveKey is the second half of the key schedule, which starts from the input
// keying material (RFC 8188 sections 2.2 and 2.3).
func deriveKey(ikm, salt []byte, cekInfo, nonceInfo string) contentKey {
	prk := extract(salt, ikm)
	cek, nonce := expand(prk, cekInfo), expand(prk, nonceInfo)
	return contentKey{[cekSize]byte(cek[:]), [nonceSize]byte(nonce[:])}
}

func (k contentKey) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(k.cek[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// recordNonce writes to dst the nonce of record seq, counted from 0: the base
// nonce XOR the number as 96 bits in network order (RFC 8188 section 2.3). The
// upper 32 bits of it are 0, because no body has 2^64 records.
func (k contentKey) recordNonce(dst *[nonceSize]byte, seq uint64) {
	*dst = k.nonce
	low := dst[nonceSize-8:]
	binary.BigEndian.PutUint64(low, binary.BigEndian.Uint64(low)^seq)
}

// open decrypts the records of a message in time and memory proportional to the
// length of records. Each record has chunk bytes, the last one at most chunk.
// strip removes padding and delimiters from the plaintext of a record.
func (k contentKey) open(chunk int64, records []byte, strip func(plain []byte, pos recordPos) ([]byte, error)) ([]byte, error) {
	aead, err := k.aead()
	if err != nil {
		return nil, err
	}
	var nonce [nonceSize]byte
	out := make([]byte, 0, len(records)) // never chunk, which the message can set to any value
	pos := recordPos{total: recordCount(chunk, records)}
	for len(records) > 0 {
		n := int(min(chunk, int64(len(records))))
		k.recordNonce(&nonce, uint64(pos.index))
		pos.index++
		plain, err := aead.Open(out[len(out):], nonce[:], records[:n], nil)
		if err != nil {
			return nil, hinted(CodeDecrypt, "check that the message was encrypted for this subscription and is unaltered",
				"%s does not decrypt: wrong private key, wrong auth or altered message", pos)
		}
		data, err := strip(plain, pos)
		if err != nil {
			return nil, err
		}
		// plain lies right behind out: data that starts it stays where it is,
		// and data behind the padding of aesgcm moves down.
		out = append(out, data...)
		records = records[n:]
	}
	return out, nil
}

// recordPos is the place of a record in its message; index counts from 1.
type recordPos struct{ index, total int }

func (p recordPos) last() bool     { return p.index == p.total }
func (p recordPos) String() string { return fmt.Sprintf("record %d of %d", p.index, p.total) }

func recordCount(chunk int64, records []byte) int {
	return int((int64(len(records)) + chunk - 1) / chunk)
}
