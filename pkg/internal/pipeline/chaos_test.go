package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// TestChaos sends requests with deadlines to servers that do at random what
// servers may do: every caller is told in time, no request is sent again that
// the server may have looked at, and nothing is left in the end.
func TestChaos(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { chaos(t, seed) })
	}
}

func chaos(t *testing.T, seed uint64) {
	var mu sync.Mutex
	sent := make(map[string]int) // how often a request came that was not sent back
	base := &http.Transport{IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second,
		HTTP2: &http.HTTP2Config{SendPingTimeout: 3 * time.Second, PingTimeout: 2 * time.Second}}
	script(t, base, func(p *peer) {
		r := rand.New(rand.NewPCG(seed, uint64(p.n)))
		one := func(of ...uint32) uint32 { return of[r.IntN(len(of))] }
		limits := []uint32{1 << 31} // of streams: as each SETTINGS left it
		settings := func() {
			var s []http2.Setting
			limits = append(limits, limits[len(limits)-1])
			for range r.IntN(4) {
				s = append(s, []http2.Setting{
					{ID: http2.SettingMaxConcurrentStreams, Val: one(0, 1, 5, 100, 10000)},
					{ID: http2.SettingInitialWindowSize, Val: one(0, 10, 1000, 65535, 1<<20)},
					{ID: http2.SettingHeaderTableSize, Val: one(0, 100, 4096, 65536)},
					{ID: http2.SettingMaxFrameSize, Val: one(16384, 1<<24-1)},
				}[r.IntN(4)])
				if last := s[len(s)-1]; last.ID == http2.SettingMaxConcurrentStreams {
					limits[len(limits)-1] = last.Val
				}
			}
			p.WriteSettings(s...)
		}
		var top uint32 // of the streams that were looked at
		last := uint32(maxStreamID)
		refused := make(map[uint32]bool)
		paths := make(map[uint32]string)
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			for id, path := range paths {
				if id <= last && !refused[id] {
					sent[path]++
				}
			}
		}()
		if r.IntN(10) == 0 {
			return
		}
		settings()
		over := make(map[uint32]bool)
		window := 65535
		open := func(n int) {
			if window += n; window < 0 {
				t.Errorf("%d bytes more than the connection's window", -window)
			}
			if n > 0 {
				p.WriteWindowUpdate(0, uint32(n))
			}
		}
		for f := p.read(); f != nil; f = p.read() {
			switch f.Header().Type {
			case http2.FrameData:
				open(-int(f.Header().Length))
			case http2.FrameHeaders:
				n := uint32(0)
				for id := range p.got {
					if _, reset := p.resets[id]; !reset && !over[id] {
						n++
					}
				}
				if n > limits[p.acks] {
					t.Errorf("%d streams are open, the limit is %d", n, limits[p.acks])
				}
			}
			for id, got := range p.got {
				if got.header != nil && len(got.header[":path"]) > 0 {
					paths[id] = got.header[":path"][0]
				}
			}
			if r.IntN(50) == 0 {
				time.Sleep(time.Duration(r.IntN(4000)) * time.Millisecond)
			}
			for id, got := range p.got {
				if over[id] || id > last || r.IntN(3) == 0 || !got.ended && r.IntN(20) > 0 {
					continue
				}
				if _, reset := p.resets[id]; reset {
					continue
				}
				over[id] = true
				what := r.IntN(24)
				if what != 0 {
					top = max(top, id)
				}
				switch what {
				case 0:
					refused[id] = true
					p.WriteRSTStream(id, http2.ErrCodeRefusedStream)
				case 1:
					p.WriteRSTStream(id, http2.ErrCodeInternal)
				case 2:
					p.fields(id, false, ":status", "103")
					p.fields(id, false, ":status", "429", "retry-after", "1")
					p.WriteDataPadded(id, false, make([]byte, 1000), make([]byte, 99))
					p.fields(id, true, "a", "b")
				case 3:
					p.fields(id, false, ":status", "500")
					p.WriteData(id, false, make([]byte, 100)) // and no more
				case 4: // never
				case 5:
					p.fields(id, true, ":status", "201", "connection", "close")
				case 6:
					p.fields(id, false, ":status", "201")
					p.WriteData(id, true, make([]byte, 5000))
				default:
					p.fields(id, true, ":status", "201")
				}
			}
			if id := f.Header().StreamID; id != 0 && f.Header().Type == http2.FrameData && f.Header().Length > 0 && r.IntN(3) > 0 {
				open(int(f.Header().Length))
				p.WriteWindowUpdate(id, f.Header().Length)
			}
			switch r.IntN(150) {
			case 0, 1, 2:
				settings()
			case 3:
				p.WritePing(false, [8]byte{1})
			case 4:
				if last == maxStreamID {
					last = top
					p.WriteGoAway(last, http2.ErrCode(one(0, 0, 11)), nil)
				}
			case 5:
				return
			case 6, 7:
				open(50000)
			}
			if ping, ok := f.(*http2.PingFrame); ok && !ping.IsAck() && r.IntN(10) > 0 {
				p.WritePing(true, ping.Data)
			}
		}
	}, func(t *testing.T, tr *Transport) {
		dial := tr.dial
		r := rand.New(rand.NewPCG(seed, 1<<40))
		var dials sync.Mutex
		tr.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Lock()
			what, wait := r.IntN(20), time.Duration(r.IntN(300))*time.Millisecond
			dials.Unlock()
			switch what {
			case 0:
				return nil, errors.New("refused")
			case 1:
				<-ctx.Done()
				time.Sleep(wait * 10)
				return nil, ctx.Err()
			}
			if time.Sleep(wait); ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return dial(ctx, network, address)
		}
		var wg sync.WaitGroup
		statuses := make(map[int]int)
		for worker := range 40 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(seed, 1<<41+uint64(worker)))
				for i := range 15 {
					limit := time.Duration(1+r.IntN(20000)) * time.Millisecond
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					start := time.Now()
					resp, err := do(tr, newRequest(ctx, "https://example.com", worker*1000+i, make([]byte, r.IntN(5000))))
					status := 0
					if err == nil {
						status = resp.StatusCode
						switch r.IntN(4) {
						case 0:
							resp.Body.Close()
						case 1: // forgotten
						default:
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
						}
					}
					if took := time.Since(start); took > limit {
						t.Errorf("%v after %v, the limit is %v", err, took, limit)
					}
					cancel()
					mu.Lock()
					statuses[status]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if statuses[201] == 0 {
			t.Errorf("nothing was delivered: %v", statuses)
		}
	})
	for path, n := range sent {
		if n > 1 {
			t.Errorf("%s was sent %d times", path, n)
		}
	}
}
