package pushservice_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/seed81da77dd/webpush/pkg/pushservice"
)

func TestParseFault(t *testing.T) {
	for text, want := range map[string]pushservice.Fault{
		"status=503,share=10%,retry-after=5": {Status: 503, Share: 0.1, Header: map[string]string{"Retry-After": "5"}, Always: true},
		"status=410, after=3, count=2":       {Status: 410, After: 3, Count: 2},
		"delay=100ms,share=0.5":              {Delay: 100 * time.Millisecond, Share: 0.5, Always: true},
		"delay=2,reset":                      {Delay: 2 * time.Second, Reset: true, Always: true},
		"on=login,error=7":                   {On: pushservice.OnLogin, Error: "7", Always: true},
		"subscription=x,status=500,body=a=b": {Subscription: "x", Status: 500, Body: []byte("a=b"), Always: true},
		"status=429,retry-after=Sun, 06 Nov": {},
	} {
		got, err := pushservice.ParseFault(text)
		if want.Status == 0 && want.Delay == 0 && want.On == "" {
			if err == nil {
				t.Errorf("%s: %+v", text, got)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"":                    `unknown name ""`,
		"sta=503":             `unknown name "sta", expected one of status, share`,
		"status=abc":          `status is "abc", expected a whole number, 200 or more`,
		"status":              `status is ""`,
		"count=0":             `count is "0", expected a whole number, 1 or more`,
		"after=-1":            `after is "-1", expected a whole number, 0 or more`,
		"share=0":             `share is "0", expected 10% or 0.1`,
		"share=101%":          `share is "101%"`,
		"share=NaN":           `share is "NaN"`,
		"delay=soon":          `delay is "soon", expected a duration such as 100ms or 2s`,
		"retry-after=soon":    `retry-after is "soon", expected seconds`,
		"share=10%":           `status, delay, and reset are missing`,
		"on=hello,status=503": `on is "hello"`,
		"reset=1":             `reset has the value "1", expected none`,
		"status=503,\x1b[31m": `unknown name "\x1b[31m"`,
	} {
		if f, err := pushservice.ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %s", text, f, err, want)
		}
	}
}
