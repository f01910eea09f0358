package bulk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// TestColumns asserts that columns of any name are read when they are named.
func TestColumns(t *testing.T) {
	for _, text := range []string{
		fmt.Sprintf("nr,push_url,k1,k2\n7,https://push.example/x,%s,%s\n", testP256DH, testAuth),
		fmt.Sprintf(`{"nr":"7","push_url":"https://push.example/x","k1":%q,"k2":%q}`, testP256DH, testAuth),
	} {
		r, err := Open(Source{Name: "x", Stream: strings.NewReader(text)})
		if err != nil {
			t.Fatal(err)
		}
		r.SetColumns(Columns{Endpoint: "push_url", P256DH: "k1", Auth: "k2", ID: "nr"})
		n := 0
		for rec := range r.Records(t.Context()) {
			n++
			if job, err := rec.Job(webpush.Message{}, new(Keys)); err != nil || job.Subscription.Recipient() == nil || string(rec.ID) != `"7"` {
				t.Errorf("%s: %v, id %s", rec.Raw, err, rec.ID)
			}
		}
		if n != 1 {
			t.Errorf("%q: %d records", text, n)
		}
	}
}

// TestCSVBounds asserts that a quote that does not end is not read without bound.
func TestCSVBounds(t *testing.T) {
	text := "endpoint,p256dh\n\"" + strings.Repeat("x", 4*maxRecord)
	r, err := Open(Source{Name: "x", Stream: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rec, err := range r.Records(t.Context()) {
		if n++; err == nil || len(rec.Raw) > 0 {
			t.Errorf("a record of %d bytes, %v", len(rec.Raw), err)
		}
	}
	if read := r.Read(); n != 1 || read > 2*maxRecord {
		t.Errorf("%d records, %d bytes read", n, read)
	}
}
