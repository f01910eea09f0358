package useragent

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/text"
	"github.com/seed81da77dd/webpush/pkg/vapid"
)

// frame is one message of a push service: a JSON object in a text frame. Fields
// that can be malformed without making the frame unusable are kept raw.
type frame struct {
	MessageType  string          `json:"messageType"`
	UAID         string          `json:"uaid"`
	UseWebPush   json.RawMessage `json:"use_webpush"`
	Status       int             `json:"status"`
	ChannelID    string          `json:"channelID"`
	PushEndpoint string          `json:"pushEndpoint"`
	Version      string          `json:"version"`
	Data         json.RawMessage `json:"data"`
	Headers      json.RawMessage `json:"headers"`
}

// parseFrame reads a frame and ignores unknown fields.
func parseFrame(b []byte) (frame, error) {
	var f frame
	if !bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) {
		return f, errors.New("a frame is not a JSON object")
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("a frame is damaged: %s", text.JSONProblem(err))
	}
	return f, nil
}

// truthy reports whether JavaScript, and therefore Firefox, treats v as true.
func truthy(v json.RawMessage) bool {
	switch string(v) {
	case "", "false", "null", "0", `""`:
		return false
	}
	return true
}

// message returns the message in a notification.
func (f frame) message() wireMessage {
	w := wireMessage{ID: f.Version, Time: time.Now()}
	if len(f.Data) == 0 || string(f.Data) == "null" {
		return w
	}
	if err := json.Unmarshal(f.Data, &w.Body); err != nil {
		w.damage = errors.New("data is not a string")
		return w
	}
	var headers map[string]string
	if err := json.Unmarshal(f.Headers, &headers); len(f.Headers) > 0 && err != nil {
		w.damage = errors.New("headers is not an object of strings")
		return w
	}
	w.Headers = make(map[string]string)
	for theirs, ours := range map[string]string{"encoding": "content-encoding", "encryption": "encryption", "crypto_key": "crypto-key"} {
		if v, ok := headers[theirs]; ok {
			w.Headers[ours] = v
		}
	}
	return w
}

// The frames that a user agent sends.
type (
	helloFrame struct {
		MessageType string            `json:"messageType"`
		Broadcasts  map[string]string `json:"broadcasts"`
		UseWebPush  bool              `json:"use_webpush"`
		UAID        string            `json:"uaid,omitempty"`
	}
	registerFrame struct {
		ChannelID   string `json:"channelID"`
		MessageType string `json:"messageType"`
		Key         string `json:"key,omitempty"`
	}
	unregisterFrame struct {
		ChannelID   string `json:"channelID"`
		MessageType string `json:"messageType"`
		Code        int    `json:"code"`
	}
	ackFrame struct {
		MessageType string      `json:"messageType"`
		Updates     []ackUpdate `json:"updates"`
	}
	ackUpdate struct {
		ChannelID string `json:"channelID"`
		Version   string `json:"version"`
		Code      int    `json:"code"`
	}
)

func hello(uaid string) helloFrame {
	return helloFrame{MessageType: "hello", Broadcasts: map[string]string{}, UseWebPush: true, UAID: uaid}
}

func register(channelID string, key vapid.PublicKey) registerFrame {
	f := registerFrame{ChannelID: channelID, MessageType: "register"}
	if !key.IsZero() {
		f.Key = base64.URLEncoding.EncodeToString(key.Bytes()) // autopush requires the padding
	}
	return f
}

func unregister(channelID string) unregisterFrame {
	return unregisterFrame{channelID, "unregister", 200}
}

func acknowledge(channelID, version string, code int) ackFrame {
	return ackFrame{"ack", []ackUpdate{{channelID, version, code}}}
}

// newChannelID generates a UUID (version 4, RFC 9562, section 5.4) in the form that
// autopush requires: lower case, with dashes.
func newChannelID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
