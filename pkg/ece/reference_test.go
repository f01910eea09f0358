package ece

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The sender of this file shares no code with the package. It follows the text
// of the RFCs down to HMAC, makes any number of records with any padding, and
// can make records that break the rules.

func refHMAC(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// refKeys returns the content key and the base nonce.
func refKeys(enc Encoding, secret, auth, salt, receiver, sender []byte) (cek, nonce []byte) {
	prk := refHMAC(auth, secret)
	var ikm, context []byte
	if enc == AES128GCM {
		ikm = refHMAC(prk, []byte("WebPush: info\x00"), receiver, sender, []byte{1})
	} else {
		ikm = refHMAC(prk, []byte("Content-Encoding: auth\x00"), []byte{1})
		context = bytes.Join([][]byte{[]byte("P-256\x00\x00\x41"), receiver, []byte("\x00\x41"), sender}, nil)
	}
	prk = refHMAC(salt, ikm)
	cek = refHMAC(prk, []byte("Content-Encoding: "+string(enc)+"\x00"), context, []byte{1})[:16]
	nonce = refHMAC(prk, []byte("Content-Encoding: nonce\x00"), context, []byte{1})[:12]
	return cek, nonce
}

// refSeal seals the plaintexts of records, delimiter and padding included.
func refSeal(cek, nonce []byte, plains [][]byte) []byte {
	block, err := aes.NewCipher(cek)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	var out []byte
	for seq, plain := range plains {
		n := new(big.Int).SetBytes(nonce)
		n.Xor(n, big.NewInt(int64(seq)))
		out = aead.Seal(out, n.FillBytes(make([]byte, 12)), plain, nil)
	}
	return out
}

// refRecords cuts data into the plaintexts of records of size rs, with padding
// at random, whole records of it included.
func refRecords(rng *rand.Rand, enc Encoding, rs int, data []byte) [][]byte {
	var plains [][]byte
	for {
		// room is what data and padding share in a full record.
		room := rs - 17
		if enc == AESGCM {
			room = rs - 2
		}
		last := room > len(data) && rng.IntN(4) > 0
		n := min(len(data), room)
		if !last && n > 0 {
			n = rng.IntN(n + 1)
		}
		if room == 1 && len(data) > 0 { // no choice but to go on
			n = 1
		}
		pad := room - n
		if last {
			n = len(data)
			pad = rng.IntN(room - n) // so that it is shorter than a full one
		}
		if enc == AES128GCM {
			plain := append([]byte(nil), data[:n]...)
			plain = append(plain, 1)
			if last {
				plain[n] = 2
			}
			plains = append(plains, append(plain, make([]byte, pad)...))
		} else {
			plain := binary.BigEndian.AppendUint16(nil, uint16(pad))
			plain = append(plain, make([]byte, pad)...)
			plains = append(plains, append(plain, data[:n]...))
		}
		data = data[n:]
		if last {
			return plains
		}
	}
}

// refMessage encrypts plaintexts of records for r.
func refMessage(t testing.TB, r *Recipient, enc Encoding, rs int, plains [][]byte) *EncryptedMessage {
	t.Helper()
	sender, err := GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ecdh.P256().NewPublicKey(r.P256DH())
	if err != nil {
		t.Fatal(err)
	}
	secret, err := sender.key.p.ECDH(peer)
	if err != nil {
		t.Fatal(err)
	}
	return refMessageFrom(secret, sender.Recipient().P256DH(), r, enc, rs, plains)
}

func refMessageFrom(secret, point []byte, r *Recipient, enc Encoding, rs int, plains [][]byte) *EncryptedMessage {
	salt := point[1:17]
	cek, nonce := refKeys(enc, secret, r.Auth(), salt, r.P256DH(), point)
	m := &EncryptedMessage{Encoding: enc, Body: refSeal(cek, nonce, plains)}
	if enc == AES128GCM {
		m.Body = bytes.Join([][]byte{salt, binary.BigEndian.AppendUint32(nil, uint32(rs)), {65}, point, m.Body}, nil)
	} else {
		m.Salt, m.SenderKey, m.RecordSize = salt, point, rs
	}
	return m
}

func TestDecryptRecords(t *testing.T) {
	rng := rand.New(rand.NewPCG(8188, 8291))
	id := mustIdentity(t)
	records := map[Encoding]int{}
	for i := range 300 {
		enc, least := AES128GCM, 18
		if i%2 == 1 {
			enc, least = AESGCM, 3
		}
		rs := least + rng.IntN(1<<(1+rng.IntN(9)))
		if i < 8 {
			rs = least
		}
		data := make([]byte, rng.IntN(200))
		for i := range data {
			data[i] = byte(rng.IntN(4)) // zeros, and bytes like delimiters
		}
		plains := refRecords(rng, enc, rs, data)
		m := refMessage(t, id.Recipient(), enc, rs, plains)
		got, err := id.Decrypt(m)
		if err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s, rs %d, %d records: decrypted %x, %v; want %x", enc, rs, len(plains), got, err, data)
		}
		h, err := m.Header()
		if err != nil || h.Records != len(plains) || h.RecordSize != int64(rs) || h.MaxPlaintext < len(data) {
			t.Fatalf("%s, rs %d, %d records: header %+v, %v", enc, rs, len(plains), h, err)
		}
		records[enc] = max(records[enc], len(plains))
	}
	if records[AES128GCM] < 50 || records[AESGCM] < 50 {
		t.Errorf("most records in a message: %v, want more", records)
	}
}

// The curve in affine coordinates and math/big, as a textbook has it.
var refP256 = struct{ p, b *big.Int }{
	refHex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
	refHex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
}

func refHex(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		panic(s)
	}
	return n
}

// refECDH returns the 32 bytes of the X coordinate of k times the point.
func refECDH(t *testing.T, k, point []byte) []byte {
	p := refP256.p
	x1, y1 := new(big.Int).SetBytes(point[1:33]), new(big.Int).SetBytes(point[33:])
	// y^2 = x^3 - 3x + b
	left := new(big.Int).Mul(y1, y1)
	right := new(big.Int).Exp(x1, big.NewInt(3), p)
	right.Sub(right, new(big.Int).Mul(big.NewInt(3), x1)).Add(right, refP256.b)
	if left.Mod(left, p).Cmp(right.Mod(right, p)) != 0 {
		t.Fatal("not on the curve")
	}
	var x, y *big.Int // nil: the point at infinity
	add := func(x2, y2 *big.Int) {
		if x == nil {
			x, y = x2, y2
			return
		}
		num, den := new(big.Int).Sub(y2, y), new(big.Int).Sub(x2, x)
		if x.Cmp(x2) == 0 { // doubling: an addition of P to -P does not occur here
			num.Mul(x, x).Mul(num, big.NewInt(3)).Sub(num, big.NewInt(3))
			den.Lsh(y, 1)
		}
		slope := den.Mod(den, p).ModInverse(den, p)
		slope.Mul(slope, num).Mod(slope, p)
		x3 := new(big.Int).Mul(slope, slope)
		x3.Sub(x3, x).Sub(x3, x2).Mod(x3, p)
		y3 := new(big.Int).Sub(x, x3)
		y3.Mul(y3, slope).Sub(y3, y).Mod(y3, p)
		x, y = x3, y3
	}
	n := new(big.Int).SetBytes(k)
	for i := n.BitLen() - 1; i >= 0; i-- {
		if x != nil {
			add(x, y)
		}
		if n.Bit(i) == 1 {
			add(x1, y1)
		}
	}
	return x.FillBytes(make([]byte, 32))
}

// One shared secret in 256 starts with a zero, which a derivation from a number
// would drop: it has to be 32 bytes always (RFC 8291 section 3.1).
func TestLeadingZeroInSecret(t *testing.T) {
	v := readVectors(t)[0]
	id, err := NewIdentity(v.ReceiverPrivate, v.AuthSecret)
	if err != nil {
		t.Fatal(err)
	}
	r := id.Recipient()
	var sender *ecdh.PrivateKey
	var secret []byte
	for i := uint64(1); secret == nil || secret[0] != 0; i++ {
		scalar := sha256.Sum256(binary.BigEndian.AppendUint64(nil, i))
		sender = mustPrivate(t, scalar[:])
		if secret, err = sender.ECDH(r.key); err != nil {
			t.Fatal(err)
		}
	}
	point := sender.PublicKey().Bytes()
	independent := refECDH(t, v.ReceiverPrivate, point)
	if !bytes.Equal(secret, independent) {
		t.Fatalf("secret %x, independently %x", secret, independent)
	}

	data := []byte("one in 256")
	for enc, plain := range map[Encoding][]byte{
		AES128GCM: append(bytes.Clone(data), 2),
		AESGCM:    append([]byte{0, 0}, data...),
	} {
		want := refMessageFrom(independent, point, r, enc, 4096, [][]byte{plain})
		got, err := r.seal(enc, sender, point[1:17], data, 0, 4096)
		if err != nil || !bytes.Equal(got.Body, want.Body) {
			t.Errorf("%s: sealed %x, %v; independently %x", enc, got.Body, err, want.Body)
		}
		if opened, err := id.Decrypt(want); err != nil || !bytes.Equal(opened, data) {
			t.Errorf("%s: decrypted %q, %v", enc, opened, err)
		}
	}
}
