package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const hostile = "a\x1b[31m\u009b31m\x7f\u202e\u2028\u2066b"

// TestTerminal: no text from outside acts on the terminal, and JSON still says
// what it was.
func TestTerminal(t *testing.T) {
	if got := safe("plain\tä 👋\n"); got != "plain\tä 👋\n" {
		t.Errorf("%q", got)
	}
	for _, text := range []string{safe(hostile), string(safeJSON([]byte(`{"x":"` + hostile + `"}`)))} {
		if strings.ContainsFunc(text, harmful) {
			t.Errorf("%q", text)
		}
	}
	var out bytes.Buffer
	s := &streams{out: &out, err: &out}
	if err := s.printJSON(map[string]string{"x": hostile}); err != nil {
		t.Fatal(err)
	}
	var v map[string]string
	if err := json.Unmarshal(out.Bytes(), &v); err != nil || v["x"] != hostile || bytes.ContainsFunc(out.Bytes(), harmful) {
		t.Errorf("%v: %q", err, out.String())
	}
}

// TestHostileFiles feeds commands files with such text.
func TestHostileFiles(t *testing.T) {
	dir := t.TempDir()
	quoted, _ := json.Marshal(hostile)
	files := map[string]string{
		"jwk.json":    `{"kty":` + string(quoted) + `,"crv":"P-256"}`,
		"claims.json": `{"sub":` + string(quoted) + `,"aud":` + string(quoted) + `}`,
		"sub.json":    `{"endpoint":"https://push.example.net/x","keys":{"p256dh":` + string(quoted) + `,"auth":` + string(quoted) + `}}`,
		"record.json": `{"id":` + string(quoted) + `,"subscription":{"endpoint":"https://push.example.net/x"},"ttl":` + string(quoted) + `}`,
		"answer.txt":  "HTTP/1.1 403 " + hostile + "\r\nX-A: " + hostile + "\r\n\r\n" + hostile,
		"words.yaml":  "urgency: " + string(quoted) + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, args := range [][]string{
		{"inspect", "jwk.json"}, {"inspect", "claims.json"}, {"inspect", "sub.json"}, {"inspect", "record.json"}, {"inspect", "answer.txt"},
		{"convert", "jwk.json", "--to", "pem"}, {"app-server-key", "-k", "jwk.json"}, {"sign", "claims.json", "-k", "jwk.json"},
		{"check", "-f", "sub.json", "-p", "hi"}, {"send", "-f", "record.json", "-p", "hi", "--dry-run"}, {"send", "-f", "sub.json", "-p", "hi", "--dry-run"},
		{"config", "--config", "words.yaml"}, {"explain", "403", hostile}, {hostile},
	} {
		for _, more := range [][]string{nil, {"--json"}} {
			_, out, talk := command(t, "", append(args, more...)...)
			if text := out + talk; strings.ContainsFunc(text, harmful) {
				t.Errorf("%q: %q", append(args, more...), text)
			}
		}
	}
}
