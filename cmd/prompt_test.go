package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const offer = "No private_key.pem file found.\nDo you want me to create one? (Y/n) "

// terminal runs the command line as a user at a terminal who types the answer.
func terminal(t *testing.T, answer string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	s := &streams{in: strings.NewReader(answer), out: &out, err: &talk, inTTY: true, outTTY: true, errTTY: true, noColor: true}
	code = run(context.Background(), s, append(args, "--no-color"))
	return code, out.String(), talk.String()
}

var (
	promptSign   = []string{"sign", "--subject", "mailto:ops@example.com", "--audience", "https://push.example.net"}
	promptStatus = []string{}
)

// TestOffer is the question whether to make a missing key pair, and its answers.
func TestOffer(t *testing.T) {
	for _, args := range [][]string{promptStatus, promptSign} {
		for answer, yes := range map[string]bool{
			"\n": true, "y\n": true, "Y\n": true, "yes\n": true, "YES \r\n": true, "y": true,
			"n\n": false, "N\n": false, "no\n": false, "what?\n": false, "": false,
		} {
			t.Run(strings.Join(append(slices.Clip(args), answer), " "), func(t *testing.T) {
				inFolder(t)
				code, out, talk := terminal(t, answer, args...)
				if !strings.HasPrefix(talk, offer) || strings.Count(talk, offer) != 1 {
					t.Errorf("asked %q, want %q", talk, offer)
				}
				made := exists(defaultPrivateKey) && exists(defaultPublicKey)
				if made != yes || exists(defaultPrivateKey) != exists(defaultPublicKey) {
					t.Errorf("private key there: %v, public key there: %v, want %v", exists(defaultPrivateKey), exists(defaultPublicKey), yes)
				}
				if yes {
					if code != 0 || !strings.Contains(talk, "wrote the private key to ") {
						t.Errorf("exit code %d, said %q", code, talk)
					}
					if code, _, talk := command(t, ""); code != 0 {
						t.Errorf("the new pair: exit code %d, %q", code, talk)
					}
					return
				}
				switch {
				case len(args) == 0: // says that it is missing, and shows the help
					if code != 0 || !strings.Contains(out, "generate a key pair with: webpush gen") {
						t.Errorf("exit code %d, %q, %q", code, out, talk)
					}
				case code != 1 || out != "" || !strings.Contains(talk, "error: private_key.pem: no such file\nwebpush: hint: generate a key pair with: webpush gen"):
					t.Errorf("exit code %d, %q, %q", code, out, talk)
				}
			})
		}
	}
}

// TestOfferNames makes the pair in the file that -k names, and signs with it.
func TestOfferNames(t *testing.T) {
	inFolder(t)
	code, out, talk := terminal(t, "\n", append(slices.Clip(promptSign), "-k", "own.pem")...)
	if code != 0 || !strings.HasPrefix(out, "Authorization: vapid t=") || !strings.HasPrefix(talk, "No own.pem file found.\n") {
		t.Fatalf("exit code %d, %q, %q", code, out, talk)
	}
	if !exists("own.pem") || !exists(defaultPublicKey) || exists(defaultPrivateKey) {
		t.Errorf("own.pem: %v, %s: %v, %s: %v", exists("own.pem"), defaultPublicKey, exists(defaultPublicKey), defaultPrivateKey, exists(defaultPrivateKey))
	}
}

// TestNoOffer is where nobody is asked: away from a terminal, for programs, and
// where a new pair would not be what the user needs.
func TestNoOffer(t *testing.T) {
	const literal = "943WICKkdu3z78pnY0gXw143biOoCacwsVkQyhxjxF" // a key, cut off
	for name, test := range map[string]struct {
		args     []string
		in, talk bool // is a terminal
		file     string
	}{
		"input is a file":          {in: false, talk: true},
		"talk is a file":           {in: true, talk: false},
		"neither":                  {},
		"json":                     {args: []string{"--json"}, in: true, talk: true},
		"a public key is there":    {in: true, talk: true, file: defaultPublicKey},
		"a damaged key is there":   {in: true, talk: true, file: defaultPrivateKey},
		"from standard input":      {args: []string{"-k", "-"}, in: true, talk: true},
		"from the environment":     {args: []string{"-k", "env:WEBPUSH_TEST_UNSET"}, in: true, talk: true},
		"what may be a key itself": {args: []string{"-k", literal}, in: true, talk: true},
	} {
		for _, args := range [][]string{promptStatus, promptSign, {"app-server-key"}} {
			t.Run(strings.Join(append(slices.Clip(args), name), " "), func(t *testing.T) {
				inFolder(t)
				if test.file != "" {
					if err := os.WriteFile(test.file, []byte("damaged"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				var out, talk bytes.Buffer
				s := &streams{in: strings.NewReader("\n"), out: &out, err: &talk, inTTY: test.in, errTTY: test.talk, noColor: true}
				run(context.Background(), s, append(slices.Clip(args), test.args...))
				if strings.Contains(talk.String()+out.String(), "Do you want") {
					t.Errorf("asked: %q", talk.String())
				}
				entries, err := os.ReadDir(".")
				if err != nil {
					t.Fatal(err)
				}
				if len(entries) > 1 || len(entries) == 1 && entries[0].Name() != test.file {
					t.Errorf("wrote %v", entries)
				}
				if strings.Contains(talk.String()+out.String(), literal[:20]) {
					t.Errorf("shows the key: %q %q", talk.String(), out.String())
				}
			})
		}
	}
}

// TestAppServerKeyAsks: like bin/vapid, it offers the pair whose half it prints.
func TestAppServerKeyAsks(t *testing.T) {
	inFolder(t)
	code, out, talk := terminal(t, "\n", "app-server-key")
	if code != 0 || len(strings.TrimSpace(out)) != 87 || !strings.Contains(talk, "Do you want") || !exists(defaultPrivateKey) {
		t.Errorf("exit code %d, %q, %q", code, out, talk)
	}
}

// TestInterruptedAnswer: Ctrl-C at the question is no yes, whatever is typed after it.
func TestInterruptedAnswer(t *testing.T) {
	inFolder(t)
	ctx, cancel := context.WithCancel(context.Background())
	in, typed := io.Pipe()
	defer typed.Close()
	var out, talk bytes.Buffer
	time.AfterFunc(50*time.Millisecond, cancel)
	code := run(ctx, &streams{in: in, out: &out, err: &talk, inTTY: true, errTTY: true}, []string{"sign", "--audience", "https://push.example.net"})
	if code != exitInterrupted || out.Len() > 0 || exists(defaultPrivateKey) {
		t.Errorf("exit code %d, %q, %q", code, &out, &talk)
	}
}

// TestLostOutput: what could not be written is no success.
func TestLostOutput(t *testing.T) {
	inFolder(t)
	for _, args := range [][]string{{"version"}, {"config"}, {"--help"}, {"completion", "bash"}, {"gen", "--json"}} {
		var talk bytes.Buffer
		code := run(context.Background(), &streams{in: strings.NewReader(""), out: fullDisk{}, err: &talk}, args)
		if code != exitFailure || !strings.Contains(talk.String(), "standard output: the disk is full") {
			t.Errorf("%v: exit code %d, %q", args, code, &talk)
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("the disk is full") }
