package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// Keys of a receiver for the records of tests. Nobody decrypts the messages.
const testReceiverKeys = `"keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`

// benchRecord is a subscription as Chrome makes it.
const benchRecord = `{"endpoint":"https://fcm.googleapis.com/fcm/send/dpH5lCsTSSM:APA91bHqjZxM0VImWWqDRN7U0a3AycjUf4O-byuxb_wJsKRaKvV_iKw56s16ekq6FUqoCF7k2nICUpd8fHPxVTgqLunFeVeB9lLCQZyohyAztTH8ZQL9WCxKpA6dvTG_TUIhQUFq_n","expirationTime":null,` + testReceiverKeys

// valuesOf returns the values that a splitter finds in a text.
func valuesOf(tb testing.TB, text string, lines bool, r io.Reader) (values []string, end error) {
	tb.Helper()
	p := newSplitter(r, "test")
	p.sniff()
	p.lines = lines
	for {
		var rec Record
		b, err := p.next(&rec)
		var stop *inputEnd
		if err == io.EOF || errors.As(err, &stop) {
			return values, err
		}
		if err != nil {
			values = append(values, "error: "+err.Error())
			continue
		}
		values = append(values, string(b))
		if len(values) > len(text)+1 {
			tb.Fatalf("more values than bytes in %q", text)
		}
	}
}

// FuzzSplitter compares the values that the splitter finds with those of
// encoding/json, for texts that are JSON values one after another or an array.
func FuzzSplitter(f *testing.F) {
	for _, seed := range []string{
		`{"a":"}{"}{"b":[1,2,{"c":"\"\\"}]}`, `[{"a":1},{"b":2}]`, "[\n{\"a\":\"\\\\\"} , null,true,-1e5,\"x]\",[[]]]\n", "{}\n{}\n\n{}", `{"a":1} [1,2] "x" 3 nul`, `[1,2`, `["`, `{"a":"\`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, end := valuesOf(t, text, false, strings.NewReader(text))
		if byByte, end2 := valuesOf(t, text, false, iotest.OneByteReader(strings.NewReader(text))); !slices.Equal(got, byByte) || (end == io.EOF) != (end2 == io.EOF) {
			t.Fatalf("%q: %q %v, read by the byte: %q %v", text, got, end, byByte, end2)
		}
		_, _ = valuesOf(t, text, true, strings.NewReader(text))
		var want []string
		d := json.NewDecoder(strings.NewReader(text))
		for {
			var v json.RawMessage
			err := d.Decode(&v)
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
			if v[0] == '[' {
				var list []json.RawMessage
				if json.Unmarshal(v, &list) != nil {
					return
				}
				for _, e := range list {
					want = append(want, string(e))
				}
				continue
			}
			want = append(want, string(v))
		}
		if strings.HasPrefix(text, "\xef\xbb\xbf") || !slices.ContainsFunc(want, func(v string) bool { return v[0] == '{' || v[0] == '[' }) {
			return // scalars need no space between them for encoding/json
		}
		for _, v := range want {
			if v[0] != '{' && v[0] != '[' && v[0] != '"' {
				return
			}
		}
		if !slices.Equal(got, want) || end != io.EOF {
			t.Errorf("%q: found %q, %v, want %q", text, got, end, want)
		}
	})
}

// TestSniff pins the detection of the form of an input and of a single record.
func TestSniff(t *testing.T) {
	const rec = `{"endpoint":"https://push.example.net/x"}`
	for _, c := range []struct {
		text  string
		lines bool
		n     amount
	}{
		{"", true, one}, {" \n", true, one}, {rec, true, one}, {rec + "\n", true, one}, {"\n\n" + rec + "\r\n\r\n", true, one},
		{rec + "\n" + rec, true, many}, {rec + rec, false, many}, {rec + "," + rec, false, many}, {rec + "\nx\n" + rec, true, many},
		{"[", false, many}, {"[]", false, many}, {"[" + rec + "]", false, many},
		{"{\n" + rec[1:], false, one}, {"{\n" + rec[1:] + "\n{\n" + rec[1:], false, many},
		{rec + " x", true, one}, {rec + "\nx", true, one}, {rec[:20], false, one}, {"{\n" + rec[1:20], false, one},
		{"x\n" + rec + "\n", true, many}, {rec[:20] + "\n" + rec + "\n", true, many}, {`{"a":b}` + "\n" + rec, true, many},
		{"x", true, one}, {"null", true, one}, {`"{}"`, true, one}, {"-----BEGIN\nEC", true, one},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.text), iotest.OneByteReader(strings.NewReader(c.text)), iotest.DataErrReader(strings.NewReader(c.text))} {
			p := newSplitter(r, "test")
			if n := p.sniff(); n != c.n || n == many && p.lines != c.lines {
				t.Errorf("%q: amount %d, lines %v, want %d, %v", c.text, n, p.lines, c.n, c.lines)
			}
		}
	}
}

// TestSplitterBounds asserts that records that are too long are not kept, and
// that what follows them is found.
func TestSplitterBounds(t *testing.T) {
	long := strings.Repeat("x", 3*maxRecord)
	for _, c := range []struct {
		text  string
		lines bool
	}{
		{"{}\n" + long + "\n{}\n", true}, {"{}\n{\"a\":\"" + long + "\"}\n{}\n", true}, {"[{},{\"a\":\"" + long + "\"},{}]", false}, {"{}\n{\"a\":\n\"" + long + "\"\n}\n{}", false},
	} {
		p := newSplitter(strings.NewReader(c.text), "test")
		p.lines = c.lines
		var got []string
		for {
			var rec Record
			b, err := p.next(&rec)
			if err == io.EOF {
				break
			}
			if err != nil && err != errTooLong {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprint(len(b)))
		}
		if strings.Join(got, " ") != "2 0 2" {
			t.Errorf("lines %v: records of %v bytes", c.lines, got)
		}
		if len(p.buf) > 4*maxRecord {
			t.Errorf("lines %v: a buffer of %d bytes", c.lines, len(p.buf))
		}
	}
}

// TestUTF16Input asserts that what Windows' shells write with > is read.
func TestUTF16Input(t *testing.T) {
	text := "{\"a\":\"é\"}\r\n{}\r\n"
	for _, order := range []int{0, 1} {
		var b bytes.Buffer
		for _, r := range "\ufeff" + text {
			pair := [2]byte{byte(r), byte(r >> 8)}
			b.Write([]byte{pair[order], pair[1-order]})
		}
		got, err := valuesOf(t, text, true, &b)
		if err != io.EOF || !slices.Equal(got, []string{`{"a":"é"}`, "{}"}) {
			t.Errorf("order %d: %q, %v", order, got, err)
		}
	}
}

// TestRecordID asserts that an id is echoed, and in valid UTF-8.
func TestRecordID(t *testing.T) {
	for id, want := range map[string]string{`"a"`: `"a"`, "-1.5e3": "-1.5e3", "12345678901234567890": "12345678901234567890",
		"\"a\xffb\"": "\"a\ufffdb\"", "null": "", "true": "", "{}": ""} {
		r := Record{Raw: []byte(`{"id":` + id + `,"subscription":` + benchRecord + "}")}
		if _, err := r.Job(webpush.Message{}, new(Keys)); err != nil || string(r.ID) != want {
			t.Errorf("id %q: %q, %v", id, r.ID, err)
		}
	}
}

// TestHistogram compares with the exact quantiles.
func TestHistogram(t *testing.T) {
	var h histogram
	var all []time.Duration
	for range 10000 {
		d := time.Duration(rand.ExpFloat64() * float64(30*time.Millisecond))
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.95, 0.99, 1} {
		exact := all[max(0, int(q*float64(len(all)))-1)]
		got := h.quantile(q)
		if got < exact-time.Microsecond || got > exact+exact/15+2*time.Microsecond {
			t.Errorf("quantile %v is %v, exactly %v", q, got, exact)
		}
	}
	for _, d := range []time.Duration{-1, 0, time.Microsecond, 31 * time.Microsecond, 32 * time.Microsecond, time.Hour, 1 << 62} {
		i := bucketOf(uint64(max(d, 0) / time.Microsecond))
		if us := uint64(max(d, 0) / time.Microsecond); bucketEnd(i) < us && i < len(h.buckets)-1 || i > 0 && bucketEnd(i-1) >= us {
			t.Errorf("%v is in bucket %d, up to %d µs", d, i, bucketEnd(i))
		}
	}
	if new(histogram).quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}

// BenchmarkRecords measures the cost of turning a record into a job, in each form.
func BenchmarkRecords(b *testing.B) {
	for _, form := range []struct{ name, before, record, between string }{
		{"lines", "", benchRecord, "\n"},
		{"array", "[", benchRecord, ","},
		{"wrapped", "", `{"id":12345,"subscription":` + benchRecord + "}", "\n"},
	} {
		b.Run(form.name, func(b *testing.B) {
			const n = 10000
			name := filepath.Join(b.TempDir(), "subs")
			if err := os.WriteFile(name, []byte(form.before+strings.Repeat(form.record+form.between, n)), 0o600); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			records := 0
			for b.Loop() {
				src, err := Open(Files(name)...)
				if err != nil {
					b.Fatal(err)
				}
				run := run{o: &Options{Progress: new(Progress)}, source: src, tally: newTally(new(Progress), false)}
				for _, err := range run.jobs() {
					if err != nil && form.before == "" {
						b.Fatal(err)
					}
					records++
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
		})
	}
}

// encoding/json reads everything that plainRecord accepts in the same way.
func FuzzPlainRecord(f *testing.F) {
	const sub = `{"endpoint":"https://push.example/1","keys":{"p256dh":"BA","auth":"AA"}}`
	for _, raw := range []string{
		`{"id":7,"subscription":` + sub + `}`,
		`{"id": "seven", "subscription": ` + sub + `}`,
		`{"id":null,"subscription":` + sub + `}`,
		`{"id":{"a":1},"subscription":` + sub + `}`,
		`{"id":7,"subscription":` + sub + `,"ttl":60}`,
		`{"id":7,"subscription":` + sub + `,"payload":{"a":{}}}`,
		`{"id":7,"subscription":` + sub + `}}`,
		`{"id":7,"subscription":` + sub,
		`{"id":7 ,"subscription":` + sub + `}`,
		`{"id":"a\"},","subscription":` + sub + `}`,
		`{"id":07,"subscription":` + sub + `}`,
		`{"id":7,"subscription":"` + `{}"}`,
		`{"id":7,"subscription":{]}`,
		`{"id":7,"subscription":` + sub + `,"payload":"hi","ttl":60}`,
		`{"subscription":` + sub + `,"payload":"\u0068"}`,
		`{"id":`, `{"id": `, `{"id":7,`, `{"id":"`,
		sub,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, ok := plainRecord(raw)
		if !ok {
			return
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			if json.Valid(p.subscription) {
				t.Errorf("%q is not JSON, and its subscription %q is", raw, p.subscription)
			}
			return
		}
		var payload string
		want := map[string]bool{"id": p.id != nil, "subscription": true, "payload": p.payload != nil, "ttl": p.ttl >= 0}
		for name := range fields {
			if !want[name] {
				t.Errorf("%q has the field %s, which is overlooked", raw, name)
			}
		}
		if !bytes.Equal(fields["id"], p.id) || !bytes.Equal(fields["subscription"], p.subscription) {
			t.Errorf("%q has the id %q and the subscription %q", raw, p.id, p.subscription)
		}
		if p.payload != nil && (json.Unmarshal(fields["payload"], &payload) != nil || payload != string(p.payload)) {
			t.Errorf("%q has the payload %q", raw, p.payload)
		}
		if p.ttl >= 0 && string(fields["ttl"]) != strconv.FormatInt(int64(p.ttl.Seconds()), 10) {
			t.Errorf("%q has the TTL %v", raw, p.ttl)
		}
	})
}

// A value that an error of the input cut off is not a record: the error is reported.
func TestSplitterError(t *testing.T) {
	for _, text := range []string{"{\"a\":1}\n{\"b\":", "{\n\"a\": 1}\n{\n\"b\":", "[{\"a\":1},{\"b\":"} {
		p := newSplitter(io.MultiReader(strings.NewReader(text), iotest.ErrReader(context.Canceled)), "pipe")
		p.sniff()
		var r Record
		if b, err := p.next(&r); err != nil || !strings.Contains(string(b), `"a"`) {
			t.Errorf("%q: the first is %q, %v", text, b, err)
		}
		if b, err := p.next(&r); !errors.Is(err, context.Canceled) {
			t.Errorf("%q: the second is %q, %v", text, b, err)
		}
	}
}
