package vapid

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	"github.com/golang-jwt/jwt/v5"
)

// SignerError is a failure of the [crypto.Signer] behind a key of [NewKey]: it
// could not be reached, refused to sign, or returned no valid signature. It
// says nothing about the claims or the subscription: try again.
type SignerError struct {
	// Err is the signer's own error, or the problem with its signature.
	Err error
}

// Error returns the signer's error, with the operation that failed.
func (e *SignerError) Error() string { return "the signer of the VAPID key failed: " + e.Err.Error() }

// Unwrap returns Err.
func (e *SignerError) Unwrap() error { return e.Err }

// Hint returns the next step.
func (e *SignerError) Hint() string {
	return "check that the service or device that holds the key can be reached and permits signing, then try again"
}

// Temporary reports true: the same claims may be signed later.
func (e *SignerError) Temporary() bool { return true }

// NewKey returns a key whose private key never leaves signer: in a key
// management service, a hardware security module, or an agent. Its public key
// must be an [*ecdsa.PublicKey] on P-256 (RFC 8292, section 2); otherwise, the
// error is an [*Error].
//
// [Key.Sign] calls signer with the SHA-256 digest, expects an ASN.1 signature,
// and checks it against the public key; it returns a [*SignerError] if that
// fails. signer must be safe for concurrent use and should limit its own time,
// because [crypto.Signer] has no context parameter. [Key.Marshal] cannot write
// such a key.
func NewKey(signer crypto.Signer) (*Key, error) {
	if signer == nil {
		return nil, &Error{Part: "key", Problem: "the signer is nil", hint: "pass a crypto.Signer that holds a P-256 key"}
	}
	public, ok := signer.Public().(*ecdsa.PublicKey)
	if !ok || public == nil {
		return nil, &Error{Part: "key", Problem: fmt.Sprintf("the signer's public key is of type %T, expected *ecdsa.PublicKey", signer.Public()), hint: "VAPID needs an ECDSA key on P-256"}
	}
	if public.Curve != elliptic.P256() {
		name := "an unknown curve"
		if public.Curve != nil {
			name = public.Curve.Params().Name
		}
		return nil, &Error{Part: "key", Problem: "the signer's key is on " + name + ", expected P-256", hint: "VAPID needs an ECDSA key on P-256"}
	}
	p, err := newPublicKey(public)
	if err != nil {
		return nil, &Error{Part: "key", Problem: err.Error(), hint: "VAPID needs an ECDSA key on P-256"}
	}
	return &Key{signer: signer, public: p, found: "signer"}, nil
}

// signature returns r and s of ES256 over signing, 32 bytes each (RFC 7518
// section 3.4).
func (k *Key) signature(signing string) ([]byte, error) {
	if k.signer == nil {
		signature, err := jwt.SigningMethodES256.Sign(signing, k.private)
		if err != nil {
			return nil, fmt.Errorf("signing the claims: %w", err)
		}
		return signature, nil
	}
	digest := sha256.Sum256([]byte(signing))
	der, err := k.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, &SignerError{err}
	}
	raw, err := rawSignature(der)
	if err != nil {
		return nil, &SignerError{err}
	}
	public, err := k.public.ecdsa()
	if err != nil {
		return nil, &SignerError{err}
	}
	if !ecdsa.VerifyASN1(public, digest[:], der) {
		return nil, &SignerError{errors.New("its signature does not match its public key")}
	}
	return raw, nil
}

// rawSignature converts an ASN.1 signature (RFC 3279 section 2.2.3) to r and s.
func rawSignature(der []byte) ([]byte, error) {
	var v struct{ R, S *big.Int }
	rest, err := asn1.Unmarshal(der, &v)
	if err != nil || len(rest) > 0 {
		return nil, fmt.Errorf("its signature of %d bytes is not an ASN.1 sequence of two integers", len(der))
	}
	n := elliptic.P256().Params().N
	for _, i := range []*big.Int{v.R, v.S} {
		if i.Sign() <= 0 || i.Cmp(n) >= 0 {
			return nil, errors.New("its signature has a number that is out of range for P-256")
		}
	}
	raw := make([]byte, 64)
	v.R.FillBytes(raw[:32])
	v.S.FillBytes(raw[32:])
	return raw, nil
}
