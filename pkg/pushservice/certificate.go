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
	// certificateLifetime is the longest lifetime of certificates that all clients
	// accept.
	certificateLifetime = 397 * 24 * time.Hour
	// authorityLifetime is longer, because users must trust an authority manually.
	authorityLifetime = 5 * 365 * 24 * time.Hour
	// authorityName and chromiumAuthorityName identify the authorities of this
	// package.
	authorityName         = "local push service authority"
	chromiumAuthorityName = "local push service authority for Chromium"
)

// AuthorityError reports why the certificate authority in [ServerOptions] cannot be
// used or saved: it is malformed, was created by another program, has expired, or is
// not valid for the host.
type AuthorityError struct {
	// Err is the problem.
	Err error
	// Chromium reports that it is the authority in [ChromiumOptions].
	Chromium bool
	// Files are the files to remove to have a new authority made, if that would
	// help and they have certificates of push services of this package.
	Files []string
}

// Error describes the problem.
func (e *AuthorityError) Error() string { return e.Err.Error() }

// Hint returns the next step, or "" if the authority was not in a file.
func (e *AuthorityError) Hint() string {
	if len(e.Files) == 0 {
		return ""
	}
	return "use other files, or remove " + strings.Join(e.Files, " and ") + " to have a new authority made, which must be trusted again"
}

// Unwrap returns Err.
func (e *AuthorityError) Unwrap() error { return e.Err }

// authority is a certificate authority that signs servers' certificates. It is
// constrained to the names that it was made for: the owner of its key cannot
// impersonate other hosts to those who trust it.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// server is the key of the servers' certificates, or nil if each certificate has
	// a key of its own, which is not kept.
	server *ecdsa.PrivateKey
}

// makeAuthority makes an authority for the names of a template.
func makeAuthority(name string, names *x509.Certificate) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	from := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: name},
		NotBefore:                   from, // in the past, for clients whose clock is behind
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
	if len(names.IPAddresses) == 0 { // a type of name without constraint would be permitted
		template.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 8*net.IPv4len)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 8*net.IPv6len)},
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	// Parsed to get the key ID that CreateCertificate has computed.
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate: certificate, key: key}, err
}

// parseAuthority reads an authority with that name as written by encode. The errors
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
		problem = fmt.Sprintf("was not made by a push service: it is %q", c.Subject.String())
	case len(keys) == 0:
		problem = "has no private key"
	case a.key == nil:
		problem = "has a certificate and a private key that do not match"
	case now.After(c.NotAfter):
		problem = "expired on " + c.NotAfter.Format(time.DateOnly)
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

// encode returns the private key, the certificate, and the servers' key, if kept, in
// PEM, or nil without an authority.
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
	if err != nil { // not possible with the keys of this package
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

// sign makes a server's certificate for the names of a template, including host.
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
		return tls.Certificate{}, &AuthorityError{Err: fmt.Errorf("the authority is not valid for %q: it was made for another host", host)}
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
