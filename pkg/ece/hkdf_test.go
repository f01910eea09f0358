package ece

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// likeHKDF compares extract and expand with crypto/hkdf.
func likeHKDF(t *testing.T, salt, ikm []byte, info string) {
	t.Helper()
	want, err := hkdf.Extract(sha256.New, ikm, salt)
	if err != nil {
		t.Fatal(err)
	}
	prk := extract(salt, ikm)
	if !bytes.Equal(prk[:], want) {
		t.Errorf("extract of %d bytes with a salt of %d: %x, want %x", len(ikm), len(salt), prk, want)
	}
	okm := expand(prk, info)
	for n := 1; n <= sha256.Size; n++ {
		want, err := hkdf.Expand(sha256.New, prk[:], info, n)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(okm[:n], want) {
			t.Fatalf("expand of %d bytes of info to %d: %x, want %x", len(info), n, okm[:n], want)
		}
	}
}

func TestHKDF(t *testing.T) {
	// Around the sizes of a block, of the key schedule's texts, and of the buffer.
	sizes := []int{0, 1, 12, 16, 31, 32, 33, 55, 56, 63, 64, 65, 119, 128, 144, 200, 318, 319, 320, 321, 384, 1500}
	data := bytes.Repeat([]byte("webpush "), 1000)
	for _, a := range sizes {
		for _, b := range sizes {
			likeHKDF(t, data[:a], data[a:a+b], string(data[b:b+a]))
		}
	}
	// RFC 5869, appendix A.1: the first 32 of its 42 bytes.
	prk := extract([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, bytes.Repeat([]byte{11}, 22))
	if got := fmt.Sprintf("%x", prk); got != "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5" {
		t.Errorf("prk %s", got)
	}
	okm := expand(prk, "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9")
	if got := fmt.Sprintf("%x", okm); got != "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf" {
		t.Errorf("okm %s", got)
	}
	info := string(data[:200])
	if n := testing.AllocsPerRun(100, func() { okm = expand(extract(data[:16], data[:32]), info) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzHKDF(f *testing.F) {
	f.Add([]byte("salt of 16 bytes"), []byte(strings.Repeat("k", 32)), "Content-Encoding: nonce\x00")
	f.Add([]byte(strings.Repeat("s", 65)), []byte{}, strings.Repeat("i", 500))
	f.Fuzz(likeHKDF)
}
