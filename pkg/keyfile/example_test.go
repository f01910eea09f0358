package keyfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/seed81da77dd/webpush/pkg/keyfile"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// Generate a key pair in two files, which are never overwritten by accident.
func ExampleKeyPair() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	key, err := vapid.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	pair, err := keyfile.KeyPair(filepath.Join(dir, "private_key.pem"), filepath.Join(dir, "public_key.pem"), key, vapid.FormatPEM)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(pair.Write(false))
	fmt.Println(errors.Is(pair.Write(false), fs.ErrExist))
	// Output:
	// <nil>
	// true
}
