package ece

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

func TestParseFields(t *testing.T) {
	r := mustIdentity(t).Recipient()
	other := mustIdentity(t).Recipient()
	var (
		dh     = b64.Encode(r.P256DH())
		dh2    = b64.Encode(other.P256DH())
		std    = strings.NewReplacer("-", "+", "_", "/").Replace(dh) + "="
		salt   = bytes.Repeat([]byte{0xfb}, 16)
		s      = "salt=" + b64.Encode(salt)
		stdS   = "salt=" + strings.NewReplacer("-", "+", "_", "/").Replace(b64.Encode(salt)) + "=="
		quoted = `salt="` + b64.Encode(salt) + `"`
	)
	for _, tt := range []struct {
		name, encryption, cryptoKey string
		rs                          int // wanted
	}{
		{"plain", s, "dh=" + dh, 0},
		{"quoted", quoted, `dh="` + dh + `"`, 0},
		{"quoted with escapes", `salt="\` + b64.Encode(salt) + `"`, `dh="` + dh + `"`, 0},
		{"padded, standard alphabet", stdS, "dh=" + std, 0},
		{"padded, quoted", strings.Replace(stdS, "salt=", `salt="`, 1) + `"`, `dh="` + std + `"`, 0},
		{"rs", s + ";rs=24", "dh=" + dh, 24},
		{"rs quoted, first", `rs="24"; ` + s, "dh=" + dh, 24},
		{"rs at its minimum", s + ";rs=2", "dh=" + dh, 2},
		{"rs at the default", s + ";rs=4096", "dh=" + dh, 0},
		{"rs with zeros in front", s + ";rs=0004097", "dh=" + dh, 4097},
		{"white space everywhere", " \t" + s + " ; rs = 24\t", " \tdh = " + dh + " ", 24},
		{"names in capitals", strings.ToUpper(s[:5]) + s[5:] + ";RS=24", "DH=" + dh, 24},
		{"VAPID key behind dh", s, "dh=" + dh + ";p256ecdsa=" + dh2, 0},
		{"VAPID key in front of dh", s, "p256ecdsa=" + dh2 + "; dh=" + dh, 0},
		{"VAPID key in its own entry", s, "p256ecdsa=" + dh2 + ",dh=" + dh, 0},
		{"first dh", s, "dh=" + dh + ",dh=" + dh2, 0},
		{"keyid", "keyid=a;" + s, "keyid=b;dh=" + dh2 + ",keyid=a;dh=" + dh, 0},
		{"keyid quoted on one side", `keyid="a";` + s, "dh=" + dh2 + ", dh=" + dh + ";keyid=a", 0},
		{"keyid with separators", `keyid="a,b;\"c";` + s, `dh=` + dh2 + `,keyid="a,b;\"c";dh=` + dh, 0},
		{"keyid in Crypto-Key alone", s, "keyid=a;dh=" + dh + ",dh=" + dh2, 0},
		{"further Encryption entries", s + ";keyid=a,salt=AAAA;keyid=b", "keyid=b;dh=" + dh2 + ",keyid=a;dh=" + dh, 0},
		{"unknown parameters", s + `;x="a;b,c"`, `x=1;dh=` + dh + `;y="\""`, 0},
		{"empty elements", ",; " + s + ";;,", ",;,dh=" + dh + ";", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte("body")
			m, err := ParseEncryptedMessage("AESGCM", tt.encryption, tt.cryptoKey, body)
			if err != nil {
				t.Fatal(err)
			}
			if m.Encoding != AESGCM || !bytes.Equal(m.Salt, salt) || !bytes.Equal(m.SenderKey, r.P256DH()) || m.RecordSize != tt.rs || !bytes.Equal(m.Body, body) {
				t.Errorf("message %+v, want salt %x, rs %d and %v", m, salt, tt.rs, r)
			}
			want := s
			if tt.rs != 0 {
				want += fmt.Sprintf(";rs=%d", tt.rs)
			}
			if m.Encryption() != want || m.CryptoKey() != "dh="+dh {
				t.Errorf("formats as %q and %q", m.Encryption(), m.CryptoKey())
			}
		})
	}

	k := "dh=" + dh
	for _, tt := range []struct {
		name, encryption, cryptoKey string
		code                        Code
		text                        string
	}{
		{"no Encryption", "", k, CodeField, "Encryption is missing or empty, want salt=..."},
		{"blank Encryption", " \t,;", k, CodeField, "Encryption is missing or empty, want salt=..."},
		{"no Crypto-Key", s, "", CodeField, "Crypto-Key is missing or empty, want dh=..."},
		{"no salt", "rs=24", k, CodeField, "Encryption has no salt"},
		{"no dh", s, "p256ecdsa=" + dh, CodeField, "Crypto-Key has no dh"},
		{"salt not base64", "salt=A!", k, CodeSalt, "salt: character '!' at position 2 is not base64"},
		{"salt too short", "salt=AAAA", k, CodeSalt, "salt is 3 bytes, want 16"},
		{"salt too long", s[:len(s)-1] + "AAA", k, CodeSalt, "salt is 18 bytes, want 16"},
		{"salt empty", "salt=", k, CodeField, `Encryption: parameter "salt" has no value`},
		{"salt empty, quoted", `salt="";rs=6`, k, CodeField, `Encryption: parameter "salt" has no value`},
		{"salt without value", "salt;rs=6", k, CodeField, `Encryption: parameter "salt" has no value`},
		{"salt without end", `salt="AAAA`, k, CodeField, `Encryption: parameter "salt" has an unterminated quote`},
		{"salt ends in a backslash", `salt="AAAA\`, k, CodeField, `Encryption: parameter "salt" has an unterminated quote`},
		{"salt twice", s + ";" + s, k, CodeField, `Encryption: parameter "salt" is given twice`},
		{"salt twice, in capitals", s + ";SALT=AAAA", k, CodeField, `Encryption: parameter "salt" is given twice`},
		{"space in a value", "salt=AA AA", k, CodeField, `Encryption: parameter "salt" has 'A' after its value, expected a comma or semicolon`},
		{"text behind a quote", s, `dh="` + dh + `"!`, CodeField, `Crypto-Key: parameter "dh" has '!' after its value, expected a comma or semicolon`},
		{"quoted name", s, `"dh"="` + dh + `"`, CodeField, `Crypto-Key: found '"' where the name of a parameter should start`},
		{"no name", s, k + "; =AAAA", CodeField, `Crypto-Key: found '=' where the name of a parameter should start`},
		{"error in another entry", s, k + ", keyid", CodeField, `Crypto-Key: parameter "keyid" has no value`},
		{"line feed", s + "\n", k, CodeField, `Encryption: parameter "salt" has '\n' after its value, expected a comma or semicolon`},
		{"keyid twice", "keyid=a;" + s + ";keyid=b", k, CodeField, `Encryption: parameter "keyid" is given twice`},
		{"keyid twice in Crypto-Key", s, "keyid=a;keyid=b;" + k, CodeField, `Crypto-Key: parameter "keyid" is given twice`},
		{"keyid of no entry", "keyid=a;" + s, "keyid=b;" + k + "," + k, CodeField, `Crypto-Key has no entry with keyid "a", which Encryption names`},
		{"keyid of an entry without dh", "keyid=a;" + s, "keyid=a;x=1," + k, CodeField, `Crypto-Key has no dh in the entry with keyid "a"`},
		{"keyid under another name", "keyid=a;" + s, "p256dh=a;" + k, CodeField, `Crypto-Key has no entry with keyid "a", which Encryption names`},
		{"dh not base64", s, "dh==" + dh, CodeSenderKey, "dh: character '=' at position 1 is not base64"},
		{"dh too short", s, "dh=zzzz", CodeSenderKey, "dh is 3 bytes, want 65"},
		{"dh off the curve", s, "dh=B" + strings.Repeat("A", 86), CodeSenderKey, "dh is not a point on the curve P-256"},
		{"rs not a number", s + ";rs=bad", k, CodeRecordSize, `record size "bad" is not a decimal number`},
		{"rs signed", s + ";rs=+24", k, CodeRecordSize, `record size "+24" is not a decimal number`},
		{"rs negative", s + ";rs=-24", k, CodeRecordSize, `record size "-24" is not a decimal number`},
		{"rs 1", s + ";rs=1", k, CodeRecordSize, "record size 1 is below the minimum of 2"},
		{"rs 0", s + ";rs=0", k, CodeRecordSize, "record size 0 is below the minimum of 2"},
		{"rs beyond 64 bits", s + ";rs=99999999999999999999", k, CodeRecordSize, "record size 99999999999999999999 is above the maximum of 68719476705"},
		{"rs beyond 2^36-31", s + ";rs=68719476706", k, CodeRecordSize, "record size 68719476706 is above the maximum of 68719476705"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := ParseEncryptedMessage(AESGCM, tt.encryption, tt.cryptoKey, nil)
			if m != nil || codeOf(err) != tt.code {
				t.Fatalf("message %v, error %v; want %v", m, err, tt.code)
			}
			if err.Error() != tt.text {
				t.Errorf("error %q, want %q", err, tt.text)
			}
		})
	}
}

func TestParseEncryptedMessageIgnoresFields(t *testing.T) {
	m, err := ParseEncryptedMessage(AES128GCM, `salt="`, "\x00", []byte{1})
	if err != nil || m.Encoding != AES128GCM || m.Salt != nil || m.SenderKey != nil || len(m.Body) != 1 {
		t.Errorf("message %+v, %v", m, err)
	}
	for _, enc := range []Encoding{"", "aesgcm128", "identity"} {
		if m, err := ParseEncryptedMessage(enc, "", "", nil); m != nil || codeOf(err) != CodeEncoding {
			t.Errorf("%q: message %v, %v", enc, m, err)
		}
	}
}

func TestParseFieldsIsLinear(t *testing.T) {
	// A megabyte of each delimiter, and of entries, is over in no time.
	for _, s := range []string{",", ";", "a=b,", `a="\"",`, "a", `a="`, " "} {
		ParseEncryptedMessage(AESGCM, strings.Repeat(s, 1<<20/len(s)), "", nil)
	}
}

// Each message breaks the rule it is named after, and no other.
func TestDecryptRefuses(t *testing.T) {
	id := mustIdentity(t)
	r := id.Recipient()
	head := func(rs uint32, keyID []byte) []byte {
		return appendHeader(nil, make([]byte, 16), rs, keyID)
	}
	good := r.P256DH()
	off := bytes.Clone(good)
	off[64] ^= 1
	record := make([]byte, 17)
	whole := func(enc Encoding) *EncryptedMessage {
		m, err := r.Encrypt([]byte("hello"), Options{Encoding: enc})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	change := func(m *EncryptedMessage, f func(m *EncryptedMessage)) *EncryptedMessage {
		f(m)
		return m
	}
	ref := func(enc Encoding, rs int, plains ...string) *EncryptedMessage {
		var b [][]byte
		for _, p := range plains {
			b = append(b, []byte(p))
		}
		return refMessage(t, r, enc, rs, b)
	}
	body := func(parts ...[]byte) *EncryptedMessage {
		return &EncryptedMessage{Encoding: AES128GCM, Body: slices.Concat(parts...)}
	}
	gcm := func(size int) *EncryptedMessage {
		return &EncryptedMessage{Encoding: AESGCM, Body: make([]byte, size), Salt: make([]byte, 16), SenderKey: good, RecordSize: 20}
	}

	const fails = "record 1 of 1 does not decrypt: wrong private key, wrong auth or altered message"
	for _, tt := range []struct {
		name string
		m    *EncryptedMessage
		code Code
		text string
		key  bool // needed to find out, so that Header does not
	}{
		{"no encoding", &EncryptedMessage{}, CodeEncoding, `content encoding "" is not supported (want aes128gcm or aesgcm)`, false},
		{"unknown encoding", &EncryptedMessage{Encoding: "aesgcm128"}, CodeEncoding, `content encoding "aesgcm128" is not supported (want aes128gcm or aesgcm)`, false},

		{"empty body", body(), CodeShortHeader, "body is 0 bytes, shorter than the 21 bytes of salt, record size and key id length", false},
		{"20 bytes", body(head(4096, good)[:20]), CodeShortHeader, "body is 20 bytes, shorter than the 21 bytes of salt, record size and key id length", false},
		{"cut in the key id", body(head(4096, good)[:85]), CodeShortHeader, "body is 85 bytes, shorter than its header of 86 with a key id of 65", false},
		{"rs 17", body(head(17, good), record), CodeRecordSize, "record size 17 is below the minimum of 18", false},
		{"rs 0", body(head(0, good), record), CodeRecordSize, "record size 0 is below the minimum of 18", false},
		{"no record", body(head(4096, good)), CodeNoRecord, "message has no record after its header", false},
		{"record of a tag only", body(head(4096, good), record[:16]), CodeShortRecord, "last record is 16 bytes, shorter than the minimum of 17", false},
		{"second record of a byte", body(head(18, good), record, make([]byte, 2)), CodeShortRecord, "last record is 1 byte, shorter than the minimum of 17", false},
		{"no key id", body(head(4096, nil), record), CodeSenderKey, "key id is 0 bytes, want 65", true},
		{"key id of text", body(head(4096, []byte("a1")), record), CodeSenderKey, "key id is 2 bytes, want 65", true},
		{"key id off the curve", body(head(4096, off), record), CodeSenderKey, "key id is not a point on the curve P-256", true},
		{"made up", body(head(1<<32-1, good), record), CodeDecrypt, fails, true},
		{"altered tag", change(whole(AES128GCM), func(m *EncryptedMessage) { m.Body[len(m.Body)-1] ^= 1 }), CodeDecrypt, fails, true},
		{"altered salt", change(whole(AES128GCM), func(m *EncryptedMessage) { m.Body[0] ^= 1 }), CodeDecrypt, fails, true},
		{"cut record", change(whole(AES128GCM), func(m *EncryptedMessage) { m.Body = m.Body[:len(m.Body)-1] }), CodeDecrypt, fails, true},
		{"zeros only", ref(AES128GCM, 4096, "\x00\x00"), CodeDelimiter, "record 1 of 1 has no delimiter, only zeros", true},
		{"zeros only, first", ref(AES128GCM, 18, "\x00\x00", "a\x02"), CodeDelimiter, "record 1 of 2 has no delimiter, only zeros", true},
		{"delimiter of another", ref(AES128GCM, 4096, "a\x03\x00"), CodeDelimiter, "record 1 of 1 has delimiter 3, want 2", true},
		{"no last record", ref(AES128GCM, 18, "a\x01", "b\x01"), CodeDelimiter, "record 2 of 2 has delimiter 1, want 2: the message was cut between records", true},
		{"two last records", ref(AES128GCM, 18, "a\x02", "b\x02"), CodeDelimiter, "record 1 of 2 has delimiter 2, want 1", true},
		{"records swapped", change(ref(AES128GCM, 18, "a\x01", "b\x02"), func(m *EncryptedMessage) {
			m.Body = slices.Concat(m.Body[:86], m.Body[104:], m.Body[86:104])
		}), CodeDecrypt, "record 1 of 2 does not decrypt: wrong private key, wrong auth or altered message", true},

		{"aesgcm: no salt", &EncryptedMessage{Encoding: AESGCM}, CodeSalt, "salt is 0 bytes, want 16", false},
		{"aesgcm: rs 1", &EncryptedMessage{Encoding: AESGCM, Salt: record[:16], RecordSize: 1}, CodeRecordSize, "record size 1 is below the minimum of 2", false},
		{"aesgcm: rs negative", &EncryptedMessage{Encoding: AESGCM, Salt: record[:16], RecordSize: -1}, CodeRecordSize, "record size -1 is below the minimum of 2", false},
		{"aesgcm: no record", gcm(0), CodeNoRecord, "message has no record after its header", false},
		{"aesgcm: full last record", gcm(72), CodeTruncated, "body of 72 bytes is a multiple of the 36 bytes of a full record: its end is missing", false},
		{"aesgcm: short last record", gcm(36 + 17), CodeShortRecord, "last record is 17 bytes, shorter than the minimum of 18", false},
		{"aesgcm: no sender key", change(whole(AESGCM), func(m *EncryptedMessage) { m.SenderKey = nil }), CodeSenderKey, "sender key is 0 bytes, want 65", true},
		{"aesgcm: compressed sender key", change(whole(AESGCM), func(m *EncryptedMessage) { m.SenderKey = append([]byte{3}, m.SenderKey[1:33]...) }), CodeSenderKey, "sender key is a compressed point of 33 bytes, want an uncompressed one of 65", true},
		{"aesgcm: made up", gcm(35), CodeDecrypt, fails, true},
		{"aesgcm: altered tag", change(whole(AESGCM), func(m *EncryptedMessage) { m.Body[len(m.Body)-1] ^= 1 }), CodeDecrypt, fails, true},
		{"aesgcm: padding too long", ref(AESGCM, 4096, "\x00\x04abc"), CodePadding, "record 1 of 1 has padding of 4 bytes, but only 3 left", true},
		{"aesgcm: padding of letters", ref(AESGCM, 4096, "\x00\x02\x00a\x00"), CodePadding, "record 1 of 1 has 0x61 at position 2 of its padding, want zeros", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := id.Decrypt(tt.m)
			if got != nil || codeOf(err) != tt.code || err.Error() != tt.text {
				t.Errorf("Decrypt = %q, %v; want %q", got, err, tt.text)
			}
			if _, headErr := tt.m.Header(); tt.key != (headErr == nil) || headErr != nil && headErr.Error() != err.Error() {
				t.Errorf("Header: %v; want the same, unless it needs the key", headErr)
			}
		})
	}

	for _, enc := range []Encoding{AES128GCM, AESGCM} {
		m := whole(enc)
		if _, err := mustIdentity(t).Decrypt(m); codeOf(err) != CodeDecrypt {
			t.Errorf("%s: another private key: %v", enc, err)
		}
		wrongAuth, err := NewIdentity(id.Private(), make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wrongAuth.Decrypt(m); codeOf(err) != CodeDecrypt {
			t.Errorf("%s: another auth: %v", enc, err)
		}
	}
}

// codeOf returns the code of an error, or "" for any other error and nil.
func codeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// A record size of gigabytes costs nothing.
func TestRecordSizeIsNotAllocated(t *testing.T) {
	id := mustIdentity(t)
	m, err := id.Recipient().Encrypt([]byte("small"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(m.Body[16:], 1<<32-1)
	if got, err := id.Decrypt(m); err != nil || string(got) != "small" || cap(got) > len(m.Body) {
		t.Errorf("decrypted %q with capacity %d, %v", got, cap(got), err)
	}
}

func TestHeaderIsACopy(t *testing.T) {
	m, err := mustIdentity(t).Recipient().Encrypt(nil, Options{Encoding: AESGCM})
	if err != nil {
		t.Fatal(err)
	}
	h, err := m.Header()
	if err != nil {
		t.Fatal(err)
	}
	clear(h.Salt)
	clear(h.KeyID)
	if bytes.Equal(h.Salt, m.Salt) || bytes.Equal(h.KeyID, m.SenderKey) {
		t.Error("Header gives out the bytes of the message")
	}
}
