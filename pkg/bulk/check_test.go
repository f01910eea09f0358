package bulk

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/vapid"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestCheck finds each problem once, with its number of records and the first of
// them, and does not stop at a bad record.
func TestCheck(t *testing.T) {
	key, err := vapid.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	client := &webpush.Client{Key: key, Claims: vapid.Claims{Subject: "mailto:ops@example.com"}}
	good := `{"endpoint":"https://push.dev/x","keys":{"p256dh":"` + testP256DH + `","auth":"` + testAuth + `"}}`
	text := strings.Join([]string{good, `{"endpoint":"https://push.dev/…"}`, strings.Replace(good, "/x", "/y...z", 1), `{"endpoint":"https://push.dev/a…"}`, "[]", good}, "\n")
	open := func() *Reader {
		r, err := Open(Source{Name: "subs", Stream: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	found, n, err := Check(t.Context(), open(), client, webpush.Message{Payload: []byte("hi")})
	if err != nil || n != 6 {
		t.Fatalf("%d records, %v", n, err)
	}
	want := map[string]struct {
		records int64
		first   string
	}{
		"the endpoint was shortened for display: it has … in it":             {2, "subs:2"},
		"the endpoint has ... in it: it may have been shortened for display": {1, "subs:3"},
		"found a JSON array, expected the object of one subscription":        {1, "subs:5"},
	}
	for _, f := range found {
		if w, ok := want[f.Message]; !ok || f.Records != w.records || f.First != w.first {
			t.Errorf("%q: %d records, the first is %s", f.Message, f.Records, f.First)
		}
		delete(want, f.Message)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Check(ctx, open(), client, webpush.Message{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
