package useragent_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/pushservice"
	"github.com/seed81da77dd/webpush/pkg/useragent"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

func start(t *testing.T, tls bool) *pushservice.Server {
	t.Helper()
	s, err := pushservice.Start(pushservice.ServerOptions{TLS: tls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func subscribe(t *testing.T, s *pushservice.Server, key vapid.PublicKey) *useragent.Subscription {
	t.Helper()
	sub, err := useragent.Subscribe(t.Context(), s.URL, useragent.Options{ApplicationServerKey: key, HTTP: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return sub
}

// only returns the only subscription of a device.
func only(d *useragent.Device, err error) (*useragent.Subscription, error) {
	if err != nil {
		return nil, err
	}
	all := d.Subscriptions()
	if len(all) != 1 {
		return nil, fmt.Errorf("%d subscriptions, want 1", len(all))
	}
	return all[0], nil
}

// begin creates a device with a subscription in a file.
func begin(t *testing.T, file *useragent.File, server string, o useragent.Options) (*useragent.Subscription, error) {
	t.Helper()
	d, err := file.New(server, o)
	if err != nil {
		return nil, err
	}
	return d.Subscribe(t.Context(), "", o.ApplicationServerKey)
}

// recipient reads a subscription as an application server gets it.
func recipient(t *testing.T, sub *useragent.Subscription) (endpoint string, r *ece.Recipient) {
	t.Helper()
	data, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Endpoint string
		Keys     struct{ P256DH, Auth string }
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	decode := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if r, err = ece.NewRecipient(decode(v.Keys.P256DH), decode(v.Keys.Auth)); err != nil {
		t.Fatal(err)
	}
	return v.Endpoint, r
}

// push sends a message as an application server does, with net/http only; m is
// nil for a message without payload.
func push(t *testing.T, c *http.Client, endpoint string, m *ece.EncryptedMessage, key *vapid.Key, headers ...string) {
	t.Helper()
	body := []byte{}
	if m != nil {
		body = m.Body
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("TTL", "60")
	if m != nil {
		r.Header.Set("Content-Encoding", string(m.Encoding))
		if m.Encoding == ece.AESGCM {
			r.Header.Set("Encryption", m.Encryption())
			r.Header.Set("Crypto-Key", m.CryptoKey())
		}
	}
	if key != nil {
		audience, err := vapid.Origin(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		token, err := key.Sign(vapid.Claims{Audience: audience, Expires: time.Now().Add(vapid.DefaultLifetime), Subject: "mailto:ops@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", token.Authorization())
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		var b bytes.Buffer
		_, _ = b.ReadFrom(answer.Body)
		t.Fatalf("status %d: %s", answer.StatusCode, &b)
	}
}

func encrypt(t *testing.T, r *ece.Recipient, payload []byte, encoding ece.Encoding) *ece.EncryptedMessage {
	t.Helper()
	m, err := r.Encrypt(payload, ece.Options{Encoding: encoding})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWholeLoop(t *testing.T) {
	s := start(t, true)
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte{0, 0xff, 'x'}, 1331)
	for _, c := range []struct {
		name     string
		key      *vapid.Key
		payload  []byte
		encoding ece.Encoding
	}{
		{"aes128gcm", key, []byte("grüße"), ece.AES128GCM},
		{"aes128gcm empty", key, []byte{}, ece.AES128GCM},
		{"aes128gcm largest", key, large[:3993], ece.AES128GCM},
		{"aes128gcm unrestricted", nil, []byte("hello"), ece.AES128GCM},
		{"aesgcm", key, []byte("grüße"), ece.AESGCM},
		{"aesgcm empty", key, []byte{}, ece.AESGCM},
		{"without payload", key, nil, ""},
		{"without payload unrestricted", nil, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var public vapid.PublicKey
			if c.key != nil {
				public = c.key.PublicKey()
			}
			sub := subscribe(t, s, public)
			endpoint, r := recipient(t, sub)
			var m *ece.EncryptedMessage
			if c.payload != nil {
				m = encrypt(t, r, c.payload, c.encoding)
			}
			push(t, s.Client(), endpoint, m, c.key, "Urgency", "low", "Topic", "t-1")
			got, err := sub.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Payload, c.payload) || (got.Payload == nil) != (c.payload == nil) {
				t.Errorf("payload is %q, want %q", got.Payload, c.payload)
			}
			if got.Encoding != c.encoding || got.Urgency != "low" || got.Topic != "t-1" || got.TTL != time.Minute || time.Since(got.Time) > time.Minute || got.ID == "" {
				t.Errorf("got %+v", got)
			}
			if err := sub.Ack(t.Context(), got); err != nil {
				t.Error(err)
			}
			// Acknowledging what is gone is no error.
			if err := sub.Ack(t.Context(), got); err != nil {
				t.Error(err)
			}
		})
	}
	for _, sub := range s.Service.Subscriptions() {
		if sub.Messages != 0 {
			t.Errorf("%d messages are left", sub.Messages)
		}
	}
}

func TestReceiveWaits(t *testing.T) {
	s := start(t, false)
	sub := subscribe(t, s, vapid.PublicKey{})
	endpoint, r := recipient(t, sub)

	// Concurrent calls take turns; each message goes to one of them.
	const n = 5
	var mu sync.Mutex
	got := make(map[string]int)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			m, err := sub.Receive(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[string(m.Payload)]++
		})
	}
	for s.Service.Subscriptions()[0].Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	for i := range n {
		push(t, s.Client(), endpoint, encrypt(t, r, fmt.Append(nil, i), ece.AES128GCM), nil)
	}
	wg.Wait()
	if len(got) != n {
		t.Errorf("got %v", got)
	}

	// None was acknowledged, and none comes twice.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if m, err := sub.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", m, err)
	}
	if got := s.Service.Subscriptions()[0].Messages; got != n {
		t.Errorf("%d messages are there, want %d", got, n)
	}
	// After that the subscription is as good as before.
	push(t, s.Client(), endpoint, nil, nil)
	if m, err := sub.Receive(t.Context()); err != nil || m.Payload != nil {
		t.Errorf("got %v, %v", m, err)
	}
}

func TestDecryptError(t *testing.T) {
	s := start(t, false)
	sub := subscribe(t, s, vapid.PublicKey{})
	endpoint, r := recipient(t, sub)
	_, other := recipient(t, subscribe(t, s, vapid.PublicKey{}))
	push(t, s.Client(), endpoint, encrypt(t, other, []byte("not yours"), ece.AES128GCM), nil, "Topic", "x")
	push(t, s.Client(), endpoint, encrypt(t, r, []byte("yours"), ece.AES128GCM), nil)

	m, err := sub.Receive(t.Context())
	var (
		e     *useragent.DecryptError
		cause *ece.Error
	)
	if m != nil || !errors.As(err, &e) || !errors.As(err, &cause) || cause.Code != ece.CodeDecrypt || e.Message.Topic != "x" || e.Message.Payload != nil {
		t.Fatalf("got %v, %v", m, err)
	}
	if want := "message " + e.Message.ID + " cannot be decrypted: "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error is %q, want %q", err, want)
	}
	if err := sub.Ack(t.Context(), e.Message); err != nil {
		t.Error(err)
	}
	if m, err := sub.Receive(t.Context()); err != nil || string(m.Payload) != "yours" {
		t.Errorf("got %v, %v", m, err)
	}
	if n := s.Service.Subscriptions()[0].Messages; n != 1 {
		t.Errorf("%d messages are there, want 1", n)
	}
}

func TestUnsubscribe(t *testing.T) {
	s := start(t, false)
	sub := subscribe(t, s, vapid.PublicKey{})
	errs := make(chan error)
	go func() {
		_, err := sub.Receive(t.Context())
		errs <- err
	}()
	for s.Service.Subscriptions()[0].Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 2 {
		if err := sub.Unsubscribe(t.Context()); err != nil {
			t.Error(err)
		}
	}
	var e *useragent.Error
	err := <-errs
	if !errors.As(err, &e) || !e.Gone() {
		t.Fatalf("receiving: %v", err)
	}
	if want := "receiving at " + s.URL + ": status 410 Gone: No such subscription: it has expired"; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestMarshalJSON(t *testing.T) {
	s := start(t, true)
	sub := subscribe(t, s, vapid.PublicKey{})
	got, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	r := sub.Identity().Recipient()
	want := fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":{"p256dh":%q,"auth":%q}}`, sub.Endpoint(),
		base64.RawURLEncoding.EncodeToString(r.P256DH()), base64.RawURLEncoding.EncodeToString(r.Auth()))
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.HasPrefix(sub.Endpoint(), s.URL+"/wpush/v1/") {
		t.Errorf("endpoint is %q", sub.Endpoint())
	}
}

func TestPrintsNoSecrets(t *testing.T) {
	s := start(t, false)
	sub := subscribe(t, s, vapid.PublicKey{})
	id := s.Service.Subscriptions()[0].ID
	want := "subscription at " + s.URL
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, sub); got != want {
			t.Errorf("%s prints %q", verb, got)
		}
	}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("made", "subscription", sub)
	slog.New(slog.NewTextHandler(&b, nil)).Info("made", "subscription", sub)
	if strings.Count(b.String(), want) != 2 || strings.Contains(b.String(), "wpush") {
		t.Errorf("slog writes %s", &b)
	}

	// Nor do errors of the network, which have the URL in net/http.
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := sub.Receive(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	for _, err := range []error{err, sub.Unsubscribe(t.Context()), sub.Ack(t.Context(), &useragent.ReceivedMessage{ID: "secret"})} {
		if err == nil || strings.Contains(err.Error(), id) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), s.URL) {
			t.Errorf("error is %v", err)
		}
	}
}

func TestSubscribeRefuses(t *testing.T) {
	for _, c := range []struct{ server, want string }{
		{"", `the push service's address has the scheme "", expected https or wss`},
		{"push.example.net", `the push service's address has the scheme "", expected https or wss`},
		{"ftp://localhost", `the push service's address has the scheme "ftp", expected https or wss`},
		{"ws://push.example.net", `the push service's address is ws at "push.example.net", expected wss, or a loopback host`},
		{"wss://", "the push service's address has no host"},
		{"https://", "the push service's address has no host"},
		{"https://me:secret@localhost", "the push service's address has a user name or password"},
		{"http://push.example.net", `the push service's address is http at "push.example.net", expected https, or a loopback host`},
		{"http://192.0.2.1", `the push service's address is http at "192.0.2.1", expected https, or a loopback host`},
		{"https://a b", "the push service's address is not a URL: "},
	} {
		sub, err := useragent.Subscribe(t.Context(), c.server, useragent.Options{})
		if sub != nil || err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.server, err, c.want)
		}
	}
}

// answers is a push service that gives each request the next of them.
type answers []string

func (a *answers) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	status, body, _ := strings.Cut((*a)[0], " ")
	if *a = (*a)[1:]; len(*a) == 0 {
		*a = answers{status + " " + body}
	}
	var code int
	_, _ = fmt.Sscan(status, &code)
	w.WriteHeader(code)
	_, _ = w.Write([]byte(body))
}

func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	const good = `201 {"id":"a","endpoint":"http://localhost/wpush/v1/a"}`
	for _, c := range []struct {
		answers answers
		want    string // in the error
	}{
		{answers{"201 {}"}, "the response has no valid id"},
		{answers{`201 {"id":"../a","endpoint":"https://localhost/"}`}, "the response has no valid id"},
		{answers{`201 {"id":"a"}`}, `the endpoint in the response has the scheme "", expected https`},
		{answers{`201 {"id":"a","endpoint":"http://push.example.net/"}`}, `the endpoint in the response is http at "push.example.net", expected https, or a loopback host`},
		{answers{"201 <html>"}, "the response is not a push service's: invalid character '<' looking for beginning of value"},
		{answers{"200 {}"}, "status 200 OK"},
		{answers{`429 {"message":"slow down"}`}, "status 429 Too Many Requests: slow down"},
		{answers{"502 <html>"}, "status 502 Bad Gateway"},
		{answers{good, "200 <html>"}, "the response is not a push service's: invalid character '<' looking for beginning of value"},
		{answers{good, `200 {"messages":[{"id":"m","seq":1,"body":"!"}]}`}, "message m cannot be decrypted: body: character '!' at position 1 is not base64"},
		{answers{good, `200 {"messages":[{"id":"m","seq":1,"body":"AAAA","headers":{"content-encoding":"gzip"}}]}`}, `message m cannot be decrypted: content encoding "gzip"`},
		{answers{good, `200 {"messages":[]}`}, "context deadline exceeded"},
		{answers{good, `200 {"messages":[{"id":"m","seq":0,"body":""}]}`}, "context deadline exceeded"},
	} {
		t.Run(c.want, func(t *testing.T) {
			s := httptest.NewServer(&c.answers)
			defer s.Close()
			limit := 20 * time.Second
			if c.want == "context deadline exceeded" {
				limit = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			sub, err := useragent.Subscribe(ctx, s.URL, useragent.Options{})
			if err == nil {
				_, err = sub.Receive(ctx)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %s", err, c.want)
			}
		})
	}
}

func TestAckWithoutID(t *testing.T) {
	s := start(t, false)
	sub := subscribe(t, s, vapid.PublicKey{})
	if err := sub.Ack(t.Context(), &useragent.ReceivedMessage{ID: "../x"}); err == nil || !strings.HasSuffix(err.Error(), "the message has no valid id") {
		t.Errorf("error is %v", err)
	}
}
