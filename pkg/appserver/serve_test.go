package appserver_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/appserver"
	"github.com/seed81da77dd/webpush/pkg/internal/pipetest"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// certificate makes one of 127.0.0.1, and the pool that trusts it.
func certificate(t *testing.T) (certPEM, keyPEM []byte, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pool
}

// serve lets the server of a fixture listen; stop ends it and returns what
// Serve did, and how long it took.
func (f *fixture) serve(l net.Listener) (stop func() (time.Duration, error)) {
	ctx, cancel := contextOf(f.t)
	ended := make(chan error, 1)
	go func() { ended <- f.server.Serve(ctx, l) }()
	var (
		once sync.Once
		took time.Duration
		err  error
	)
	stop = func() (time.Duration, error) {
		once.Do(func() {
			start := time.Now()
			cancel()
			err = <-ended
			took = time.Since(start)
		})
		return took, err
	}
	f.t.Cleanup(func() { _, _ = stop() })
	return stop
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// stream opens a stream of events.
func stream(t *testing.T, client *http.Client, url string) *http.Response {
	t.Helper()
	ctx, cancel := contextOf(t)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return answer
}

// until waits until a condition is true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not happen: %s", what)
		}
	}
}

// held is a sink whose responses wait for release.
func held(t *testing.T) (s *sink, entered <-chan struct{}, release func()) {
	hold, came := make(chan struct{}), make(chan struct{}, 1000)
	release = sync.OnceFunc(func() { close(hold) })
	s = newSink(t, func(string, int) int {
		came <- struct{}{}
		<-hold
		return 201
	})
	t.Cleanup(release) // before the sink is closed
	return s, came, release
}

// TestServeLongStream: an event stream with only heartbeats stays open longer than the
// timeouts of other requests, with both versions of HTTP.
func TestServeLongStream(t *testing.T) {
	t.Parallel()
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", version), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { longStream(t, version) })
		})
	}
}

func longStream(t *testing.T, version int) {
	certPEM, keyPEM, pool := certificate(t)
	hold, entered := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(hold) })
	sink := newBubbleSink(func(string, int) int {
		close(entered)
		<-hold
		return 201
	})
	f := newBubbleFixture(t, sink, func(o *appserver.Options) {
		if version == 2 {
			o.CertificatePEM, o.KeyPEM = certPEM, keyPEM
		}
	})
	const beat = 200 * time.Millisecond
	f.server.SetTimes(2*beat, 2*beat, beat)
	f.fill(sink, 1)
	l := pipetest.Listen(pipetest.Pipe)
	stop := f.serve(l)
	id := f.push(`{"payload":"x"}`)
	<-entered
	url := "http://" + l.Addr().String()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return l.Dial(ctx) }}
	if version == 2 {
		url = "https://" + l.Addr().String()
		transport.TLSClientConfig, transport.ForceAttemptHTTP2 = &tls.Config{RootCAs: pool}, true
	}
	defer transport.CloseIdleConnections()
	answer := stream(t, &http.Client{Transport: transport}, url+"/push/"+id+"/events")
	if answer.ProtoMajor != version {
		t.Fatalf("it speaks %s", answer.Proto)
	}
	beats, last := 0, ""
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), ": ") {
			if beats++; beats == 7 {
				release()
			}
		}
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			last = name
		}
	}
	if lines.Err() != nil || beats < 7 || last != "end" {
		t.Errorf("after %d heartbeats and the event %q: %v", beats, last, lines.Err())
	}
	release()
	if _, err := stop(); err != nil {
		t.Error(err)
	}
}

// TestServeStop: when the server stops, streams are closed properly, requests in progress
// get their responses, and messages in flight are recorded.
func TestServeStop(t *testing.T) {
	sink, entered, release := held(t)
	f := newFixture(t, nil)
	f.fill(sink, 1)
	l := listen(t)
	stop := f.serve(l)
	id := f.push(`{"payload":"x"}`)
	<-entered
	url := "http://" + l.Addr().String()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	const streams = 5
	ends := make(chan error, streams)
	for range streams {
		answer := stream(t, client, url+"/push/"+id+"/events")
		go func() {
			text, err := io.ReadAll(answer.Body)
			if err == nil && (!strings.Contains(string(text), "event: progress\n") || !strings.HasSuffix(string(text), "\n\n")) {
				err = fmt.Errorf("the events are %q", text)
			}
			ends <- err
		}()
	}
	until(t, "all streams are open", func() bool { return f.server.Streams() == streams })
	tested := make(chan error, 1)
	go func() {
		answer, err := client.Post(url+"/subscription/test", "application/json", strings.NewReader(`{"endpoint":"`+sink.URL+`/0"}`))
		if err == nil {
			answer.Body.Close()
			if answer.StatusCode != 200 {
				err = fmt.Errorf("the test answered %s", answer.Status)
			}
		}
		tested <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() {
		_, err := stop()
		stopped <- err
	}()
	for range streams {
		if err := <-ends; err != nil {
			t.Errorf("a stream: %v", err)
		}
	}
	select {
	case err := <-stopped:
		t.Fatalf("it has stopped with messages in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	release()
	if err := <-tested; err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := f.server.Streams(); n != 0 {
		t.Errorf("%d streams are open", n)
	}
	j, err := f.store.FindJob(t.Context(), id)
	if n := j.Counts[webpush.Other][webpush.ClassDelivered]; err != nil || n != 1 {
		t.Errorf("the job is %+v, %v", j, err)
	}
}

// events opens a stream and reads its first event.
func events(t *testing.T, l *pipetest.Listener, id string) net.Conn {
	t.Helper()
	client, err := l.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	go fmt.Fprintf(client, "GET /push/%s/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", id, token)
	for lines := bufio.NewScanner(client); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "data: ") {
			return client
		}
	}
	t.Fatal("there was no event")
	return nil
}

// TestServeReaders: a client that does not read or goes away does not keep its stream open
// for long, and does not delay the end of the server.
func TestServeReaders(t *testing.T) {
	t.Parallel()
	sink, entered, release := held(t)
	f := newFixture(t, func(o *appserver.Options) { o.ShutdownTimeout = time.Minute })
	f.server.SetTimes(time.Second, time.Second, 100*time.Millisecond)
	f.fill(sink, 1)
	l := pipetest.Listen(net.Pipe) // a client that does not read is noticed at once
	stop := f.serve(l)
	id := f.push(`{"payload":"x"}`)
	<-entered

	// One client goes away, the other stays and does not read until its buffers are full.
	gone := events(t, l, id)
	events(t, l, id)
	until(t, "both are open", func() bool { return f.server.Streams() == 2 })
	gone.Close()
	until(t, "both are given up", func() bool { return f.server.Streams() == 0 })

	// Nor does one hold up the end.
	events(t, l, id)
	until(t, "it is open", func() bool { return f.server.Streams() == 1 })
	release()
	if took, err := stop(); err != nil || took > 20*time.Second {
		t.Errorf("it stopped after %v: %v", took, err)
	}
}

// TestStreamsBound: there are so many streams and no more, and places are
// given back.
func TestStreamsBound(t *testing.T) {
	t.Parallel()
	f := newFixture(t, nil)
	id := f.push(`{"payload":"x"}`) // is not sent, as nothing runs
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var open []context.CancelFunc
	for range appserver.MaxStreams {
		ctx, cancel := contextOf(t)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", f.http.URL+"/push/"+id+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		open = append(open, cancel)
	}
	if r := f.want(503, "GET", "/push/"+id+"/events", ""); r.Header.Get("Retry-After") == "" || r.json(t)["code"] != "too-many-streams" {
		t.Errorf("one too many: %v %s", r.Header, r.text)
	}
	open[0]()
	until(t, "a place is given back", func() bool { return f.server.Streams() < appserver.MaxStreams })
	f.want(200, "HEAD", "/push/"+id+"/events", "")
	for _, cancel := range open {
		cancel()
	}
	until(t, "all are given back", func() bool { return f.server.Streams() == 0 })

	// Nothing is kept of those who have gone, nor of jobs that are over.
	f.want(200, "DELETE", "/push/"+id, "")
	if list := f.events(id); len(list) != 1 || list[0].name != "end" {
		t.Errorf("the events of a push that is over are %v", list)
	}
	until(t, "the stream has ended", func() bool { return f.server.Streams() == 0 })
	if n := f.server.Waiting(); n != 0 {
		t.Errorf("somebody waits for %d pushes", n)
	}
}
