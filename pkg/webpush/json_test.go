package webpush

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"
)

// TestErrorJSON asserts the object that an error is in logs, which has neither headers
// nor what is unknown.
func TestErrorJSON(t *testing.T) {
	e := Explain(Mozilla, 429, http.Header{"Retry-After": {"7"}, "Set-Cookie": {"SECRET"}}, []byte("{\"errno\":201,\"message\":\"<\xff>\"}"))
	for _, c := range []struct {
		e    *Error
		want string
	}{
		{e, `{"message":"` + e.Error() + `","hint":"` + e.Hint() + `","code":"rate_limited","service":"mozilla","origin":"","gone":false,"temporary":true,"status":429,"errno":201,"reason":"` + e.Reason + `","retryAfter":7,"body":"{\"errno\":201,\"message\":\"<\ufffd>\"}"}`},
		{&Error{Code: CodeNetwork, Origin: "https://push.example", Problem: "no route", Attempts: 2}, `{"message":"no response from https://push.example: no route, after 2 attempts","code":"network","service":"","origin":"https://push.example","gone":false,"temporary":true,"attempts":2}`},
	} {
		if b, err := json.Marshal(c.e); err != nil || unescaped(t, b) != unescaped(t, []byte(c.want)) {
			t.Errorf("%s, %v\nexpected\n%s", b, err, c.want)
		}
	}
}

// unescaped returns JSON with the names sorted and no escapes that are not necessary.
func unescaped(t *testing.T, b []byte) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestReceiptJSON asserts the fields of a receipt, of which unknown ones are omitted.
func TestReceiptJSON(t *testing.T) {
	zero := time.Duration(0)
	for want, r := range map[string]Receipt{
		`{"status":201,"service":"fcm","origin":"https://fcm.googleapis.com","attempts":1,"latencyMs":12}`: {Status: 201, Service: FCM, Origin: "https://fcm.googleapis.com", Attempts: 1, Latency: 12500 * time.Microsecond},
		`{"status":202,"service":"other","origin":"https://a.example","attempts":2,"latencyMs":0,"ttl":0,"location":"https://a.example/m","receiptSubscription":"https://a.example/r","note":"n<"}`: {Status: 202, Service: Other, Origin: "https://a.example", Attempts: 2,
			TTL: &zero, Location: "https://a.example/m", ReceiptSubscription: "https://a.example/r", Note: "n<"},
	} {
		b, err := r.MarshalJSON()
		if err != nil || string(b) != want {
			t.Errorf("%s, %v, want %s", b, err, want)
		}
	}
}
