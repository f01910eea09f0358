package ece

import (
	"strconv"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

// parseFields sets the parts of an aesgcm message that are in its headers.
func (m *EncryptedMessage) parseFields(encryption, cryptoKey string) error {
	const encryptionName, cryptoKeyName = "Encryption", "Crypto-Key"

	entries, err := parseEntries(encryptionName, encryption)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fail(ErrField, "%s is missing or empty, want salt=...", encryptionName)
	}
	// Other entries would describe additional encodings around this one, which
	// Web Push messages do not have.
	params := entries[0]
	salt, ok := params["salt"]
	if !ok {
		return fail(ErrField, "%s has no salt", encryptionName)
	}
	if m.Salt, err = b64.Decode(salt); err != nil {
		return fail(ErrSalt, "salt: %v", err)
	}
	if len(m.Salt) != saltSize {
		return errSalt(len(m.Salt))
	}
	if rs, ok := params["rs"]; ok {
		if m.RecordSize, err = parseRecordSize(rs); err != nil {
			return err
		}
	}

	keys, err := parseEntries(cryptoKeyName, cryptoKey)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fail(ErrField, "%s is missing or empty, want dh=...", cryptoKeyName)
	}
	keyID, selective := params["keyid"]
	for _, entry := range keys {
		dh, ok := entry["dh"]
		if selective {
			if id, named := entry["keyid"]; !named || id != keyID {
				continue
			}
			if !ok {
				return fail(ErrField, "%s has no dh in the entry with keyid %q", cryptoKeyName, clip(keyID))
			}
		} else if !ok {
			continue
		}
		if m.SenderKey, err = b64.Decode(dh); err != nil {
			return fail(ErrSenderKey, "dh: %v", err)
		}
		_, err = parsePoint(ErrSenderKey, "dh", m.SenderKey)
		return err
	}
	if selective {
		return fail(ErrField, "%s has no entry with keyid %q, which %s names", cryptoKeyName, clip(keyID), encryptionName)
	}
	return fail(ErrField, "%s has no dh", cryptoKeyName)
}

// parseRecordSize returns 0 for the default, so a Message has only one
// representation of it.
func parseRecordSize(s string) (int, error) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, fail(ErrRecordSize, "record size %q is not a decimal number", clip(s))
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fail(ErrRecordSize, "record size %s is above the maximum of %d", clip(s), maxRecordSizeAESGCM)
	}
	if err := checkRecordSizeAESGCM(int64(n)); err != nil {
		return 0, err
	}
	if n == defaultRecordSize {
		n = 0
	}
	return n, nil
}

// parseEntries parses a header field: entries separated by commas, each of
// parameters separated by semicolons, each a name, "=" and a value, which may be
// quoted, with white space around any of them. As in every list of RFC 9110,
// section 5.6.1, empty elements are skipped. Names are put in lower case, and
// are unique within an entry. The values of a refused field are not in the
// error, as one may be an explicit key.
func parseEntries(field, s string) ([]map[string]string, error) {
	var entries []map[string]string
	entry := map[string]string{}
	for s = trim(s); s != ""; s = trim(s) {
		switch s[0] {
		case ';':
			s = s[1:]
			continue
		case ',':
			s = s[1:]
			if len(entry) > 0 {
				entries = append(entries, entry)
				entry = map[string]string{}
			}
			continue
		}
		name, rest := takeWhile(s, isTokenChar)
		if name == "" {
			return nil, fail(ErrField, "%s has %q where the name of a parameter should start", field, s[0])
		}
		name = strings.ToLower(name)
		if rest = trim(rest); rest == "" || rest[0] != '=' {
			return nil, fail(ErrField, "%s has parameter %q without a value", field, clip(name))
		}
		value, rest, ok := takeValue(trim(rest[1:]))
		if !ok {
			return nil, fail(ErrField, "%s has parameter %q with a quote that does not end", field, clip(name))
		}
		if value == "" {
			return nil, fail(ErrField, "%s has parameter %q with an empty value", field, clip(name))
		}
		if rest = trim(rest); rest != "" && rest[0] != ';' && rest[0] != ',' {
			return nil, fail(ErrField, "%s has %q after parameter %q, want a semicolon or comma", field, rest[0], clip(name))
		}
		if _, twice := entry[name]; twice {
			return nil, fail(ErrField, "%s has parameter %q twice", field, clip(name))
		}
		entry[name] = value
		s = rest
	}
	if len(entry) > 0 {
		entries = append(entries, entry)
	}
	return entries, nil
}

// takeValue splits s after the value it starts with and removes the quotes; it
// reports whether a quote that starts the value also ends.
func takeValue(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		value, rest = takeWhile(s, isValueChar)
		return value, rest, true
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

func takeWhile(s string, in func(byte) bool) (taken, rest string) {
	i := 0
	for i < len(s) && in(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func trim(s string) string { return strings.TrimLeft(s, " \t") }

// isTokenChar reports whether c is a tchar of RFC 9110 section 5.6.2.
func isTokenChar(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' ||
		strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// isValueChar adds to a token the rest of base64, which senders do not quote.
func isValueChar(c byte) bool { return isTokenChar(c) || c == '/' || c == '=' }
