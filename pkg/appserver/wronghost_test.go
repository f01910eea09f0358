package appserver_test

import (
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// A person who uses a wrong name gets a page, and a program gets JSON.
func TestWrongHostPage(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.Hosts = []string{"127.0.0.1"} })
	for accept, page := range map[string]bool{
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true, "text/html": true, "TEXT/HTML; q=0.5": true,
		"": false, "*/*": false, "application/json": false, "application/json, text/plain": false,
	} {
		r := f.raw("GET", "/push", "Host", "it's.evil.example", "Accept", accept)
		kind := r.Header.Get("Content-Type")
		if r.StatusCode != 421 || page != (kind == "text/html; charset=utf-8") || !page != (kind == "application/problem+json") {
			t.Errorf("%q: %d, %s", accept, r.StatusCode, kind)
		}
		if page && (strings.Contains(string(r.text), "it's") || !strings.Contains(string(r.text), "it&#39;s.evil.example")) {
			t.Errorf("%q: the page is %s", accept, r.text)
		}
		if r.Header.Get("Content-Security-Policy") == "" {
			t.Error("the page has no policy")
		}
	}
	if r := f.raw("HEAD", "/", "Host", "evil.example", "Accept", "text/html"); r.StatusCode != 421 || len(r.text) != 0 {
		t.Errorf("HEAD: %d, %q", r.StatusCode, r.text)
	}
	f.want(200, "GET", "/", "", "Accept", "text/html")
}

// Only those who try tokens are slowed down; a request without one is told what
// is missing, each time.
func TestNoTokenIsNoGuess(t *testing.T) {
	f := newFixture(t, nil)
	for range 30 {
		f.want(401, "GET", "/push", "", "Authorization", "")
	}
	last := 0
	for range 30 {
		last = f.do("GET", "/push", "", "Authorization", "Bearer wrong-token-wrong-token").StatusCode
	}
	if last != 429 {
		t.Errorf("after 30 guesses: %d", last)
	}
}

// Parameters and header fields that would be ignored are refused.
func TestIgnoredInput(t *testing.T) {
	f := newFixture(t, nil)
	for _, query := range []string{"limit=", "after=", "user=", "tag=", "endpoints=", "limit=1&limit=2", "limit=0", "limit=1001", "limit=-1", "limit=x", "after=-1"} {
		f.want(400, "GET", "/subscriptions?"+query, "")
	}
	for _, query := range []string{"limit=", "before=", "state=", "limit=101", "state=scheduled&limit=0"} {
		f.want(400, "GET", "/push?"+query, "")
	}
	id := f.push(`{"payload":"x"}`)
	for _, query := range []string{"limit=x", "limit=0", "limit=1001", "results=", "after="} {
		f.want(400, "GET", "/push/"+id+"?"+query, "")
	}
	for name, value := range map[string]string{"Title": "T", "TTL": "5", "Urgency": "high", "Topic": "t", "Click": "https://example.com", "Tag": "t", "To-User": "u", "To-Tag": "t"} {
		if r := f.want(400, "POST", "/push", `{"payload":"x"}`, name, value); r.json(t)["part"] != name {
			t.Errorf("%s: %s", name, r.text)
		}
	}
	long := "https://push.example/" + strings.Repeat("x", 2048)
	f.want(400, "DELETE", "/subscription", `{"endpoint":"`+long+`"}`)
	f.want(400, "POST", "/subscription/test", `{"endpoint":"`+long+`"}`)
	f.want(400, "POST", "/subscription/change", `{"old":{"endpoint":"`+long+`"},"new":`+subscription("https://push.example/a")+`}`)
	f.want(204, "DELETE", "/subscription", `{"endpoint":"https://push.example/none"}`)
}

// null is the same as an absent member.
func TestNull(t *testing.T) {
	f := newFixture(t, nil)
	for _, body := range []string{
		`{"payload":null,"notification":null,"ttl":null,"urgency":null,"topic":null,"to":null,"sendAt":null,"cancelable":null}`,
		`{"notification":{"title":"T","body":null,"url":null,"actions":null,"silent":null,"data":null,"declarative":null},"payload":null}`,
		`{"payload":"x","to":{"all":true,"user":null,"tag":""}}`, `{"payload":"x","to":{"all":false,"user":"u"}}`,
	} {
		f.want(202, "POST", "/push", body)
	}
	f.want(201, "POST", "/subscription", subscription("https://push.example/a", `"user":null`, `"tags":null`))
}
