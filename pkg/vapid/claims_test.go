package vapid

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCheckClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		good := Claims{Audience: "https://push.example.net", Expires: now.Add(DefaultLifetime), Subject: "mailto:ops@example.com"}
		if p := good.Check(); len(p) != 0 {
			t.Errorf("problems with good claims: %v", p)
		}
		with := func(change func(*Claims)) Claims {
			c := good
			change(&c)
			return c
		}
		for name, c := range map[string]struct {
			claims Claims
			part   string
			grade  grade
			want   string
		}{
			"no aud":         {with(func(c *Claims) { c.Audience = "" }), "aud", fatal, "missing"},
			"slash":          {with(func(c *Claims) { c.Audience += "/" }), "aud", overlooked, "not a bare origin"},
			"path":           {with(func(c *Claims) { c.Audience += "/wpush/v2" }), "aud", overlooked, "not a bare origin"},
			"default port":   {with(func(c *Claims) { c.Audience += ":443" }), "aud", overlooked, "not a bare origin"},
			"upper case":     {with(func(c *Claims) { c.Audience = "https://Push.Example.net" }), "aud", overlooked, "not a bare origin"},
			"host alone":     {with(func(c *Claims) { c.Audience = "push.example.net" }), "aud", overlooked, "not an origin"},
			"user info":      {with(func(c *Claims) { c.Audience = "https://a@push.example.net" }), "aud", overlooked, "not a bare origin"},
			"no exp":         {with(func(c *Claims) { c.Expires = time.Time{} }), "exp", fatal, "missing"},
			"now":            {with(func(c *Claims) { c.Expires = now }), "exp", fatal, "ago"},
			"past":           {with(func(c *Claims) { c.Expires = now.Add(-26 * time.Hour) }), "exp", fatal, "26h0m ago"},
			"24 h and 1 s":   {with(func(c *Claims) { c.Expires = now.Add(MaxLifetime + time.Second) }), "exp", fatal, "at most 24 hours"},
			"24 h":           {with(func(c *Claims) { c.Expires = now.Add(MaxLifetime) }), "exp", warning, "clock is behind"},
			"soon":           {with(func(c *Claims) { c.Expires = now.Add(5 * time.Second) }), "exp", warning, "only 5s"},
			"no sub":         {with(func(c *Claims) { c.Subject = "" }), "sub", warning, "missing"},
			"bare mail":      {with(func(c *Claims) { c.Subject = "ops@example.com" }), "sub", overlooked, "expected a mailto:"},
			"bare host":      {with(func(c *Claims) { c.Subject = "example.com" }), "sub", overlooked, "expected a mailto:"},
			"http":           {with(func(c *Claims) { c.Subject = "http://example.com" }), "sub", overlooked, "expected a mailto:"},
			"mailto alone":   {with(func(c *Claims) { c.Subject = "mailto:" }), "sub", overlooked, "no mail address"},
			"mailto word":    {with(func(c *Claims) { c.Subject = "mailto:ops" }), "sub", overlooked, "no mail address"},
			"mailto twice":   {with(func(c *Claims) { c.Subject = "mailto:mailto:a@example.com" }), "sub", overlooked, "twice"},
			"https alone":    {with(func(c *Claims) { c.Subject = "https://" }), "sub", overlooked, "not an https URL"},
			"control":        {with(func(c *Claims) { c.Subject = "mailto:a@example.com\r\nX: y" }), "sub", fatal, "control"},
			"space":          {with(func(c *Claims) { c.Subject = "mailto: a@example.com" }), "sub", warning, "spaces"},
			"brackets":       {with(func(c *Claims) { c.Subject = "mailto: <a@example.com>" }), "sub", warning, "brackets"},
			"localhost":      {with(func(c *Claims) { c.Subject = "https://localhost/contact" }), "sub", warning, "localhost"},
			"mail localhost": {with(func(c *Claims) { c.Subject = "mailto:a@localhost" }), "sub", warning, "localhost"},
			"single label":   {with(func(c *Claims) { c.Subject = "mailto:a@intranet" }), "sub", warning, "single label"},
			"local":          {with(func(c *Claims) { c.Subject = "mailto:a@box.local" }), "sub", warning, ".local"},
			"invalid":        {with(func(c *Claims) { c.Subject = "https://push.invalid" }), "sub", warning, ".invalid"},
			"IP":             {with(func(c *Claims) { c.Subject = "https://192.0.2.7/" }), "sub", warning, "IP address"},
			"IPv6":           {with(func(c *Claims) { c.Subject = "https://[2001:db8::1]/" }), "sub", warning, "IP address"},
		} {
			p := find(c.claims.Check(), c.part)
			if p == nil || !graded(*p, c.grade) || !strings.Contains(p.Message, c.want) {
				t.Errorf("%s: %+v, want %+v with %q", name, p, c.grade("", "", ""), c.want)
			}
			_, err := testKeyFixed.Sign(c.claims)
			if (err == nil) != (c.grade("", "", "").Severity == SeverityWarning) {
				t.Errorf("%s: Sign says %v", name, err)
			}
		}
	})
}

func TestParseClaims(t *testing.T) {
	c, err := ParseClaims([]byte("\xef\xbb\xbf{\"sub\":\"mailto:a@example.com\",\r\n\"exp\":1700000000,\"aud\":\"https://x\",\"n\":1.10,\"o\":{\"Mixed\":[1]}}\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := c.MarshalJSON()
	if want := `{"aud":"https://x","exp":1700000000,"n":1.10,"o":{"Mixed":[1]},"sub":"mailto:a@example.com"}`; err != nil || string(b) != want {
		t.Errorf("%s, %v; want %s", b, err, want)
	}
	for text, want := range map[string]string{
		`{"exp":"1700000000"}`:     "a number",
		`{"exp":1700000000.5}`:     "whole seconds",
		`{"exp":1.7e9}`:            "whole seconds",
		`{"aud":["https://x.yy"]}`: "array",
	} {
		c, err := ParseClaims([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		told := false
		for _, p := range c.Check() {
			told = told || graded(p, overlooked) && strings.Contains(p.Message, want)
		}
		if !told || c.Expires.IsZero() && c.Audience == "" {
			t.Errorf("%s: %+v with %v, want it to say %q", text, c, c.Check(), want)
		}
	}
	for text, want := range map[string]string{
		``:                   "empty",
		`null`:               "null",
		`[]`:                 "array",
		`{"sub":`:            "truncated",
		`{"sub":"a"} {}`:     "more text",
		`{sub:"a"}`:          "not valid JSON",
		`{"exp":"tomorrow"}`: "seconds since 1970",
		`{"exp":true}`:       "seconds since 1970",
		`{"exp":1e400}`:      "seconds since 1970",
		`{"exp":-1e300}`:     "seconds since 1970",
		`{"aud":["a","b"]}`:  "array of 2",
		`{"aud":7}`:          "the number 7",
		`{"sub":{}}`:         "an object",
	} {
		if _, err := ParseClaims([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want it to say %q", text, err, want)
		}
	}
}

func TestOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://Push.Example.NET/a/b?c#d":     "https://push.example.net",
		"https://push.example.net:443/x":       "https://push.example.net",
		"https://push.example.net:8443/x":      "https://push.example.net:8443",
		"http://127.0.0.1:80/x":                "http://127.0.0.1",
		"http://[::1]:8090/x":                  "http://[::1]:8090",
		"https://user:pw@push.example.net/x":   "https://push.example.net",
		"HTTPS://push.example.net":             "https://push.example.net",
		"https://push.example.net:0443/x":      "https://push.example.net",
		"http://push.example.net:00080":        "http://push.example.net",
		"https://push.example.net:08443":       "https://push.example.net:8443",
		"https://push.example.net./x":          "https://push.example.net.",
		"https://8.8.8.8/x":                    "https://8.8.8.8",
		"https://" + strings.Repeat("a.", 127): "https://" + strings.Repeat("a.", 127),
	} {
		if got, err := Origin(in); err != nil || got != want {
			t.Errorf("Origin(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "push.example.net/x", "ftp://x/y", "https:///secret", "https://a b/secret", "/secret", "https://[::ffff:127.0.0.1%25lo]/secret", "https://[fe80::1%25eth0]:8443/secret",
		"https://push.example.net:0/secret", "https://push.example.net:65536/secret", "https://push\u202e.example.net/secret",
		"https://2130706433/secret", "https://127.1/secret", "https://0x7f000001/secret", "https://0177.0.0.1/secret", "https://127.0.0.1./secret",
		"https://" + strings.Repeat("a.", 127) + "a/secret", "https://bücher.example/secret", "https://b%C3%BCcher.example/secret", "https://K.example/secret"} {
		if got, err := Origin(in); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Origin(%q) = %q, %v", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"https://bücher.example/x":                     "the endpoint's host has characters beyond ASCII, which browsers encode: expected its xn-- form",
		"https://" + strings.Repeat("a.", 127) + "/":   "",
		"https://" + strings.Repeat("a.", 126) + "aa":  "the endpoint's host has 254 characters, expected at most 253",
		"https://" + strings.Repeat("a.", 126) + "aa.": "the endpoint's host has 254 characters, expected at most 253",
	} {
		if _, err := Origin(in); want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("Origin(%q): %v, want %q", in, err, want)
		}
	}
	if list := (Claims{Audience: "https://bücher.example"}).Check(); !slices.ContainsFunc(list, func(p Problem) bool { return p.Part == "aud" && strings.Contains(p.Hint, "xn--") }) {
		t.Errorf("aud in Unicode: %v", list)
	}
}

func TestNormalizeSubject(t *testing.T) {
	for in, want := range map[string]string{
		"a@b.c":           "mailto:a@b.c",
		"mailto:a@b.c":    "mailto:a@b.c",
		"https://b.c":     "https://b.c",
		"https://b.c/a@b": "https://b.c/a@b",
		"a b@c.d":         "a b@c.d",
		"@b.c":            "@b.c",
		"a@":              "a@",
		"":                "",
		"MAILTO:a@b.c":    "MAILTO:a@b.c",
	} {
		if got := NormalizeSubject(in); got != want {
			t.Errorf("NormalizeSubject(%q) = %q, want %q", in, got, want)
		}
		if got := NormalizeSubject(NormalizeSubject(in)); got != want {
			t.Errorf("NormalizeSubject twice of %q = %q", in, got)
		}
	}
}

// TestWrittenProblemsEndWithTheValue: how a claim was written matters no more
// when it has got another value.
func TestWrittenProblemsEndWithTheValue(t *testing.T) {
	in := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
	c, err := ParseClaims([]byte(`{"aud": ["https://push.example.net"], "exp": "` + in(time.Hour) + `", "sub": "mailto:ops@example.com"}`))
	if err != nil {
		t.Fatal(err)
	}
	parts := func(c Claims) (parts []string) {
		for _, p := range c.Check() {
			parts = append(parts, p.Part)
		}
		return parts
	}
	if got := parts(c); !slices.Equal(got, []string{"aud", "exp"}) {
		t.Errorf("as it was read: problems with %q, want aud and exp", got)
	}
	c.Audience = "https://push.example.org"
	if got := parts(c); !slices.Equal(got, []string{"exp"}) {
		t.Errorf("with another aud: problems with %q, want exp", got)
	}
	c.Expires = time.Now().Add(2 * time.Hour)
	if got := parts(c); got != nil {
		t.Errorf("with another aud and exp: problems with %q", got)
	}
}
