package pushservice_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// origin is the origin of requests from newRequest.
const origin = "http://localhost"

var encode = base64.RawURLEncoding.EncodeToString

func point(t testing.TB) []byte {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey().Bytes()
}

// aes128gcmBody returns a body as a push service sees it: only the record is
// encrypted.
func aes128gcmBody(t testing.TB, rs uint32, keyid []byte, record int) []byte {
	t.Helper()
	body := make([]byte, 16, 16+5+len(keyid)+record)
	body = binary.BigEndian.AppendUint32(body, rs)
	body = append(body, byte(len(keyid)))
	body = append(body, keyid...)
	return append(body, make([]byte, record)...)
}

func generateKey(t testing.TB) *vapid.Key {
	t.Helper()
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign signs arbitrary claims, even invalid ones, which package vapid would correct.
func sign(t testing.TB, key *vapid.Key, claims map[string]any) *vapid.Token {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	der, err := key.Marshal(vapid.FormatDER)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	signing := encode([]byte(`{"typ":"JWT","alg":"ES256"}`)) + "." + encode(payload)
	hash := sha256.Sum256([]byte(signing))
	r, s, err := ecdsa.Sign(rand.Reader, private.(*ecdsa.PrivateKey), hash[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	token, err := vapid.ParseToken("vapid t="+signing+"."+encode(signature)+", k="+key.PublicKey().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func goodClaims() map[string]any {
	return map[string]any{
		"aud": origin,
		"exp": time.Now().Add(12 * time.Hour).Unix(),
		"sub": "mailto:ops@example.com",
	}
}

// request returns a valid message request for an unrestricted subscription.
func request(path string, body []byte) *http.Request {
	r := newRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Header.Set("TTL", "60")
	if len(body) > 0 {
		r.Header.Set("Content-Encoding", "aes128gcm")
	}
	return r
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// call makes a JSON request, checks the status, and returns the response.
func call(t testing.TB, h http.Handler, method, path, body string, status int) string {
	t.Helper()
	w := do(h, newRequest(method, path, strings.NewReader(body)))
	if w.Code != status {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, w.Code, status, w.Body)
	}
	return strings.TrimSuffix(w.Body.String(), "\n")
}

func subscribe(t testing.TB, s *pushservice.Service, key vapid.PublicKey) pushservice.Subscription {
	t.Helper()
	sub, err := s.Subscribe(key)
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// send sends a message without payload and returns its id.
func send(t testing.TB, s *pushservice.Service, path string, header ...string) string {
	t.Helper()
	r := request(path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := do(s, r)
	if w.Code != http.StatusCreated {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	id, ok := strings.CutPrefix(w.Header().Get("Location"), origin+"/m/")
	if !ok {
		t.Fatalf("Location is %q", w.Header().Get("Location"))
	}
	return id
}

func receive(t testing.TB, s *pushservice.Service, id string, wait time.Duration) []pushservice.AcceptedMessage {
	t.Helper()
	list, err := s.Messages(context.Background(), id, 0, wait)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func ids(list []pushservice.AcceptedMessage) string {
	var s []string
	for _, m := range list {
		s = append(s, m.ID)
	}
	return strings.Join(s, " ")
}

// wantError checks that a response is an error of autopush with five fields.
func wantError(t testing.TB, w *httptest.ResponseRecorder, status, errno int, message string) {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("status %d, %v: %s", w.Code, err, w.Body)
	}
	want := map[string]any{
		"code": float64(status), "errno": nil, "error": http.StatusText(status), "message": message,
		"more_info": "http://autopush.readthedocs.io/en/latest/http.html#error-codes",
	}
	if errno != 0 {
		want["errno"] = float64(errno)
	}
	if w.Code != status || len(got) != 5 {
		t.Errorf("status %d with %d members, want %d with 5", w.Code, len(got), status)
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %#v, want %#v", name, got[name], value)
		}
	}
	if ct := w.Header().Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type is %q", ct)
	}
}

func readAll(t testing.TB, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// newRequest is httptest.NewRequest for a host that the service accepts.
func newRequest(method, target string, body io.Reader) *http.Request {
	r := httptest.NewRequest(method, target, body)
	if r.Host == "example.com" {
		r.Host = "localhost"
	}
	return r
}
