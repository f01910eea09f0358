package pushservice

import (
	"crypto/ecdh"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/fields"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

const (
	aes128gcm = "aes128gcm" // RFC 8291
	aesgcm    = "aesgcm"    // draft-ietf-webpush-encryption-04

	saltSize  = 16
	pointSize = 65 // size of an uncompressed P-256 public key
	tagSize   = 16

	// headerSize is the size of salt, rs, idlen, and keyid (RFC 8188, section 2.1).
	headerSize = saltSize + 4 + 1 + pointSize
)

// checkEncryption checks everything about a body that is visible without a key, and
// sets the fields that the user agent needs.
func checkEncryption(h http.Header, body []byte, m *AcceptedMessage) error {
	encoding := strings.ToLower(joined(h, "Content-Encoding"))
	encryption, cryptoKey := joined(h, "Encryption"), joined(h, "Crypto-Key")
	encryptionList, err := fields.List(encryption)
	if err != nil {
		return badEncryption("Invalid Encryption header", "%v", err)
	}
	cryptoKeyList, err := fields.List(cryptoKey)
	if err != nil {
		return badEncryption("Invalid Crypto-Key header", "%v", err)
	}
	m.Encoding, m.Body = encoding, body
	switch encoding {
	case aes128gcm:
		if len(all(encryptionList, "salt")) > 0 {
			return badEncryption("Do not include 'salt' header in aes128gcm Encryption header", "the salt is in the body")
		}
		if len(all(cryptoKeyList, "dh")) > 0 {
			return badEncryption("Do not include 'dh' header in aes128gcm Crypto-Key header", "the sender's key is in the body")
		}
		return checkAES128GCM(body)
	case aesgcm:
		m.Encryption, m.CryptoKey = encryption, cryptoKey
		if h.Get("Encryption-Key") != "" {
			return badEncryption("Encryption-Key header is not valid for webpush draft 02 or later", "the sender's key belongs in Crypto-Key")
		}
		return checkAESGCM(encryptionList, cryptoKeyList, len(body))
	case "":
		return badEncryption("Missing Content-Encoding header", "the message has a body of %s, expected aes128gcm", bytesOf(len(body)))
	}
	e := refuse(http.StatusUnsupportedMediaType, errnoEncryption, "Unknown Content-Encoding header", "found %q, expected aes128gcm", clip(encoding)).as(kindUnknownEncoding)
	e.header = map[string]string{"Accept-Encoding": "aes128gcm, aesgcm"} // RFC 9110, section 15.5.16
	return e
}

// checkAES128GCM checks the header of a body (RFC 8188, section 2.1) by the rules of
// RFC 8291, section 4.
func checkAES128GCM(body []byte) error {
	const (
		invalid = "Invalid aes128gcm body"
		// A record has at least a delimiter and a tag.
		minSize = headerSize + 1 + tagSize
	)
	if len(body) <= saltSize+4 {
		return badEncryption(invalid, "it has %s, too few for salt, rs, and idlen", bytesOf(len(body)))
	}
	if idlen := body[saltSize+4]; idlen != pointSize {
		return badEncryption(invalid, "idlen is %d, expected %d, the size of the sender's key", idlen, pointSize)
	}
	rs := binary.BigEndian.Uint32(body[saltSize:])
	if rs < 18 {
		return badEncryption(invalid, "rs is %d, expected 18 or more", rs)
	}
	if len(body) < minSize {
		return badEncryption(invalid, "it has %s, too few for a header of %d and a record", bytesOf(len(body)), headerSize)
	}
	if err := checkPoint(body[saltSize+4+1 : headerSize]); err != nil {
		return badEncryption(invalid, "keyid: %v", err)
	}
	if record := len(body) - headerSize; int64(record) >= int64(rs) {
		return badEncryption(invalid, "rs is %d, expected more than the %s after the header, which must be one record", rs, bytesOf(record))
	}
	return nil
}

// checkAESGCM checks the headers of draft-ietf-webpush-encryption-04, section 4, for
// a body of the given size.
func checkAESGCM(encryption, cryptoKey []fields.Element, size int) error {
	if len(encryption) == 0 {
		return badEncryption("Missing Encryption header", "aesgcm has the salt there")
	}
	if len(encryption) > 1 {
		return badEncryption("Invalid Encryption header", "it has %d entries, expected one", len(encryption))
	}
	salt, ok := encryption[0]["salt"]
	if !ok {
		return badEncryption("Missing salt value in Encryption header", "aesgcm has the salt there")
	}
	if b, err := b64.Decode(salt); err != nil {
		return badEncryption("Invalid salt value in Encryption header", "%v", err)
	} else if len(b) != saltSize {
		return badEncryption("Invalid salt value in Encryption header", "it has %s, expected %d", bytesOf(len(b)), saltSize)
	}

	if len(all(cryptoKey, "aesgcm")) > 0 {
		return badEncryption("Invalid Crypto-Key header", "it contains an explicit key, which lets anyone decrypt the message")
	}
	var senders []fields.Element
	for _, entry := range cryptoKey {
		if _, ok := entry["dh"]; ok {
			senders = append(senders, entry)
		}
	}
	switch len(senders) {
	case 0:
		return badEncryption("Missing dh value in Crypto-Key header", "aesgcm has the sender's key there")
	case 1:
	default:
		return badEncryption("Invalid Crypto-Key header", "it contains dh %d times", len(senders))
	}
	if id, ok := encryption[0]["keyid"]; ok && senders[0]["keyid"] != id {
		return badEncryption("Invalid Crypto-Key header", "the entry with dh does not have the keyid of the Encryption header")
	}
	dh, err := b64.Decode(senders[0]["dh"])
	if err == nil {
		err = checkPoint(dh)
	}
	if err != nil {
		return badEncryption("Invalid dh value in Crypto-Key header", "%v", err)
	}

	rs := int64(4096)
	if s, ok := encryption[0]["rs"]; ok {
		if rs, err = strconv.ParseInt(s, 10, 64); err != nil || rs < 2 || rs > 1<<36-31 {
			return badEncryption("Invalid rs value in Encryption header", "found %q, expected a number from 2 to 2^36-31", clip(s))
		}
	}
	if size < 2+tagSize {
		return badEncryption("Invalid aesgcm body", "it has %s, too few for a record", bytesOf(size))
	}
	// A full record would be followed by another one.
	if int64(size) >= rs+tagSize {
		return badEncryption("Invalid aesgcm body", "it has %s, too many for one record with rs %d", bytesOf(size), rs)
	}
	return nil
}

func checkPoint(b []byte) error {
	if len(b) != pointSize {
		return fmt.Errorf("the key has %s, expected %d", bytesOf(len(b)), pointSize)
	}
	if _, err := ecdh.P256().NewPublicKey(b); err != nil {
		return fmt.Errorf("the key is not a point on P-256")
	}
	return nil
}

// parseKey accepts only 65 bytes; package vapid accepts keys in every form, including
// private keys.
func parseKey(b []byte) (vapid.PublicKey, error) {
	if err := checkPoint(b); err != nil {
		return vapid.PublicKey{}, err
	}
	return vapid.ParsePublicKey(b)
}

func bytesOf(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}
