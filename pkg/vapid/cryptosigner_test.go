package vapid

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/asn1"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"
)

// remote is a signer that holds its key elsewhere, and may fail.
type remote struct {
	public crypto.PublicKey
	sign   func(digest []byte) ([]byte, error)
}

func (r remote) Public() crypto.PublicKey { return r.public }
func (r remote) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if o.HashFunc() != crypto.SHA256 || len(digest) != 32 {
		return nil, errors.New("expected SHA-256")
	}
	return r.sign(digest)
}

func TestNewKey(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour), Subject: "mailto:ops@example.com"}
	key, err := NewKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for range 64 { // some r or s are shorter than 32 bytes only now and then
		token, err := key.Sign(claims)
		if err != nil {
			t.Fatal(err)
		}
		received, err := ParseToken(token.Authorization(), "")
		if err != nil {
			t.Fatal(err)
		}
		if problems := received.Check(claims.Audience); len(problems) > 0 {
			t.Fatalf("the token has problems: %v", problems)
		}
	}
	if _, err := key.Marshal(FormatPEM); err == nil {
		t.Error("a private half that is elsewhere was written")
	}

	cause := errors.New("unreachable")
	numbers := func(r, s *big.Int) []byte {
		b, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	n, one := elliptic.P256().Params().N, big.NewInt(1)
	for name, sign := range map[string]func([]byte) ([]byte, error){
		"failing":      func([]byte) ([]byte, error) { return nil, cause },
		"empty":        func([]byte) ([]byte, error) { return nil, nil },
		"raw":          func([]byte) ([]byte, error) { return bytes.Repeat([]byte{1}, 64), nil },
		"another key":  func(d []byte) ([]byte, error) { return ecdsa.SignASN1(rand.Reader, other, d) },
		"r is 0":       func([]byte) ([]byte, error) { return numbers(new(big.Int), one), nil },
		"s is n":       func([]byte) ([]byte, error) { return numbers(one, n), nil },
		"r is below 0": func([]byte) ([]byte, error) { return numbers(big.NewInt(-1), one), nil },
		"trailing byte": func(d []byte) ([]byte, error) {
			b, err := ecdsa.SignASN1(rand.Reader, private, d)
			return append(b, 0), err
		},
	} {
		key, err := NewKey(remote{&private.PublicKey, sign})
		if err != nil {
			t.Fatal(err)
		}
		var failed *SignerError
		if _, err := key.Sign(claims); !errors.As(err, &failed) || !failed.Temporary() {
			t.Errorf("%s: the error is %v, expected a temporary *SignerError", name, err)
		} else if name == "failing" && !errors.Is(err, cause) {
			t.Errorf("%s: the error %v hides its cause", name, err)
		}
	}
}

func TestNewKeyOfAnotherKind(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, signer := range map[string]crypto.Signer{"nil": nil, "P-384": p384, "Ed25519": ed, "no public key": remote{}, "no curve": remote{public: &ecdsa.PublicKey{}}} {
		var e *Error
		if _, err := NewKey(signer); !errors.As(err, &e) || e.Part != "key" || e.Hint() == "" {
			t.Errorf("%s: the error is %v, expected an *Error about the key with a hint", name, err)
		}
	}
}
