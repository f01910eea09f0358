package ece

import (
	"errors"
	"fmt"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Errors of keys, options, and messages. Every error of this package matches
// one of these by [errors.Is], or is a [*TooLongError]. Its text adds the
// values found, but never a secret. Some errors also have a method Hint()
// string, which returns the next step.
var (
	// ErrEncoding: the content encoding is neither aes128gcm nor aesgcm.
	ErrEncoding = errors.New("unsupported content encoding")
	// ErrOptions: a limit or a padding that no message can have.
	ErrOptions = errors.New("invalid encryption options")

	// ErrPublicKey: p256dh is not a point on P-256 in 65 bytes, or does not
	// match the private key next to it.
	ErrPublicKey = errors.New("invalid public key")
	// ErrPrivateKey: not 32 bytes, zero, or not below the order of P-256.
	ErrPrivateKey = errors.New("invalid private key")
	// ErrAuth: the authentication secret is not 16 bytes.
	ErrAuth = errors.New("invalid authentication secret")

	// ErrField: the header field Encryption or Crypto-Key does not follow its
	// grammar, or lacks an entry or parameter (aesgcm).
	ErrField = errors.New("invalid header field")
	// ErrSalt: the salt is not 16 bytes (aesgcm).
	ErrSalt = errors.New("invalid salt")
	// ErrShortHeader: the body ends within its header (RFC 8188 section 2.1).
	ErrShortHeader = errors.New("body shorter than its header")
	// ErrSenderKey: the sender's key (the keyid of RFC 8188, the dh of aesgcm)
	// is not a point on P-256 in 65 bytes (RFC 8291 section 4).
	ErrSenderKey = errors.New("invalid sender key")
	// ErrRecordSize: the record size is out of range: 18 to 2^32-1 in aes128gcm
	// (RFC 8188 section 2.1), 2 to 2^36-31 in aesgcm.
	ErrRecordSize = errors.New("invalid record size")
	// ErrNoRecord: the message has no record, so nothing proves that it is
	// complete.
	ErrNoRecord = errors.New("no record")
	// ErrShortRecord: the last record is too short to hold the tag and the
	// delimiter or the length of the padding: the body was cut.
	ErrShortRecord = errors.New("last record too short")
	// ErrTruncated: the last record of an aesgcm body is a full one, the mark of
	// a body that was cut between two records.
	ErrTruncated = errors.New("message truncated")
	// ErrDecrypt: a record fails authentication: the private key or the
	// authentication secret is not the one that the message was encrypted for,
	// or the record was altered.
	ErrDecrypt = errors.New("decryption failed")
	// ErrDelimiter: a decrypted aes128gcm record has no delimiter, or the
	// delimiter of another position in the message (RFC 8188 section 2).
	ErrDelimiter = errors.New("invalid record delimiter")
	// ErrPadding: the padding of a decrypted aesgcm record is longer than the
	// record, or not all zeros.
	ErrPadding = errors.New("invalid padding")
)

// TooLongError is the error of a payload that does not fit in the body. Sizes
// are in bytes.
type TooLongError struct {
	Size     int      // size of the payload
	Max      int      // maximum size without padding
	By       int      // Size - Max
	Encoding Encoding // content encoding, on which Max depends
}

// Error says by how many bytes the payload is too long.
func (e *TooLongError) Error() string {
	return fmt.Sprintf("payload of %s is %s too long: at most %d fit in %s",
		count(e.Size, "byte"), count(e.By, "byte"), e.Max, e.Encoding)
}

// Hint returns the next step.
func (e *TooLongError) Hint() string {
	return "shorten the payload, or send an ID and let the client fetch the rest"
}

// codingError is one of the sentinel errors with its own text.
type codingError struct {
	kind error
	text string
}

func (e *codingError) Error() string { return e.text }
func (e *codingError) Unwrap() error { return e.kind }

// hintedError is a codingError that knows a next step.
type hintedError struct {
	codingError
	hint string
}

func (e *hintedError) Hint() string { return e.hint }

func fail(kind error, format string, args ...any) error {
	return &codingError{kind, fmt.Sprintf(format, args...)}
}

func hinted(kind error, hint, format string, args ...any) error {
	return &hintedError{codingError{kind, fmt.Sprintf(format, args...)}, hint}
}

func errEncoding(name string) error {
	const format = "content encoding %q is not supported (want aes128gcm or aesgcm)"
	if name == "aesgcm128" {
		return hinted(ErrEncoding, "aesgcm128 is older than aesgcm and has no authentication secret; the sender should use aes128gcm", format, name)
	}
	return fail(ErrEncoding, format, clip(name))
}

// clip shortens external text for quoting in an error.
func clip(s string) string { return text.Clip(s, 40) }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
