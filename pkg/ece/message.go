package ece

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// EncryptedMessage is an encrypted message: the body and, for aesgcm, what travels in
// the header fields Encryption and Crypto-Key. Nothing in it is secret.
type EncryptedMessage struct {
	Encoding  Encoding // value of Content-Encoding
	Body      []byte   // body of the request
	Salt      []byte   // aesgcm only, 16 bytes
	SenderKey []byte   // aesgcm only, 65 bytes: an uncompressed point on P-256
	// RecordSize is, for aesgcm only, the size of a record in bytes, without
	// the tag; 0 is the default of 4096.
	RecordSize int
}

// Encryption returns the value of the header field Encryption for aesgcm, such
// as "salt=lngarbyKfMoi9Z75xYXmkg", with ";rs=" and the record size if that is
// not the default. For aes128gcm it is empty: the field is not sent.
func (m *EncryptedMessage) Encryption() string {
	if m.Encoding != AESGCM {
		return ""
	}
	s := "salt=" + b64.Encode(m.Salt)
	if m.RecordSize != 0 && m.RecordSize != DefaultRecordSize {
		s += ";rs=" + strconv.Itoa(m.RecordSize)
	}
	return s
}

// CryptoKey returns the value of the header field Crypto-Key for aesgcm, "dh="
// and the sender's key. To add a VAPID key to the field join it with ";p256ecdsa=",
// in the same entry: some push services misread two entries. For aes128gcm it
// is empty: the field is not sent.
func (m *EncryptedMessage) CryptoKey() string {
	if m.Encoding != AESGCM {
		return ""
	}
	return "dh=" + b64.Encode(m.SenderKey)
}

// Headers returns the header fields of the message: Content-Encoding, and for aesgcm
// Encryption and Crypto-Key.
func (m *EncryptedMessage) Headers() map[string]string {
	headers := map[string]string{"Content-Encoding": string(m.Encoding)}
	if m.Encoding == AESGCM {
		headers["Encryption"], headers["Crypto-Key"] = m.Encryption(), m.CryptoKey()
	}
	return headers
}

// MarshalJSON returns an object with the fields headers, see [EncryptedMessage.Headers],
// and body, in base64url without padding.
func (m *EncryptedMessage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}{m.Headers(), b64.Encode(m.Body)})
}

// ParseEncryptedMessage returns the message that arrived with the given values of the
// header fields Content-Encoding, Encryption and Crypto-Key and the given body,
// which it keeps without a copy. It does not look into the body.
//
// For aes128gcm the two other fields are ignored. For aesgcm it reads their
// first entry; in Crypto-Key, it reads the entry that the keyid in Encryption
// selects, or the first that has a dh; other parameters, such as the p256ecdsa
// of VAPID, are ignored. Values may be quoted and in either alphabet of base64,
// padded or not (draft-ietf-httpbis-encryption-encoding-03 sections 3 and 4).
//
// Its errors are [*Error] with [CodeEncoding], [CodeField], [CodeSalt],
// [CodeRecordSize], or [CodeSenderKey].
func ParseEncryptedMessage(encoding Encoding, encryption, cryptoKey string, body []byte) (*EncryptedMessage, error) {
	encoding, err := ParseEncoding(string(encoding))
	if err != nil {
		return nil, err
	}
	m := &EncryptedMessage{Encoding: encoding, Body: body}
	if encoding == AESGCM {
		if err := m.parseFields(encryption, cryptoKey); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Header holds the parts of a message that are readable without decrypting it.
type Header struct {
	Salt       []byte // 16 bytes
	RecordSize int64  // size in bytes; includes the tag in aes128gcm, but not in aesgcm

	// KeyID is the key id of an aes128gcm body, 0 to 255 bytes, which in Web
	// Push is the sender's key; for aesgcm it is that key. It has not been
	// checked: see [Header.CheckSender].
	KeyID []byte

	Records      int // number of records, at least 1
	MaxPlaintext int // most bytes of payload there can be; padding counts
}

// CheckSender returns an [*Error] with [CodeSenderKey] if KeyID is not the public
// key that every message of Web Push names as its sender's (RFC 8291 section 4).
func (h Header) CheckSender() error {
	_, err := parsePoint(CodeSenderKey, "key id", h.KeyID)
	return err
}

// Header returns the parts of the message that are readable without a key. It
// returns the errors of [Identity.Decrypt] that need no key, with [CodeEncoding],
// [CodeShortHeader], [CodeSalt], [CodeRecordSize], [CodeNoRecord], [CodeShortRecord],
// or [CodeTruncated].
func (m *EncryptedMessage) Header() (Header, error) {
	f, err := m.frame()
	if err != nil {
		return Header{}, err
	}
	n := recordCount(f.chunk, f.records)
	return Header{
		Salt:         bytes.Clone(f.salt),
		RecordSize:   f.rs,
		KeyID:        bytes.Clone(f.keyID),
		Records:      n,
		MaxPlaintext: len(f.records) - n*f.framing,
	}, nil
}

// frame is a split message; its slices share the message's memory.
type frame struct {
	encoding Encoding
	salt     []byte
	rs       int64 // record size as stated in the message
	keyID    []byte
	chunk    int64 // bytes per record; the last can be shorter
	framing  int   // bytes of a record that cannot be payload
	records  []byte
}

func (m *EncryptedMessage) frame() (frame, error) {
	switch m.Encoding {
	case AES128GCM:
		return frameAES128GCM(m.Body)
	case AESGCM:
		return frameAESGCM(m)
	}
	return frame{}, errEncoding(string(m.Encoding))
}

// checkRecords checks that there is a record, and that none is too short. Only
// the last can be: the minimum of rs sees to the others.
func (f frame) checkRecords() error {
	if len(f.records) == 0 {
		return fail(CodeNoRecord, "message has no record after its header")
	}
	last := int(int64(len(f.records)-1)%f.chunk) + 1
	if last < f.framing {
		return fail(CodeShortRecord, "last record is %s, shorter than the minimum of %d", text.Count(last, "byte"), f.framing)
	}
	return nil
}

// open decrypts the records with the content key of the message.
func (f frame) open(key contentKey) ([]byte, error) {
	if f.encoding == AES128GCM {
		return key.open(f.chunk, f.records, stripAES128GCM)
	}
	return key.open(f.chunk, f.records, stripAESGCM)
}
