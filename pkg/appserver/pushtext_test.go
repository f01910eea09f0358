package appserver_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver"
)

// TestPushText sends a text with header fields.
func TestPushText(t *testing.T) {
	f := newFixture(t, func(o *appserver.Options) { o.SiteName = "Example" })
	f.want(201, "POST", "/subscription", subscription("https://push.example.net/1", `"user":"zoë"`))
	for _, tt := range []struct {
		name, body string
		header     []string
		payload    string // the fields of the notification
		ttl        string
	}{
		{"curl's default type", "backup done", []string{"Content-Type", "application/x-www-form-urlencoded"}, `{"title":"Example","body":"backup done"}`, ""},
		{"verbatim", "a=b&c=%20+", []string{"Content-Type", "application/x-www-form-urlencoded"}, `{"title":"Example","body":"a=b&c=%20+"}`, ""},
		{"no type", "backup done\n", []string{"Content-Type", ""}, `{"title":"Example","body":"backup done"}`, ""},
		{"title", "done", []string{"Content-Type", "text/plain; charset=utf-8", "Title", "Backup é"}, `{"title":"Backup é","body":"done"}`, ""},
		{"encoded title", "done", []string{"Content-Type", "text/plain", "Title", "=?utf-8?q?Sauvegarde_termin=C3=A9e?="}, `{"title":"Sauvegarde terminée","body":"done"}`, ""},
		{"only a title", "", []string{"Content-Type", "", "Title", "Ping"}, `{"title":"Ping"}`, ""},
		{"click and tag", "done", []string{"Content-Type", "text/plain", "Click", "https://example.com/x", "Tag", "b"}, `{"title":"Example","body":"done","tag":"b","navigate":"https://example.com/x","data":{"url":"https://example.com/x"}}`, ""},
		{"JSON as text", `{"to": "you"}`, []string{"Content-Type", "text/plain"}, `{"title":"Example","body":"{\"to\": \"you\"}"}`, ""},
		{"ttl", "done", []string{"Content-Type", "text/plain", "TTL", "60", "Urgency", "high", "Topic", "backup", "To-User", "zoë"}, `{"title":"Example","body":"done"}`, "60"},
	} {
		r := f.want(202, "POST", "/push", tt.body, tt.header...)
		if t.Failed() {
			t.Fatal(tt.name)
		}
		job := r.json(t)
		if total := job["total"]; total != 1.0 {
			t.Errorf("%s: %v recipients", tt.name, total)
		}
		if tt.ttl != "" {
			m := job["message"].(map[string]any)
			if m["ttl"] != 60.0 || m["urgency"] != "high" || m["topic"] != "backup" {
				t.Errorf("%s: %v", tt.name, m)
			}
		}
		j, err := f.store.FindJob(t.Context(), job["id"].(string))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := canonical(t, string(j.Message.Payload)), canonical(t, tt.payload); got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
	// What the server does not read may have any names.
	for body, want := range map[string]string{
		`{"payload":{"a":1,"a":2,"A":3}}`:                                 `{"a":1,"a":2,"A":3}`,
		`{"notification":{"title":"x","data":{"a":{"b":1,"b":2,"B":3}}}}`: `{"title":"x","data":{"a":{"b":1,"b":2,"B":3}}}`,
	} {
		id, _ := f.want(202, "POST", "/push", body).json(t)["id"].(string)
		j, err := f.store.FindJob(t.Context(), id)
		if err != nil || string(j.Message.Payload) != want {
			t.Errorf("%s: %s, %v; want %s", body, j.Message.Payload, err, want)
		}
	}
	for _, tt := range []struct {
		body   string
		header []string
		status int
		part   string
	}{
		{"<p>", []string{"Content-Type", "text/html"}, 415, "Content-Type"},
		{`{"notification":{"title":"x"}}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "Content-Type"},
		{`{"to":{"all":true}}`, []string{"Content-Type", ""}, 400, "Content-Type"},
		{`{"title":"x","body":"y"}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "Content-Type"},
		{`{}`, []string{"Content-Type", ""}, 400, "Content-Type"},
		{"x", []string{"Content-Type", "text/plain", "Content-Encoding", "gzip"}, 415, "Content-Encoding"},
		{`{"payload":"x"}`, []string{"Content-Type", "application/json", "Content-Encoding", "br"}, 415, "Content-Encoding"},
		{`{"payload":"x","to":{"user":"zoë"},"to":{"user":"ada"}}`, []string{"Content-Type", "application/json"}, 400, "body"},
		{`{"payload":"x","to":{"user":"zoë"},"To":{"user":"ada"}}`, []string{"Content-Type", "application/json"}, 400, "body"},
		{`{"payload":"x","to":{"user":"zoë","user":"ada"}}`, []string{"Content-Type", "application/json"}, 400, "body"},
		{"", []string{"Content-Type", "text/plain"}, 400, "body"},
		{"\xff", []string{"Content-Type", "text/plain"}, 400, "body"},
		{"x", []string{"Content-Type", "text/plain", "Click", "javascript:alert(1)"}, 400, "Click"},
		{"x", []string{"Content-Type", "text/plain", "Click", "/relative"}, 400, "Click"},
		{"x", []string{"Content-Type", "text/plain", "TTL", "1h"}, 400, "TTL"},
		{"x", []string{"Content-Type", "text/plain", "TTL", "-1"}, 400, "ttl"},
		{"x", []string{"Content-Type", "text/plain", "Urgency", "soon"}, 400, "urgency"},
		{"x", []string{"Content-Type", "text/plain", "Topic", "not a topic"}, 400, "topic"},
		{"x", []string{"Content-Type", "text/plain", "Title", "\xff"}, 400, "Title"},
		{"x", []string{"Content-Type", "text/plain", "Title", "=?utf-8?q?=0A?="}, 400, "Title"},
		{"x", []string{"Content-Type", "text/plain", "To-User", "a", "To-Tag", "b"}, 400, "to"},
		{strings.Repeat("x", 5000), []string{"Content-Type", "text/plain"}, 413, "notification"},
	} {
		if part := f.want(tt.status, "POST", "/push", tt.body, tt.header...).json(t)["part"]; part != tt.part {
			t.Errorf("%.30q %q: part %v, want %s", tt.body, tt.header, part, tt.part)
		}
	}
}

func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// TestNeutralHints: the API's hints name no flags of a command line.
func TestNeutralHints(t *testing.T) {
	f := newFixture(t, nil)
	for _, body := range []string{
		`{"topic":"not a topic"}`, `{"notification":{"title":"x","declarative":true}}`, `{"notification":{"title":"x","url":"https://example.com/","data":7}}`, `{"urgency":"soon"}`,
	} {
		r := f.do("POST", "/push", body, "Content-Type", "application/json; charset=utf-8")
		if hint, _ := r.json(t)["hint"].(string); r.StatusCode != 400 || strings.Contains(hint, "--") {
			t.Errorf("%s: %d, hint %q", body, r.StatusCode, hint)
		}
	}
}
