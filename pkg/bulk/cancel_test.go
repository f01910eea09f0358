package bulk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestReadResults reads what a run writes, and rejects other text.
func TestReadResults(t *testing.T) {
	ttl := int64(60)
	var text strings.Builder
	for i := range int64(3) {
		line, err := Result{Index: i, ID: []byte(`"a<b"`), Class: webpush.ClassDelivered, Location: "https://push.example/m/1", TTL: &ttl}.line()
		if err != nil {
			t.Fatal(err)
		}
		text.Write(line)
	}
	n := int64(0)
	for r, err := range ReadResults(strings.NewReader(text.String())) {
		if err != nil || r.Index != n || string(r.ID) != `"a<b"` || r.Class != webpush.ClassDelivered || *r.TTL != 60 {
			t.Errorf("%+v, %v", r, err)
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d results", n)
	}
	for in, want := range map[string]string{
		`{"index":1} nonsense`:             "result 2 is not a JSON object",
		`[]`:                               "result 1 is not a JSON object",
		`{"index":1`:                       "result 1 is not a JSON object",
		`{} {"index":"seven"}`:             `result 2 has the field "index" with a value of another type`,
		`{"class":"gone"}` + "\x00\x1b[2J": "result 2 is not a JSON object",
	} {
		var got error
		for _, err := range ReadResults(strings.NewReader(in)) {
			got = err
		}
		if got == nil || got.Error() != want {
			t.Errorf("%q: %v, want %s", in, got, want)
		}
	}
}

func yieldResults(list []Result, err error) iter.Seq2[Result, error] {
	return func(yield func(Result, error) bool) {
		for _, r := range list {
			if !yield(r, nil) {
				return
			}
		}
		if err != nil {
			yield(Result{}, err)
		}
	}
}

func TestCancel(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		paths = append(paths, r.Method+" "+r.URL.Path)
		mu.Unlock()
		if strings.HasSuffix(r.URL.Path, "/9") {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	client := &webpush.Client{Attempts: 1}
	list := []Result{{Index: 100}, {Index: 101, Location: "nonsense"}, {Index: 102, Location: server.URL + "/m/x", Origin: "https://push.example.net"}} // the first has no location
	for i := range int64(10) {
		list = append(list, Result{Index: i, Location: fmt.Sprintf("%s/m/%d", server.URL, i)})
	}
	unread := errors.New("unread")
	failed := make(map[int64]string)
	n := 0
	var last error
	for c, err := range Cancel(t.Context(), client, yieldResults(list, unread)) {
		if last = err; err != nil {
			continue
		}
		n++
		if c.Err != nil {
			failed[c.Result.Index] = c.Err.Error()
		} else if c.Result.Origin != server.URL {
			t.Errorf("the origin is %q", c.Result.Origin)
		}
	}
	if n != 12 || last != unread {
		t.Errorf("%d outcomes, then %v", n, last)
	}
	if len(failed) != 3 || failed[101] != "the location of the message is not a URL" || !strings.Contains(failed[102], "not a URL on the push service that accepted it") || !strings.Contains(failed[9], "no longer has the message") {
		t.Errorf("failed: %v", failed)
	}
	slices.Sort(paths)
	if len(paths) != 10 || paths[0] != "DELETE /m/0" {
		t.Errorf("requests: %q", paths)
	}
}

// TestCanceled asserts the JSON of outcomes, and that equal failures count as one.
func TestCanceled(t *testing.T) {
	var n CancelCounts
	for _, c := range []struct {
		c    Canceled
		want string
	}{
		{Canceled{Result: Result{Origin: "https://push.example"}}, `{"origin":"https://push.example","state":"withdrawn"}`},
		{Canceled{Result: Result{Index: 0, ID: []byte(`"a<b"`), Class: webpush.ClassDelivered, Origin: "o", Service: webpush.Other}, Err: errors.New("no")}, `{"id":"a<b","index":0,"origin":"o","service":"other","state":"failed","reason":"no"}`},
		{Canceled{Err: errors.New("no")}, `{"origin":"","state":"failed","reason":"no"}`},
		{Canceled{Err: &webpush.Error{Service: webpush.FCM, Origin: "o", Code: webpush.CodeNotCancelable, Problem: "never"}}, `{"origin":"","state":"not_cancelable","reason":"FCM at o was not asked: never"}`},
	} {
		n.Add(&c.c)
		if b, err := c.c.MarshalJSON(); err != nil || string(b) != c.want {
			t.Errorf("%s, %v, expected %s", b, err, c.want)
		}
	}
	if n.Withdrawn != 1 || n.Failed != 3 || len(n.Failures) != 2 || n.Failures[0].Count != 2 || n.Failures[1].Count != 1 {
		t.Errorf("%+v", n)
	}
}

// TestCancelStops asserts that no goroutine stays when the caller breaks off or ctx
// is done: the iteration ends only after all of them.
func TestCancelStops(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	many := make([]Result, 1000)
	for i := range many {
		many[i].Location = fmt.Sprintf("%s/m/%d", server.URL, i)
	}
	ended := false
	source := func(yield func(Result, error) bool) {
		defer func() { ended = true }()
		yieldResults(many, nil)(yield)
	}
	for range Cancel(t.Context(), new(webpush.Client), source) {
		break
	}
	if !ended {
		t.Error("the results are still read")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range Cancel(ctx, new(webpush.Client), source) {
		if n++; n == 3 {
			cancel()
		}
	}
	if n >= len(many) {
		t.Errorf("%d outcomes after the context was done", n)
	}
}

func TestCreate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "gone")
	f, err := Create(PartGone, name, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"{}", "[]\n"} {
		if err := f.WriteLine([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); string(b) != "{}\n[]\n" {
		t.Errorf("%q, %v", b, err)
	}
	var e *Error
	if err := f.Close(); !errors.As(err, &e) || e.Part != PartGone || e.Path != name {
		t.Errorf("closed again: %v", err)
	}
	if _, err := Create(PartGone, name, false); !errors.As(err, &e) || e.Part != PartGone || !errors.Is(err, os.ErrExist) {
		t.Errorf("a file with content: %v", err)
	}
	if f, err = Create(PartGone, name, true); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if info, err := os.Stat(name); err != nil || info.Size() != 0 || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v %v", info, err)
	}
	if f, err = Create(PartGone, name, false); err != nil { // an empty file holds nothing
		t.Fatal(err)
	}
	f.Close()
}
