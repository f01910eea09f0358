package appserver_test

import (
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// Endpoints that the dialer would always refuse are not stored.
func TestSpecialAddresses(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.AllowPrivate = false })
	for _, host := range []string{"100.64.0.1", "192.0.2.1", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "push.localhost", "localhost.", "127.0.0.1", "127.1", "2130706433", "[::1]"} {
		r := f.want(400, "POST", "/subscription", subscription("https://"+host+"/x"))
		if v := r.json(t); v["code"] != "endpoint-refused" && v["code"] != "invalid-subscription" || strings.Contains(string(r.text), "--") {
			t.Errorf("%s: %s", host, r.text)
		}
	}
	f.want(201, "POST", "/subscription", subscription("https://[2606:4700::1111]/x"))
	f = newFixture(t, nil) // with AllowPrivate
	f.want(201, "POST", "/subscription", subscription("http://localhost.:8090/x"))
	for _, url := range []string{"http://192.168.1.2/x", "http://[fd00::1]/x", "http://push.example/x"} { // the client sends in plain text to this machine only
		if r := f.want(400, "POST", "/subscription", subscription(url)); r.json(t)["detail"] != "the endpoint is plain http and not on this machine" {
			t.Errorf("%s: %s", url, r.text)
		}
	}
}

// All addresses of an IPv6 /64 count as one visitor.
func TestLimitOfNetwork(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.ClientRate, o.BehindProxy = 0.01, true })
	for _, c := range []struct {
		from string
		want int
	}{{"2001:db8::1", 200}, {"2001:db8::2", 429}, {"2001:db8::ffff:ffff:ffff:ffff", 429}, {"2001:db8:0:1::1", 200}, {"::ffff:192.0.2.1", 200}, {"192.0.2.1", 429}, {"192.0.2.2", 200}} {
		if r := f.do("GET", "/subscription", "", "X-Forwarded-For", c.from); r.StatusCode != c.want {
			t.Errorf("%s: %d, want %d", c.from, r.StatusCode, c.want)
		}
	}
}

// A 410 response to a test message removes the version of the subscription to which it was
// sent, not a newer one.
func TestTestMessageOfOldVersion(t *testing.T) {
	var f *fixture
	var s *sink
	s = newSink(t, func(path string, n int) int {
		f.want(200, "POST", "/subscription", strings.Replace(subscription(s.URL+path), auth, "AAAAAAAAAAAAAAAAAAAAAA", 1))
		return 410
	})
	f = newFixture(t, nil)
	f.want(201, "POST", "/subscription", subscription(s.URL+"/a"))
	f.want(410, "POST", "/subscription/test", `{"endpoint":"`+s.URL+`/a"}`)
	if r, err := f.store.Find(t.Context(), s.URL+"/a"); err != nil || r.Auth != "AAAAAAAAAAAAAAAAAAAAAA" {
		t.Errorf("found %+v, %v", r, err)
	}
}

// Names with characters that change the direction of text are refused.
func TestBidiNames(t *testing.T) {
	f := newFixture(t, nil)
	for _, c := range []string{"\u202e", "\u2066", "\u200f", "\u061c", "\u2028"} {
		f.want(400, "POST", "/subscription", subscription("https://push.example/x", `"user":"a`+c+`b"`))
		f.want(400, "POST", "/subscription", subscription("https://push.example/x", `"tags":["a`+c+`b"]`))
	}
}
