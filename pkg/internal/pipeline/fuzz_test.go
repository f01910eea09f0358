package pipeline

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzReader sends whatever it likes in the server's place: every caller gets
// an answer or an error before its time is over, and no goroutine stays.
func FuzzReader(f *testing.F) {
	seed := func(write func(fr *http2.Framer, block func(...string) []byte)) {
		var out, buf bytes.Buffer
		fr := http2.NewFramer(&out, nil)
		fr.AllowIllegalWrites = true
		enc := hpack.NewEncoder(&buf)
		fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
		write(fr, func(fields ...string) []byte {
			buf.Reset()
			for i := 0; i < len(fields); i += 2 {
				enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
			}
			return buf.Bytes()
		})
		f.Add(out.Bytes())
	}
	seed(func(fr *http2.Framer, block func(...string) []byte) {
		for id := uint32(1); id < 8; id += 2 {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(":status", "201", "location", "/m"), EndHeaders: true, EndStream: id > 2})
		}
		fr.WriteDataPadded(1, true, []byte("body"), []byte("\x00\x00"))
	})
	seed(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":status", "103"), EndHeaders: true})
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block(":status", "200")})
		fr.WriteContinuation(1, true, block("content-length", "3"))
		fr.WriteData(1, false, []byte("123"))
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block("a", "b"), EndHeaders: true, EndStream: true})
		fr.WriteRSTStream(3, http2.ErrCodeRefusedStream)
		fr.WriteGoAway(3, http2.ErrCodeNo, []byte("bye"))
	})
	seed(func(fr *http2.Framer, block func(...string) []byte) {
		fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 3}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		fr.WritePing(false, [8]byte{1})
		fr.WriteWindowUpdate(0, 100)
		fr.WriteWindowUpdate(1, 2)
		fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: block(":method", "GET"), EndHeaders: true})
	})
	f.Fuzz(func(t *testing.T, sent []byte) {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			var server sync.WaitGroup
			server.Go(func() { io.Copy(io.Discard, theirs) })
			server.Go(func() {
				theirs.Write(sent)
				time.Sleep(20 * time.Second)
				theirs.Write(sent)
				theirs.Close()
			})
			down := errors.New("down")
			tr := New(&http.Transport{
				DialContext:       func(context.Context, string, string) (net.Conn, error) { return nil, down },
				ForceAttemptHTTP2: true,
				HTTP2:             &http.HTTP2Config{SendPingTimeout: 15 * time.Second},
			})
			o := &pool{t: tr, host: "example.com"}
			tr.origins[o.host] = o
			c := newConn(o, ours)
			c.tls, c.state = c.socket, &tls.ConnectionState{}
			o.mu.Lock()
			o.conns = append(o.conns, c)
			c.start()
			o.mu.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			start := time.Now()
			for _, a := range postAll(ctx, tr, 4, 20) {
				if a.err == nil && (a.status < 200 || a.status > 999) {
					t.Errorf("status %d", a.status)
				}
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
			tr.CloseIdleConnections()
			server.Wait()
		})
	})
}
