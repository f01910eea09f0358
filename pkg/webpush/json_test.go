package webpush

import (
	"encoding/json"
	"net/http"
	"testing"
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
