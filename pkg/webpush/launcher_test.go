package webpush

import (
	"net/http"
	"net/http/cookiejar"
	"testing"
	"time"
)

type wrapped struct{ http.RoundTripper }

func TestNotPipelined(t *testing.T) {
	jar, _ := cookiejar.New(nil)
	for _, row := range []struct {
		name string
		http Doer
		o    BulkOptions
		want string
	}{
		{name: "the default"},
		{name: "an ordinary transport", http: &http.Client{Transport: &http.Transport{}}},
		{"the option", nil, BulkOptions{StandardHTTP: true}, "the options ask for net/http alone"},
		{"a wrapped transport", &http.Client{Transport: wrapped{&http.Transport{}}}, BulkOptions{}, "its Transport is not an *http.Transport"},
		{"no transport", &http.Client{}, BulkOptions{}, "its Transport is not an *http.Transport"},
		{"another client", doerFunc(nil), BulkOptions{}, "its HTTP is not an *http.Client"},
		{"a timeout", &http.Client{Transport: &http.Transport{}, Timeout: time.Second}, BulkOptions{}, "its HTTP has a Timeout or a Jar"},
		{"a jar", &http.Client{Transport: &http.Transport{}, Jar: jar}, BulkOptions{}, "its HTTP has a Timeout or a Jar"},
	} {
		c := &Client{HTTP: row.http}
		if got := c.NotPipelined(row.o); got != row.want {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
		l := c.launcher(row.o)
		if _, is := l.(pipelined); is != (row.want == "") {
			t.Errorf("%s: it is sent with a %T", row.name, l)
		}
		l.close()
	}
}
