// Package certificate reads the certificate of a server.
package certificate

import (
	"crypto/tls"
	"fmt"
)

// Parse returns the certificate chain with its private key, both in PEM.
func Parse(certificatePEM, keyPEM []byte) (tls.Certificate, error) {
	c, err := tls.X509KeyPair(certificatePEM, keyPEM)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the certificate or its key cannot be used: %w", err)
	}
	return c, nil
}
