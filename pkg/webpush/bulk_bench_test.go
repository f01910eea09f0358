//go:build unix

package webpush

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/ece"
	"github.com/seed81da77dd/webpush/pkg/internal/limit"
)

// TestSink is no test: it is the push service of the benchmarks, in a process
// of its own. It takes every message, after the delay that the environment
// names, and writes its authority and URL to standard output.
func TestSink(t *testing.T) {
	wait, err := time.ParseDuration(os.Getenv("WEBPUSH_TEST_SINK"))
	if err != nil {
		t.Skip("this is a part of the benchmarks")
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(wait)
		w.Header().Set("Location", "https://"+r.Host+"/m/1")
		w.Header().Set("TTL", r.Header.Get("TTL"))
		w.WriteHeader(http.StatusCreated)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = quietLog()
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 1000}
	s.TLS = &tls.Config{}
	s.StartTLS()
	fmt.Printf("%s%s\n", certificate(s), s.URL)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the benchmark ends
	os.Exit(0)
}

// startSink starts the sink and returns its URL and a transport's options to
// reach it.
func startSink(b *testing.B, wait time.Duration) (url string, o TransportOptions) {
	b.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestSink$")
	c.Env = append(os.Environ(), "WEBPUSH_TEST_SINK="+wait.String())
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = c.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "https://") {
			return lines.Text(), o
		}
		o.CAs = append(append(o.CAs, lines.Text()...), '\n')
	}
	b.Fatal("the sink did not start")
	return "", o
}

// benchRecords is a file of n subscriptions with keys of their own.
func benchRecords(b *testing.B, url string, n int) []byte {
	b.Helper()
	var out bytes.Buffer
	for i := range n {
		id, err := ece.GenerateIdentity()
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(&out, `{"endpoint":"%s/wpush/v2/%s%06d","expirationTime":null,"keys":{"p256dh":"%s","auth":"%s"}}`+"\n",
			url, strings.Repeat("gAAAAABk", 20), i, encode64(id.Recipient().P256DH()), encode64(id.Recipient().Auth()))
	}
	return out.Bytes()
}

// recordJobs parses the records as they are needed.
func recordJobs(records []byte, msg Message) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		for line := range bytes.Lines(records) {
			sub, err := ParseSubscription(line)
			if !yield(Job{Subscription: sub, Message: msg}, err) {
				return
			}
		}
	}
}

// BenchmarkSendAll sends to a service in another process over TLS and HTTP/2.
// It reports the processor time of this process for each message, also as a
// multiple of the limit that is measured before and after each run.
func BenchmarkSendAll(b *testing.B) {
	for _, sender := range []string{"pipelined", "standard"} {
		b.Run(sender, func(b *testing.B) {
			const n = 20000
			url, transport := startSink(b, 0)
			hc, err := NewHTTPClient(transport)
			if err != nil {
				b.Fatal(err)
			}
			records := benchRecords(b, url, n)
			ttl := time.Hour
			c := &Client{Key: testKey(b), Subject: "mailto:ops@example.com", HTTP: hc}
			var limits, sendTime, wall time.Duration
			sent := 0
			for b.Loop() {
				limits += limit.Each(b, 100)
				start, began := limit.CPU(), time.Now()
				for r := range c.SendAll(b.Context(), recordJobs(records, Message{Payload: make([]byte, 100), TTL: &ttl}), BulkOptions{StandardHTTP: sender == "standard"}) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
					sent++
				}
				sendTime += limit.CPU() - start
				wall += time.Since(began)
				limits += limit.Each(b, 100)
			}
			perMessage := float64(sendTime) / float64(sent)
			perLimit := float64(limits) / float64(2*sent/n)
			b.ReportMetric(perMessage/1e3, "µs-cpu/message")
			b.ReportMetric(perLimit/1e3, "µs-limit")
			b.ReportMetric(perMessage/perLimit, "x-limit")
			b.ReportMetric(float64(sent)/wall.Seconds(), "messages/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkSendAllFarAway sends to a service that takes 100 ms for each
// message. It reports the share that was reached of what the concurrency
// allows, which is concurrency / 100 ms.
func BenchmarkSendAllFarAway(b *testing.B) {
	const latency = 100 * time.Millisecond
	for _, concurrency := range []int{64, 256, 512} {
		b.Run(fmt.Sprint(concurrency), func(b *testing.B) {
			url, transport := startSink(b, latency)
			hc, err := NewHTTPClient(transport)
			if err != nil {
				b.Fatal(err)
			}
			n := concurrency * 50
			records := benchRecords(b, url, n)
			c := &Client{Key: testKey(b), Subject: "mailto:ops@example.com", HTTP: hc}
			var took time.Duration
			sent := 0
			for b.Loop() {
				start := time.Now()
				for r := range c.SendAll(b.Context(), recordJobs(records, Message{Payload: make([]byte, 100)}), BulkOptions{Concurrency: concurrency}) {
					if r.Err != nil {
						b.Fatal(r.Err)
					}
					sent++
				}
				took += time.Since(start)
			}
			b.ReportMetric(float64(sent)/took.Seconds(), "messages/s")
			b.ReportMetric(100*float64(sent)/took.Seconds()/(float64(concurrency)/latency.Seconds()), "%-of-limit")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func BenchmarkParseSubscription(b *testing.B) {
	records := benchRecords(b, "https://updates.push.services.mozilla.com", 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseSubscription(records); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSchedule is what SendAll adds to a message: all but the request and
// the network.
func BenchmarkSchedule(b *testing.B) {
	doer := doerFunc(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 201, Header: http.Header{}, Body: http.NoBody}, nil
	})
	id, err := ece.GenerateIdentity()
	if err != nil {
		b.Fatal(err)
	}
	sub, err := NewSubscription("https://updates.push.services.mozilla.com/wpush/v2/"+testToken, encode64(id.Recipient().P256DH()), encode64(id.Recipient().Auth()))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	jobs := func(yield func(Job, error) bool) {
		for b.Loop() && yield(Job{Subscription: sub}, nil) {
		}
	}
	for r := range (&Client{HTTP: doer}).SendAll(b.Context(), jobs, BulkOptions{}) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}
