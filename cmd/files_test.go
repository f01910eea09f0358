package cmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestFileWords asserts that all commands give the same words for the same failure of a
// file, and that they refuse an output before they connect anywhere.
func TestFileWords(t *testing.T) {
	inFolder(t)
	for _, line := range []string{"gen", "gen --receiver", "encrypt -f subscription.json -p x -o body.bin"} {
		if code, _, talk := command(t, "", strings.Fields(line)...); code != 0 {
			t.Fatal(talk)
		}
	}
	if err := errors.Join(os.Mkdir("dir", 0o700), os.WriteFile("file", []byte("x"), 0o600), os.WriteFile("large", make([]byte, 1<<20+1), 0o600)); err != nil {
		t.Fatal(err)
	}
	const send, nobody = "send -f subscription.json -p x ", " --nats nats://127.0.0.1:1 "
	inputs := []string{send + "-k", send + "--claims", send + "--ca-file", "send -f subscription.json --payload-file", "send -p x -f", "check -p x -f", "curl -p x -f",
		"encrypt -p x -f", "decrypt", "decrypt --receiver", "sign", "sign --audience https://push.example.net -k", "sign -f", "convert --to pem", "convert --to pem -k",
		"app-server-key", "cancel", "results" + nobody + "--nats-creds", "worker" + nobody + "--nats-ca-file", send + "--to nats://127.0.0.1:1 --nats-nkey", "--config"}
	outputs := []string{send + "--results", send + "--gone", send + "--retry-later", send + "--resume", send + "--to nats://127.0.0.1:1 --run r --resume",
		"results" + nobody + "--gone", "encrypt -f subscription.json -p x -o", "decrypt body.bin -o", "convert --to pem -o", "curl -f subscription.json -p x --body-file",
		"gen -k", "gen --public-key", "gen --receiver=new.json --subscription", "subscribe -o", "listen --server ws://127.0.0.1:1 --subscription"}
	part := filepath.FromSlash("file/x")
	failures := func(input bool) map[string]string {
		words := map[string]string{"dir": "dir is a directory, expected a file", part: part + ": file is not a directory"}
		missing := filepath.FromSlash("none/x")
		words[missing] = missing + ": directory none not found\nwebpush: hint: create it with: mkdir -p none"
		if input {
			words[missing], words["none"], words["large"] = missing+": no such file", "none: no such file", "large exceeds the limit of 1 MiB"
		}
		if runtime.GOOS == "windows" {
			delete(words, part) // reported as a missing file
		}
		return words
	}
	for kind, commands := range map[bool][]string{true: inputs, false: outputs} {
		for _, line := range commands {
			for name, want := range failures(kind) {
				reader := strings.HasSuffix(line, "-f") && !strings.HasPrefix(line, "encrypt") && !strings.HasPrefix(line, "sign")
				switch {
				case name == "dir" && kind && reader: // a directory of subscriptions
					want = "dir: the directory has no *.json"
				case name == "large" && (line == "cancel" || strings.HasSuffix(line, "--config")):
					continue // without a limit
				}
				code, _, talk := command(t, "", append(strings.Fields(line), name)...)
				if code == 0 || !strings.Contains(talk, want) {
					t.Errorf("%s %s: exit code %d, %s", line, name, code, talk)
				}
			}
		}
	}
	for _, name := range []string{"new.json", "encrypted.data"} {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s was written: %v", name, err)
		}
	}
}
