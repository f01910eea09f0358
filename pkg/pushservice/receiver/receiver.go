// Package receiver decrypts for the routes of the npm package web-push-testing, in
// which the push service is the user agent, too. It is apart from package
// pushservice because a push service cannot decrypt (RFC 8291, section 1).
package receiver

import (
	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

// New generates the keys of a user agent, for [pushservice.Options].NewReceiver. The
// error is that of the system's random number generator.
func New() (pushservice.Receiver, error) {
	identity, err := ece.GenerateIdentity()
	if err != nil {
		return nil, err
	}
	return receiver{identity}, nil
}

type receiver struct{ identity *ece.Identity }

func (r receiver) Recipient() (p256dh, auth []byte) {
	to := r.identity.Recipient()
	return to.P256DH(), to.Auth()
}

func (r receiver) Decrypt(m pushservice.AcceptedMessage) ([]byte, error) {
	encrypted, err := ece.ParseEncryptedMessage(ece.Encoding(m.Encoding), m.Encryption, m.CryptoKey, m.Body)
	if err != nil {
		return nil, err
	}
	return r.identity.Decrypt(encrypted)
}
