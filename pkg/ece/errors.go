package ece

import (
	"fmt"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
)

// Error reports why a key, an option, or a message was refused. Its text says
// what was found and what was expected, and never contains a secret.
type Error struct {
	// Code is the kind of problem.
	Code Code
	// Problem describes the problem, with the value unless it is a secret.
	Problem string

	hint string
}

// Error returns the problem.
func (e *Error) Error() string { return e.Problem }

// Hint returns the next step to take, or "".
func (e *Error) Hint() string { return e.hint }

// Code is the kind of problem that an [Error] reports.
type Code string

// The codes of all errors, apart from [TooLongError].
const (
	// CodeEncoding: the content encoding is neither aes128gcm nor aesgcm.
	CodeEncoding Code = "encoding"
	// CodeOptions: a limit or a padding that no message can have.
	CodeOptions Code = "options"

	// CodePublicKey: p256dh is not a point on P-256 in 65 bytes, or does not
	// match the private key next to it.
	CodePublicKey Code = "public_key"
	// CodePrivateKey: not 32 bytes, zero, or not below the order of P-256.
	CodePrivateKey Code = "private_key"
	// CodeAuth: the authentication secret is not 16 bytes.
	CodeAuth Code = "auth"

	// CodeField: the header field Encryption or Crypto-Key does not follow its
	// grammar, or lacks an entry or parameter (aesgcm).
	CodeField Code = "field"
	// CodeSalt: the salt is not 16 bytes (aesgcm).
	CodeSalt Code = "salt"
	// CodeShortHeader: the body ends within its header (RFC 8188 section 2.1).
	CodeShortHeader Code = "short_header"
	// CodeSenderKey: the sender's key (the keyid of RFC 8188, the dh of aesgcm)
	// is not a point on P-256 in 65 bytes (RFC 8291 section 4).
	CodeSenderKey Code = "sender_key"
	// CodeRecordSize: the record size is out of range: 18 to 2^32-1 in aes128gcm
	// (RFC 8188 section 2.1), 2 to 2^36-31 in aesgcm.
	CodeRecordSize Code = "record_size"
	// CodeNoRecord: the message has no record, so nothing proves that it is
	// complete.
	CodeNoRecord Code = "no_record"
	// CodeShortRecord: the last record is too short to hold the tag and the
	// delimiter or the length of the padding: the body was cut.
	CodeShortRecord Code = "short_record"
	// CodeTruncated: the last record of an aesgcm body is a full one, the mark of
	// a body that was cut between two records.
	CodeTruncated Code = "truncated"
	// CodeDecrypt: a record fails authentication: the private key or the
	// authentication secret is not the one that the message was encrypted for,
	// or the record was altered.
	CodeDecrypt Code = "decrypt"
	// CodeDelimiter: a decrypted aes128gcm record has no delimiter, or the
	// delimiter of another position in the message (RFC 8188 section 2).
	CodeDelimiter Code = "delimiter"
	// CodePadding: the padding of a decrypted aesgcm record is longer than the
	// record, or not all zeros.
	CodePadding Code = "padding"
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
		text.Count(e.Size, "byte"), text.Count(e.By, "byte"), e.Max, e.Encoding)
}

// Hint returns the next step to take.
func (e *TooLongError) Hint() string {
	return "shorten the payload, or send an ID and let the client fetch the rest"
}

func fail(code Code, format string, args ...any) error {
	return hinted(code, "", format, args...)
}

func hinted(code Code, hint, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...), hint}
}

func errEncoding(name string) error {
	const format = "content encoding %q is not supported (want aes128gcm or aesgcm)"
	if name == "aesgcm128" {
		return hinted(CodeEncoding, "aesgcm128 is older than aesgcm and has no authentication secret; the sender should use aes128gcm", format, name)
	}
	return fail(CodeEncoding, format, clip(name))
}

// clip shortens external text for quoting in an error.
func clip(s string) string { return text.Clip(s, 40) }
