// Package ece encrypts and decrypts the payloads of Web Push messages.
//
// A message travels from the application server to the browser through a push
// service that must not be able to read it. The browser's subscription gives
// the sender a P-256 public key ("p256dh") and a 16-byte secret ("auth"); the
// sender adds a key pair of its own, made for this one message, and both sides
// derive an AES-128-GCM key from the two.
//
// Two content encodings do this. [AES128GCM], of RFC 8188 and RFC 8291, is the
// standard and carries everything in the body. [AESGCM], of
// draft-ietf-webpush-encryption-04 and draft-ietf-httpbis-encryption-encoding-03,
// is its predecessor, still asked for by old subscriptions; it carries the salt
// and the sender's key in the header fields Encryption and Crypto-Key.
//
// A sender creates a [Recipient] from a subscription's keys and calls
// [Recipient.Encrypt]. A receiver holds an [Identity] and passes the [EncryptedMessage]
// that [ParseEncryptedMessage] returns to [Identity.Decrypt].
//
// Sizes are in bytes everywhere. Recipient and Identity are safe for concurrent
// use, and print as their public half only.
package ece

import (
	"math"
	"strings"
)

// Encoding is a content encoding, as named in the header field
// Content-Encoding.
type Encoding string

// The content encodings of Web Push.
const (
	AES128GCM Encoding = "aes128gcm" // RFC 8188 and RFC 8291
	AESGCM    Encoding = "aesgcm"    // draft-ietf-webpush-encryption-04
)

// Sizes that RFC 8291 and RFC 8030 fix, in bytes.
const (
	// KeySize is the size of a public key: a point on P-256 in uncompressed
	// form, 0x04 and two coordinates of 32 bytes (RFC 8291 section 3.1).
	KeySize = 65

	// AuthSize is the size of the authentication secret of a subscription
	// (RFC 8291 section 3.2).
	AuthSize = 16

	// MaxBody is the size of the largest body that every push service has to
	// accept (RFC 8030 section 7.2), and the default limit of
	// [Recipient.Encrypt].
	MaxBody = 4096

	// DefaultRecordSize is the record size that every sender writes in aes128gcm, and
	// that aesgcm implies if the field Encryption has no rs
	// (draft-ietf-httpbis-encryption-encoding-03 section 3.1).
	DefaultRecordSize = 4096
)

const (
	saltSize    = 16
	cekSize     = 16
	nonceSize   = 12
	tagSize     = 16
	privateSize = 32
)

// ParseEncoding returns the encoding named s. As content encodings are compared
// without regard to case (RFC 9110 section 8.4.1), so is s. For anything else than
// aes128gcm or aesgcm, including the empty string, it returns an [*Error] with
// [CodeEncoding].
func ParseEncoding(s string) (Encoding, error) {
	switch {
	case strings.EqualFold(s, string(AES128GCM)):
		return AES128GCM, nil
	case strings.EqualFold(s, string(AESGCM)):
		return AESGCM, nil
	}
	return "", errEncoding(s)
}

// Overhead returns by how many bytes a body is longer than plaintext and
// padding: 103 for aes128gcm, a header of 86, the delimiter and the tag
// (RFC 8291 section 4); 18 for aesgcm, the length of the padding and the tag
// (draft-ietf-httpbis-encryption-encoding-03 section 2); 0 for an encoding that
// this package does not know.
func (e Encoding) Overhead() int {
	switch e {
	case AES128GCM:
		return headerSize + KeySize + delimiterSize + tagSize
	case AESGCM:
		return padLenSize + tagSize
	}
	return 0
}

// MaxPayload returns how many bytes of plaintext and padding fit in a body of
// maxBody bytes: 3993 for aes128gcm and 4078 for aesgcm when maxBody is
// [MaxBody]. It is 0 when nothing fits, and for an unknown encoding.
func (e Encoding) MaxPayload(maxBody int) int {
	// The record size is an integer of bounded width, which limits the payload
	// even if the body is unlimited.
	var limit int64
	switch e {
	case AES128GCM:
		limit = maxRecordSizeAES128GCM - recordSlack
	case AESGCM:
		limit = maxRecordSizeAESGCM - padLenSize - 1
	default:
		return 0
	}
	if maxBody <= e.Overhead() {
		return 0
	}
	return int(min(int64(maxBody-e.Overhead()), limit))
}

// CheckPayload returns a [*TooLongError] if a plaintext of size bytes does not fit in a body
// of maxBody bytes.
func (e Encoding) CheckPayload(size, maxBody int) error {
	if limit := e.MaxPayload(maxBody); size > limit {
		return &TooLongError{Size: size, Max: limit, By: size - limit, Encoding: e}
	}
	return nil
}

// PadAuto is the value of [Options.Pad] that stands for buckets of 256 bytes,
// which hide the length of most notifications at little cost.
const PadAuto = -1

const autoBucket = 256

// Options says how to encrypt. The zero value is aes128gcm, without padding, in
// a body of at most 4096 bytes.
type Options struct {
	// Encoding is the content encoding; the zero value is [AES128GCM].
	Encoding Encoding

	// Pad is the size of a bucket, in bytes. Plaintext and padding together are
	// rounded up to the next multiple of it, and to one bucket if the plaintext
	// is empty. The length of the body then reveals only the number of buckets.
	// The padding never makes the body exceed MaxBody, and in aesgcm never
	// exceeds 65535 bytes, the most that its format can express. 0 means no
	// padding, [PadAuto] means 256, and other negative values are an error.
	Pad int

	// MaxBody is the maximum size of the body, in bytes; 0 means the constant
	// [MaxBody]. Use more than 4096 only for push services known to accept it:
	// the record size in the message then grows as RFC 8291, section 4 demands.
	// A limit without room for a single byte of payload is an error.
	MaxBody int
}

// plan checks the options for a plaintext of size bytes and returns the
// encoding, the number of bytes of padding and the record size to write.
func (o Options) plan(size int) (enc Encoding, pad int, rs int64, err error) {
	enc = AES128GCM
	if o.Encoding != "" {
		if enc, err = ParseEncoding(string(o.Encoding)); err != nil {
			return "", 0, 0, err
		}
	}
	maxBody := o.MaxBody
	if maxBody == 0 {
		maxBody = MaxBody
	}
	limit := enc.MaxPayload(maxBody)
	if limit == 0 {
		return "", 0, 0, hinted(CodeOptions, "allow a larger body", "a body of at most %d bytes has no room for a payload: %s alone needs %d", maxBody, enc, enc.Overhead())
	}
	if err := enc.CheckPayload(size, maxBody); err != nil {
		return "", 0, 0, err
	}

	bucket := o.Pad
	switch {
	case bucket == PadAuto:
		bucket = autoBucket
	case bucket < 0:
		return "", 0, 0, fail(CodeOptions, "padding to a multiple of %d bytes is not possible", bucket)
	}
	if bucket > 0 {
		if pad = (bucket - size%bucket) % bucket; size == 0 {
			pad = bucket
		}
		pad = min(pad, limit-size)
	}
	switch enc {
	case AES128GCM:
		if size+pad == 0 {
			pad = 1 // see Encrypt
		}
		return enc, pad, max(DefaultRecordSize, int64(size+pad)+recordSlack), nil
	default:
		pad = min(pad, math.MaxUint16)
		// The only record is the final one, which has to be shorter than rs.
		return enc, pad, max(DefaultRecordSize, int64(padLenSize+pad+size)+1), nil
	}
}
