package cmd

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/printable"
)

// hostileChromium is a push service for Chromium that responds with hostile text
// at one stage, and as it should before. It returns the address and the file of its CA.
func hostileChromium(t *testing.T, stage string) (server, caFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"android.clients.google.com", "mtalk.google.com"}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	caFile = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	acceptAll(t, l, func(c net.Conn) { serveHostileChromium(c, stage) })
	return "chromium://" + l.Addr().String(), caFile
}

func serveHostileChromium(c net.Conn, stage string) {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	r := bufio.NewReader(c)
	if first, err := r.Peek(1); err == nil && first[0] != 'P' {
		serveHostileMCS(c, stage)
		return
	}
	request, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, request.Body)
	status, body := "200 OK", "\x39\x01\x00\x00\x00\x00\x00\x00\x00\x41\x02\x00\x00\x00\x00\x00\x00\x00" // android_id 1, security_token 2
	switch register := strings.HasSuffix(request.URL.Path, "/register3"); {
	case !register && stage == "checkin":
		status = "418 " + hostile
	case register && stage == "register":
		body = "Error=" + hostile
	case register:
		body = "token=a:b"
	}
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
}

// serveHostileMCS plays MCS: the response to the login, and a frame after it.
func serveHostileMCS(c net.Conn, stage string) {
	field := func(number int, text string) string {
		return string([]byte{byte(number<<3 | 2), byte(len(text))}) + text
	}
	frame := func(tag int, body string) string {
		return string([]byte{byte(tag), byte(len(body))}) + body
	}
	login := field(1, "x")
	if stage == "login" {
		login += field(3, "\x08\x07"+field(2, hostile))
	}
	_, _ = io.WriteString(c, "\x29"+frame(3, login))
	switch stage {
	case "stream":
		_, _ = io.WriteString(c, frame(10, field(1, hostile)+field(2, hostile)))
	case "message":
		_, _ = io.WriteString(c, frame(8, field(3, hostile)+field(5, hostile)+field(9, hostile)+field(7, field(1, "subtype")+field(2, hostile))))
		_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond)) // nothing confirms its acknowledgment
	}
	_, _ = io.Copy(io.Discard, c)
}

// TestHostileChromium: no text of a push service for Chromium acts on the terminal,
// at any stage of its protocols, and the text is shown where there is a place for it.
func TestHostileChromium(t *testing.T) {
	for stage, want := range map[string]string{"checkin": "418", "register": "31m", "login": "31m", "stream": "31m", "message": "31m"} {
		t.Run(stage, func(t *testing.T) {
			t.Chdir(t.TempDir())
			command(t, "", "gen")
			server, ca := hostileChromium(t, stage)
			for i, more := range [][]string{nil, {"--json"}} {
				state := fmt.Sprint("state", i)
				ctx, cancel := context.WithCancel(t.Context())
				all := &buffer{on: func(text string) {
					if strings.Contains(text, want) {
						cancel() // it would reconnect
					}
				}}
				run(ctx, &streams{in: strings.NewReader(""), out: all, err: all},
					append([]string{"listen", "--server", server, "--ca-file", ca, "--state", state, "-f", "sub-" + state, "--timeout", "20s"}, more...))
				cancel()
				if text := all.String(); !strings.Contains(text, want) || strings.ContainsFunc(text, printable.Harmful) {
					t.Errorf("%q: %q, want %q", more, text, want)
				}
			}
		})
	}
}
