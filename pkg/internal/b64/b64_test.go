package b64

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
)

func TestDecodeAcceptsEveryVariant(t *testing.T) {
	for n := range 70 {
		want := bytes.Repeat([]byte{0xfb, 0xef, 0xff, 0x3e}, 20)[:n]
		for name, enc := range map[string]*base64.Encoding{
			"std": base64.StdEncoding, "rawstd": base64.RawStdEncoding,
			"url": base64.URLEncoding, "rawurl": base64.RawURLEncoding,
		} {
			got, err := Decode(enc.EncodeToString(want))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d bytes: got %x, %v", name, n, got, err)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for in, want := range map[string]string{
		"A":        "no encoding has",
		"AAAAA":    "no encoding has",
		"AAA!":     "not base64",
		"AA AA":    "white space",
		"AAAA\n":   "white space",
		"+_AA":     "mixes",
		"AA===":    "wrong number",
		"AAA==":    "wrong number",
		"AAAA=":    "wrong number",
		"AB":       "stray bits",
		"AAé":      "not base64",
		"=AAA":     "not base64",
		"AAAA====": "wrong number",
	} {
		b, err := Decode(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Decode(%q) = %x, %v; want an error with %q", in, b, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "AA", "AAA=", "-_8", "+/8=", "AB", "A\nA"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Decode(s)
		if err != nil {
			return
		}
		// What is accepted is what an encoder writes, up to alphabet and padding.
		canon := strings.NewReplacer("+", "-", "/", "_").Replace(strings.TrimRight(s, "="))
		if got := Encode(b); got != canon {
			t.Fatalf("Decode(%q) = %x, which encodes as %q", s, b, got)
		}
	})
}
