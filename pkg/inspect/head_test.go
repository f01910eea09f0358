package inspect

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// TestHead reads the beginning of an input that is too large only if it consists of
// lines.
func TestHead(t *testing.T) {
	line := `{"a":1}` + "\n"
	for name, c := range map[string]struct {
		in, want string
		cut      bool
		err      error
	}{
		"empty":          {},
		"whole":          {in: line + line, want: line + line},
		"as long":        {in: strings.Repeat("x", 20), want: strings.Repeat("x", 20)},
		"lines of JSON":  {in: strings.Repeat(line, 9), want: line + line, cut: true},
		"journal":        {in: "webpush journal 1\n" + strings.Repeat("x", 40), want: "webpush journal 1\n", cut: true},
		"other lines":    {in: "a\n" + strings.Repeat("x", 40), cut: true, err: ErrTooLarge},
		"one long line":  {in: `"` + strings.Repeat("x", 40) + `"`, cut: true, err: ErrTooLarge},
		"a table":        {in: "id,endpoint\n" + strings.Repeat("1,2\n", 9), want: "id,endpoint\n1,2\n1,2\n", cut: true},
		"a quoted cell":  {in: "id,endpoint\n1,\"\n\n\n\n\n\n\n\"\n", want: "id,endpoint\n", cut: true},
		"an empty line":  {in: "\n" + strings.Repeat("x", 40), cut: true, err: ErrTooLarge},
		"first too long": {in: "1" + strings.Repeat("2", 40) + "\n1\n", cut: true, err: ErrTooLarge},
	} {
		got, cut, err := Head(strings.NewReader(c.in), 20)
		if string(got) != c.want || cut != c.cut || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v, %v", name, got, cut, err)
		}
	}
	subscription := `{"endpoint":"https://push.dev/x"}` + "\n"
	if thing := Inspect([]byte(strings.Repeat(subscription, 10002)), Options{}); thing.Title != "10000 subscriptions as JSON lines, and 2 more values" {
		t.Errorf("the values that were not looked at are not named: %s", thing.Title)
	}
	if _, _, err := Head(iotest.ErrReader(io.ErrUnexpectedEOF), 20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the reader's error is lost: %v", err)
	}
}
