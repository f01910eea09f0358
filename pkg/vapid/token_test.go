package vapid

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
)

func testKey(t testing.TB) *Key {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// find returns the problem with a part, or nil.
func find(problems []Problem, part string) *Problem {
	for i := range problems {
		if problems[i].Part == part {
			return &problems[i]
		}
	}
	return nil
}

func TestVectorsVerify(t *testing.T) {
	for _, v := range readVectors(t).VAPID {
		for _, h := range [][2]string{{v.Authorization, ""}, {v.Draft, v.CryptoKey}} {
			token, err := ParseToken(h[0], h[1])
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
				continue
			}
			problems := token.Check("")
			if p := find(problems, "signature"); p != nil {
				t.Errorf("%s: %v", v.Name, p)
			}
			if p := find(problems, "exp"); p == nil || !strings.Contains(p.Message, "ago") {
				t.Errorf("%s: a token of the past was taken: %v", v.Name, problems)
			}
			if token.PublicKey().String() != v.PublicKey || token.JWT() != v.JWT {
				t.Errorf("%s: other parts were found", v.Name)
			}
			c, err := token.Claims()
			if err != nil || c.Audience != v.Claims["aud"] || float64(c.Expires.Unix()) != v.Claims["exp"] {
				t.Errorf("%s: claims %+v, %v", v.Name, c, err)
			}
		}
		// The signature must really be checked: change one of its bits.
		i := strings.LastIndexByte(v.JWT, '.')
		sig, _ := b64.Decode(v.JWT[i+1:])
		sig[40] ^= 1
		token, err := ParseToken("vapid t="+v.JWT[:i+1]+b64.Encode(sig)+",k="+v.PublicKey, "")
		if err != nil {
			t.Fatal(err)
		}
		if find(token.Check(""), "signature") == nil {
			t.Errorf("%s: an altered signature was taken", v.Name)
		}
	}
}

func TestPeerTokensVerify(t *testing.T) {
	var peers []struct {
		Name, Endpoint string
		Public         string `json:"vapid_public"`
		Private        string `json:"vapid_private"`
		Headers        map[string]string
	}
	readJSON(t, "testdata/peer-node.json", &peers)
	if len(peers) < 12 {
		t.Fatalf("%d messages of another implementation, expected 12", len(peers))
	}
	for _, p := range peers {
		token, err := ParseToken(p.Headers["Authorization"], p.Headers["Crypto-Key"])
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		aud, err := Origin(p.Endpoint)
		if err != nil {
			t.Fatal(err)
		}
		problems := token.Check(aud)
		for _, part := range []string{"signature", "aud", "claims"} {
			if bad := find(problems, part); bad != nil {
				t.Errorf("%s: %v", p.Name, bad)
			}
		}
		k, err := ParseKey(fmt.Appendf(nil, `{"publicKey":%q,"privateKey":%q}`, p.Public, p.Private))
		if err != nil || k.PublicKey() != token.PublicKey() {
			t.Errorf("%s: key %v, %v", p.Name, k, err)
		}
	}
}

func TestSignAndVerify(t *testing.T) {
	k := testKey(t)
	c := Claims{Audience: "https://push.example.net:8443", Expires: time.Now().Add(DefaultLifetime), Subject: "mailto:ops@example.com",
		Extra: map[string]any{"id": json.Number("12345678901234567890"), "exp": "ignored"}}
	before := fmt.Sprint(c)
	token, err := k.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(c) != before {
		t.Errorf("Sign changed the caller's claims: %v, before %v", c, before)
	}
	for _, s := range []Scheme{SchemeVAPID, SchemeWebPush} {
		h := token.Headers(s)
		got, err := ParseToken(h["Authorization"], h["Crypto-Key"])
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Verify("https://push.example.net:8443"); err != nil {
			t.Error(err)
		}
		if err := got.Verify("https://push.example.net"); err == nil || !strings.Contains(err.Error(), "aud is") {
			t.Errorf("another audience: %v", err)
		}
		back, err := got.Claims()
		if err != nil || back.Extra["id"] != json.Number("12345678901234567890") || back.Subject != c.Subject || back.Expires.Unix() != c.Expires.Unix() {
			t.Errorf("claims after a round trip: %+v, %v", back, err)
		}
	}
	payload, err := b64.Decode(strings.Split(token.JWT(), ".")[1])
	want := fmt.Sprintf(`{"aud":"https://push.example.net:8443","exp":%d,"id":12345678901234567890,"sub":"mailto:ops@example.com"}`, c.Expires.Unix())
	if err != nil || string(payload) != want {
		t.Errorf("payload %s, %v; want %s", payload, err, want)
	}
}

func TestAnotherKeyDoesNotVerify(t *testing.T) {
	c := Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour), Subject: "mailto:ops@example.com"}
	token, err := testKey(t).Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := ParseToken("vapid t="+token.JWT()+", k="+testKey(t).PublicKey().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.Verify("https://push.example.net"); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("a token with another key's k was taken: %v", err)
	}
}

func TestParseTokenForms(t *testing.T) {
	v := readVectors(t).VAPID[0]
	tk, k := v.JWT, v.PublicKey
	for _, h := range []string{
		"vapid t=" + tk + ", k=" + k,
		"vapid t=" + tk + ",k=" + k,
		"vapid k=" + k + ",t=" + tk,
		"VAPID  K=" + k + " , T=" + tk,
		`vapid t="` + tk + `", k="` + k + `"`,
		"vapid t = " + tk + " , k = " + k,
		"vapid x=1, t=" + tk + ", y=\"a,b\", k=" + k,
		"vapid t=" + tk + ";k=" + k,
		"vapid t=" + tk + ", k=" + k + "=",
	} {
		token, err := ParseToken(h, "")
		if err != nil || find(token.Check(""), "signature") != nil {
			t.Errorf("%s: %v", h, err)
		}
	}
	for _, c := range [][2]string{
		{"WebPush " + tk, "p256ecdsa=" + k},
		{"webpush " + tk, `dh=BGpP;p256ecdsa="` + k + `"`},
		{"Bearer " + tk, "dh=BGpP, p256ecdsa=" + k + "="},
	} {
		if _, err := ParseToken(c[0], c[1]); err != nil {
			t.Errorf("%s with %s: %v", c[0], c[1], err)
		}
	}
	der := strings.LastIndexByte(tk, '.')
	for name, c := range map[string][3]string{
		"empty":       {"", "", "the Authorization header is missing"},
		"basic":       {"Basic dXNlcg==", "", `scheme "Basic"`},
		"bare token":  {tk, "", "bare token"},
		"no t":        {"vapid k=" + k, "", "parameter t (the token) is missing"},
		"no k":        {"vapid t=" + tk, "", "parameter k (the application server key) is missing"},
		"t twice":     {"vapid t=" + tk + ",t=" + tk + ",k=" + k, "", "t twice"},
		"no value":    {"vapid t", "", "without a value"},
		"open quote":  {`vapid t="abc`, "", "without its end"},
		"no p256":     {"WebPush " + tk, "", "Crypto-Key header"},
		"two parts":   {"vapid t=a.b, k=" + k, "", "2 parts"},
		"short k":     {"vapid t=" + tk + ", k=" + k[:80], "", "60 bytes"},
		"off curve":   {"vapid t=" + tk + ", k=" + k[:60] + "AAAA" + k[64:], "", "not a point"},
		"DER":         {"vapid t=" + tk[:der+1] + b64.Encode(append([]byte{0x30}, make([]byte, 69)...)) + ", k=" + k, "", "DER"},
		"alg none":    {"vapid t=" + b64.Encode([]byte(`{"alg":"none"}`)) + tk[strings.IndexByte(tk, '.'):] + ", k=" + k, "", "none"},
		"alg HS256":   {"vapid t=" + b64.Encode([]byte(`{"alg":"HS256"}`)) + tk[strings.IndexByte(tk, '.'):] + ", k=" + k, "", "HS256"},
		"k twice":     {"WebPush " + tk, "p256ecdsa=" + k + ",p256ecdsa=AA", "twice"},
		"bad base64":  {"vapid t=a!.b.c, k=" + k, "", "damaged"},
		"header text": {"vapid t=" + b64.Encode([]byte(`hi`)) + tk[strings.IndexByte(tk, '.'):] + ", k=" + k, "", "not a JSON"},
	} {
		_, err := ParseToken(c[0], c[1])
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		text := err.Error()
		if h, ok := err.(interface{ Hint() string }); ok {
			text += " " + h.Hint()
		}
		if !strings.Contains(text, c[2]) {
			t.Errorf("%s: %q, want it to say %q", name, text, c[2])
		}
		if strings.Contains(text, tk) {
			t.Errorf("%s: the error repeats the token", name)
		}
	}
}

func TestTokenNeverPrintsItself(t *testing.T) {
	k := testKey(t)
	token, err := k.Sign(Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", token)
	out := log.String() + fmt.Sprintf("%v %+v %#v %s %q %x", token, token, token, token, token, token)
	if sig := token.JWT()[strings.LastIndexByte(token.JWT(), '.')+1:]; strings.Contains(out, sig) || !strings.Contains(out, "https://push.example.net") {
		t.Errorf("printed as %s", out)
	}
}

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

var testKeyFixed = func() *Key {
	k, err := ParseKey([]byte("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"))
	if err != nil {
		panic(err)
	}
	return k
}()

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
		"https://Push.Example.NET/a/b?c#d":   "https://push.example.net",
		"https://push.example.net:443/x":     "https://push.example.net",
		"https://push.example.net:8443/x":    "https://push.example.net:8443",
		"http://127.0.0.1:80/x":              "http://127.0.0.1",
		"http://[::1]:8090/x":                "http://[::1]:8090",
		"https://user:pw@push.example.net/x": "https://push.example.net",
		"HTTPS://push.example.net":           "https://push.example.net",
		"https://push.example.net:0443/x":    "https://push.example.net",
		"http://push.example.net:00080":      "http://push.example.net",
		"https://push.example.net:08443":     "https://push.example.net:8443",
		"https://push.example.net./x":        "https://push.example.net.",
		"https://8.8.8.8/x":                  "https://8.8.8.8",
	} {
		if got, err := Origin(in); err != nil || got != want {
			t.Errorf("Origin(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "push.example.net/x", "ftp://x/y", "https:///secret", "https://a b/secret", "/secret", "https://[::ffff:127.0.0.1%25lo]/secret", "https://[fe80::1%25eth0]:8443/secret",
		"https://push.example.net:0/secret", "https://push.example.net:65536/secret", "https://push\u202e.example.net/secret",
		"https://2130706433/secret", "https://127.1/secret", "https://0x7f000001/secret", "https://0177.0.0.1/secret", "https://127.0.0.1./secret"} {
		if got, err := Origin(in); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Origin(%q) = %q, %v", in, got, err)
		}
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

func FuzzParseToken(f *testing.F) {
	for _, v := range readVectors(f).VAPID {
		f.Add(v.Authorization, "")
		f.Add(v.Draft, v.CryptoKey)
	}
	f.Fuzz(func(t *testing.T, authorization, cryptoKey string) {
		token, err := ParseToken(authorization, cryptoKey)
		if err != nil {
			return
		}
		again, err := ParseToken(token.Authorization(), "")
		if err != nil || again.JWT() != token.JWT() || again.PublicKey() != token.PublicKey() {
			t.Fatalf("%q was read as %v and written as %q, which is read as %v", authorization, token, token.Authorization(), err)
		}
		token.Check("https://push.example.net")
	})
}

func FuzzParseClaims(f *testing.F) {
	for _, s := range []string{`{"aud":"https://x","exp":1700000000,"sub":"mailto:a@b.c","x":[1,{"y":null}]}`, `{"exp":"5"}`, `{"exp":1.5}`, `{}`, `{"aud":["x"]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseClaims(data)
		if err != nil {
			return
		}
		c.Check()
		b, err := c.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseClaims(b)
		if err != nil {
			t.Fatalf("%q was written as %s: %v", data, b, err)
		}
		if b2, err := again.MarshalJSON(); err != nil || !bytes.Equal(b, b2) {
			t.Fatalf("%q was written as %s, then as %s", data, b, b2)
		}
	})
}

func ExampleKey_Sign() {
	key, err := GenerateKey()
	if err != nil {
		panic(err)
	}
	token, err := key.Sign(Claims{
		Audience: "https://push.example.net",
		Expires:  time.Now().Add(DefaultLifetime),
		Subject:  "mailto:ops@example.com",
	})
	if err != nil {
		panic(err)
	}
	received, err := ParseToken(token.Authorization(), "")
	if err != nil {
		panic(err)
	}
	fmt.Println(received.Verify("https://push.example.net"))
	fmt.Println(received.Verify("https://other.example.org"))
	// Output:
	// <nil>
	// aud is "https://push.example.net", the push service is "https://other.example.org"
}

func BenchmarkSign(b *testing.B) {
	k := testKey(b)
	c := Claims{Audience: "https://push.example.net", Expires: time.Now().Add(time.Hour), Subject: "mailto:ops@example.com"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Sign(c); err != nil {
			b.Fatal(err)
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

// TestParseTokenShowsNoSecret: what stands where a scheme is expected may be a
// private key that was given by mistake.
func TestParseTokenShowsNoSecret(t *testing.T) {
	for _, text := range []string{
		"943WICKkdu3z78pnY0gXw143biOoCacwsVkQyhxjxFs",
		"943WICKkdu3z78pnY0gXw143biOoCacwsVkQyhxjxFs more",
		"eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQi",
		"Basic 943WICKkdu3z78pn",
	} {
		_, err := ParseToken(text, "")
		if err == nil {
			t.Errorf("%q is taken", text)
		} else if strings.Contains(err.Error(), "943W") || strings.Contains(err.Error(), "eyJ") {
			t.Errorf("the error repeats it: %v", err)
		}
	}
}

// graded reports whether a problem has the severity of g.
func graded(p Problem, g grade) bool { return p == g(p.Part, p.Message, p.Hint) }
