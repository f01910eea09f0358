package pushservice

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/atomicfile"
)

// AuthorityKeyFile returns the name of the file with the private key of a
// certificate authority that is kept in files: the name of the certificate's file
// with "-key" before its extension.
func AuthorityKeyFile(certificate string) string {
	extension := filepath.Ext(certificate)
	return strings.TrimSuffix(certificate, extension) + "-key" + extension
}

// inFiles adds the names of the files of an authority to an error.
func inFiles(certificate string, err error) error {
	var unusable *AuthorityError
	if certificate != "" && errors.As(err, &unusable) {
		unusable.Files = removable(certificate, AuthorityKeyFile(certificate))
		unusable.Err = fmt.Errorf("%s: %w", certificate, unusable.Err)
	}
	return err
}

// removable returns the files of an authority if each has a certificate of this package,
// and nil otherwise: other files could have the only copy of a key.
func removable(files ...string) []string {
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil || !slices.ContainsFunc(certificatesIn(b), func(c *x509.Certificate) bool {
			return c.Subject.CommonName == authorityName || c.Subject.CommonName == chromiumAuthorityName
		}) {
			return nil
		}
	}
	return files
}

// certificatesIn returns the certificates in a text of PEM that can be read.
func certificatesIn(text []byte) (all []*x509.Certificate) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil {
				all = append(all, c)
			}
		}
	}
	return all
}

// readAuthority reads an authority that saveAuthority has written, or nil if
// neither file exists. The errors are of type [*AuthorityError].
func readAuthority(certificate string) ([]byte, error) {
	keyFile := AuthorityKeyFile(certificate)
	read := func(name string) ([]byte, error) {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return nil, &AuthorityError{Err: fmt.Errorf("%s is not a regular file", name)}
		}
		b, err := os.ReadFile(name)
		if inFile := (*fs.PathError)(nil); errors.As(err, &inFile) && !errors.Is(err, fs.ErrNotExist) {
			err = &AuthorityError{Err: fmt.Errorf("%s: %w", name, inFile.Err)}
		}
		return b, err
	}
	text, err := read(certificate)
	key, keyErr := read(keyFile)
	none, noKey := errors.Is(err, fs.ErrNotExist), errors.Is(keyErr, fs.ErrNotExist)
	switch {
	case none && noKey:
		return nil, nil
	case none && keyErr == nil:
		return nil, &AuthorityError{Err: fmt.Errorf("%s not found, the certificate of %s", certificate, keyFile), Files: removable(keyFile)}
	case noKey && err == nil:
		return nil, &AuthorityError{Err: fmt.Errorf("%s not found, the private key of %s", keyFile, certificate), Files: removable(certificate)}
	case err != nil && !none:
		return nil, err
	case keyErr != nil:
		return nil, keyErr
	case len(certificatesIn(text)) == 0:
		return nil, &AuthorityError{Err: fmt.Errorf("%s has no certificate", certificate)}
	}
	// The file of the key also has the certificate; the other file counts.
	return append(append(key, '\n'), text...), nil
}

// saveAuthority writes a new authority to files that do not exist.
func saveAuthority(certificate string, authority []byte) error {
	var text []byte
	for _, c := range certificatesIn(authority) {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	// The key first: a certificate without its key could not be used.
	keyFile := AuthorityKeyFile(certificate)
	err := atomicfile.Create(keyFile, authority, 0o600)
	if err == nil {
		if err = atomicfile.Create(certificate, text, 0o644); err != nil {
			err = errors.Join(err, os.Remove(keyFile))
		}
	}
	if inFile := (*fs.PathError)(nil); errors.As(err, &inFile) {
		err = fmt.Errorf("%s: %w", inFile.Path, inFile.Err)
	}
	if err != nil {
		return &AuthorityError{Err: fmt.Errorf("the authority cannot be saved: %w", err)}
	}
	return nil
}
