package ece

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecrypt checks that no body makes Decrypt panic, that every refusal is
// one of the documented ones, and that Header agrees. As no fuzzer finds a valid
// tag, seal makes the body of valid records around the fuzzer's plaintext.
func FuzzDecrypt(f *testing.F) {
	vectors := readVectors(f)
	seeds := 0
	for _, v := range vectors {
		if len(v.Ciphertext) == 0 {
			continue
		}
		f.Add(v.Encoding == AESGCM, false, v.header("Encryption"), v.header("Crypto-Key"), v.RS, []byte(v.Ciphertext))
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	for _, plain := range []string{"", "\x02", "a\x02\x00", "a\x01b\x02", "\x00\x00", "\x00\x01\x00a", "\x00\x02\x00\x00\x00\x00a"} {
		f.Add(false, true, "", "", int64(19), []byte(plain))
		f.Add(true, true, "", "", int64(4), []byte(plain))
	}

	// The receiver of the first vector, so that the seeds get past the tag.
	id, err := NewIdentity(vectors[0].ReceiverPrivate, vectors[0].AuthSecret)
	if err != nil {
		f.Fatal(err)
	}
	point := []byte(vectors[0].SenderPublic)
	sender, err := parsePoint(CodeSenderKey, "", point)
	if err != nil {
		f.Fatal(err)
	}
	secret, err := id.key.p.ECDH(sender)
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, old, seal bool, encryption, cryptoKey string, rs int64, body []byte) {
		enc, perRecord := AES128GCM, rs-tagSize
		if old {
			enc, perRecord = AESGCM, rs
		}
		m, err := ParseEncryptedMessage(enc, encryption, cryptoKey, body)
		if err != nil || seal {
			m = &EncryptedMessage{Encoding: enc, Body: body, Salt: make([]byte, saltSize), SenderKey: point, RecordSize: int(rs)}
		}
		if seal {
			if perRecord < 1 || perRecord > 1<<16 {
				return
			}
			var plains [][]byte
			for rest := body; len(rest) > 0; {
				n := min(int(perRecord), len(rest))
				plains = append(plains, rest[:n])
				rest = rest[n:]
			}
			m = refMessageFrom(secret, point, id.Recipient(), enc, int(rs), plains)
		}
		got, err := id.Decrypt(m)
		h, headErr := m.Header()
		if err == nil {
			if headErr != nil || len(got) > h.MaxPlaintext || h.Records < 1 {
				t.Fatalf("decrypts to %d bytes, with header %+v, %v", len(got), h, headErr)
			}
			return
		}
		if codeOf(err) == "" || got != nil {
			t.Fatalf("%d bytes and error %v, which has no code", len(got), err)
		}
		if headErr != nil && headErr.Error() != err.Error() {
			t.Fatalf("Decrypt: %v, but Header: %v", err, headErr)
		}
		if seal && codeOf(err) == CodeDecrypt {
			t.Fatalf("sealed records do not open: %v", err)
		}
	})
}

// FuzzRoundTrip checks that Decrypt is the inverse of Encrypt, that the body
// respects the limit, and that only a payload beyond MaxPayload is too long.
func FuzzRoundTrip(f *testing.F) {
	f.Add(false, []byte(nil), 0, 0)
	f.Add(true, []byte(nil), PadAuto, 0)
	f.Add(false, []byte("When I grow up, I want to be a watermelon"), 128, 4096)
	f.Add(true, []byte("I am the walrus"), 1, 40)
	f.Add(false, make([]byte, 3994), 0, 0)
	f.Add(true, make([]byte, 5000), 70000, 1<<17)
	f.Add(false, []byte{2, 0, 0}, -2, -5)
	id, err := GenerateIdentity()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, old bool, payload []byte, pad, maxBody int) {
		o := Options{Encoding: AES128GCM, Pad: pad, MaxBody: maxBody}
		if old {
			o.Encoding = AESGCM
		}
		limit := maxBody
		if limit == 0 {
			limit = MaxBody
		}
		if limit > 1<<20 && pad > 1<<20 {
			return // would be right, but slow
		}
		m, err := id.Recipient().Encrypt(payload, o)
		if err != nil {
			most := o.Encoding.MaxPayload(limit)
			var tooLong *TooLongError
			switch {
			case errors.As(err, &tooLong) && len(payload) > most && tooLong.By == len(payload)-most:
			case codeOf(err) == CodeOptions && (most == 0 || pad < PadAuto):
			default:
				t.Fatalf("%d bytes, %+v: %v", len(payload), o, err)
			}
			return
		}
		if len(m.Body) > limit || cap(m.Body) != len(m.Body) {
			t.Fatalf("body of %d bytes in %d, limit %d", len(m.Body), cap(m.Body), limit)
		}
		parsed, err := ParseEncryptedMessage(m.Encoding, m.Encryption(), m.CryptoKey(), m.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := id.Decrypt(parsed); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("%x comes back as %x, %v", payload, got, err)
		}
	})
}

// FuzzParseEncryptedMessage checks that what ParseEncryptedMessage accepts means the same after
// it is formatted, and that the format is a fixed point.
func FuzzParseEncryptedMessage(f *testing.F) {
	seeds := 0
	for _, v := range readVectors(f) {
		if v.Encoding == AESGCM {
			f.Add(v.header("Encryption"), v.header("Crypto-Key"))
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	const dh = "BNoRDbb84JGm8g5Z5CFxurSqsXWJ11ItfXEWYVLE85Y7CYkDjXsIEc4aqxYaQ1G8BqkXCJ6DPpDrWtdWj_mugHU"
	f.Add(`keyid="a\",;" ; salt = "lngarbyKfMoi9Z75xYXmkg==" ;rs=24, salt=AAAA`, `p256ecdsa=AA,,dh=`+dh+`=;keyid="a\",;"`)
	f.Fuzz(func(t *testing.T, encryption, cryptoKey string) {
		m, err := ParseEncryptedMessage(AESGCM, encryption, cryptoKey, nil)
		if err != nil {
			if m != nil || codeOf(err) == "" {
				t.Fatalf("message %v, error %v", m, err)
			}
			return
		}
		again, err := ParseEncryptedMessage(AESGCM, m.Encryption(), m.CryptoKey(), nil)
		if err != nil {
			t.Fatalf("%q and %q, formatted from %q and %q: %v", m.Encryption(), m.CryptoKey(), encryption, cryptoKey, err)
		}
		if !bytes.Equal(again.Salt, m.Salt) || !bytes.Equal(again.SenderKey, m.SenderKey) || again.RecordSize != m.RecordSize ||
			again.Encryption() != m.Encryption() || again.CryptoKey() != m.CryptoKey() {
			t.Fatalf("%+v comes back as %+v", m, again)
		}
	})
}
