package webpush

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// downSigner has a key but cannot be reached.
type downSigner struct{ *ecdsa.PrivateKey }

var errDown = errors.New("the key service is down")

func (downSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) { return nil, errDown }

// A message whose token a remote signer did not sign is sent later, and its
// subscription is kept.
func TestSignerFailureIsTemporary(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := vapid.NewKey(downSigner{private})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := ParseSubscription([]byte(`{"endpoint":"https://push.example.net/x"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&Client{Key: key, Subject: "mailto:ops@example.com"}).Send(t.Context(), sub, Message{})
	if !errors.Is(err, errDown) || Classify(err) != ClassTemporary || Final(err) {
		t.Errorf("Send returned %v, of class %s, final: %t; expected the signer's error, temporary, not final", err, Classify(err), Final(err))
	}
}

// A zone names an interface of one machine: such an endpoint has no origin.
func TestEndpointWithZone(t *testing.T) {
	for _, endpoint := range []string{"https://[::ffff:127.0.0.1%25lo]/x", "https://[fe80::1%25eth0]:8443/x"} {
		if _, err := ParseSubscription([]byte(`{"endpoint":"` + endpoint + `"}`)); err == nil {
			t.Errorf("%s was taken as an endpoint", endpoint)
		}
	}
}
