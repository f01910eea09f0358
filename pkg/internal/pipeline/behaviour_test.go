package pipeline

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// postAll sends n requests at once and waits for them.
func postAll(ctx context.Context, tr *Transport, n, size int) []answered {
	answers := make([]answered, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { answers[i] = post(ctx, tr, i, size) })
	}
	wg.Wait()
	return answers
}

func wantAll(t *testing.T, answers []answered) {
	t.Helper()
	for i, a := range answers {
		if a.status != 201 || a.err != nil || a.bodyErr != nil {
			t.Errorf("request %d: %v", i, a)
		}
	}
}

// keepPosting has 256 callers make so many requests each, one after the other,
// which must all be answered.
func keepPosting(t *testing.T, tr *Transport, times, size int) {
	t.Helper()
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for range times {
				wantAll(t, postAll(t.Context(), tr, 1, size))
			}
		})
	}
	wg.Wait()
}

func TestRequest(t *testing.T) {
	script(t, nil, func(p *peer) {
		p.WriteSettings()
		for n := range 3 {
			r := p.request()
			if r == nil {
				t.Error("no request")
				return
			}
			want := http.Header{
				":method": {"POST"}, ":scheme": {"https"}, ":authority": {"example.com"}, ":path": {fmt.Sprintf("/wpush/v2/%0160d", n)},
				"ttl": {"3600"}, "urgency": {"high"}, "topic": {"bench"}, "content-encoding": {"aes128gcm"}, "content-type": {"application/octet-stream"},
				"authorization": {testToken}, "user-agent": {"Go-http-client/2.0"}, "content-length": {"10"},
			}
			for name := range want {
				if got := r.header.Get(name); got != want[name][0] {
					t.Errorf("%s is %q, want %q", name, got, want[name][0])
				}
			}
			if len(r.header) != len(want) || len(r.body) != 10 {
				t.Errorf("request %d has %v and %d bytes", n, r.header, len(r.body))
			}
			p.fields(r.id, false, ":status", "201", "location", "https://example.com/m", "link", "a", "link", "b", "content-length", "5")
			p.WriteData(r.id, true, []byte("hello"))
		}
		p.rest()
		if p.acks != 1 || p.goAway == nil || p.goAway.ErrCode != http2.ErrCodeNo {
			t.Errorf("%d acks and %v at the end", p.acks, p.goAway)
		}
	}, func(t *testing.T, tr *Transport) {
		for n := range 3 {
			req := newRequest(t.Context(), "https://example.com", n, make([]byte, 10))
			resp, err := do(tr, req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			if string(b) != "hello" || err != nil || resp.ContentLength != 5 || resp.Status != "201 Created" || resp.Request != req || resp.TLS == nil ||
				resp.ProtoMajor != 2 || resp.Header.Get("Location") != "https://example.com/m" || len(resp.Header["Link"]) != 2 {
				t.Errorf("%q %v %+v", b, err, resp)
			}
			resp.Body.Close()
		}
	})
}

func TestMaxConcurrentStreams(t *testing.T) {
	t.Run("1, one connection", func(t *testing.T) {
		script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			p.until(func() bool { return p.acks > 0 })
			open := 0
			for _, r := range p.got { // sent before the limit was known
				if open++; open > 1 {
					p.WriteRSTStream(r.id, http2.ErrCodeRefusedStream)
				} else if p.until(func() bool { return r.ended }) {
					p.created(r)
				}
				delete(p.got, r.id)
				p.got[r.id] = &received{id: r.id}
			}
			for r := p.request(); r != nil; r = p.request() {
				for _, other := range p.got {
					if other.id > r.id {
						t.Errorf("stream %d came while %d was open", other.id, r.id)
					}
				}
				p.created(r)
			}
		}, func(t *testing.T, tr *Transport) { wantAll(t, postAll(t.Context(), tr, 20, 100)) })
	})
	t.Run("100, a thousand callers", func(t *testing.T) {
		var conns, most atomic.Int32
		script(t, nil, func(p *peer) {
			conns.Add(1)
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
			for {
				var batch []*received
				for len(batch) < 100 {
					r := p.request()
					if r == nil {
						return
					}
					batch = append(batch, r)
				}
				if open := int32(len(p.got)); open > most.Load() {
					most.Store(open)
				}
				time.Sleep(time.Second) // all have come that may
				for _, r := range batch {
					p.created(r)
				}
			}
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1000, 100))
			if conns.Load() != 10 || most.Load() != 100 {
				t.Errorf("%d connections with at most %d streams, want 10 with 100", conns.Load(), most.Load())
			}
		})
	})
	t.Run("0, later 1", func(t *testing.T) {
		script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			first := p.request()
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
			p.until(func() bool { return p.acks == 2 })
			p.created(first)
			time.Sleep(time.Minute)
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			p.until(func() bool { return p.acks == 3 })
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			start := time.Now()
			wantAll(t, postAll(t.Context(), tr, 1, 100))
			wantAll(t, postAll(t.Context(), tr, 1, 100))
			if took := time.Since(start); took < time.Minute {
				t.Errorf("sent after %v although no stream was allowed", took)
			}
		})
	})
	t.Run("0 for ever", func(t *testing.T) {
		var conns atomic.Int32
		script(t, nil, func(p *peer) {
			conns.Add(1)
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
			p.until(func() bool { return p.acks == 1 })
			for id := range p.got {
				p.WriteRSTStream(id, http2.ErrCodeRefusedStream)
				p.got[id] = &received{id: id}
			}
			if p.request() != nil {
				t.Error("a request came")
			}
		}, func(t *testing.T, tr *Transport) {
			for _, a := range postAll(within(t, time.Minute), tr, 50, 100) {
				if !errors.Is(a.err, context.DeadlineExceeded) {
					t.Error(a)
				}
			}
			if conns.Load() > 2 {
				t.Errorf("%d connections were made", conns.Load())
			}
		})
	})
}

func TestFlowControl(t *testing.T) {
	t.Run("initial window", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 100}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
			p.created(p.request()) // has no body: the settings are known now
			p.until(func() bool { return p.acks == 1 })
			has := func(n int) func() bool {
				return func() bool { r := p.got[3]; return r != nil && len(r.body) == n }
			}
			p.until(has(100))
			p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10}) // the window is -90
			p.WriteWindowUpdate(3, 95)
			p.until(has(105))
			p.WriteWindowUpdate(3, 1)
			p.until(has(106))
			p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}) // -10
			p.WriteWindowUpdate(3, 10)                                                 // 0
			p.WritePing(false, [8]byte{1})
			for f := p.read(); f != nil; f = p.read() {
				if ping, ok := f.(*http2.PingFrame); ok && ping.IsAck() {
					break
				}
			}
			if !has(106)() {
				t.Errorf("%d bytes came, 106 are allowed", len(p.got[3].body))
			}
			p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 0))
			wantAll(t, postAll(t.Context(), tr, 1, 1000))
		})
	})
	t.Run("connection", func(t *testing.T) {
		script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
			p.WriteSettings()
			total := func() (n int) {
				for _, r := range p.got {
					n += len(r.body)
				}
				return n
			}
			p.until(func() bool { return total() == 65535 })
			time.Sleep(time.Second)
			p.WriteWindowUpdate(0, 1)
			p.until(func() bool { return total() == 65536 })
			p.WriteWindowUpdate(0, 1<<20)
			p.serveAll()
		}, func(t *testing.T, tr *Transport) { wantAll(t, postAll(t.Context(), tr, 10, 16000)) })
	})
	for away, most := range map[time.Duration]time.Duration{100 * time.Millisecond: 3 * time.Second, 10 * time.Millisecond: time.Second} {
		t.Run(fmt.Sprintf("connection, a server %v away", away), func(t *testing.T) {
			var conns atomic.Int32
			script(t, nil, func(p *peer) {
				conns.Add(1)
				var mu sync.Mutex // of writing
				p.WriteSettings()
				for r := p.request(); r != nil; r = p.request() {
					time.AfterFunc(away, func() {
						mu.Lock()
						defer mu.Unlock()
						p.WriteWindowUpdate(0, uint32(len(r.body)))
						p.WriteHeaders(http2.HeadersFrameParam{StreamID: r.id, BlockFragment: []byte{0x08, 3, '2', '0', '1'}, EndStream: true, EndHeaders: true})
					})
				}
			}, func(t *testing.T, tr *Transport) {
				start := time.Now()
				keepPosting(t, tr, 3, 4000)
				if took := time.Since(start); took > most {
					t.Errorf("took %v", took)
				}
				if n := conns.Load(); away < dryFor && n > 1 || n > 20 {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
	t.Run("long answer", func(t *testing.T) {
		const size = 3 << 20
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			r := p.request()
			p.fields(r.id, false, ":status", "200")
			stream, conn := streamCredit, connCredit
			for sent := 0; sent < size; {
				for stream < 1000 || conn < 1000 {
					f := p.read()
					if f == nil {
						return
					}
					if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == r.id {
						stream += int(w.Increment)
					} else if ok {
						conn += int(w.Increment)
					}
				}
				p.WriteDataPadded(r.id, sent+900 >= size, make([]byte, min(900, size-sent)), make([]byte, 99))
				sent += 900
				stream, conn = stream-1000, conn-1000
			}
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			if a := post(t.Context(), tr, 0, 10); len(a.body) != size || a.err != nil || a.bodyErr != nil {
				t.Errorf("%d bytes, %v, %v", len(a.body), a.err, a.bodyErr)
			}
		})
	})
}

func TestHeaderTableSize(t *testing.T) {
	script(t, nil, func(p *peer) {
		p.WriteSettings()
		for n := range 12 {
			r := p.request()
			if r == nil || r.header.Get("Authorization") != testToken {
				t.Errorf("request %d is %v", n, r)
				return
			}
			if n%3 == 2 { // shrink it to nothing, and let it grow again
				size := []uint32{0, 4096, 100, 65536}[n/3]
				p.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
				acks := p.acks
				p.until(func() bool { return p.acks > acks })
				p.dec.SetAllowedMaxDynamicTableSize(size)
				p.dec.SetMaxDynamicTableSize(0) // what is used without having been sent again is an error
			}
			p.created(r)
		}
		p.rest()
	}, func(t *testing.T, tr *Transport) {
		for range 12 {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
		}
	})
}

// TestManyTableSizes: of those that come while nothing can be sent, two are
// kept.
func TestManyTableSizes(t *testing.T) {
	var tr *Transport
	script(t, nil, func(p *peer) {
		p.WriteSettings()
		p.created(p.request())
		time.Sleep(time.Second) // the next request lies in the pipe
		sizes := make([]http2.Setting, 2000)
		for i := range sizes {
			sizes[i] = http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(max(i, 100))}
		}
		for range 3 {
			p.WriteSettings(sizes...)
		}
		synctest.Wait()
		o := tr.origins["example.com"]
		o.mu.Lock()
		if c := o.conns[0]; c.writer != writing || !slices.Equal(c.tables, []uint32{0, 1999}) {
			t.Errorf("%d table sizes are kept: %v", len(c.tables), c.tables[:min(len(c.tables), 3)])
		}
		o.mu.Unlock()
		p.serveAll()
	}, func(t *testing.T, client *Transport) {
		tr = client
		for range 5 {
			wantAll(t, postAll(t.Context(), tr, 2, 10))
		}
	})
}

// TestTableSizesWhenIdle: between two header blocks the table shrinks and grows.
func TestTableSizesWhenIdle(t *testing.T) {
	script(t, nil, func(p *peer) {
		p.WriteSettings()
		for range 3 {
			p.created(p.request())
		}
		for n, size := range []uint32{100, 4096} {
			p.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: size})
			p.until(func() bool { return p.acks == n+2 })
		}
		p.serveAll()
	}, func(t *testing.T, tr *Transport) {
		for range 3 {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
		}
		time.Sleep(time.Second)
		wantAll(t, postAll(t.Context(), tr, 3, 10))
	})
}

func TestLongRequestHeader(t *testing.T) {
	script(t, nil, func(p *peer) {
		p.WriteSettings(http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 100_000})
		p.created(p.request())
		r := p.request()
		if r == nil || len(r.header["X-Long"]) != 1 || len(r.header["X-Long"][0]) != 50_000 {
			t.Errorf("got %v", r)
		}
		p.created(r)
		if p.request() != nil {
			t.Error("a header came that is too long for the server")
		}
	}, func(t *testing.T, tr *Transport) {
		wantAll(t, postAll(t.Context(), tr, 1, 10))
		for _, size := range []int{50_000, 100_000} {
			req := newRequest(t.Context(), "https://example.com", 0, make([]byte, 10))
			req.Header.Set("X-Long", strings.Repeat("\\", size)) // which does not get shorter
			resp, err := do(tr, req)
			if (err == nil) != (size == 50_000) {
				t.Errorf("%d bytes: %v, %v", size, resp, err)
			}
		}
	})
}

func TestGoAway(t *testing.T) {
	t.Run("retry what was not looked at", func(t *testing.T) {
		var mu sync.Mutex
		seen := make(map[string]int)
		script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
			p.WriteSettings()
			if p.n > 0 {
				for r := p.request(); r != nil; r = p.request() {
					mu.Lock()
					seen[r.header[":path"][0]]++
					mu.Unlock()
					p.created(r)
				}
				return
			}
			p.until(func() bool { return len(p.got) == 10 })
			p.WriteGoAway(5, http2.ErrCodeNo, []byte("be gone"))
			for range 3 {
				r := p.request()
				mu.Lock()
				seen[r.header[":path"][0]]++
				mu.Unlock()
				time.Sleep(time.Second) // what is looked at may take its time
				p.created(r)
			}
			p.rest()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 10, 100))
			for path, n := range seen {
				if n != 1 {
					t.Errorf("%s came %d times", path, n)
				}
			}
			if len(seen) != 10 {
				t.Errorf("%d requests came", len(seen))
			}
		})
	})
	t.Run("in two steps", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			if p.n > 0 {
				p.serveAll()
				return
			}
			r := p.request()
			p.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
			time.Sleep(time.Second)
			p.WriteGoAway(r.id, http2.ErrCodeNo, nil)
			time.Sleep(time.Hour)
			p.created(r)
			p.rest()
		}, func(t *testing.T, tr *Transport) {
			var wg sync.WaitGroup
			wg.Go(func() { wantAll(t, postAll(t.Context(), tr, 1, 100)) })
			time.Sleep(500 * time.Millisecond)
			wantAll(t, postAll(within(t, time.Minute), tr, 5, 100)) // on a new connection
			wg.Wait()
		})
	})
	t.Run("after a few requests each", func(t *testing.T) {
		// What was sent back goes first, so nobody uses up all attempts.
		script(t, nil, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 128})
			var last uint32
			for range 10 {
				r := p.request()
				if r == nil {
					return
				}
				time.Sleep(time.Millisecond)
				p.created(r)
				last = r.id
			}
			p.WriteGoAway(last, http2.ErrCodeNo, nil)
			p.rest()
		}, func(t *testing.T, tr *Transport) {
			keepPosting(t, tr, 10, 100)
		})
	})
	t.Run("closed without an answer", func(t *testing.T) {
		var requests atomic.Int32
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			r := p.request()
			requests.Add(1)
			p.WriteGoAway(r.id, http2.ErrCodeNo, nil)
		}, func(t *testing.T, tr *Transport) {
			a := post(t.Context(), tr, 0, 100)
			var broken *ConnError
			var away *goAwayError
			if !errors.As(a.err, &broken) || !errors.As(a.err, &away) || requests.Load() != 1 {
				t.Errorf("%v after %d requests", a, requests.Load())
			}
		})
	})
	t.Run("for ever", func(t *testing.T) {
		var conns atomic.Int32
		script(t, nil, func(p *peer) {
			conns.Add(1)
			p.WriteSettings()
			p.request()
			p.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
			p.rest()
		}, func(t *testing.T, tr *Transport) {
			if a := post(t.Context(), tr, 0, 100); a.err == nil || conns.Load() != maxAttempts {
				t.Errorf("%v after %d connections", a, conns.Load())
			}
		})
	})
}

func TestReset(t *testing.T) {
	t.Run("refused once", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			p.WriteRSTStream(p.request().id, http2.ErrCodeRefusedStream)
			p.serveAll()
		}, func(t *testing.T, tr *Transport) { wantAll(t, postAll(t.Context(), tr, 1, 100)) })
	})
	for code, times := range map[http2.ErrCode]int{http2.ErrCodeRefusedStream: maxAttempts, http2.ErrCodeInternal: 1, http2.ErrCodeNo: 1} {
		t.Run(code.String(), func(t *testing.T) {
			n := 0
			script(t, nil, func(p *peer) {
				p.WriteSettings()
				for r := p.request(); r != nil; r = p.request() {
					n++
					p.WriteRSTStream(r.id, code)
				}
			}, func(t *testing.T, tr *Transport) {
				a := post(t.Context(), tr, 0, 100)
				var reset http2.StreamError
				if !errors.As(a.err, &reset) || reset.Code != code || n != times {
					t.Errorf("%v after %d requests, want %d", a, n, times)
				}
			})
		})
	}
	t.Run("in the body", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			r := p.request()
			p.fields(r.id, false, ":status", "201")
			p.WriteData(r.id, false, []byte("half"))
			p.WriteRSTStream(r.id, http2.ErrCodeRefusedStream)
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			a := post(t.Context(), tr, 0, 100)
			var reset http2.StreamError
			if a.status != 201 || a.body != "half" || !errors.As(a.bodyErr, &reset) {
				t.Error(a)
			}
		})
	})
	t.Run("answer before the request is complete", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 10})
			p.created(p.request())
			p.until(func() bool { r := p.got[3]; return r != nil && len(r.body) == 10 })
			p.fields(3, true, ":status", "413")
			p.WriteRSTStream(3, http2.ErrCodeNo)
			p.until(func() bool { _, ok := p.resets[3]; return ok })
			if p.resets[3] != http2.ErrCodeNo {
				t.Errorf("reset with %v", p.resets[3])
			}
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 0))
			if a := post(t.Context(), tr, 0, 100); a.status != 413 || a.err != nil || a.bodyErr != nil {
				t.Error(a)
			}
			wantAll(t, postAll(t.Context(), tr, 1, 0))
		})
	})
}

func TestPing(t *testing.T) {
	withPings := func() *http.Transport {
		return &http.Transport{HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second}}
	}
	t.Run("of the server", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			p.WritePing(false, [8]byte{1, 2, 3})
			p.until(func() bool { return p.acks > 0 })
			for {
				f := p.read()
				if ping, ok := f.(*http2.PingFrame); ok {
					if !ping.IsAck() || ping.Data != [8]byte{1, 2, 3} {
						t.Error(ping)
					}
					break
				} else if f == nil {
					t.Error("no answer")
					return
				}
			}
			p.serveAll()
		}, func(t *testing.T, tr *Transport) { wantAll(t, postAll(t.Context(), tr, 1, 10)) })
	})
	t.Run("dead connection", func(t *testing.T) {
		script(t, withPings(), func(p *peer) {
			p.WriteSettings()
			if p.n == 0 {
				p.created(p.request())
				p.rest() // reads, and does not answer
				return
			}
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
			time.Sleep(time.Hour)
			start := time.Now()
			if a := post(t.Context(), tr, 0, 10); !errors.Is(a.err, errSilent) {
				t.Error(a)
			}
			if took := time.Since(start); took < 25*time.Second || took > 41*time.Second {
				t.Errorf("noticed after %v", took)
			}
			wantAll(t, postAll(t.Context(), tr, 1, 10))
		})
	})
	t.Run("server that is stuck", func(t *testing.T) {
		script(t, withPings(), func(p *peer) {
			p.WriteSettings()
			p.created(p.request())
			if p.n == 0 {
				time.Sleep(time.Hour) // does not even read
			}
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
			start := time.Now()
			lost := 0
			for _, a := range postAll(t.Context(), tr, 200, 250) {
				if errors.Is(a.err, errSilent) {
					lost++
				} else if a.status != 201 {
					t.Error(a)
				}
			}
			if lost > 100 { // those that were written, or about to be
				t.Errorf("%d requests were lost", lost)
			}
			if took := time.Since(start); took > 41*time.Second {
				t.Errorf("noticed after %v", took)
			}
		})
	})
	t.Run("slow but alive", func(t *testing.T) {
		pings := 0
		script(t, withPings(), func(p *peer) {
			p.WriteSettings()
			r := p.request()
			for range 10 {
				for {
					f := p.read()
					if ping, ok := f.(*http2.PingFrame); ok && !ping.IsAck() {
						pings++
						p.WritePing(true, ping.Data)
						break
					} else if f == nil {
						return
					}
				}
			}
			p.created(r)
			p.rest()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
			if pings != 10 {
				t.Errorf("%d pings", pings)
			}
		})
	})
	t.Run("not when idle", func(t *testing.T) {
		script(t, withPings(), func(p *peer) {
			p.WriteSettings()
			p.created(p.request())
			for f := p.read(); f != nil; f = p.read() {
				if _, ok := f.(*http2.PingFrame); ok {
					t.Error("a ping on an idle connection")
				}
			}
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
			time.Sleep(time.Hour)
		})
	})
}

func TestIdle(t *testing.T) {
	var conns atomic.Int32
	script(t, &http.Transport{IdleConnTimeout: 90 * time.Second, HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second}}, func(p *peer) {
		conns.Add(1)
		p.WriteSettings()
		p.serveAll()
		if p.goAway == nil {
			t.Error("closed without GOAWAY")
		}
	}, func(t *testing.T, tr *Transport) {
		for n, pause := range []time.Duration{80 * time.Second, 80 * time.Second, 100 * time.Second, 0} {
			wantAll(t, postAll(t.Context(), tr, 3, 10))
			time.Sleep(pause)
			if n == 2 {
				synctest.Wait()
				tr.mu.Lock()
				if len(tr.origins) != 0 {
					t.Error("the origin is still there")
				}
				tr.mu.Unlock()
			}
		}
		if conns.Load() != 2 {
			t.Errorf("%d connections, want 2", conns.Load())
		}
	})
}

func TestStreamIDsRunOut(t *testing.T) {
	var conns atomic.Int32
	script(t, nil, func(p *peer) {
		conns.Add(1)
		p.WriteSettings()
		p.serveAll()
	}, func(t *testing.T, tr *Transport) {
		wantAll(t, postAll(t.Context(), tr, 1, 10))
		o := tr.origins["example.com"]
		o.mu.Lock()
		o.conns[0].nextID = maxStreamID - 4
		o.mu.Unlock()
		for range 5 {
			wantAll(t, postAll(t.Context(), tr, 2, 10))
		}
		if conns.Load() != 2 {
			t.Errorf("%d connections, want 2", conns.Load())
		}
	})
}

func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		answer func(p *peer, id uint32)
		want   answered
	}{
		"CONTINUATION": {func(p *peer, id uint32) {
			block := p.block(":status", "201", "ttl", "17")
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block[:2], EndStream: true})
			p.WriteContinuation(id, false, nil)
			p.WriteContinuation(id, true, block[2:])
		}, answered{status: 201, header: http.Header{"Ttl": {"17"}}}},
		"interim": {func(p *peer, id uint32) {
			p.fields(id, false, ":status", "103", "link", "</x>")
			p.fields(id, false, ":status", "100")
			p.fields(id, true, ":status", "201", "ttl", "1")
		}, answered{status: 201, header: http.Header{"Ttl": {"1"}}}},
		"trailers": {func(p *peer, id uint32) {
			p.fields(id, false, ":status", "200")
			p.WriteData(id, false, []byte("x"))
			p.fields(id, true, "grpc-status", "0")
		}, answered{status: 200, body: "x", trailer: http.Header{"Grpc-Status": {"0"}}}},
		"trailers later": {func(p *peer, id uint32) {
			p.fields(id, false, ":status", "200")
			time.Sleep(time.Second)
			p.WriteData(id, false, []byte("x"))
			time.Sleep(time.Second)
			p.fields(id, true, "grpc-status", "0")
		}, answered{status: 200, body: "x", trailer: http.Header{"Grpc-Status": {"0"}}}},
		"empty body": {func(p *peer, id uint32) {
			p.fields(id, false, ":status", "404")
			p.WriteData(id, true, nil)
		}, answered{status: 404}},
		"padding": {func(p *peer, id uint32) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block(":status", "400"), EndHeaders: true, PadLength: 7})
			p.WriteDataPadded(id, true, []byte("bad"), make([]byte, 200))
		}, answered{status: 400, body: "bad"}},
		"frames nobody knows": {func(p *peer, id uint32) {
			p.WriteRawFrame(0xfa, 0xff, id, []byte("what"))
			p.WriteRawFrame(0xfa, 0xff, 0, []byte("what"))
			p.WriteSettings(http2.Setting{ID: 0xf000, Val: 1})
			p.fields(id, true, ":status", "201")
		}, answered{status: 201}},
		"answer to one that is over": {func(p *peer, id uint32) {
			p.fields(id, true, ":status", "201")
			p.fields(id, true, ":status", "500")
			p.WriteData(id, true, []byte("late"))
			p.WriteRSTStream(id, http2.ErrCodeInternal)
			p.WriteWindowUpdate(id, 1)
		}, answered{status: 201}},
		"304 with a length": {func(p *peer, id uint32) {
			p.fields(id, true, ":status", "304", "content-length", "7")
		}, answered{status: 304}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			script(t, nil, func(p *peer) {
				p.WriteSettings()
				r := p.request()
				test.answer(p, r.id)
				p.serveAll()
			}, func(t *testing.T, tr *Transport) {
				a := post(t.Context(), tr, 0, 10)
				for name := range test.want.header {
					if a.header.Get(name) != test.want.header.Get(name) {
						t.Errorf("header is %v", a.header)
					}
				}
				if a.status != test.want.status || a.body != test.want.body || a.err != nil || a.bodyErr != nil || len(a.trailer) != len(test.want.trailer) {
					t.Errorf("%v with trailers %v", a, a.trailer)
				}
				wantAll(t, postAll(t.Context(), tr, 3, 10)) // the same connection
			})
		})
	}
}

// TestMalformed has answers that end their stream, and no other.
func TestMalformed(t *testing.T) {
	header := func(fields ...string) func(p *peer, id uint32) {
		return func(p *peer, id uint32) { p.fields(id, true, fields...) }
	}
	tests := map[string]func(p *peer, id uint32){
		"no status":               header("ttl", "1"),
		"nothing":                 header(),
		"two status":              header(":status", "201", ":status", "201"),
		"short status":            header(":status", "20"),
		"long status":             header(":status", "2010"),
		"status is no number":     header(":status", "2x1"),
		"status below 100":        header(":status", "099"),
		"status signed":           header(":status", "+20"),
		"another pseudo-field":    header(":status", "201", ":path", "/"),
		"status late":             header("ttl", "1", ":status", "201"),
		"upper case":              header(":status", "201", "Ttl", "1"),
		"empty name":              header(":status", "201", "", "1"),
		"name with a space":       header(":status", "201", "a b", "1"),
		"value with a line break": header(":status", "201", "ttl", "1\r\nx: y"),
		"connection":              header(":status", "201", "connection", "close"),
		"transfer-encoding":       header(":status", "201", "transfer-encoding", "chunked"),
		"101":                     header(":status", "101"),
		"interim at the end":      header(":status", "103"),
		"length without a body":   header(":status", "201", "content-length", "1"),
		"two lengths":             header(":status", "201", "content-length", "0", "content-length", "1"),
		"length is no number":     header(":status", "201", "content-length", "-0"),
		"body too long": func(p *peer, id uint32) {
			p.fields(id, false, ":status", "201", "content-length", "1")
			p.WriteData(id, true, []byte("12"))
		},
		"body too short": func(p *peer, id uint32) {
			p.fields(id, false, ":status", "201", "content-length", "3")
			p.WriteData(id, true, []byte("12"))
		},
		"body without a header": func(p *peer, id uint32) { p.WriteData(id, true, []byte("12")) },
		"trailers that do not end": func(p *peer, id uint32) {
			p.fields(id, false, ":status", "201")
			p.fields(id, false, "a", "b")
		},
		"trailers with status": func(p *peer, id uint32) {
			p.fields(id, false, ":status", "201")
			p.fields(id, true, ":status", "201")
		},
		"huge header": func(p *peer, id uint32) {
			p.fields(id, true, ":status", "201", "a", strings.Repeat("a", 15000))
			for range 3 { // from the table, so that few bytes are enough
				id += 2
			}
		},
		"window overflows": func(p *peer, id uint32) {
			p.WriteWindowUpdate(id, 1<<31-1)
			p.WriteWindowUpdate(id, 1<<31-1)
		},
		"window of nothing": func(p *peer, id uint32) { p.WriteWindowUpdate(id, 0) },
		"more than it may": func(p *peer, id uint32) {
			p.fields(id, false, ":status", "201")
			p.WriteData(id, false, make([]byte, 16000))
			p.WriteData(id, false, make([]byte, 16000))
		},
		"interim for ever": func(p *peer, id uint32) {
			for range maxInterim + 1 {
				p.fields(id, false, ":status", "103")
			}
		},
	}
	delete(tests, "huge header") // has a test of its own
	for name, answer := range tests {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			script(t, nil, func(p *peer) {
				conns.Add(1)
				p.WriteSettings()
				r := p.request()
				answer(p, r.id)
				if _, reset := p.resets[r.id]; !reset && !p.until(func() bool { _, ok := p.resets[r.id]; return ok }) {
					// an answer that had ended needs no reset
					return
				}
				p.serveAll()
			}, func(t *testing.T, tr *Transport) {
				resp, err := do(tr, newRequest(t.Context(), "https://example.com", 0, make([]byte, 10)))
				if err == nil { // its header was read before
					synctest.Wait()
					_, err = io.ReadAll(resp.Body)
					resp.Body.Close()
				}
				var fault http2.StreamError
				if !errors.As(err, &fault) {
					t.Errorf("%v, %v", resp, err)
				}
				wantAll(t, postAll(within(t, time.Minute), tr, 3, 10))
				if conns.Load() != 1 {
					t.Errorf("%d connections", conns.Load())
				}
			})
		})
	}
}

// TestConnectionFaults has what ends a connection.
func TestConnectionFaults(t *testing.T) {
	type fault struct {
		code http2.ErrCode
		do   func(p *peer, id uint32)
	}
	// More frames that bring no answer forward than any server needs to send.
	flood := func(send func(p *peer, id uint32)) fault {
		return fault{http2.ErrCodeEnhanceYourCalm, func(p *peer, id uint32) {
			for range 2 * maxIdle {
				send(p, id)
			}
		}}
	}
	tests := map[string]fault{
		"DATA on a stream that never was":   {http2.ErrCodeProtocol, func(p *peer, id uint32) { p.WriteData(id+2, true, nil) }},
		"HEADERS on a stream of the server": {http2.ErrCodeProtocol, func(p *peer, id uint32) { p.fields(2, true, ":status", "200") }},
		"RST_STREAM on one that never was":  {http2.ErrCodeProtocol, func(p *peer, id uint32) { p.WriteRSTStream(id+2, 0) }},
		"PUSH_PROMISE": {http2.ErrCodeProtocol, func(p *peer, id uint32) {
			p.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: p.block(":method", "GET"), EndHeaders: true})
		}},
		"window of the connection overflows": {http2.ErrCodeFlowControl, func(p *peer, id uint32) { p.WriteWindowUpdate(0, 1<<31-1) }},
		"window of nothing":                  {http2.ErrCodeProtocol, func(p *peer, id uint32) { p.WriteWindowUpdate(0, 0) }},
		"initial window too large": {http2.ErrCodeFlowControl, func(p *peer, id uint32) {
			p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		}},
		"initial window overflows": {http2.ErrCodeFlowControl, func(p *peer, id uint32) {
			p.WriteWindowUpdate(id, 1<<30)
			p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		}},
		"frame size too small":          {http2.ErrCodeProtocol, func(p *peer, id uint32) { p.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 100}) }},
		"push is allowed by the server": {http2.ErrCodeProtocol, func(p *peer, id uint32) { p.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 1}) }},
		"frame too large":               {http2.ErrCodeFrameSize, func(p *peer, id uint32) { p.WriteRawFrame(http2.FrameData, 0, id, make([]byte, 16385)) }},
		"SETTINGS of five bytes":        {http2.ErrCodeFrameSize, func(p *peer, id uint32) { p.WriteRawFrame(http2.FrameSettings, 0, 0, make([]byte, 5)) }},
		"header block that is none": {http2.ErrCodeCompression, func(p *peer, id uint32) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true})
		}},
		"header block that ends early": {http2.ErrCodeCompression, func(p *peer, id uint32) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x40, 10}, EndHeaders: true})
		}},
		"CONTINUATION of nothing": {http2.ErrCodeProtocol, func(p *peer, id uint32) { p.WriteContinuation(id, true, nil) }},
		"header block that is not ended": {http2.ErrCodeProtocol, func(p *peer, id uint32) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: id})
			p.WritePing(false, [8]byte{})
		}},
		"header block without an end": {http2.ErrCodeEnhanceYourCalm, func(p *peer, id uint32) {
			p.WriteHeaders(http2.HeadersFrameParam{StreamID: id})
			for p.WriteContinuation(id, false, nil) == nil {
			}
		}},
		"SETTINGS without end":      flood(func(p *peer, id uint32) { p.WriteSettings() }),
		"SETTINGS ACK without end":  flood(func(p *peer, id uint32) { p.WriteSettingsAck() }),
		"PING without end":          flood(func(p *peer, id uint32) { p.WritePing(false, [8]byte{}) }),
		"PING ACK without end":      flood(func(p *peer, id uint32) { p.WritePing(true, [8]byte{}) }),
		"WINDOW_UPDATE without end": flood(func(p *peer, id uint32) { p.WriteWindowUpdate(id, 1) }),
		"PRIORITY without end":      flood(func(p *peer, id uint32) { p.WritePriority(id, http2.PriorityParam{Weight: 1}) }),
		"unknown frames":            flood(func(p *peer, id uint32) { p.WriteRawFrame(0xbe, 0, 0, nil) }),
		"padding longer than the frame": {http2.ErrCodeProtocol, func(p *peer, id uint32) {
			p.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, id, []byte{9, 1})
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			script(t, nil, func(p *peer) {
				p.WriteSettings()
				if p.n > 0 {
					p.serveAll()
					return
				}
				r := p.request()
				go func() {
					p.rest()
					if p.goAway == nil || p.goAway.ErrCode != test.code {
						t.Errorf("told the server %v, want %v", p.goAway, test.code)
					}
					p.conn.Close()
				}()
				test.do(p, r.id)
				synctest.Wait()
			}, func(t *testing.T, tr *Transport) {
				a := post(t.Context(), tr, 0, 10)
				var broken *ConnError
				var fault http2.ConnectionError
				if !errors.As(a.err, &broken) || !errors.As(a.err, &fault) || http2.ErrCode(fault) != test.code {
					t.Error(a)
				}
				wantAll(t, postAll(t.Context(), tr, 3, 10))
			})
		})
	}
	t.Run("no SETTINGS", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WritePing(false, [8]byte{})
			p.rest()
		}, func(t *testing.T, tr *Transport) {
			if a := post(t.Context(), tr, 0, 10); !errors.Is(a.err, errProtocol) {
				t.Error(a)
			}
		})
	})
	t.Run("pings and no reading", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			p.request()
			for p.WritePing(false, [8]byte{}) == nil {
			}
		}, func(t *testing.T, tr *Transport) {
			if a := post(t.Context(), tr, 0, 10); !errors.Is(a.err, errFlood) {
				t.Error(a)
			}
		})
	})
	t.Run("DATA without data", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			r := p.request()
			go p.rest()
			p.fields(r.id, false, ":status", "201")
			for range 2 * maxIdle {
				p.WriteData(r.id, false, nil)
			}
		}, func(t *testing.T, tr *Transport) {
			if a := post(t.Context(), tr, 0, 10); !errors.Is(a.bodyErr, errFlood) {
				t.Error(a)
			}
		})
	})
	t.Run("pings over hours", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			r := p.request()
			go p.rest()
			for range 2 * maxIdle {
				p.WritePing(false, [8]byte{})
				time.Sleep(2 * idleFor / maxIdle)
			}
			p.created(r)
		}, func(t *testing.T, tr *Transport) { wantAll(t, postAll(t.Context(), tr, 1, 10)) })
	})
	t.Run("window of the connection is not kept", func(t *testing.T) {
		// Streams that are over count for the connection alone, which takes all.
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			r := p.request()
			p.created(r)
			go p.serveAll()
			for range 200 {
				p.WriteData(r.id, false, make([]byte, 16000))
			}
		}, func(t *testing.T, tr *Transport) { wantAll(t, postAll(t.Context(), tr, 1, 10)) })
	})
}

func TestHugeHeader(t *testing.T) {
	script(t, nil, func(p *peer) {
		p.WriteSettings()
		r := p.request()
		fields := []string{":status", "201"}
		for range 40 { // small on the wire: all but the first are from the table
			fields = append(fields, "a", strings.Repeat("a", 2000))
		}
		p.fields(r.id, true, fields...)
		p.serveAll()
	}, func(t *testing.T, tr *Transport) {
		a := post(t.Context(), tr, 0, 10)
		var fault http2.StreamError
		if !errors.As(a.err, &fault) || fault.Cause != errTooLarge {
			t.Error(a)
		}
		wantAll(t, postAll(t.Context(), tr, 3, 10))
	})
}

// TestLongNames: a server that makes names up fills no memory with them.
func TestLongNames(t *testing.T) {
	script(t, nil, func(p *peer) {
		p.WriteSettings()
		for r, n := p.request(), 0; r != nil; r, n = p.request(), n+1 {
			p.fields(r.id, true, ":status", "201", fmt.Sprintf("%0100d", n), "", fmt.Sprintf("a%d", n), "")
		}
	}, func(t *testing.T, tr *Transport) {
		for range 300 {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
		}
		kept := 0
		for name := range tr.origins["example.com"].conns[0].names {
			kept += len(name)
		}
		if kept > 256*4 {
			t.Errorf("%d bytes of names are kept", kept)
		}
	})
}

func TestEndlessBody(t *testing.T) {
	script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
		p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		r := p.request()
		p.fields(r.id, false, ":status", "500")
		credit := streamCredit
		for {
			if _, reset := p.resets[r.id]; reset {
				break
			}
			if credit >= 1000 {
				p.WriteData(r.id, false, make([]byte, 1000))
				credit -= 1000
				continue
			}
			if w, ok := p.read().(*http2.WindowUpdateFrame); ok && w.StreamID == r.id {
				credit += int(w.Increment)
			}
		}
		if p.resets[r.id] != http2.ErrCodeCancel {
			t.Errorf("reset with %v", p.resets[r.id])
		}
		p.serveAll()
	}, func(t *testing.T, tr *Transport) {
		resp, err := do(tr, newRequest(t.Context(), "https://example.com", 0, make([]byte, 10)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, resp.Body, 4096+64<<10); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
			t.Error("read after Close")
		}
		wantAll(t, postAll(t.Context(), tr, 2, 10))
	})
}

// The context of requests that were started ends them wherever they are.
func TestStartedContext(t *testing.T) {
	script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
		limit := []uint32{2, 1}[p.n]
		p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: limit})
		var last uint32
		for range limit {
			last = p.request().id
		}
		if p.n == 0 {
			p.WriteGoAway(last, http2.ErrCodeNo, nil)
		}
		p.until(func() bool { return len(p.resets) == int(limit) })
		p.serveAll()
	}, func(t *testing.T, tr *Transport) {
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 10)
		start := func() {
			tr.Start(ctx, newRequest(t.Context(), "https://example.com", 0, make([]byte, 10)), func(resp *http.Response, err error) { errs <- err })
		}
		for range 4 { // two on a connection that takes no more, one on the next, and one waits
			start()
			synctest.Wait()
		}
		other := make(chan answered, 1)
		go func() { other <- post(t.Context(), tr, 0, 10) }() // waits, with another context
		synctest.Wait()
		if len(errs) > 0 {
			t.Fatal(<-errs)
		}
		cancel()
		for range 4 {
			if err := <-errs; err != context.Canceled {
				t.Error(err)
			}
		}
		start()
		if err := <-errs; err != context.Canceled {
			t.Error("after the end:", err)
		}
		synctest.Wait()
		tr.mu.Lock()
		if len(tr.watched) > 0 || tr.latest != nil {
			t.Error("the context is still watched")
		}
		tr.mu.Unlock()
		if a := <-other; a.err != nil || a.status != 201 {
			t.Error(a)
		}
		if len(errs) > 0 {
			t.Error("one more:", <-errs)
		}
	})
}

func TestCancel(t *testing.T) {
	t.Run("while it waits for the answer", func(t *testing.T) {
		script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			r := p.request()
			p.until(func() bool { _, ok := p.resets[r.id]; return ok })
			if p.resets[r.id] != http2.ErrCodeCancel {
				t.Errorf("reset with %v", p.resets[r.id])
			}
			p.fields(r.id, true, ":status", "201", "late", "yes")
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			if a := post(within(t, time.Second), tr, 0, 10); a.err != context.DeadlineExceeded {
				t.Error(a)
			}
			wantAll(t, postAll(t.Context(), tr, 3, 10))
		})
	})
	t.Run("while it waits for a stream", func(t *testing.T) {
		script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			p.created(p.request())
			r := p.request()
			time.Sleep(time.Minute)
			if len(p.got) != 2 {
				t.Error("more than one stream")
			}
			p.created(r)
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
			var wg sync.WaitGroup
			wg.Go(func() { wantAll(t, postAll(t.Context(), tr, 1, 10)) })
			synctest.Wait()
			start := time.Now()
			for _, a := range postAll(within(t, time.Second), tr, 20, 10) {
				if a.err != context.DeadlineExceeded {
					t.Error(a)
				}
			}
			if took := time.Since(start); took != time.Second {
				t.Errorf("took %v", took)
			}
			wg.Wait()
			wantAll(t, postAll(t.Context(), tr, 1, 10))
		})
	})
	t.Run("while the body comes", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			r := p.request()
			p.fields(r.id, false, ":status", "201")
			p.WriteData(r.id, false, []byte("half"))
			p.until(func() bool { _, ok := p.resets[r.id]; return ok })
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			if a := post(within(t, time.Second), tr, 0, 10); a.status != 201 || a.body != "half" || a.bodyErr != context.DeadlineExceeded {
				t.Error(a)
			}
			wantAll(t, postAll(t.Context(), tr, 1, 10))
		})
	})
	t.Run("and nobody closes the body", func(t *testing.T) {
		script(t, &http.Transport{MaxConnsPerHost: 1}, func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
			r := p.request()
			p.fields(r.id, false, ":status", "201")
			p.until(func() bool { _, ok := p.resets[r.id]; return ok })
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			resp, err := do(tr, newRequest(within(t, time.Second), "https://example.com", 0, nil))
			if err != nil || resp.StatusCode != 201 {
				t.Fatal(err)
			}
			wantAll(t, postAll(t.Context(), tr, 1, 10))
		})
	})
	t.Run("before", func(t *testing.T) {
		script(t, nil, func(p *peer) { t.Error("a connection") }, func(t *testing.T, tr *Transport) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if a := post(ctx, tr, 0, 10); a.err != context.Canceled {
				t.Error(a)
			}
		})
	})
	t.Run("while the server does not read", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			p.created(p.request())
			time.Sleep(time.Minute) // what it is sent lies in the pipe
			p.serveAll()
		}, func(t *testing.T, tr *Transport) {
			wantAll(t, postAll(t.Context(), tr, 1, 10))
			start := time.Now()
			for _, a := range postAll(within(t, time.Second), tr, 300, 4000) {
				if a.err != context.DeadlineExceeded {
					t.Error(a)
				}
			}
			if took := time.Since(start); took != time.Second {
				t.Errorf("took %v", took)
			}
			wantAll(t, postAll(t.Context(), tr, 10, 10)) // once it reads again
		})
	})
}

func TestConnectionEnds(t *testing.T) {
	ends := map[string]func(p *peer){
		"closed":      func(p *peer) {},
		"half closed": func(p *peer) { p.conn.CloseWrite(); p.rest() },
		"cut":         func(p *peer) { p.conn.NetConn().Close() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int32
			script(t, nil, func(p *peer) {
				p.WriteSettings()
				if p.n > 0 {
					p.serveAll()
					return
				}
				p.until(func() bool { return len(p.got) == 5 })
				requests.Add(5)
				end(p)
			}, func(t *testing.T, tr *Transport) {
				for _, a := range postAll(t.Context(), tr, 5, 10) {
					var broken *ConnError
					if !errors.As(a.err, &broken) || !errors.Is(a.err, io.ErrUnexpectedEOF) && !errors.Is(a.err, io.ErrClosedPipe) {
						t.Error(a)
					}
				}
				wantAll(t, postAll(t.Context(), tr, 5, 10))
				if requests.Load() != 5 {
					t.Errorf("%d requests", requests.Load())
				}
			})
		})
	}
	t.Run("idle", func(t *testing.T) {
		script(t, nil, func(p *peer) {
			p.WriteSettings()
			p.created(p.request())
		}, func(t *testing.T, tr *Transport) {
			for range 3 {
				wantAll(t, postAll(t.Context(), tr, 1, 10))
				synctest.Wait()
			}
		})
	})
}

// TestUselessConnections: a server that closes every connection at once is not
// asked as often as it can.
func TestUselessConnections(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"closed": func(p *peer) {},
		"GOAWAY": func(p *peer) { p.WriteGoAway(0, http2.ErrCodeNo, nil); p.rest() },
		"nothing": func(p *peer) {
			p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
			time.Sleep(time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var conns atomic.Int32
			script(t, nil, func(p *peer) {
				if conns.Add(1) > 1000 {
					time.Sleep(time.Hour)
				}
				end(p)
			}, func(t *testing.T, tr *Transport) {
				ctx := within(t, time.Minute)
				for ctx.Err() == nil {
					postAll(ctx, tr, 10, 10)
				}
				if n := conns.Load(); n < 2 || n > 100 {
					t.Errorf("%d connections in a minute", n)
				}
			})
		})
	}
}

func TestDialErrors(t *testing.T) {
	dialing := func(dial func(ctx context.Context) (net.Conn, error)) *http.Transport {
		return &http.Transport{TLSHandshakeTimeout: 20 * time.Second,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	}
	t.Run("refused", func(t *testing.T) {
		dials := 0
		script(t, dialing(func(context.Context) (net.Conn, error) {
			dials++
			time.Sleep(time.Second)
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Name: "example.com", IsNotFound: true}}
		}), nil, func(t *testing.T, tr *Transport) {
			for _, a := range postAll(t.Context(), tr, 500, 10) {
				var op *net.OpError
				var dns *net.DNSError
				if !errors.As(a.err, &op) || op.Op != "dial" || !errors.As(a.err, &dns) {
					t.Error(a)
				}
			}
			if dials != 1 {
				t.Errorf("%d dials for 500 callers", dials)
			}
		})
	})
	t.Run("nobody waits any more", func(t *testing.T) {
		var ended atomic.Int32
		script(t, dialing(func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			ended.Add(1)
			return nil, ctx.Err()
		}), nil, func(t *testing.T, tr *Transport) {
			for n := range 2 {
				for _, a := range postAll(within(t, time.Second), tr, 10, 10) {
					if a.err != context.DeadlineExceeded {
						t.Error(a)
					}
				}
				synctest.Wait()
				if ended.Load() != int32(n)+1 {
					t.Errorf("%d dials were ended", ended.Load())
				}
			}
		})
	})
	t.Run("a dial that hangs", func(t *testing.T) {
		// There is always somebody who waits, and a limit.
		dials := 0
		script(t, dialing(func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 1 {
				return nil, io.ErrNoProgress
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}), nil, func(t *testing.T, tr *Transport) {
			var wg sync.WaitGroup
			for i := range 15 {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 5 * time.Second)
					a := post(within(t, 20*time.Second), tr, 0, 10)
					var timeout net.Error
					switch {
					case i < 8 && a.err == context.DeadlineExceeded:
					case i >= 9 && i < 12 && errors.As(a.err, &timeout) && timeout.Timeout() && a.err != context.DeadlineExceeded:
					case i >= 13 && a.err == io.ErrNoProgress, i == 8, i == 12:
					default:
						t.Errorf("%d: %v", i, a)
					}
				})
			}
			wg.Wait()
		})
	})
	t.Run("the dialer is slow to notice", func(t *testing.T) {
		dials := 0
		script(t, dialing(func(ctx context.Context) (net.Conn, error) {
			if dials++; dials > 3 {
				return nil, io.ErrNoProgress
			}
			<-ctx.Done()
			time.Sleep(time.Minute)
			return nil, ctx.Err()
		}), nil, func(t *testing.T, tr *Transport) {
			for range 3 {
				if a := post(within(t, time.Second), tr, 0, 10); a.err != context.DeadlineExceeded {
					t.Error(a)
				}
			}
			start := time.Now()
			if a := post(t.Context(), tr, 0, 10); a.err != io.ErrNoProgress || time.Since(start) > 0 {
				t.Errorf("%v after %v", a, time.Since(start))
			}
		})
	})
	for _, slow := range []bool{false, true} {
		t.Run(fmt.Sprintf("a connection nobody needs any more, slow to notice %v", slow), func(t *testing.T) {
			unneeded.Store(slow)
			defer unneeded.Store(false)
			script(t, nil, func(p *peer) {
				p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
				time.Sleep(time.Millisecond) // until all requests are there, which need two connections
				p.serveAll()
			}, func(t *testing.T, tr *Transport) {
				dial, dials, ended := tr.dial, 0, false
				tr.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
					if dials++; dials > 1 {
						<-ctx.Done()
						ended = true
						if !slow {
							return nil, ctx.Err()
						}
					}
					return dial(ctx, network, address)
				}
				wantAll(t, postAll(t.Context(), tr, 150, 10))
				tr.CloseIdleConnections()
				time.Sleep(time.Second)
				synctest.Wait()
				tr.mu.Lock()
				defer tr.mu.Unlock()
				if dials != 2 || !ended || len(tr.origins) != 0 {
					t.Errorf("%d dials, the last ended: %v, %d origins", dials, ended, len(tr.origins))
				}
			})
		})
	}
	t.Run("handshake", func(t *testing.T) {
		script(t, dialing(func(ctx context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { // reads, and says nothing
				io.Copy(io.Discard, theirs)
				theirs.Close()
			}()
			return ours, nil
		}), nil, func(t *testing.T, tr *Transport) {
			start := time.Now()
			a := post(t.Context(), tr, 0, 10)
			var timeout net.Error
			if !errors.As(a.err, &timeout) || !timeout.Timeout() || time.Since(start) != 20*time.Second {
				t.Errorf("%v after %v", a, time.Since(start))
			}
		})
	})
	t.Run("no TLS", func(t *testing.T) {
		script(t, dialing(func(ctx context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				theirs.Read(make([]byte, 1000))
				go io.Copy(io.Discard, theirs)
				io.WriteString(theirs, "HTTP/1.1 400 Bad Request\r\n\r\n")
				theirs.Close()
			}()
			return ours, nil
		}), nil, func(t *testing.T, tr *Transport) {
			var record tls.RecordHeaderError
			if a := post(t.Context(), tr, 0, 10); !errors.As(a.err, &record) {
				t.Error(a)
			}
		})
	})
	t.Run("certificate", func(t *testing.T) {
		srv := newServer(t, func(http.ResponseWriter, *http.Request) {})
		for name, pool := range map[string]*x509.CertPool{"authority": x509.NewCertPool(), "name": nil} {
			base := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
			if pool == nil {
				_, base.TLSClientConfig.RootCAs = identity()
				base.TLSClientConfig.ServerName = "push.invalid"
			}
			tr := New(base)
			_, err := do(tr, newRequest(t.Context(), srv.URL, 0, nil))
			var unknown x509.UnknownAuthorityError
			var wrong x509.HostnameError
			if name == "authority" && !errors.As(err, &unknown) || name == "name" && !errors.As(err, &wrong) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
