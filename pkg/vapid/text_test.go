package vapid

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestClaimsText asserts how claims are shown, with the distance of exp.
func TestClaimsText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for want, c := range map[string]Claims{
			"[aud -] [exp -] [sub -]": {},
			"[aud https://a.example] [exp 2000-01-01 12:00:00Z (946728000), in 12h0m0s] [sub mailto:a@b.example]": {Audience: "https://a.example", Subject: "mailto:a@b.example", Expires: time.Now().Add(12 * time.Hour)},
			`[aud -] [exp 1999-12-31 23:59:59Z (946684799), 1s ago] [sub -] [a <1] [b [1]]`:                       {Expires: time.Now().Add(-time.Second), Extra: map[string]any{"b": []int{1}, "a": "<1"}},
		} {
			if got := strings.ReplaceAll(strings.Trim(fmt.Sprint(c.Text()), "[]"), `"`, ""); got != strings.Trim(want, "[]") {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}
