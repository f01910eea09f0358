package bulk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed81da77dd/webpush/pkg/webpush"
)

const (
	testP256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	testAuth   = "BTBZMqHH6r4Tts7J_aSIgg"
)

// TestForms asserts that each form of an input gives its three records, with their
// keys and ids.
func TestForms(t *testing.T) {
	row := func(n int) string {
		return fmt.Sprintf(`{"id":%d,"endpoint":"https://push.example/%d","public_key":"%s","auth_token":"%s"}`, n, n, testP256DH, testAuth)
	}
	browser := func(n int) string {
		return fmt.Sprintf(`{"endpoint":"https://push.example/%d","keys":{"p256dh":"%s","auth":"%s"}}`, n, testP256DH, testAuth)
	}
	list := func(of func(int) string) string { return of(1) + ",\n" + of(2) + "," + of(3) }
	csvOf := func(separator string) string {
		var b strings.Builder
		b.WriteString(strings.Join([]string{"id", "Endpoint", "key_p256dh", "key_auth", "note"}, separator) + "\r\n")
		for n := 1; n <= 3; n++ {
			b.WriteString(strings.Join([]string{fmt.Sprint(n), fmt.Sprintf("https://push.example/%d", n), testP256DH, testAuth, "\"a\n\"\"b\"\"\""}, separator) + "\r\n")
		}
		return b.String()
	}
	quoted := func(n int) string { return `"` + strings.ReplaceAll(browser(n), `"`, `""`) + `"` }
	for name, c := range map[string]struct {
		text string
		ids  string
	}{
		"rows":                   {row(1) + "\n" + row(2) + "\n" + row(3), "1 2 3"},
		"array of rows":          {"[" + list(row) + "]", "1 2 3"},
		"envelope":               {`{"data":[` + list(row) + `],"total":3,"more":{"a":[]}}`, "1 2 3"},
		"envelope, later":        {"{\n \"meta\": {\"n\": 3},\n \"ok\": true,\n \"Subscriptions\": [\n" + list(row) + "\n]}\n", "1 2 3"},
		"Hasura":                 {`{"data":{"push_subscriptions":[` + list(row) + `]},"more":1}`, "1 2 3"},
		"GraphQL":                {`{"data":{"pushSubscriptions":{"edges":[` + list(func(n int) string { return `{"node":` + row(n) + `}` }) + `]}}}`, "1 2 3"},
		"Hasura aggregate":       {`{"data":{"users_aggregate":{"aggregate":{"count":3},"nodes":[` + list(row) + `]}}}`, "1 2 3"},
		"GraphQL, two":           {`{"data":{"chrome":{"edges":[` + `{"node":` + row(1) + `},{"cursor":"x","node":` + row(2) + `}],"pageInfo":{"next":[]}},"n":[1,{"a":"]}"}],"other":{"nodes":[` + row(3) + `]}},"extensions":{}}`, "1 2 3"},
		"lists by name":          {`{"anna":[` + browser(1) + "," + browser(2) + `],"none":[],"bob":[` + browser(3) + `]}`, ""},
		"lists of several names": {`{"count":3,"devices":[` + row(1) + `],"subscriptions":[` + row(2) + "," + row(3) + `],"more":{"a":[{"x":1}]}}`, "1 2 3"},
		"lists in rows":          {`[{"user":1,"push":[` + browser(1) + "," + browser(2) + `]},{"user":2,"push":[` + browser(3) + "]}]", ""},
		"rows with lists":        {`{"data":[{"old":[` + browser(7) + `],` + row(1)[1:] + "," + row(2) + "," + row(3) + "]}", "1 2 3"},
		"GraphQL without ids":    {`{"data":{"subs":{"edges":[` + list(func(n int) string { return `{"node":` + browser(n) + `}` }) + `]}}}`, ""},
		"Elasticsearch":          {`{"took":1,"hits":{"total":{"value":3},"hits":[` + list(func(n int) string { return `{"_id":"x","_source":` + row(n) + `}` }) + `]}}`, "1 2 3"},
		"DynamoDB": {`{"Items":[` + list(func(n int) string {
			return fmt.Sprintf(`{"endpoint":{"S":"https://push.example/%d"},"keys":{"M":{"p256dh":{"S":"%s"},"auth":{"S":"%s"}}}}`, n, testP256DH, testAuth)
		}) + `],"Count":3}`, ""},
		"Firestore": {`{"documents":[` + list(func(n int) string {
			return fmt.Sprintf(`{"name":"x","fields":{"endpoint":{"stringValue":"https://push.example/%d"},"keys":{"mapValue":{"fields":{"p256dh":{"stringValue":"%s"},"auth":{"stringValue":"%s"}}}}}}`, n, testP256DH, testAuth)
		}) + `]}`, ""},
		"map":                {"{\n \"chrome-a\": {\"subscription\": " + browser(1) + ", \"browser\": \"chrome\"},\n \"b\" : {\"subscription\": " + browser(2) + "}, \"c\":" + browser(3) + "}", `"chrome-a" "b" "c"`},
		"map in an envelope": {`{"ok":true,"subscriptions":{"a":` + browser(1) + `,"b":{"subscription":` + browser(2) + `},"c":` + browser(3) + `},"n":3}`, `"a" "b" "c"`},
		"list of text":       {`{"result":["` + strings.ReplaceAll(browser(1), `"`, `\"`) + `","` + strings.ReplaceAll(browser(2), `"`, `\"`) + `","` + strings.ReplaceAll(browser(3), `"`, `\"`) + `"]}`, ""},
		"lines of text":      {`"` + strings.ReplaceAll(browser(1), `"`, `\"`) + "\"\n\"" + strings.ReplaceAll(browser(2), `"`, `\"`) + "\"\n\"" + strings.ReplaceAll(browser(3), `"`, `\"`) + `"`, ""},
		"lists in a list":    {`[{"user":1,"subscriptions":[` + browser(1) + "," + browser(2) + `]},{"user":2,"subscriptions":[` + browser(3) + "]}]", ""},
		"map on one line":    {`{"a":{"subscription":` + browser(1) + `},"b":{"subscription":` + browser(2) + `},"c":{"subscription":` + browser(3) + "}}", `"a" "b" "c"`},
		"phpMyAdmin":         {"[\n{\"type\":\"header\",\"version\":\"5.2\"},\n{\"type\":\"database\",\"name\":\"shop\"},\n{\"type\":\"table\",\"name\":\"subs\",\"database\":\"shop\",\"data\":\n[\n" + list(row) + "\n]\n}\n]\n", "1 2 3"},
		"Django":             {"[" + list(func(n int) string { return fmt.Sprintf(`{"model":"push.sub","pk":%d,"fields":%s}`, n, row(n)) }) + "]", ""},
		"CSV":                {csvOf(","), "1 2 3"},
		"TSV":                {csvOf("\t"), "1 2 3"},
		"CSV with semicolon": {csvOf(";"), "1 2 3"},
		"CSV with JSON":      {"id,subscription\n1," + quoted(1) + "\n2," + quoted(2) + "\n\n3," + quoted(3), "1 2 3"},
		"MongoDB": {"[" + list(func(n int) string {
			return strings.Replace(browser(n), "{", `{"_id":{"$oid":"6"},"createdAt":{"$date":"2024"},`, 1)
		}) + "]", ""},
	} {
		for _, slow := range []bool{false, true} {
			var source Source
			if slow {
				source = Source{Name: "pipe", Stream: iotest.OneByteReader(strings.NewReader(c.text))}
			} else {
				source.Name = filepath.Join(t.TempDir(), "subs")
				if err := os.WriteFile(source.Name, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Open(source)
			if err != nil {
				t.Fatal(err)
			}
			if alone, err := r.Alone(); alone != nil || err != nil {
				t.Errorf("%s: alone is %q, %v", name, alone, err)
			}
			var ids []string
			n := 0
			for rec, err := range r.Records(t.Context()) {
				if err != nil {
					t.Errorf("%s: %v", name, err)
					continue
				}
				n++
				job, err := rec.Job(webpush.Message{}, new(Keys))
				if err != nil {
					t.Errorf("%s: %s: %v", name, rec.Raw, err)
				} else if job.Subscription.Endpoint() != fmt.Sprintf("https://push.example/%d", n) || job.Subscription.Recipient() == nil {
					t.Errorf("%s: record %d: %s", name, n, rec.Raw)
				}
				if rec.ID != nil {
					ids = append(ids, strings.Trim(string(rec.ID), map[bool]string{true: `"`}[strings.Contains(name, "CSV") || name == "TSV"]))
				}
			}
			if n != 3 || strings.Join(ids, " ") != c.ids {
				t.Errorf("%s, slow %v: %d records with the ids %v", name, slow, n, ids)
			}
		}
	}
}

// TestSeveralLists asserts that all lists of an object are read, however long they and
// the values between them are, and that their elements are counted together.
func TestSeveralLists(t *testing.T) {
	const perList = 500
	var b strings.Builder
	b.WriteByte('{')
	for list := range 3 {
		fmt.Fprintf(&b, "\"list %d\":{\"note\":%q,\n\"nodes\":[\n", list, strings.Repeat("]}", 1<<16))
		for n := range perList {
			if n > 0 {
				b.WriteString(",\n")
			}
			fmt.Fprintf(&b, `{"endpoint":"https://push.example/%d","keys":{"p256dh":"%s","auth":"%s"}}`, list*perList+n, testP256DH, testAuth)
		}
		fmt.Fprintf(&b, "],\"note\":%q},\n", strings.Repeat("[{", 1<<16))
	}
	b.WriteString(`"end":[{"x":1}]}`)
	r, err := Open(Source{Name: "lists.json", Stream: strings.NewReader(b.String())})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rec, err := range r.Records(t.Context()) {
		n++
		if err != nil || rec.Element != int64(n) || !strings.HasPrefix(string(rec.Raw), fmt.Sprintf(`{"endpoint":"https://push.example/%d",`, n-1)) {
			t.Fatalf("record %d: element %d, %v: %.100s", n, rec.Element, err, rec.Raw)
		}
	}
	if n != 3*perList {
		t.Errorf("%d records", n)
	}
}

// FuzzForms asserts that records come out of any text, that they are no more than
// its bytes, and the same however it is read.
func FuzzForms(f *testing.F) {
	for _, seed := range []string{`{"data":[{"endpoint":"x"},{}],"n":1}`, `{"a":{"endpoint":"x"},"b":{"endpoint":"y"}}`, "endpoint,auth\nx,\"y\nz\"\n", "endpoint\tauth\r\nx\ty\r\n",
		`[{"type":"header"},{"type":"table","data":[{"endpoint":"x"}]}]`, `{"data":[{`, `{"a":{"endpoint":"x"},`, "endpoint\n\"", `{"data":[]}`, `{"data":[{}]}}{"a":1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		read := func(r Source) (out []string) {
			source, err := Open(r)
			if err != nil {
				t.Fatal(err)
			}
			for rec, err := range source.Records(t.Context()) {
				out = append(out, fmt.Sprintf("%s %v", rec.Raw, err != nil))
				if len(out) > len(text)+2 {
					t.Fatalf("more records than bytes in %q", text)
				}
				_, _ = rec.Job(webpush.Message{}, new(Keys))
			}
			return out
		}
		whole := read(Source{Name: "x", Stream: strings.NewReader(text)})
		if slow := read(Source{Name: "x", Stream: iotest.HalfReader(strings.NewReader(text))}); strings.Join(whole, "\n") != strings.Join(slow, "\n") {
			t.Errorf("%q: %q, read in parts %q", text, whole, slow)
		}
	})
}
