package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// A database that cannot grow says so, for a probe as for everything else, and
// works again when there is space.
func TestFull(t *testing.T) {
	st, err := Open(filepath.Join(t.TempDir(), "full.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, ctx := st.(*store), t.Context() // t is a transaction below
	limit := func(pages int) {
		if err := s.update(t.Context(), func(t tx) error {
			rows, err := t.query(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages))
			_, err = one(rows, err, number)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // which means the present number
	put := func(i int) error {
		_, _, err := st.Put(t.Context(), appserver.Record{Endpoint: fmt.Sprintf("https://push.example/%d/%s", i, strings.Repeat("x", 3000)), Service: "other"})
		return err
	}
	for i := 0; err == nil && i < 100; i++ {
		err = put(i)
	}
	if !errors.Is(err, appserver.ErrFull) || !errors.Is(err, appserver.ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
	limit(1 << 20)
	if err := put(1000); err != nil {
		t.Error(err)
	}
}
