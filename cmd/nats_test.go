package cmd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// startNATS starts a server with JetStream and returns its address.
func startNATS(t *testing.T, change func(*natsserver.Options)) string {
	t.Helper()
	o := &natsserver.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	change(o)
	n, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go n.Start()
	t.Cleanup(func() {
		n.Shutdown()
		n.WaitForShutdown()
	})
	if !n.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	return n.ClientURL()
}

// writeCertificate writes a certificate for 127.0.0.1 to cert.pem and its key to
// cert.key, for a server and a client that trust it.
func writeCertificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "cert.key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNATSFlags connects with each flag for TLS and credentials.
func TestNATSFlags(t *testing.T) {
	inFolder(t)
	writeCertificate(t)
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := user.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"user.nk": seed, "bad.creds": []byte("SECRET")} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair("cert.pem", "cert.key")
	if err != nil {
		t.Fatal(err)
	}
	encrypted := startNATS(t, func(o *natsserver.Options) {
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
		o.Users = []*natsserver.User{{Username: "anna", Password: "SECRET"}}
		o.Nkeys = []*natsserver.NkeyUser{{Nkey: public}}
	})
	mutual := startNATS(t, func(o *natsserver.Options) {
		pool := x509.NewCertPool()
		pool.AddCert(pair.Leaf)
		o.TLSConfig, o.TLSVerify = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}, true
	})
	t.Setenv(natsPasswordEnv, "SECRET")
	for _, row := range []struct {
		address, args string
		code          int
		talk          string // "" for none
	}{
		{encrypted, "--nats-ca-file cert.pem --nats-user anna", exitOK, ""},
		{encrypted, "--nats-ca-file cert.pem --nats-nkey user.nk", exitOK, ""},
		{mutual, "--nats-ca-file cert.pem --nats-cert cert.pem --nats-key cert.key", exitOK, ""},
		{encrypted, "--nats-ca-file cert.pem", exitFailure, "hint: check the user and password, the token, the nkey, or the creds file"},
		{encrypted, "--nats-ca-file cert.pem --nats-user otto", exitFailure, "Authorization Violation"},
		{encrypted, "--nats-user anna", exitFailure, "hint: pass the CA certificate with --nats-ca-file"},
		{encrypted, "--nats-ca-file cert.pem --nats-creds bad.creds", exitFailure, "hint: use a file with a JWT and a seed, as nsc writes it"},
		{encrypted, "--nats-ca-file cert.pem --nats-nkey bad.creds", exitFailure, "hint: use a file with one line that begins with SU"},
		{mutual, "--nats-ca-file cert.pem", exitFailure, "pass it with --nats-cert and --nats-key"},
	} {
		var talk bytes.Buffer
		code := run(t.Context(), &streams{in: strings.NewReader(""), out: io.Discard, err: &talk}, append([]string{"results", "--nats", row.address}, strings.Fields(row.args)...))
		text := talk.String()
		if code != row.code || (row.talk == "") != (text == "") || !strings.Contains(text, row.talk) || strings.Contains(text, "SECRET") {
			t.Errorf("%s: exit code %d\n%s", row.args, code, text)
		}
	}
}
