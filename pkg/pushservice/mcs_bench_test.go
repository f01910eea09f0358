package pushservice_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/mcs"
)

// BenchmarkMCS connects 1,000 devices by MCS to a service in a child process, which
// keeps messages in memory only, or in a directory, too. Each operation is one
// message to each device and its acknowledgment; the benchmark fails if a message is
// lost or repeated. µs-CPU/message is the service's CPU time for a message, from the
// request to the acknowledgment.
func BenchmarkMCS(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkMCS(b, "") })
	b.Run("data", func(b *testing.B) { benchmarkMCS(b, b.TempDir()) })
}

func benchmarkMCS(b *testing.B, dir string) {
	const devices, senders = 1000, 32
	s := startIdleService(b, dir)
	body := aes128gcmBody(b, 4096, point(b), 200)
	claims := goodClaims()
	claims["aud"] = s.child.url
	list, tokens := make([]*mcsDevice, devices), make([]string, devices)
	for i := range list {
		list[i] = s.device(b)
		defer list[i].conn.Close()
		tokens[i] = sign(b, list[i].key, claims).Authorization()
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: senders}}
	defer client.CloseIdleConnections()
	b.ResetTimer()
	began, used := time.Now(), s.cpu(b)
	var delivered atomic.Int64
	var wg sync.WaitGroup
	for i, c := range list {
		wg.Go(func() {
			seen := make(map[string]bool, b.N)
			for range b.N {
				_ = c.conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
				tag, frame, err := mcs.ReadFrame(c.r)
				if err != nil || tag != mcs.TagDataMessage {
					b.Errorf("device %d: tag %d, %v", i, tag, err)
					return
				}
				c.received++
				m, err := mcs.ParseDataMessage(frame)
				if err != nil || len(m.RawData) != len(body) || seen[m.PersistentID] {
					b.Errorf("device %d: %d bytes, seen before: %v, %v", i, len(m.RawData), seen[m.PersistentID], err)
				}
				seen[m.PersistentID] = true
				delivered.Add(1)
				ack := mcs.Iq{Extension: mcs.StreamAck, LastStreamIDReceived: c.received}
				if _, err := c.conn.Write(mcs.AppendFrame(nil, mcs.TagIq, ack.Append(nil))); err != nil {
					b.Errorf("device %d: %v", i, err)
					return
				}
			}
		})
	}
	for worker := range senders {
		wg.Go(func() {
			for range b.N {
				for i := worker; i < devices; i += senders {
					if err := sendTo(client, s.child.url+list[i].path, tokens[i], body); err != nil {
						b.Errorf("sending to device %d: %v", i, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(delivered.Load())/time.Since(began).Seconds(), "deliveries/s")
	b.ReportMetric(float64((s.cpu(b)-used).Microseconds())/float64(delivered.Load()), "µs-CPU/message")
	b.ReportMetric(0, "ns/op")
	// All messages were acknowledged, so none is left.
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		left := 0
		answer, err := client.Get(s.child.url + "/api/subscriptions")
		if err != nil {
			b.Fatal(err)
		}
		var v struct{ Subscriptions []struct{ Messages int } }
		if err := json.Unmarshal([]byte(readAll(b, answer)), &v); err != nil || len(v.Subscriptions) != devices {
			b.Fatalf("%d subscriptions, %v", len(v.Subscriptions), err)
		}
		for _, sub := range v.Subscriptions {
			left += sub.Messages
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.Fatalf("%d messages are left", left)
		}
	}
}

func sendTo(client *http.Client, url, authorization string, body []byte) error {
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	r.Header.Set("TTL", "600")
	r.Header.Set("Content-Encoding", "aes128gcm")
	r.Header.Set("Authorization", authorization)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		return fmt.Errorf("status %d", answer.StatusCode)
	}
	return nil
}
