package cmd

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// command runs the command line in this process, away from a terminal.
func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	code = run(context.Background(), &streams{in: strings.NewReader(stdin), out: &out, err: &talk}, args)
	return code, out.String(), talk.String()
}

// inFolder changes to an empty directory without settings.
func inFolder(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
}

// TestSignExpires is what sign says to each kind of exp, which the scripts
// cannot specify, because it depends on the clock.
func TestSignExpires(t *testing.T) {
	inFolder(t)
	if code, _, talk := command(t, "", "gen"); code != 0 {
		t.Fatal(talk)
	}
	soon := time.Now().Add(time.Hour).Unix()
	for name, test := range map[string]struct {
		exp   any
		args  []string
		code  int
		talk  string
		quiet bool
	}{
		"good":                  {exp: soon, quiet: true},
		"string":                {exp: fmt.Sprintf(`"%d"`, soon), code: 1, talk: fmt.Sprintf(`error: exp is the string "%d", push services want a number`, soon)},
		"string, lenient":       {exp: fmt.Sprintf(`"%d"`, soon), args: []string{"--no-strict"}, talk: "warning: exp is the string"},
		"string, replaced":      {exp: fmt.Sprintf(`"%d"`, soon), args: []string{"--expires-in", "1h"}, quiet: true},
		"fraction":              {exp: fmt.Sprintf("%d.5", soon), code: 1, talk: fmt.Sprintf("error: exp is %d.5, some push services want whole seconds", soon)},
		"fraction, lenient":     {exp: fmt.Sprintf("%d.5", soon), args: []string{"--no-strict"}, talk: "warning: exp is"},
		"fraction, hint":        {exp: fmt.Sprintf("%d.0", soon), code: 1, talk: "hint: write it without a fraction or an exponent; use --no-strict to sign it anyway"},
		"exponent":              {exp: fmt.Sprintf("%de0", soon), code: 1, talk: "want whole seconds"},
		"null":                  {exp: "null", quiet: true},
		"25 hours":              {exp: soon + 24*3600, code: 1, talk: " ahead; push services allow at most 24 hours"},
		"25 hours, lenient":     {exp: soon + 24*3600, args: []string{"--no-strict"}, code: 1, talk: "push services allow at most 24 hours"},
		"nearly 24 hours":       {exp: soon + 23*3600 - 60, talk: "warning: exp is 23h5"},
		"a second ago":          {exp: soon - 3601, code: 1, talk: "hint: sign a new token; if it is new, the clock of this machine is wrong"},
		"a second ago, lenient": {exp: soon - 3601, args: []string{"--no-strict"}, code: 1, talk: "ago"},
		"half a minute":         {exp: soon - 3570, talk: "warning: exp is only"},
		"past, as a string":     {exp: `"1"`, code: 1, talk: "56 years ago"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := fmt.Sprintf(`{"sub": "mailto:ops@example.com", "aud": "https://push.example.net", "exp": %v}`, test.exp)
			code, out, talk := command(t, claims, append([]string{"sign", "-"}, test.args...)...)
			if code != test.code || !strings.Contains(talk, test.talk) || test.quiet && talk != "" {
				t.Errorf("exit code %d, %q; want %d, %q", code, talk, test.code, test.talk)
			}
			if (out == "") != (code != 0) {
				t.Errorf("exit code %d, printed %q", code, out)
			}
		})
	}
}

// TestSignTakesTheExample signs the claims file that the project comes with.
func TestSignTakesTheExample(t *testing.T) {
	claims, err := os.ReadFile("../claims.example.json")
	if err != nil {
		t.Fatal(err)
	}
	inFolder(t)
	if code, _, talk := command(t, "", "gen"); code != 0 {
		t.Fatal(talk)
	}
	code, out, talk := command(t, string(claims), "sign", "-", "--audience", "https://push.example.net")
	if code != 0 || !strings.HasPrefix(out, "Authorization: vapid t=") {
		t.Errorf("exit code %d, %q, %q", code, out, talk)
	}
}
