package bulk_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed81da77dd/webpush/pkg/bulk"
	"github.com/seed81da77dd/webpush/pkg/webpush"
)

// The keys of a subscription that can be encrypted for.
const (
	dumpP256DH = "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM"
	dumpAuth   = "tBHItJI5svbpez7KI4CCXg"
)

// readDump returns the endpoints of the records of a text, in their order, and the
// errors.
func readDump(t testing.TB, in io.Reader, columns *bulk.Columns) (endpoints []string, problems []error) {
	t.Helper()
	r, err := bulk.Open(bulk.Source{Name: "dump", Stream: in})
	if err != nil {
		t.Fatal(err)
	}
	if columns != nil {
		r.SetColumns(*columns)
	}
	if alone, err := r.Alone(); err != nil || alone != nil {
		t.Fatalf("one subscription %q, %v", alone, err)
	}
	for rec, err := range r.Records(context.Background()) {
		if err != nil {
			problems = append(problems, err)
			continue
		}
		job, err := rec.Job(webpush.Message{}, new(bulk.Keys))
		switch {
		case err != nil:
			problems = append(problems, err)
		case job.Subscription.Recipient() == nil:
			problems = append(problems, errors.New("no keys"))
		default:
			endpoints = append(endpoints, strings.TrimPrefix(job.Subscription.Endpoint(), "https://push.example.net/"))
		}
	}
	return endpoints, problems
}

// TestDumps reads rows of databases as their programs print them.
func TestDumps(t *testing.T) {
	for name, c := range map[string]struct {
		text    string
		want    string
		problem string
	}{
		"mysqldump": {"-- MySQL dump 10.13\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `users`;\nINSERT INTO `users` VALUES (1,'a;b','(x'),(2,'it\\'s',\"y\");\n" +
			"CREATE TABLE `push_subscriptions` (\n  `id` bigint NOT NULL AUTO_INCREMENT,\n  `endpoint` varchar(500) NOT NULL DEFAULT '',\n  `public_key` varchar(255),\n  `auth_token` varchar(255),\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `e` (`endpoint`)\n) ENGINE=InnoDB;\n" +
			"LOCK TABLES `push_subscriptions` WRITE;\nINSERT INTO `push_subscriptions` VALUES (1,'E1','P','A'),(2,'E\\'2','P','A');\nINSERT INTO `push_subscriptions` VALUES (3,'E3','P','A');\n", "1 '2 3", ""},
		"columns":       {"INSERT INTO subs (auth, p256dh, endpoint, x) VALUES ('A','P','E1',now()),('A','P','E2',lower('A(B')) ON CONFLICT DO NOTHING; INSERT INTO subs (endpoint,auth,p256dh) VALUES('E3','A','P')", "1 2 3", ""},
		"pg_dump":       {"--\n-- PostgreSQL database dump\n--\n\nSET statement_timeout = 0;\nCOPY public.users (id, name) FROM stdin;\n1\ta;b\n\\.\n\nCOPY public.subs (id, endpoint, p256dh, auth, note) FROM stdin;\n1\tE1\tP\tA\t\\N\n2\tE2\tP\tA\ta\\tb\\\\\n\\.\nSELECT 1;\n", "1 2", ""},
		"pg_inserts":    {"INSERT INTO public.\"Subs\" (\"subscription\") VALUES ('{\"endpoint\":\"E1\",\"keys\":{\"p256dh\":\"P\",\"auth\":\"A\"}}'::jsonb);\nINSERT INTO public.subs (subscription) VALUES (E'{\"endpoint\":\"E2\",\"keys\":{\"p256dh\":\"P\",\"auth\":\"A\"}}');", "1 2", ""},
		"sqlite":        {"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE IF NOT EXISTS \"subs\" (\"endpoint\" TEXT PRIMARY KEY, p256dh TEXT CHECK (length(p256dh) > 3), auth TEXT, FOREIGN KEY (auth) REFERENCES x(y));\nINSERT INTO subs VALUES('E1','P','A');\nCREATE INDEX i ON subs (endpoint);\nCOMMIT;\n", "1", ""},
		"mssql":         {"SET IDENTITY_INSERT [dbo].[Subs] ON;\nINSERT [dbo].[Subs] ([Id], [Endpoint], [P256dh], [Auth]) VALUES (1, N'E1', N'P', N'A');\nINSERT INTO [Subs] ([Endpoint], [P256dh], [Auth]) VALUES (N'E2', N'P', N'A');\n", "1 2", ""},
		"JSON in MySQL": {"INSERT INTO `t` (`subscription`) VALUES ('{\\\"endpoint\\\":\\\"E1\\\",\\\"keys\\\":{\\\"p256dh\\\":\\\"P\\\",\\\"auth\\\":\\\"A\\\"}}');", "1", ""},
		"psql":          {" id | endpoint | p256dh | auth \n----+----------+--------+------\n  1 | E1 | P | A\n  2 | E2 | P | A\n(2 rows)\n\n", "1 2", ""},
		"mysql":         {"+----+----------+--------+------+\n| id | endpoint | p256dh | auth |\n+----+----------+--------+------+\n|  1 | E1 | P | A |\n+----+----------+--------+------+\n1 row in set (0.00 sec)\n", "1", ""},
		"no columns":    {"INSERT INTO subs VALUES ('E1','P','A');", "", `the tables are "subs" without column names`},
		"other tables":  {"INSERT INTO users (id, name) VALUES (1, 'x'); INSERT INTO logs (id) VALUES (1);", "", `the tables are "users", "logs"`},
		"nothing":       {"-- a comment\nSELECT 1;", "", "it does not fill any table"},
		"cut off":       {"INSERT INTO subs (endpoint,p256dh,auth) VALUES ('E1','P','A'),('E2','P", "1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.NewReplacer("E'2", "https://push.example.net/%272", "E\\'2", "https://push.example.net/\\'2", "E1", "https://push.example.net/1", "E2", "https://push.example.net/2", "E3", "https://push.example.net/3",
				"'P'", "'"+dumpP256DH+"'", "'A'", "'"+dumpAuth+"'", `"P"`, `"`+dumpP256DH+`"`, `"A"`, `"`+dumpAuth+`"`, `\"P\"`, `\"`+dumpP256DH+`\"`, `\"A\"`, `\"`+dumpAuth+`\"`,
				"\tP\t", "\t"+dumpP256DH+"\t", "\tA\t", "\t"+dumpAuth+"\t", "\tA\n", "\t"+dumpAuth+"\n", "| P |", "| "+dumpP256DH+" |", "| A", "| "+dumpAuth).Replace(c.text)
			text = strings.NewReplacer("| A", "| "+dumpAuth, "\tA\t", "\t"+dumpAuth+"\t").Replace(text)
			for how, in := range map[string]io.Reader{"whole": strings.NewReader(text), "byte by byte": iotest.OneByteReader(strings.NewReader(text))} {
				got, problems := readDump(t, in, nil)
				if strings.Join(got, " ") != c.want {
					t.Errorf("%s: read %q, want %q", how, got, c.want)
				}
				switch {
				case c.problem == "" && len(problems) > 0, c.problem != "" && (len(problems) != 1 || !strings.Contains(problems[0].Error(), c.problem)):
					t.Errorf("%s: %v, want %q", how, problems, c.problem)
				}
			}
		})
	}
}

// TestDumpColumns reads columns of names that nobody could guess.
func TestDumpColumns(t *testing.T) {
	text := "INSERT INTO t (a,b,c) VALUES ('https://push.example.net/1','" + dumpP256DH + "','" + dumpAuth + "');"
	got, problems := readDump(t, strings.NewReader(text), &bulk.Columns{Endpoint: "a", P256DH: "b", Auth: "c"})
	if len(got) != 1 || problems != nil {
		t.Errorf("read %q, %v", got, problems)
	}
}

// TestLongRows: a row that is too long ends the input, one of another table does not.
func TestLongRows(t *testing.T) {
	long := strings.Repeat("x", 3<<20)
	row := "INSERT INTO subs (endpoint,p256dh,auth) VALUES ('https://push.example.net/1','" + dumpP256DH + "','" + dumpAuth + "');"
	if got, problems := readDump(t, strings.NewReader("INSERT INTO blobs (b) VALUES ('"+long+"');"+row), nil); len(got) != 1 || problems != nil {
		t.Errorf("another table: %d records, %v", len(got), problems)
	}
	if got, problems := readDump(t, strings.NewReader(row+"INSERT INTO subs (endpoint) VALUES ('"+long+"');"), nil); len(got) != 1 || len(problems) != 1 || !strings.Contains(problems[0].Error(), "1 MiB") {
		t.Errorf("%d records, %v", len(got), problems)
	}
}

// FuzzDump: each record of a dump is an object, and reading ends.
func FuzzDump(f *testing.F) {
	for _, s := range []string{"INSERT INTO s (endpoint) VALUES ('a'),(\"b\"),(X'41'),(NULL);", "COPY s (endpoint) FROM stdin;\na\\tb\n\\.\n", "CREATE TABLE s (endpoint TEXT, PRIMARY KEY (x));INSERT INTO s VALUES ('a''b');",
		"INSERT [s] ([endpoint]) VALUES (N'a');--x", "/* */ REPLACE INTO `s` (`endpoint`) VALUES ('\\'');", "+--+\n| endpoint | a |\n+--+\n| x | y |\n", "INSERT INTO s (endpoint) SELECT 1 FROM x;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := bulk.Open(bulk.Source{Name: "dump", Stream: strings.NewReader(s)})
		if err != nil {
			t.Fatal(err)
		}
		if alone, err := r.Alone(); err != nil || alone != nil {
			return
		}
		dump := strings.HasPrefix(strings.ToUpper(strings.TrimSpace(s)), "INSERT ")
		n := 0
		for rec, err := range r.Records(context.Background()) {
			if n++; n > len(s)+1 {
				t.Fatalf("%q: more than %d records", s, len(s))
			}
			var object map[string]any
			if err == nil && dump && json.Unmarshal(rec.Raw, &object) != nil {
				t.Errorf("%q: record %q", s, rec.Raw)
			}
		}
	})
}

// TestHexadecimal reads endpoints and keys that a dump has as digits.
func TestHexadecimal(t *testing.T) {
	hexed := func(s string) string { return hex.EncodeToString([]byte(s)) }
	point, err := base64.RawURLEncoding.DecodeString(dumpP256DH)
	if err != nil {
		t.Fatal(err)
	}
	for _, dump := range []string{
		"INSERT INTO subs (endpoint, p256dh, auth) VALUES (0x" + hexed("https://push.example/x") + ",0x" + hex.EncodeToString(point) + ",'" + dumpAuth + "');",
		"INSERT INTO subs (endpoint, p256dh, auth) VALUES (X'" + hexed("https://push.example/x") + "',x'" + hex.EncodeToString(point) + "','" + dumpAuth + "');",
	} {
		got, problems := readDump(t, strings.NewReader(dump), nil)
		if len(problems) > 0 || len(got) != 1 {
			t.Errorf("%s: %v, %v", dump, got, problems)
		}
	}
}
