package mcs

import (
	"bufio"
	stdbytes "bytes"
	"encoding/hex"
	"io"
	"reflect"
	"strings"
	"testing"
)

// TestStreamAckBytes compares with the bytes that Chromium 156 sends.
func TestStreamAckBytes(t *testing.T) {
	got := hex.EncodeToString(Iq{Extension: StreamAck, LastStreamIDReceived: 7}.Append(nil))
	if want := "10011a003a04080d12005007"; got != want {
		t.Errorf("StreamAck: %s, want %s", got, want)
	}
}

// messages has each message with all its fields, and how it is read.
var messages = map[string]struct {
	message interface{ Append([]byte) []byte }
	parse   func([]byte) (any, error)
}{
	"heartbeat": {Heartbeat{LastStreamIDReceived: 300}, func(b []byte) (any, error) { return ParseHeartbeat(b) }},
	"login": {LoginRequest{ID: "chrome-156.0.0.0", Domain: "mcs.android.com", User: "5", Resource: "5", AuthToken: "18446744073709551615", DeviceID: "android-5",
		HeartbeatInterval: 300000, ReceivedPersistentIDs: []string{"0:1%a", "0:2%b"}}, func(b []byte) (any, error) { return ParseLoginRequest(b) }},
	"login answer": {LoginResponse{ID: "x", ErrorCode: -1, ErrorMessage: "no", LastStreamIDReceived: 1, HeartbeatInterval: 5000, ServerTimestamp: 1 << 40},
		func(b []byte) (any, error) { return ParseLoginResponse(b) }},
	"stream ack":    {Iq{Extension: StreamAck, LastStreamIDReceived: 12}, func(b []byte) (any, error) { return ParseIq(b) }},
	"selective ack": {Iq{Extension: SelectiveAck, IDs: []string{"a", "b"}, LastStreamIDReceived: 12}, func(b []byte) (any, error) { return ParseIq(b) }},
	"data": {DataMessage{From: "BA", Category: "org.chromium.linux", Token: "t", AppData: []AppData{{"subtype", "wp:x"}, {"", ""}}, PersistentID: "0:1%a",
		LastStreamIDReceived: 4, TTL: 60, Sent: 1 << 40, RawData: []byte{0, 255}, ImmediateAck: true}, func(b []byte) (any, error) { return ParseDataMessage(b) }},
	"stream error":   {StreamError{"t", "x"}, func(b []byte) (any, error) { return ParseStreamError(b) }},
	"checkin":        {CheckinRequest{AndroidID: 1 << 63, SecurityToken: 1<<64 - 1, ChromeVersion: "156.0.0.0"}, func(b []byte) (any, error) { return ParseCheckinRequest(b) }},
	"checkin answer": {CheckinResponse{AndroidID: 1 << 63, SecurityToken: 1, TimeMsec: 5}, func(b []byte) (any, error) { return ParseCheckinResponse(b) }},
}

func TestRoundTrip(t *testing.T) {
	for name, m := range messages {
		got, err := m.parse(m.message.Append(nil))
		if err != nil || !reflect.DeepEqual(got, m.message) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, m.message)
		}
		// Every beginning of a message is a message or an error, never a panic.
		b := m.message.Append(nil)
		for n := range b {
			_, _ = m.parse(b[:n])
		}
	}
}

// TestCheckinBytes has the request of a new device, byte for byte.
func TestCheckinBytes(t *testing.T) {
	got := hex.EncodeToString(CheckinRequest{ChromeVersion: "156.0.0.0"}.Append(nil))
	want := "1000" + "1a2a" + hex.EncodeToString([]byte("1-da39a3ee5e6b4b0d3255bfef95601890afd80709")) +
		"2213" + "6003" + "6a0f" + "0803" + "1209" + hex.EncodeToString([]byte("156.0.0.0")) + "1801" + "7003" + "b00100"
	if got != want {
		t.Errorf("check-in:\n%s, want\n%s", got, want)
	}
}

func TestFrames(t *testing.T) {
	b := []byte{Version}
	b = AppendFrame(b, TagHeartbeatPing, nil)
	b = AppendFrame(b, TagDataMessage, []byte(strings.Repeat("x", 300)))
	r := bufio.NewReader(stdbytes.NewReader(b))
	if err := ReadVersion(r); err != nil {
		t.Fatal(err)
	}
	if tag, body, err := ReadFrame(r); tag != TagHeartbeatPing || len(body) != 0 || err != nil {
		t.Errorf("%d, %d bytes, %v", tag, len(body), err)
	}
	if tag, body, err := ReadFrame(r); tag != TagDataMessage || len(body) != 300 || err != nil {
		t.Errorf("%d, %d bytes, %v", tag, len(body), err)
	}
	if _, _, err := ReadFrame(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestFramesRefused(t *testing.T) {
	for name, input := range map[string]string{
		"above the limit":       "\x08\x81\x80\x04",
		"huge":                  "\x08\xff\xff\xff\xff\x0f",
		"endless size":          "\x08\x80\x80\x80\x80\x80\x80\x80\x80",
		"ends in the size":      "\x08\x80",
		"ends in the message":   "\x08\x05abc",
		"ends after the tag":    "\x08",
		"size of the wrong end": "\x08\xff\xff\xff\xff\xff\x01",
	} {
		r := bufio.NewReader(strings.NewReader(input))
		allocated := testing.AllocsPerRun(1, func() {
			r.Reset(strings.NewReader(input))
			if _, _, err := ReadFrame(r); err == nil || err == io.EOF {
				t.Errorf("%s: error %v", name, err)
			}
		})
		if allocated > 10 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
	for v, ok := range map[byte]bool{0: false, 37: false, 38: true, 39: false, 40: false, 41: true, 42: true} {
		if err := ReadVersion(strings.NewReader(string([]byte{v}))); (err == nil) != ok {
			t.Errorf("version %d: %v", v, err)
		}
	}
}

// FuzzFrames reads frames as either side would: what is accepted stays the same
// when it is written and read again.
func FuzzFrames(f *testing.F) {
	for _, m := range messages {
		for _, tag := range []Tag{TagHeartbeatPing, TagLoginRequest, TagLoginResponse, TagIq, TagDataMessage, TagStreamError} {
			f.Add(AppendFrame(nil, tag, m.message.Append(nil)))
		}
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		r := bufio.NewReader(stdbytes.NewReader(input))
		for {
			_, body, err := ReadFrame(r)
			if err != nil {
				return
			}
			if len(body) > MaxFrame || len(body) > len(input) {
				t.Fatalf("a frame of %d bytes from an input of %d", len(body), len(input))
			}
			for name, m := range messages {
				first, err := m.parse(body)
				if err != nil {
					continue
				}
				again, err := m.parse(first.(interface{ Append([]byte) []byte }).Append(nil))
				if err != nil || !reflect.DeepEqual(normal(first), normal(again)) {
					t.Fatalf("%s: %+v became %+v, %v", name, first, again, err)
				}
			}
		}
	})
}

// normal removes what is not written: empty raw data, and the extension's
// content of an Iq without extension.
func normal(m any) any {
	switch m := m.(type) {
	case DataMessage:
		if len(m.RawData) == 0 {
			m.RawData = nil
		}
		return m
	case LoginResponse:
		if m.ErrorCode == 0 {
			m.ErrorMessage = ""
		}
		return m
	}
	return m
}
