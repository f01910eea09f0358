package ece

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// data is a byte string that JSON has in base64url.
type data []byte

func (d *data) UnmarshalText(text []byte) (err error) {
	*d, err = b64.Decode(string(text))
	return err
}

type vector struct {
	Name        string
	Source      string
	Encoding    Encoding
	Operations  []string
	ExpectError string `json:"expect_error"`

	ReceiverPrivate data `json:"receiver_private"`
	ReceiverPublic  data `json:"receiver_public"`
	SenderPrivate   data `json:"sender_private"`
	SenderPublic    data `json:"sender_public"`
	AuthSecret      data `json:"auth_secret"`
	IKM             data // instead of the keys above
	KeyID           string

	Salt           data
	RS             int64
	PadLength      int `json:"pad_length"`
	PadFirstRecord int `json:"pad_first_record"`

	Plaintext       data
	PlaintextRepeat *struct {
		Byte  string // in hex
		Count int
	} `json:"plaintext_repeat"`
	Ciphertext       data
	CiphertextLength int    `json:"ciphertext_length"`
	CiphertextSHA256 string `json:"ciphertext_sha256"` // instead of Ciphertext

	Body    data // of a peer's message
	Headers map[string]any

	Intermediate struct {
		Secret     data `json:"ecdh_secret"`
		PRKKey     data `json:"prk_key"`     // aes128gcm
		PRKCombine data `json:"prk_combine"` // aesgcm
		KeyInfo    data `json:"key_info"`
		IKM        data
		PRK        data
		CEKInfo    data `json:"cek_info"`
		CEK        data
		NonceInfo  data `json:"nonce_info"`
		Nonce      data
	}
}

func (v vector) header(name string) string {
	s, _ := v.Headers[name].(string)
	return s
}

func (v vector) plaintext(t *testing.T) []byte {
	if v.PlaintextRepeat == nil {
		return v.Plaintext
	}
	b, err := hex.DecodeString(v.PlaintextRepeat.Byte)
	if err != nil || len(b) != 1 {
		t.Fatalf("plaintext_repeat.byte %q: %v", v.PlaintextRepeat.Byte, err)
	}
	return bytes.Repeat(b, v.PlaintextRepeat.Count)
}

func (v vector) checkCiphertext(t *testing.T, got []byte) {
	t.Helper()
	if v.CiphertextSHA256 == "" {
		if !bytes.Equal(got, v.Ciphertext) {
			t.Errorf("ciphertext\n got %x\nwant %x", got, v.Ciphertext)
		}
		return
	}
	sum := sha256.Sum256(got)
	if hex.EncodeToString(sum[:]) != v.CiphertextSHA256 || len(got) != v.CiphertextLength {
		t.Errorf("ciphertext of %d bytes with SHA-256 %x, want %d bytes with %s", len(got), sum, v.CiphertextLength, v.CiphertextSHA256)
	}
}

// seal encrypts the vector with its own sender key and salt.
func (v vector) seal(t *testing.T) *EncryptedMessage {
	r, err := NewRecipient(v.ReceiverPublic, v.AuthSecret)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.seal(v.Encoding, mustPrivate(t, v.SenderPrivate), v.Salt, v.plaintext(t), v.PadLength, v.RS)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (v vector) parse(t *testing.T) (*EncryptedMessage, error) {
	if v.CiphertextSHA256 != "" {
		m := v.seal(t)
		return ParseEncryptedMessage(v.Encoding, v.header("Encryption"), v.header("Crypto-Key"), m.Body)
	}
	return ParseEncryptedMessage(v.Encoding, v.header("Encryption"), v.header("Crypto-Key"), v.Ciphertext)
}

func mustPrivate(t *testing.T, b []byte) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.P256().NewPrivateKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustPublic(t *testing.T, b []byte) *ecdh.PublicKey {
	t.Helper()
	key, err := ecdh.P256().NewPublicKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func readVectors(t testing.TB) []vector {
	var file struct{ Encryption []vector }
	readJSON(t, "rfc.json", &file)
	if len(file.Encryption) == 0 {
		t.Fatal("rfc.json has no vectors")
	}
	return file.Encryption
}

// The names that the vectors, mostly of the C library ecec, have for errors.
var expectErrors = map[string]Code{
	"ECE_ERROR_SHORT_HEADER":      CodeShortHeader,
	"ECE_ERROR_COMPUTE_SECRET":    CodeSenderKey,
	"ECE_ERROR_DECRYPT_TRUNCATED": CodeTruncated,
	"ECE_ERROR_DECRYPT_PADDING":   CodePadding,
	"ECE_ERROR_SHORT_BLOCK":       CodeShortRecord,
}

func TestVectors(t *testing.T) {
	ran := map[string]int{}
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			if len(v.Operations) == 0 {
				t.Error("vector has no operations")
			}
			for _, op := range v.Operations {
				ran[op]++
				switch {
				case v.ExpectError != "":
					ran["error"]++
					testVectorError(t, v)
				case len(v.IKM) > 0:
					ran["explicit"]++
					testVectorExplicit(t, v, op)
				case op == "encrypt":
					testVectorEncrypt(t, v)
				case op == "decrypt":
					testVectorDecrypt(t, v)
				case op == "decrypt-with-sender-key":
					testVectorSenderKey(t, v)
				case op == "derive": // below
				default:
					t.Errorf("unknown operation %q", op)
				}
			}
			testVectorDerive(t, v, ran)
		})
	}
	for _, what := range []string{"encrypt", "decrypt", "decrypt-with-sender-key", "derive", "error", "explicit", "intermediate"} {
		if ran[what] == 0 {
			t.Errorf("no vector ran %s", what)
		}
	}
}

func testVectorEncrypt(t *testing.T, v vector) {
	m := v.seal(t)
	v.checkCiphertext(t, m.Body)
	if v.Encoding == AES128GCM {
		if m.Encryption() != "" || m.CryptoKey() != "" {
			t.Errorf("fields %q and %q, want none", m.Encryption(), m.CryptoKey())
		}
		return
	}
	want, err := v.parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if m.Encryption() != want.Encryption() || m.CryptoKey() != want.CryptoKey() || m.RecordSize != want.RecordSize {
		t.Errorf("message %+v, want the fields of %+v", m, want)
	}
}

func testVectorDecrypt(t *testing.T, v vector) {
	id, err := NewIdentity(v.ReceiverPrivate, v.AuthSecret)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(id.Recipient().P256DH(), v.ReceiverPublic) {
		t.Errorf("public key %x, want %x", id.Recipient().P256DH(), v.ReceiverPublic)
	}
	m, err := v.parse(t)
	if err != nil {
		t.Fatal(err)
	}
	got, err := id.Decrypt(m)
	if err != nil || !bytes.Equal(got, v.plaintext(t)) {
		t.Errorf("decrypted %x, %v; want %x", got, err, v.plaintext(t))
	}
	h, err := m.Header()
	if err != nil || h.RecordSize != v.RS || !bytes.Equal(h.Salt, v.Salt) || len(h.KeyID) != KeySize || h.MaxPlaintext < len(got) {
		t.Errorf("header %+v, %v", h, err)
	}
	// The aesgcm fields survive formatting.
	again, err := ParseEncryptedMessage(m.Encoding, m.Encryption(), m.CryptoKey(), m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := id.Decrypt(again); err != nil || !bytes.Equal(got, v.plaintext(t)) {
		t.Errorf("formatted and parsed, decrypted %x, %v", got, err)
	}
}

// Some vectors have the sender's private key in place of the receiver's: the
// secret is the same.
func testVectorSenderKey(t *testing.T, v vector) {
	secret, err := mustPrivate(t, v.SenderPrivate).ECDH(mustPublic(t, v.ReceiverPublic))
	if err != nil {
		t.Fatal(err)
	}
	m, err := v.parse(t)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.frame()
	if err != nil {
		t.Fatal(err)
	}
	key, err := webPushKey(v.Encoding, secret, v.AuthSecret, f.salt, v.ReceiverPublic, f.keyID)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.open(key); err != nil || !bytes.Equal(got, v.Plaintext) {
		t.Errorf("decrypted %q, %v; want %q", got, err, v.Plaintext)
	}
}

func testVectorError(t *testing.T, v vector) {
	want, ok := expectErrors[v.ExpectError]
	if !ok {
		t.Fatalf("unknown expect_error %q", v.ExpectError)
	}
	id, err := NewIdentity(v.ReceiverPrivate, v.AuthSecret)
	if err != nil {
		t.Fatal(err)
	}
	m, err := v.parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := id.Decrypt(m); codeOf(err) != want || got != nil {
		t.Errorf("decrypted %x, error %v; want the code %q", got, err, want)
	}
}

// The vectors with an explicit key are of RFC 8188 alone, without Web Push.
func testVectorExplicit(t *testing.T, v vector, op string) {
	f := frame{encoding: AESGCM, salt: v.Salt, chunk: v.RS + tagSize, framing: padLenSize + tagSize, records: v.Ciphertext}
	cekInfo, nonceInfo := string(v.Intermediate.CEKInfo), string(v.Intermediate.NonceInfo)
	if v.Encoding == AES128GCM {
		cekInfo, nonceInfo = cekInfoAES128GCM, nonceInfoWant
		var err error
		if f, err = frameAES128GCM(v.Ciphertext); err != nil {
			t.Fatal(err)
		}
		if f.rs != v.RS || string(f.keyID) != v.KeyID || !bytes.Equal(f.salt, v.Salt) {
			t.Errorf("header has salt %x, rs %d, keyid %q", f.salt, f.rs, f.keyID)
		}
	}
	key := deriveKey(v.IKM, v.Salt, cekInfo, nonceInfo)
	switch op {
	case "decrypt":
		if got, err := f.open(key); err != nil || !bytes.Equal(got, v.Plaintext) {
			t.Errorf("decrypted %q, %v; want %q", got, err, v.Plaintext)
		}
	case "encrypt":
		aead, err := key.aead()
		if err != nil {
			t.Fatal(err)
		}
		body := appendHeader(nil, v.Salt, uint32(v.RS), []byte(v.KeyID))
		rest, pad := v.Plaintext, v.PadFirstRecord
		for seq := uint64(0); ; seq++ {
			var nonce [nonceSize]byte
			key.recordNonce(&nonce, seq)
			n := min(len(rest), int(v.RS)-delimiterSize-tagSize-pad)
			delimiter := byte(delimiterMore)
			if n == len(rest) {
				delimiter = delimiterLast
			}
			body = appendAES128GCM(body, aead, nonce[:], rest[:n], delimiter, pad)
			rest, pad = rest[n:], 0
			if delimiter == delimiterLast {
				break
			}
		}
		v.checkCiphertext(t, body)
	default:
		t.Errorf("unknown operation %q", op)
	}
}

const nonceInfoWant = "Content-Encoding: nonce\x00"

// testVectorDerive compares every step of the key schedule that v gives.
func testVectorDerive(t *testing.T, v vector, ran map[string]int) {
	want := v.Intermediate
	if want.CEK == nil {
		if slices.Contains(v.Operations, "derive") {
			t.Error("vector has no intermediate values")
		}
		return
	}
	ran["intermediate"]++
	check := func(name string, got, want []byte) {
		t.Helper()
		if !bytes.Equal(got, want) {
			t.Errorf("%s\n got %x\nwant %x", name, got, want)
		}
	}
	extract := func(secret, salt []byte) []byte {
		prk, err := hkdf.Extract(sha256.New, secret, salt)
		if err != nil {
			t.Fatal(err)
		}
		return prk
	}
	check("PRK", extract(want.IKM, v.Salt), want.PRK)

	if len(v.IKM) > 0 {
		key := deriveKey(v.IKM, v.Salt, string(want.CEKInfo), string(want.NonceInfo))
		check("CEK", key.cek[:], want.CEK)
		check("NONCE", key.nonce[:], want.Nonce)
		return
	}

	var secret []byte
	var err error
	if v.SenderPrivate != nil {
		secret, err = mustPrivate(t, v.SenderPrivate).ECDH(mustPublic(t, v.ReceiverPublic))
	} else {
		secret, err = mustPrivate(t, v.ReceiverPrivate).ECDH(mustPublic(t, v.SenderPublic))
	}
	if err != nil {
		t.Fatal(err)
	}
	check("ecdh_secret", secret, want.Secret)
	cekInfo, nonce := cekInfoAES128GCM, nonceInfo
	if v.Encoding == AES128GCM {
		check("PRK_key", extract(secret, v.AuthSecret), want.PRKKey)
		check("key_info", appendKeyInfo(nil, v.ReceiverPublic, v.SenderPublic), want.KeyInfo)
	} else {
		check("PRK_combine", extract(secret, v.AuthSecret), want.PRKCombine)
		context := contextAESGCM(v.ReceiverPublic, v.SenderPublic)
		cekInfo, nonce = cekInfoAESGCM+context, nonce+context
	}
	check("cek_info", []byte(cekInfo), want.CEKInfo)
	check("nonce_info", []byte(nonce), want.NonceInfo)
	key, err := webPushKey(v.Encoding, secret, v.AuthSecret, v.Salt, v.ReceiverPublic, v.SenderPublic)
	if err != nil {
		t.Fatal(err)
	}
	check("CEK", key.cek[:], want.CEK)
	check("NONCE", key.nonce[:], want.Nonce)
}

// Messages made by other implementations, as they came over HTTP.
func TestPeers(t *testing.T) {
	var peers []vector
	readJSON(t, "peer-node.json", &peers)
	seen := map[Encoding]int{}
	for _, v := range peers {
		seen[v.Encoding]++
		t.Run(v.Name, func(t *testing.T) {
			id, err := NewIdentity(v.ReceiverPrivate, v.AuthSecret)
			if err != nil {
				t.Fatal(err)
			}
			m, err := ParseEncryptedMessage(Encoding(v.header("Content-Encoding")), v.header("Encryption"), v.header("Crypto-Key"), v.Body)
			if err != nil {
				t.Fatal(err)
			}
			if m.Encoding != v.Encoding {
				t.Errorf("encoding %s, want %s", m.Encoding, v.Encoding)
			}
			got, err := id.Decrypt(m)
			if err != nil || !bytes.Equal(got, v.Plaintext) {
				t.Errorf("decrypted %x, %v; want %x", got, err, v.Plaintext)
			}
			if h, err := m.Header(); err != nil || h.Records != 1 || h.MaxPlaintext < len(got) {
				t.Errorf("header %+v, %v", h, err)
			}
		})
	}
	if seen[AES128GCM] == 0 || seen[AESGCM] == 0 {
		t.Errorf("messages by encoding: %v, want some of both", seen)
	}
}
