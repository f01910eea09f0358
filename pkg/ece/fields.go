package ece

import (
	"strconv"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/fields"
)

// parseFields sets the parts of an aesgcm message that are in its headers.
func (m *EncryptedMessage) parseFields(encryption, cryptoKey string) error {
	const encryptionName, cryptoKeyName = "Encryption", "Crypto-Key"

	entries, err := parseList(encryptionName, encryption)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fail(CodeField, "%s is missing or empty, want salt=...", encryptionName)
	}
	// Other entries would describe additional encodings around this one, which
	// Web Push messages do not have.
	params := entries[0]
	salt, ok := params["salt"]
	if !ok {
		return fail(CodeField, "%s has no salt", encryptionName)
	}
	if m.Salt, err = b64.Decode(salt); err != nil {
		return fail(CodeSalt, "salt: %v", err)
	}
	if len(m.Salt) != saltSize {
		return errSalt(len(m.Salt))
	}
	if rs, ok := params["rs"]; ok {
		if m.RecordSize, err = parseRecordSize(rs); err != nil {
			return err
		}
	}

	keys, err := parseList(cryptoKeyName, cryptoKey)
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		return fail(CodeField, "%s is missing or empty, want dh=...", cryptoKeyName)
	}
	keyID, selective := params["keyid"]
	for _, entry := range keys {
		dh, ok := entry["dh"]
		if selective {
			if id, named := entry["keyid"]; !named || id != keyID {
				continue
			}
			if !ok {
				return fail(CodeField, "%s has no dh in the entry with keyid %q", cryptoKeyName, clip(keyID))
			}
		} else if !ok {
			continue
		}
		if m.SenderKey, err = b64.Decode(dh); err != nil {
			return fail(CodeSenderKey, "dh: %v", err)
		}
		_, err = parsePoint(CodeSenderKey, "dh", m.SenderKey)
		return err
	}
	if selective {
		return fail(CodeField, "%s has no entry with keyid %q, which %s names", cryptoKeyName, clip(keyID), encryptionName)
	}
	return fail(CodeField, "%s has no dh", cryptoKeyName)
}

// parseRecordSize returns 0 for the default, so a Message has only one
// representation of it.
func parseRecordSize(s string) (int, error) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, fail(CodeRecordSize, "record size %q is not a decimal number", clip(s))
		}
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, fail(CodeRecordSize, "record size %s is above the maximum of %d", clip(s), maxRecordSizeAESGCM)
	}
	if err := checkRecordSizeAESGCM(int64(n)); err != nil {
		return 0, err
	}
	if n == DefaultRecordSize {
		n = 0
	}
	return n, nil
}

// parseList reads a header field. The error names the field and shows none of its
// values, because one may be an explicit key.
func parseList(name, value string) ([]fields.Element, error) {
	list, err := fields.List(value)
	if err != nil {
		return nil, fail(CodeField, "%s: %v", name, err)
	}
	return list, nil
}
