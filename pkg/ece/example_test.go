package ece_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"

	"github.com/seed81da77dd/webpush/pkg/ece"
)

// A browser makes an identity and publishes its two public values; the
// application server encrypts for them.
func Example() {
	browser, err := ece.GenerateIdentity()
	if err != nil {
		log.Fatal(err)
	}
	p256dh, auth := browser.Recipient().P256DH(), browser.Recipient().Auth()

	// On the application server, from the keys of the subscription.
	recipient, err := ece.NewRecipient(p256dh, auth)
	if err != nil {
		log.Fatal(err)
	}
	sent, err := recipient.Encrypt([]byte("When I grow up, I want to be a watermelon"), ece.Options{Pad: ece.PadAuto})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Content-Encoding:", sent.Encoding)
	fmt.Println("Content-Length:", len(sent.Body))

	// In the browser, from what the push service delivered.
	received, err := ece.ParseEncryptedMessage(sent.Encoding, sent.Encryption(), sent.CryptoKey(), sent.Body)
	if err != nil {
		log.Fatal(err)
	}
	payload, err := browser.Decrypt(received)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", payload)
	// Output:
	// Content-Encoding: aes128gcm
	// Content-Length: 359
	// When I grow up, I want to be a watermelon
}

// The example of draft-ietf-webpush-encryption-04 section 5, as it arrives.
func ExampleParseEncryptedMessage() {
	var id ece.Identity
	err := json.Unmarshal([]byte(`{
		"privateKey": "9FWl15_QUQAWDaD3k3l50ZBZQJ4au27F1V4F0uLSD_M",
		"auth": "R29vIGdvbyBnJyBqb29iIQ"
	}`), &id)
	if err != nil {
		log.Fatal(err)
	}
	body, err := base64.RawURLEncoding.DecodeString("6nqAQUME8hNqw5J3kl8cpVVJylXKYqZOeseZG8UueKpA")
	if err != nil {
		log.Fatal(err)
	}
	m, err := ece.ParseEncryptedMessage(ece.AESGCM,
		`salt="lngarbyKfMoi9Z75xYXmkg"`,
		`dh="BNoRDbb84JGm8g5Z5CFxurSqsXWJ11ItfXEWYVLE85Y7CYkDjXsIEc4aqxYaQ1G8BqkXCJ6DPpDrWtdWj_mugHU"`,
		body)
	if err != nil {
		log.Fatal(err)
	}
	payload, err := id.Decrypt(m)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", payload)
	// Output: I am the walrus
}
