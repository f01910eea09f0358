package queue

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// testCA issues certificates.
type testCA struct {
	tb   testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	file string
}

func newTestCA(tb testing.TB) *testCA {
	ca := &testCA{tb: tb, dir: tb.TempDir()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	ca.key = key
	ca.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, ca.cert, ca.cert, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	ca.file = ca.write("ca.pem", "CERTIFICATE", der)
	return ca
}

func (ca *testCA) write(name, kind string, der []byte) string {
	ca.tb.Helper()
	name = filepath.Join(ca.dir, name)
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		ca.tb.Fatal(err)
	}
	return name
}

// issue returns the files of a certificate for 127.0.0.1 and of its key.
func (ca *testCA) issue(name string, usage x509.ExtKeyUsage) (certFile, keyFile string) {
	ca.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.tb.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca.cert, key.Public(), ca.key)
	if err != nil {
		ca.tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.tb.Fatal(err)
	}
	return ca.write(name+".pem", "CERTIFICATE", der), ca.write(name+".key", "PRIVATE KEY", keyDER)
}

// tls returns the configuration of a server.
func (ca *testCA) tls(clients bool) *tls.Config {
	ca.tb.Helper()
	cert, err := tls.LoadX509KeyPair(ca.issue("server", x509.ExtKeyUsageServerAuth))
	if err != nil {
		ca.tb.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{cert}}
	if clients {
		c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		b, err := os.ReadFile(ca.file)
		if err != nil || !c.ClientCAs.AppendCertsFromPEM(b) {
			ca.tb.Fatal(err)
		}
	}
	return c
}

func startEngineWith(tb testing.TB, change func(*server.Options)) *engine {
	tb.Helper()
	e := &engine{tb: tb, o: server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: tb.TempDir(), NoSigs: true, NoLog: true}}
	change(&e.o)
	e.start()
	tb.Cleanup(func() { e.stop() })
	return e
}

// newNKey returns a key pair, its public key, and a file with its seed.
func newNKey(tb testing.TB, prefix nkeys.PrefixByte) (key nkeys.KeyPair, public, file string) {
	tb.Helper()
	key, err := nkeys.CreatePair(prefix)
	if err != nil {
		tb.Fatal(err)
	}
	public, err = key.PublicKey()
	if err != nil {
		tb.Fatal(err)
	}
	seed, err := key.Seed()
	if err != nil {
		tb.Fatal(err)
	}
	file = filepath.Join(tb.TempDir(), "user.nk")
	if err := os.WriteFile(file, seed, 0o600); err != nil {
		tb.Fatal(err)
	}
	return key, public, file
}

// sendsWith asserts that a record goes through the queue of a connection over TLS.
func sendsWith(t *testing.T, address string, o DialOptions) {
	t.Helper()
	q, err := Dial(t.Context(), address, o, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if !q.Encrypted() || strings.Contains(q.Server(), "SECRET") {
		t.Errorf("connected to %s, encrypted: %t", q.Server(), q.Encrypted())
	}
	s := newSink(t)
	enqueue(t, q, EnqueueOptions{Run: NewRunName(), Message: payload("hi")}, subscription(s.URL+"/a"))
	stop := work(t, q, WorkerOptions{Lanes: []string{"other"}})
	for s.count("/a") == 0 && t.Context().Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	stop()
}

// refusesWith asserts that the connection fails with this problem and hint.
func refusesWith(t *testing.T, address string, o DialOptions, problem, hint string) {
	t.Helper()
	q, err := Dial(t.Context(), address, o, Config{})
	if err == nil {
		q.Close()
		t.Fatalf("connected to %s with %+v", Redact(address), o)
	}
	e, ok := err.(*Error)
	if !ok || !strings.Contains(e.Error(), problem) || !strings.Contains(e.Hint(), hint) || strings.Contains(e.Error()+e.Hint(), "SECRET") {
		t.Errorf("%v (%s), expected %q (%s)", err, e.Hint(), problem, hint)
	}
}

const credentialsHint = "check the user and password, the token, the nkey, or the creds file"

// TestPasswordAndNKey connects over TLS as the users of a server.
func TestPasswordAndNKey(t *testing.T) {
	ca, other := newTestCA(t), newTestCA(t)
	_, public, seed := newNKey(t, nkeys.PrefixByteUser)
	_, _, wrongSeed := newNKey(t, nkeys.PrefixByteUser)
	e := startEngineWith(t, func(o *server.Options) {
		o.TLSConfig = ca.tls(false)
		o.Users = []*server.User{{Username: "anna", Password: "SECRET@:/"}}
		o.Nkeys = []*server.NkeyUser{{Nkey: public}}
	})
	host := strings.TrimPrefix(e.addr, "tls://")
	t.Run("password", func(t *testing.T) {
		sendsWith(t, e.addr, DialOptions{CAFile: ca.file, User: "anna", Password: "SECRET@:/"})
	})
	t.Run("password in the address", func(t *testing.T) {
		sendsWith(t, "tls://anna:SECRET%40%3A%2F@"+host, DialOptions{CAFile: ca.file})
	})
	t.Run("nats:// where the server requires TLS", func(t *testing.T) {
		sendsWith(t, "nats://"+host, DialOptions{CAFile: ca.file, User: "anna", Password: "SECRET@:/"})
	})
	t.Run("nkey", func(t *testing.T) {
		sendsWith(t, e.addr, DialOptions{CAFile: ca.file, NKey: seed})
	})
	refusesWith(t, e.addr, DialOptions{CAFile: ca.file, User: "anna", Password: "SECRET"}, "Authorization Violation", credentialsHint)
	refusesWith(t, e.addr, DialOptions{CAFile: ca.file, NKey: wrongSeed}, "Authorization Violation", credentialsHint)
	refusesWith(t, e.addr, DialOptions{CAFile: ca.file}, "Authorization Violation", credentialsHint)
	refusesWith(t, e.addr, DialOptions{User: "anna", Password: "SECRET@:/"}, "x509:", "trust the CA")
	refusesWith(t, e.addr, DialOptions{CAFile: other.file, User: "anna", Password: "SECRET@:/"}, "x509:", "trust the CA")
}

// TestTokenAndClientCertificate connects with a token to a server that requires a
// client certificate.
func TestTokenAndClientCertificate(t *testing.T) {
	ca := newTestCA(t)
	certFile, keyFile := ca.issue("client", x509.ExtKeyUsageClientAuth)
	e := startEngineWith(t, func(o *server.Options) {
		o.TLSConfig, o.TLSVerify, o.Authorization = ca.tls(true), true, "SECRET"
	})
	o := DialOptions{CAFile: ca.file, CertFile: certFile, KeyFile: keyFile, Token: "SECRET", TLS: true}
	sendsWith(t, e.addr, o)
	o.Token = "SECRET2"
	refusesWith(t, e.addr, o, "Authorization Violation", credentialsHint)
	refusesWith(t, e.addr, DialOptions{CAFile: ca.file, Token: "SECRET"}, "no connection to tls://127.0.0.1", "requires a client certificate")
}

// TestCreds connects with the creds file of a user in an account of an operator, as
// nsc writes it. The account has JetStream.
func TestCreds(t *testing.T) {
	ca := newTestCA(t)
	operator, operatorPublic, _ := newNKey(t, nkeys.PrefixByteOperator)
	account, accountPublic, _ := newNKey(t, nkeys.PrefixByteAccount)
	_, systemPublic, _ := newNKey(t, nkeys.PrefixByteAccount)
	encode := func(c jwt.Claims, key nkeys.KeyPair) string {
		t.Helper()
		text, err := c.Encode(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	creds := func(signer nkeys.KeyPair) string {
		t.Helper()
		user, public, _ := newNKey(t, nkeys.PrefixByteUser)
		seed, err := user.Seed()
		if err != nil {
			t.Fatal(err)
		}
		b, err := jwt.FormatUserConfig(encode(jwt.NewUserClaims(public), signer), seed)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "user.creds")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	claims := jwt.NewAccountClaims(accountPublic)
	claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	accounts := new(server.MemAccResolver)
	for public, text := range map[string]string{accountPublic: encode(claims, operator), systemPublic: encode(jwt.NewAccountClaims(systemPublic), operator)} {
		if err := accounts.Store(public, text); err != nil {
			t.Fatal(err)
		}
	}
	e := startEngineWith(t, func(o *server.Options) {
		o.TLSConfig = ca.tls(false)
		o.TrustedOperators, o.AccountResolver, o.SystemAccount = []*jwt.OperatorClaims{jwt.NewOperatorClaims(operatorPublic)}, accounts, systemPublic
	})
	sendsWith(t, e.addr, DialOptions{CAFile: ca.file, Creds: creds(account)})
	stranger, _, _ := newNKey(t, nkeys.PrefixByteAccount)
	refusesWith(t, e.addr, DialOptions{CAFile: ca.file, Creds: creds(stranger)}, "Authorization Violation", credentialsHint)
	refusesWith(t, e.addr, DialOptions{CAFile: ca.file}, "Authorization Violation", credentialsHint)
	other := filepath.Join(t.TempDir(), "other") // a certificate can have a line that begins as a seed does
	if err := os.WriteFile(other, []byte("neither a JWT nor a seed\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refusesWith(t, e.addr, DialOptions{CAFile: ca.file, Creds: other}, "no nkey seed found", "as nsc writes it")
}
