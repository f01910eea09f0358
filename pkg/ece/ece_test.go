package ece

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
)

func TestParseEncoding(t *testing.T) {
	for in, want := range map[string]Encoding{
		"aes128gcm": AES128GCM, "aesgcm": AESGCM, "AES128GCM": AES128GCM, "AesGcm": AESGCM,
	} {
		if got, err := ParseEncoding(in); got != want || err != nil {
			t.Errorf("ParseEncoding(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "aesgcm128", "gzip", "aes128gcm, gzip", " aesgcm", strings.Repeat("x", 1e6)} {
		got, err := ParseEncoding(in)
		if got != "" || codeOf(err) != CodeEncoding || len(err.Error()) > 200 ||
			!strings.Contains(err.Error(), "aes128gcm or aesgcm") {
			t.Errorf("ParseEncoding(%.20q) = %q, %v", in, got, err)
		}
	}
}

func TestMaxPayload(t *testing.T) {
	for _, tt := range []struct {
		enc           Encoding
		maxBody, want int
	}{
		{AES128GCM, MaxBody, 3993},
		{AESGCM, MaxBody, 4078},
		{AES128GCM, 104, 1}, {AES128GCM, 103, 0}, {AES128GCM, 0, 0}, {AES128GCM, -1, 0},
		{AESGCM, 19, 1}, {AESGCM, 18, 0}, {AESGCM, -1 << 31, 0},
		{"", MaxBody, 0}, {"gzip", MaxBody, 0},
	} {
		if got := tt.enc.MaxPayload(tt.maxBody); got != tt.want {
			t.Errorf("%q.MaxPayload(%d) = %d, want %d", tt.enc, tt.maxBody, got, tt.want)
		}
	}
	if AES128GCM.Overhead() != 103 || AESGCM.Overhead() != 18 || Encoding("").Overhead() != 0 {
		t.Errorf("overhead %d, %d, %d", AES128GCM.Overhead(), AESGCM.Overhead(), Encoding("").Overhead())
	}
	if huge := math.MaxInt; uint64(huge)>>40 > 0 { // 64 bits: the width of rs is the limit
		if got := AES128GCM.MaxPayload(huge); int64(got) != 1<<32-1-18 {
			t.Errorf("aes128gcm of %d: %d", huge, got)
		}
		if got := AESGCM.MaxPayload(huge); int64(got) != 1<<36-31-3 {
			t.Errorf("aesgcm of %d: %d", huge, got)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	id := mustIdentity(t)
	for _, tt := range []struct {
		enc     Encoding // as given in Options
		size    int
		pad     int
		maxBody int
		body    int   // size wanted
		rs      int64 // wanted
	}{
		// The sizes that no padding, one bucket or the limit give.
		{"", 0, 0, 0, 104, 4096},
		{"", 1, 0, 0, 104, 4096},
		{AES128GCM, 2, 0, 0, 105, 4096},
		{AES128GCM, 3992, 0, 0, 4095, 4096},
		{AES128GCM, 3993, 0, 0, 4096, 4096},
		{"AES128GCM", 100, 1, 0, 203, 4096},
		{AES128GCM, 0, 1, 0, 104, 4096},
		{AES128GCM, 0, PadAuto, 0, 103 + 256, 4096},
		{AES128GCM, 1, PadAuto, 0, 103 + 256, 4096},
		{AES128GCM, 256, PadAuto, 0, 103 + 256, 4096},
		{AES128GCM, 257, PadAuto, 0, 103 + 512, 4096},
		{AES128GCM, 3841, PadAuto, 0, 4096, 4096},
		{AES128GCM, 3993, PadAuto, 0, 4096, 4096},
		{AES128GCM, 10, 1 << 30, 0, 4096, 4096},
		{AES128GCM, 1, 0, 104, 104, 4096},
		{AES128GCM, 0, 0, 104, 104, 4096},
		{AES128GCM, 10, 100, 150, 150, 4096},
		{AES128GCM, 4078, 0, 5000, 4181, 4096},
		{AES128GCM, 4079, 0, 5000, 4182, 4097},
		{AES128GCM, 4897, 0, 5000, 5000, 4915},
		{AES128GCM, 5, 70000, 1 << 20, 70103, 70018},
		{AESGCM, 0, 0, 0, 18, 4096},
		{AESGCM, 1, 0, 0, 19, 4096},
		{AESGCM, 4077, 0, 0, 4095, 4096},
		{AESGCM, 4078, 0, 0, 4096, 4096},
		{AESGCM, 0, PadAuto, 0, 18 + 256, 4096},
		{AESGCM, 4000, PadAuto, 0, 4096, 4096},
		{AESGCM, 10, 1 << 30, 0, 4096, 4096},
		{AESGCM, 1, 0, 19, 19, 4096},
		{AESGCM, 4093, 0, 1 << 20, 4111, 4096},
		{AESGCM, 4094, 0, 1 << 20, 4112, 4097},
		{AESGCM, 5, 70000, 1 << 20, 18 + 5 + 65535, 2 + 5 + 65535 + 1},
		{AESGCM, 70001, 70000, 1 << 20, 18 + 70001 + 65535, 2 + 70001 + 65535 + 1},
	} {
		t.Run(fmt.Sprintf("%s/%d/pad%d/max%d", tt.enc, tt.size, tt.pad, tt.maxBody), func(t *testing.T) {
			plain := bytes.Repeat([]byte{'a', 0}, tt.size)[:tt.size]
			m, err := id.Recipient().Encrypt(plain, Options{Encoding: tt.enc, Pad: tt.pad, MaxBody: tt.maxBody})
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Body) != tt.body || cap(m.Body) != tt.body {
				t.Errorf("body of %d bytes in %d, want %d", len(m.Body), cap(m.Body), tt.body)
			}
			h, err := m.Header()
			if err != nil || h.RecordSize != tt.rs || h.Records != 1 || h.MaxPlaintext != tt.body-m.Encoding.Overhead() {
				t.Errorf("header %+v, %v; want rs %d", h, err, tt.rs)
			}
			// RFC 8291 section 4, and the last record of the draft.
			if record := int64(h.MaxPlaintext); m.Encoding == AES128GCM && h.RecordSize <= record+1+16 || m.Encoding == AESGCM && h.RecordSize <= record+2 {
				t.Errorf("record size %d is too small for a payload of %d", h.RecordSize, h.MaxPlaintext)
			}
			parsed, err := ParseEncryptedMessage(m.Encoding, m.Encryption(), m.CryptoKey(), m.Body)
			if err != nil {
				t.Fatal(err)
			}
			got, err := id.Decrypt(parsed)
			if err != nil || got == nil || !bytes.Equal(got, plain) {
				t.Errorf("decrypted %d bytes, %v", len(got), err)
			}
		})
	}
}

// No size is padded beyond the limit, and none is refused for its padding.
func TestPadNeverExceedsLimit(t *testing.T) {
	for _, enc := range []Encoding{AES128GCM, AESGCM} {
		for _, pad := range []int{0, PadAuto, 1, 7, 128, 4096, math.MaxInt} {
			for size := range enc.MaxPayload(MaxBody) + 1 {
				got, n, rs, err := Options{Encoding: enc, Pad: pad}.plan(size)
				total := size + n
				full := total == enc.MaxPayload(MaxBody)
				bucket := pad
				if pad == PadAuto {
					bucket = 256
				}
				switch {
				case err != nil || got != enc || rs != 4096 || n < 0 || total > enc.MaxPayload(MaxBody):
				case bucket == 0 && n == 0, bucket == 0 && total == 1:
					continue
				case bucket > 0 && n < bucket && total%bucket == 0, bucket > 0 && size == 0 && n == bucket, bucket > 0 && full:
					continue
				}
				t.Fatalf("%s, pad %d, size %d: %s, padding %d, rs %d, %v", enc, pad, size, got, n, rs, err)
			}
		}
	}
}

func TestEncryptRefuses(t *testing.T) {
	r := mustIdentity(t).Recipient()
	for _, tt := range []struct {
		size int
		o    Options
		want error // without the texts
		text string
	}{
		{3994, Options{}, &TooLongError{3994, 3993, 1, AES128GCM}, "payload of 3994 bytes is 1 byte too long: at most 3993 fit in aes128gcm"},
		{4079, Options{Encoding: AESGCM, Pad: PadAuto}, &TooLongError{4079, 4078, 1, AESGCM}, "payload of 4079 bytes is 1 byte too long: at most 4078 fit in aesgcm"},
		{10, Options{MaxBody: 104}, &TooLongError{10, 1, 9, AES128GCM}, "payload of 10 bytes is 9 bytes too long: at most 1 fit in aes128gcm"},
		{4898, Options{MaxBody: 5000}, &TooLongError{4898, 4897, 1, AES128GCM}, "payload of 4898 bytes is 1 byte too long: at most 4897 fit in aes128gcm"},
		{0, Options{MaxBody: 103}, &Error{Code: CodeOptions}, "a body of at most 103 bytes has no room for a payload: aes128gcm alone needs 103"},
		{0, Options{MaxBody: -1}, &Error{Code: CodeOptions}, "a body of at most -1 bytes has no room for a payload: aes128gcm alone needs 103"},
		{0, Options{Encoding: AESGCM, MaxBody: 18}, &Error{Code: CodeOptions}, "a body of at most 18 bytes has no room for a payload: aesgcm alone needs 18"},
		{0, Options{Pad: -2}, &Error{Code: CodeOptions}, "padding to a multiple of -2 bytes is not possible"},
		{0, Options{Encoding: "aesgcm128"}, &Error{Code: CodeEncoding}, `content encoding "aesgcm128" is not supported (want aes128gcm or aesgcm)`},
	} {
		m, err := r.Encrypt(make([]byte, tt.size), tt.o)
		if m != nil || err == nil || err.Error() != tt.text {
			t.Errorf("Encrypt(%d bytes, %+v) = %v, %v; want %q", tt.size, tt.o, m, err, tt.text)
			continue
		}
		var want *TooLongError
		if !errors.As(tt.want, &want) {
			if codeOf(err) != codeOf(tt.want) {
				t.Errorf("error %v has the code %q, want %q", err, codeOf(err), codeOf(tt.want))
			}
			continue
		}
		var got *TooLongError
		if !errors.As(err, &got) || *got != *want || got.Hint() == "" {
			t.Errorf("error %#v, want %#v", err, want)
		}
	}
}

func TestEncryptIsFresh(t *testing.T) {
	r := mustIdentity(t).Recipient()
	for _, enc := range []Encoding{AES128GCM, AESGCM} {
		var seen [2]Header
		for i := range seen {
			m, err := r.Encrypt([]byte("same"), Options{Encoding: enc})
			if err != nil {
				t.Fatal(err)
			}
			if seen[i], err = m.Header(); err != nil {
				t.Fatal(err)
			}
		}
		if bytes.Equal(seen[0].Salt, seen[1].Salt) || bytes.Equal(seen[0].KeyID, seen[1].KeyID) {
			t.Errorf("%s: two messages share salt or key", enc)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	id := mustIdentity(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			enc := []Encoding{AES128GCM, AESGCM}[i%2]
			for n := range 8 {
				want := bytes.Repeat([]byte{byte(i)}, n)
				m, err := id.Recipient().Encrypt(want, Options{Encoding: enc, Pad: PadAuto})
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := id.Decrypt(m); err != nil || !bytes.Equal(got, want) {
					t.Errorf("decrypted %x, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}
