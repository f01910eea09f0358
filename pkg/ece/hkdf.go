package ece

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
)

// The key schedule computes five HMACs of short texts for each message. crypto/hkdf needs
// 29 allocations for them and four times as long as the hashes themselves; here they are
// two calls of crypto/sha256 each, over buffers on the stack.

// The pads of HMAC (RFC 2104 section 2).
var (
	innerPad = bytes.Repeat([]byte{0x36}, sha256.BlockSize)
	outerPad = bytes.Repeat([]byte{0x5c}, sha256.BlockSize)
)

// hmacSHA256 returns HMAC-SHA-256 (RFC 2104) of a text and the bytes that follow it.
func hmacSHA256[T string | []byte](key []byte, text T, more ...byte) [sha256.Size]byte {
	if len(key) > sha256.BlockSize {
		sum := sha256.Sum256(key)
		key = sum[:]
	}
	var buffer [384]byte // a longer text needs the heap
	inner := buffer[:sha256.BlockSize]
	copy(inner, innerPad)
	subtle.XORBytes(inner, innerPad, key)
	sum := sha256.Sum256(append(append(inner, text...), more...))
	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], outerPad)
	subtle.XORBytes(outer[:], outerPad, key)
	copy(outer[sha256.BlockSize:], sum[:])
	return sha256.Sum256(outer[:])
}

// extract is HKDF-Extract (RFC 5869 section 2.2).
func extract(salt, ikm []byte) [sha256.Size]byte { return hmacSHA256(salt, ikm) }

// expand is HKDF-Expand (RFC 5869 section 2.3) for outputs of up to one hash, which are
// its first bytes.
func expand[T string | []byte](prk [sha256.Size]byte, info T) [sha256.Size]byte {
	return hmacSHA256(prk[:], info, 1)
}
