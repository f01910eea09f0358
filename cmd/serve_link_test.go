package cmd

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/seed81da77dd/webpush/pkg/appserver/database"
)

// TestServeLink: the token is in a link on a terminal alone, and only on
// standard error.
func TestServeLink(t *testing.T) {
	const token = "0123456789abcdef"
	at := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	for _, tt := range []struct {
		name           string
		terminal, json bool
		token          string
		want           bool
	}{
		{"terminal", true, false, token, true},
		{"no terminal", false, false, token, false},
		{"JSON", true, true, token, false},
		{"token of the environment or of a file", true, false, "", false},
	} {
		var out, talk bytes.Buffer
		s := &streams{out: &out, err: &talk, outTTY: tt.terminal, errTTY: tt.terminal, noColor: true, json: tt.json}
		o := serveOptions{listen: "127.0.0.1:0"}
		if err := o.announce(s, at, "webpush-data/admin-token", tt.token, &database.Database{Name: "webpush-data/webpush.db"}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(talk.String(), "http://localhost:8080/#token="+token); got != tt.want {
			t.Errorf("%s: stderr is %q", tt.name, talk.String())
		}
		if strings.Contains(out.String(), token) {
			t.Errorf("%s: stdout has the token: %q", tt.name, out.String())
		}
	}
}
