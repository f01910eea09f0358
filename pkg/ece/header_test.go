package ece

import (
	"testing"
)

// TestCheckSender asserts that only a point of 65 bytes passes as the sender's
// key.
func TestCheckSender(t *testing.T) {
	id, err := GenerateIdentity()
	if err != nil {
		t.Fatal(err)
	}
	m, err := id.Recipient().Encrypt([]byte("hi"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := m.Header()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.CheckSender(); err != nil {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, []byte("a1"), make([]byte, KeySize), append([]byte{4}, make([]byte, KeySize-1)...)} {
		if err := (Header{KeyID: bad}).CheckSender(); codeOf(err) != CodeSenderKey {
			t.Errorf("%x: %v", bad, err)
		}
	}
}
