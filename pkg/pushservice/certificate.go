package pushservice

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

const (
	// certificateLifetime is what all clients accept of certificates.
	certificateLifetime = 397 * 24 * time.Hour
	// authorityLifetime is that of an authority, which has to be trusted by hand.
	authorityLifetime = 5 * 365 * 24 * time.Hour
	// authorityName and chromiumAuthorityName identify the authorities of this
	// package.
	authorityName         = "local push service authority"
	chromiumAuthorityName = "local push service authority for Chromium"
)

// AuthorityError is why the authority in [ServerOptions].AuthorityPEM cannot be
// used: it is none, another program's, has expired, or is not for the host. With
// Chromium, it is that in [ChromiumOptions].AuthorityPEM.
type AuthorityError struct {
	Err      error
	Chromium bool
	// Files are the files to remove to have a new authority made, if that would
	// help.
	Files []string
}

// Error says what is wrong.
func (e *AuthorityError) Error() string { return e.Err.Error() }

// Hint returns the next step, or "" if the authority was not in a file.
func (e *AuthorityError) Hint() string {
	if len(e.Files) == 0 {
		return ""
	}
	return "use other files, or remove " + strings.Join(e.Files, " and ") + " to have a new authority made, which must be trusted again"
}

// Unwrap returns what is wrong.
func (e *AuthorityError) Unwrap() error { return e.Err }

// authority signs servers' certificates. It is good for the names that it was
// made for, and for no others: who has its key is nobody else for those who
// trust it.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// server is the key of the servers' certificates, or nil if each has a key of
	// its own that is kept nowhere.
	server *ecdsa.PrivateKey
}

// makeAuthority makes one for the names of a template.
func makeAuthority(name string, names *x509.Certificate) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: name},
		NotBefore:                   from, // a clock that is behind is no reason to refuse
		NotAfter:                    from.Add(authorityLifetime),
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         names.DNSNames,
	}
	for _, ip := range names.IPAddresses {
		bits := 8 * net.IPv6len
		if v4 := ip.To4(); v4 != nil {
			ip, bits = v4, 8*net.IPv4len
		}
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: ip, Mask: net.CIDRMask(bits, bits)})
	}
	if len(names.IPAddresses) == 0 { // a form without constraint would be permitted
		template.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 8*net.IPv4len)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 8*net.IPv6len)},
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	// Parsed again for its key id, which CreateCertificate has computed.
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate: certificate, key: key}, err
}

// parseAuthority reads an authority of that name as encode writes it. The errors
// are of type [*AuthorityError].
func parseAuthority(text []byte, name string) (*authority, error) {
	var a authority
	var keys []*ecdsa.PrivateKey
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var err error
		switch block.Type {
		case "CERTIFICATE":
			a.certificate, err = x509.ParseCertificate(block.Bytes)
		case "PRIVATE KEY":
			var key any
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
			if key, ok := key.(*ecdsa.PrivateKey); ok {
				keys = append(keys, key)
			}
		}
		if err != nil {
			return nil, &AuthorityError{Err: fmt.Errorf("the authority cannot be read: %w", err)}
		}
	}
	for _, key := range keys {
		if a.certificate != nil && key.PublicKey.Equal(a.certificate.PublicKey) {
			a.key = key
		} else {
			a.server = key
		}
	}
	now := time.Now()
	problem := ""
	switch c := a.certificate; {
	case c == nil:
		problem = "has no certificate"
	case c.Subject.CommonName != name || !c.IsCA:
		problem = fmt.Sprintf("is not one that a push service has made: its certificate is that of %q", c.Subject.String())
	case len(keys) == 0:
		problem = "has no private key"
	case a.key == nil:
		problem = "has a certificate and a private key that do not belong together"
	case now.After(c.NotAfter):
		problem = "has expired, on " + c.NotAfter.Format(time.DateOnly)
	case now.Before(c.NotBefore):
		problem = "is not valid before " + c.NotBefore.Format(time.RFC3339)
	default:
		return &a, nil
	}
	return nil, &AuthorityError{Err: errors.New("the authority " + problem)}
}

func (a *authority) certificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// encode returns the private key, the certificate, and the key of the servers if
// it is kept, in PEM, or nil without an authority.
func (a *authority) encode() []byte {
	if a == nil {
		return nil
	}
	b := append(encodeKey(a.key), a.certificatePEM()...)
	if a.server != nil {
		b = append(b, encodeKey(a.server)...)
	}
	return b
}

func encodeKey(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil { // no key of this package cannot be marshaled
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// loadAuthority reads an authority from text or a file, or makes one if there is
// neither. save writes a new one to the file.
func loadAuthority(text []byte, file, name string, names *x509.Certificate) (a *authority, save func() error, err error) {
	save = func() error { return nil }
	if file != "" && len(text) == 0 {
		if text, err = readAuthority(file); err != nil {
			return nil, save, err
		}
	}
	if len(text) > 0 {
		if a, err = parseAuthority(text, name); err != nil {
			err = inFiles(file, err)
		}
		return a, save, err
	}
	if a, err = makeAuthority(name, names); err == nil && file != "" {
		save = func() error { return saveAuthority(file, a.encode()) }
	}
	return a, save, err
}

// sign makes a server's certificate for the names of a template, which host is
// one of.
func (a *authority) sign(leaf *x509.Certificate, host string) (tls.Certificate, error) {
	key := a.server
	if key == nil {
		var err error
		if key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return tls.Certificate{}, err
		}
	}
	leaf.Subject = pkix.Name{CommonName: "local push service"}
	leaf.NotBefore = time.Now().Add(-time.Hour)
	if leaf.NotAfter = leaf.NotBefore.Add(certificateLifetime); leaf.NotAfter.After(a.certificate.NotAfter) {
		leaf.NotAfter = a.certificate.NotAfter
	}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.certificate, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		return tls.Certificate{}, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
		return tls.Certificate{}, &AuthorityError{Err: fmt.Errorf("the authority is not for %q: it was made for another host", host)}
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// namesOf returns a template with the names of this machine and host.
func namesOf(host string) *x509.Certificate {
	c := &x509.Certificate{
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip == nil && host != "localhost" {
		c.DNSNames = append(c.DNSNames, host)
	} else if ip != nil && !slices.ContainsFunc(c.IPAddresses, ip.Equal) {
		c.IPAddresses = append(c.IPAddresses, ip)
	}
	return c
}
