package ece

import (
	"encoding/json"
	"testing"
)

// TestHeaders: the JSON of a message has its headers and its body.
func TestHeaders(t *testing.T) {
	m := &EncryptedMessage{Encoding: AESGCM, Salt: make([]byte, 16), SenderKey: []byte{4}, Body: []byte{0xfb, 0xff}}
	b, err := json.Marshal(m)
	if err != nil || string(b) != `{"headers":{"Content-Encoding":"aesgcm","Crypto-Key":"dh=BA","Encryption":"salt=AAAAAAAAAAAAAAAAAAAAAA"},"body":"-_8"}` {
		t.Errorf("%s, %v", b, err)
	}
	m.Encoding = AES128GCM
	if h := m.Headers(); len(h) != 1 || h["Content-Encoding"] != "aes128gcm" {
		t.Errorf("%v", h)
	}
}
