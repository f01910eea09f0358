package pipeline

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
)

// TestPreamble compares the fields of requests after others with those of the same
// requests alone.
func TestPreamble(t *testing.T) {
	headers := []http.Header{
		{},
		{"Ttl": {"60"}},
		{"Ttl": {"60"}, "Topic": {"a"}},
		{"Ttl": {"60"}, "Topic": {"b"}},
		{"Ttl": {"60"}, "Urgency": {"b"}},
		{"Ttl": {"60"}, "User-Agent": {""}},
		{"Ttl": {"60"}, "User-Agent": {"x"}},
		{"Ttl": {"60"}, "Cookie": {"x"}},
		{"A": {"1", "1"}, "B": {}},
		{"A": {"1", "1"}, "B": nil},
		{"A": {"1"}, "C": {"x"}},
		{"A": {"1"}, "Content-Length": {"x"}},
		{"A": {"1", "2"}},
		{"A": {}},
		{"A": {"1\n"}},
		{"A": {"1"}, "Expect": {"100-continue"}},
	}
	hosts := []string{"", "example.com", "EXAMPLE.com", "example.org:444", "ex ample.com"}
	fields := func(tr *Transport, header http.Header, host string, n int) []string {
		req := newRequest(t.Context(), "https://example.com", n, []byte("body"))
		req.Header, req.Host = header, host
		st := tr.prepare(t.Context(), req)
		if st == nil {
			return nil
		}
		all := []string{fmt.Sprint(st.host, " ", st.size)}
		for _, f := range st.fields {
			all = append(all, fmt.Sprint(f))
		}
		slices.Sort(all[1+pathAt+1:]) // a map has no order
		tr.drop(st)
		return all
	}
	tr := New(&http.Transport{})
	same := make(http.Header)
	for i := range 3 * len(headers) * len(headers) {
		// Each header follows each other one, and itself; the map is the same or another.
		header, host := headers[[]int{i, i, i / len(headers)}[i%3]%len(headers)], hosts[i/7%len(hosts)]
		got := fields(tr, header, host, i)
		clear(same)
		for name, values := range header {
			same[name] = values
		}
		if again := fields(tr, same, host, i); !slices.Equal(again, got) {
			t.Errorf("%v to %q: %q, then %q", header, host, got, again)
		}
		if want := fields(New(&http.Transport{}), header, host, i); !slices.Equal(got, want) {
			t.Errorf("%v to %q: %q, alone %q", header, host, got, want)
		}
	}
}

// TestRequestPath compares paths with net/url.
func TestRequestPath(t *testing.T) {
	for c := range 0x80 {
		for _, path := range []string{"/a" + string(rune(c)) + "b", string(rune(c)), "/" + string(rune(c)), string(rune(c)) + "/a"} {
			for _, u := range []url.URL{{Path: path}, {Path: path, RawQuery: "q"}, {Path: path, ForceQuery: true}, {Path: path, RawPath: "/%61"}} {
				if got, want := requestPath(&u, "example.com"), u.RequestURI(); got != want && got != "" {
					t.Errorf("%#v: %q, want %q", u, got, want)
				} else if plain := 'a' <= c|0x20 && c|0x20 <= 'z'; plain && path[0] == '/' && got == "" {
					t.Errorf("%#v: \"\", want %q", u, want)
				}
			}
		}
	}
}
