package bulk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Records of the most frequent form are read as encoding/json reads them.
func TestPlainRecord(t *testing.T) {
	const sub = `{"endpoint":"https://push.example.net/x"}`
	show := func(raw string) string {
		r := NewRecord("", []byte(raw))
		job, err := r.Job(webpush.Message{}, new(Keys))
		ttl := "none"
		if job.Message.TTL != nil {
			ttl = job.Message.TTL.String()
		}
		shown := fmt.Sprintf("%s %v %q %v %s %v", r.ID, job.Subscription != nil, job.Message.Payload, job.Message.Payload == nil, ttl, err)
		shown, _, _ = strings.Cut(shown, " at byte ")
		return shown
	}
	for _, row := range []struct {
		raw string
		ok  bool
	}{
		{`{"subscription":` + sub + `}`, true},
		{`{"id":7,"subscription":` + sub + `}`, true},
		{`{"id": "a", "subscription": ` + sub + `, "payload": "hi", "ttl": 60}`, true},
		{`{"id":7,"subscription":` + sub + `,"payload":"a \"b\" \u00e9\n"}`, true},
		{`{"id":7,"subscription":` + sub + `,"payload":""}`, true},
		{`{"subscription":` + sub + `,"ttl":0}`, true},
		{`{"subscription":` + sub + `,"ttl":2147483648}`, true},
		{`{"subscription":` + sub + `,"ttl":2147483649}`, false},
		{`{"subscription":` + sub + `,"ttl":99999999999999999999}`, false},
		{`{"subscription":` + sub + `,"ttl":-1}`, false},
		{`{"subscription":` + sub + `,"ttl":1.5}`, false},
		{`{"subscription":` + sub + `,"ttl":007}`, false},
		{`{"subscription":` + sub + `,"ttl":"1h"}`, false},
		{`{"subscription":` + sub + `,"payload":{"a":1}}`, false},
		{`{"subscription":` + sub + `,"payload":null}`, false},
		{`{"subscription":` + sub + `,"payload":"a` + "\n" + `"}`, false},
		{`{"subscription":` + sub + `,"ttl":60,"payload":"hi"}`, false},
		{`{"subscription":` + sub + `,"payload":"hi","topic":"t"}`, false},
		{`{"subscription":` + sub + `,"payload":"hi"`, false},
		{`{"id":x,"subscription":` + sub + `}`, false},
		{`{"id":7,"subscription":"x"}`, false},
		{`{"subscription":{"endpoint":"nonsense"},"payload":"hi"}`, true},
	} {
		if _, ok := plainRecord([]byte(row.raw)); ok != row.ok {
			t.Errorf("%s: plain is %v", row.raw, ok)
		}
		// With two spaces at its beginning, a record is not plain.
		if plain, other := show(row.raw), show(strings.Replace(row.raw, "{", "{  ", 1)); plain != other {
			t.Errorf("%s is\n%s, and in another form\n%s", row.raw, plain, other)
		}
	}
}
