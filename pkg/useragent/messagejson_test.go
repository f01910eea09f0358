package useragent_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/useragent"
)

func TestMessageJSON(t *testing.T) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	headers := map[string]string{"content-encoding": "aes128gcm"}
	for want, v := range map[string]any{
		`{"time":"2030-01-02T03:04:05Z","id":"1","headers":{}}`: &useragent.ReceivedMessage{Time: at, ID: "1"},
		`{"time":"2030-01-02T03:04:05Z","id":"1","encoding":"aes128gcm","headers":{"content-encoding":"aes128gcm"},"ttl":60,"urgency":"low","topic":"t","payload":"<a>"}`: &useragent.ReceivedMessage{Time: at, ID: "1",
			Encoding: "aes128gcm", Headers: headers, TTL: time.Minute, Urgency: "low", Topic: "t", Payload: []byte("<a>")},
		`{"time":"2030-01-02T03:04:05Z","id":"1","headers":{},"ttl":0,"urgency":"normal","payload":""}`: &useragent.ReceivedMessage{Time: at, ID: "1", Urgency: "normal", Payload: []byte{}},
		`{"time":"2030-01-02T03:04:05Z","id":"1","headers":{},"payloadBase64url":"_wA"}`:                &useragent.ReceivedMessage{Time: at, ID: "1", Payload: []byte("\xff\x00")},
		`{"time":"2030-01-02T03:04:05Z","id":"1","headers":{},"payload":"{\"web_push\":8030,\"notification\":{\"title\":\"T\"}}","json":{"web_push":8030,"notification":{"title":"T"}},"declarative":true}`: &useragent.ReceivedMessage{
			Time: at, ID: "1", Payload: []byte(`{"web_push":8030,"notification":{"title":"T"}}`)},
		`{"time":"2030-01-02T03:04:05Z","id":"1","headers":{},"error":"damaged"}`: &useragent.DecryptError{Message: &useragent.ReceivedMessage{Time: at, ID: "1"}, Err: errors.New("damaged")},
	} {
		b, err := v.(json.Marshaler).MarshalJSON()
		if err != nil || string(b) != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
	}
}
