package cmd

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	verdictPoint = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
	verdictAuth  = "BTBZMqHH6r4Tts7J_aSIgg"
)

// TestVerdicts asserts that send, check, and inspect agree about a subscription: all
// accept it, or all name the same problem in the same words.
func TestVerdicts(t *testing.T) {
	inFolder(t)
	if code, _, talk := command(t, "", "gen"); code != 0 {
		t.Fatal(talk)
	}
	fcm := "https://fcm.googleapis.com/fcm/send/" + strings.Repeat("dR3vQxW8kLE-APA91bHPRgkF3", 6)
	sub := func(endpoint, keys string) string {
		return fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":%s}`, endpoint, keys)
	}
	good := fmt.Sprintf(`{"p256dh":"%s","auth":"%s"}`, verdictPoint, verdictAuth)
	at := func(endpoint string) string { return sub(endpoint, good) }
	keys := func(p256dh, auth string) string {
		return sub(fcm, fmt.Sprintf(`{"p256dh":%s,"auth":%s}`, p256dh, auth))
	}
	quoted := func(s string) string { return fmt.Sprintf("%q", s) }
	expires := func(v string) string { return strings.Replace(at(fcm), "null", v, 1) }
	mozilla := "https://updates.push.services.mozilla.com/wpush/v2/"
	const notMilliseconds = "expirationTime is ignored: it is not a number of milliseconds since 1970"
	for name, c := range map[string]struct {
		text    string
		problem string // what all three say, or "" if all accept it
		args    string
		note    string // what check and inspect say
	}{
		// An expirationTime that cannot be read stops nothing.
		"expires, text":      {text: expires(`"2024-01-01T00:00:00Z"`), note: notMilliseconds},
		"expires, empty":     {text: expires(`""`), note: notMilliseconds},
		"expires, object":    {text: expires(`{"$numberLong":"1"}`), note: notMilliseconds},
		"expires, list":      {text: expires("[1]"), note: notMilliseconds},
		"expires, huge":      {text: expires("1e99"), note: notMilliseconds},
		"expires, negative":  {text: expires("-1"), note: notMilliseconds},
		"expires, true":      {text: expires("true"), note: notMilliseconds},
		"expires, seconds":   {text: expires("1700000000"), note: "expirationTime is ignored: it looks like seconds, browsers write milliseconds"},
		"expires, zero":      {text: expires("0"), note: "expirationTime is ignored: it looks like seconds, browsers write milliseconds"},
		"expires, in a row":  {text: fmt.Sprintf(`{"endpoint":%q,"expirationTime":"never","p256dh":%q,"auth":%q}`, fcm, verdictPoint, verdictAuth), note: notMilliseconds},
		"expires, no keys":   {text: fmt.Sprintf(`{"endpoint":%q,"expirationTime":"never"}`, fcm), problem: "the subscription has no keys, so no payload can be encrypted for it", note: notMilliseconds},
		"expires, far":       {text: expires("4102444800000")},
		"expired":            {text: expires("1700000000000"), problem: "according to its expirationTime, the subscription expired on 2023-11-14 22:13:20Z"},
		"swapped":            {text: keys(quoted(verdictAuth), quoted(verdictPoint)), problem: "p256dh and auth are swapped: p256dh has 16 bytes and auth 65"},
		"swapped row":        {text: fmt.Sprintf(`{"endpoint":%q,"public_key":%q,"auth_token":%q}`, fcm, verdictAuth, verdictPoint), problem: "p256dh and auth are swapped: p256dh has 16 bytes and auth 65"},
		"swapped in CSV":     {text: "endpoint,p256dh,auth\n" + fcm + "," + verdictAuth + "," + verdictPoint + "\n", problem: "p256dh and auth are swapped: p256dh has 16 bytes and auth 65"},
		"Node Buffer":        {text: keys(`{"type":"Buffer","data":[4,1]}`, `{"type":"Buffer","data":[1]}`), problem: "keys.p256dh is a Node Buffer"},
		"numbered":           {text: keys(`{"0":4,"1":1}`, `{"0":1}`), problem: "keys.p256dh is an object with numbered bytes, which JSON makes of a Uint8Array"},
		"empty objects":      {text: keys("{}", "{}"), problem: "keys.p256dh is an empty object, which JSON makes of an ArrayBuffer"},
		"arrays":             {text: keys("[4,1]", "[1]"), problem: "keys.p256dh is an array of bytes"},
		"object ArrayBuffer": {text: keys(`"[object ArrayBuffer]"`, `"[object ArrayBuffer]"`), problem: `keys.p256dh is the text "[object ArrayBuffer]"`},
		"object Object":      {text: sub(fcm, `"[object Object]"`), problem: `keys is the text "[object Object]"`},
		"undefined":          {text: keys(`"undefined"`, `"undefined"`), problem: "keys.p256dh is the text undefined"},
		"Python bytes":       {text: keys(quoted("b'"+verdictPoint+"'"), quoted("b'"+verdictAuth+"'")), problem: "keys.p256dh is the text of Python bytes"},
		"space at the end":   {text: keys(quoted(verdictPoint+"\n"), quoted(" "+verdictAuth))},
		"BSON":               {text: keys(`{"$binary":{"base64":"`+verdictPoint+`","subType":"00"}}`, `{"$binary":"`+verdictAuth+`","$type":"00"}`)},
		"other names":        {text: sub(fcm, fmt.Sprintf(`{"p256dhKey":%q,"authKey":%q}`, verdictPoint, verdictAuth))},
		"unknown names":      {text: fmt.Sprintf(`{"endpoint":%q,"kp":%q,"ka":%q}`, fcm, verdictPoint, verdictAuth), problem: `found no keys under any known name; the fields are "endpoint", "ka", "kp"`},
		"named with --map":   {text: fmt.Sprintf(`{"u":%q,"k":%q,"s":%q}`, fcm, verdictPoint, verdictAuth), args: "endpoint=u,p256dh=k,auth=s"},
		"CSV with --map":     {text: "u,k,s\n" + fcm + "," + verdictPoint + "," + verdictAuth + "\n", args: "endpoint=u,p256dh=k,auth=s"},
		"no keys":            {text: sub(fcm, "null"), problem: "the subscription has no keys, so no payload can be encrypted for it"},

		"number key":         {text: keys("5", quoted(verdictAuth)), problem: "keys.p256dh is not a string"},
		"true":               {text: keys(quoted(verdictPoint), "true"), problem: "keys.auth is not a string"},
		"null":               {text: keys("null", quoted(verdictAuth)), problem: "keys.p256dh is missing"},
		"other key, damaged": {text: strings.Replace(at(fcm), "{", `{"vapid_public_key":"xyz",`, 1), note: "the application server key recorded in the subscription is not readable: found 3 characters of text, not a key; expected a P-256 private key: PEM, DER, JWK, or its 32 bytes in base64 or hex"},

		// Records with a message of their own.
		"record":         {text: `{"subscription":` + at(fcm) + `,"ttl":"12h","urgency":"high","topic":"ab"}`},
		"record's key":   {text: `{"subscription":` + at(fcm) + `,"vapidKey":"x"}`, problem: "vapidKey: found 1 character of text, not a key; expected a P-256 private key: PEM, DER, JWK, or its 32 bytes in base64 or hex"},
		"record's TTL":   {text: `{"subscription":` + at(fcm) + `,"ttl":99999999999}`, problem: `ttl is 99999999999, expected 0 to 2147483648 seconds, or a duration such as "12h"`},
		"record's topic": {text: `{"subscription":` + at(fcm) + `,"topic":"a b"}`, problem: `the topic "a b" has the character ' ', expected letters, digits, - and _`},

		// Endpoints.
		"not a string": {text: fmt.Sprintf(`{"endpoint":5,"keys":%s}`, good), problem: "the endpoint is not a string"},
		"empty":        {text: at(""), problem: "the endpoint is empty"},
		"ellipsis":     {text: at("https://fcm.googleapis.com/fcm/send/abc…def"), problem: "the endpoint was shortened for display: it has … in it"},
		"percent":      {text: at("https://fcm.googleapis.com/fcm/send/abc%E2%80%A6"), problem: "the endpoint was shortened for display: it has … in it"},
		"dots":         {text: at(fcm + "...abc"), problem: "the endpoint has ... in it: it may have been shortened for display"},
		"placeholder":  {text: at("https://fcm.googleapis.com/fcm/send/{token}"), problem: "the endpoint has a placeholder in it, such as <token> or ***"},
		"joined":       {text: at(fcm + fcm), problem: "the endpoint has another URL in it: two were joined"},
		"no token":     {text: at("https://fcm.googleapis.com/fcm/send/"), problem: "the endpoint has no token after its path"},
		"no token 2":   {text: at("https://fcm.googleapis.com/wp"), problem: "the endpoint has no token after its path"},
		"WNS":          {text: at("https://db5p.notify.windows.com/w/?token="), problem: "the endpoint has no token after its path"},
		"origin":       {text: at("https://web.push.apple.com"), problem: "the endpoint has no path: it is the origin of a push service"},
		"truncated":    {text: at(mozilla + "gAAAAABmxxxxxx"), problem: "the token at the end of the endpoint is truncated"},
		"no Fernet":    {text: at(mozilla), problem: "the endpoint has no token after its path"},
		"GCM":          {text: at("https://android.googleapis.com/gcm/send/abc"), problem: "the endpoint belongs to Google Cloud Messaging, which has been shut down"},
		"width":        {text: at((fcm + fcm[8:] + fcm[8:])[:255]), problem: "the endpoint has 255 characters, a common width of database columns: it may be truncated"},
		"APNs":         {text: at("https://api.push.apple.com/3/device/abcdef"), problem: "the endpoint belongs to the push service of native apps at https://api.push.apple.com"},
		"APNs, dot":    {text: at("https://api.push.apple.com./3/device/abcdef"), problem: "the endpoint belongs to the push service of native apps at https://api.push.apple.com."},
		"GCM, dot":     {text: at("https://android.googleapis.com./gcm/send/abc"), problem: "the endpoint belongs to Google Cloud Messaging, which has been shut down"},
		"local, dot":   {text: at("http://localhost.:8090/x")},
		"port 0443":    {text: at(strings.Replace(fcm, ".com", ".com:0443", 1) + "x")},
		"port 0":       {text: at("https://push.example.net:0/x"), problem: `the endpoint's port is "0", expected 1 to 65535`},
		"number":       {text: at("https://2130706433/x"), problem: "the endpoint's host ends in a number but is not an IPv4 address of four decimal numbers"},
		"octal":        {text: at("https://0177.0.0.1/x"), problem: "the endpoint's host ends in a number but is not an IPv4 address of four decimal numbers"},
		"umlaut":       {text: at("https://b\u00fcro.example.net/x"), problem: "the endpoint's host has characters beyond ASCII, which browsers encode: expected its xn-- form"},
		"umlaut, path": {text: at("https://push.example.net/b\u00fcro"), problem: "the endpoint has characters beyond ASCII, which browsers encode: it was altered"},
		"Expo":         {text: at("ExponentPushToken[xxxxxxxxxxxxxxxxxxxxxx]"), problem: "the endpoint is an Expo push token, for apps"},
		"Firebase":     {text: at("dR3vQxW8kLE:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ"), problem: "the endpoint is a registration token of Firebase Cloud Messaging, for apps"},
		"removed":      {text: at("https://permanently-removed.invalid/fcm/send/x"), problem: "the browser has permanently removed this subscription, as its endpoint shows"},
		"plain http":   {text: at("http://push.example.net/x"), problem: "the endpoint is plain http and not on this machine"},
		"relative":     {text: at("/fcm/send/abc"), problem: "the endpoint is not an absolute URL, expected https://…"},

		// Files of another kind.
		"gzip":            {text: "\x1f\x8b\x08\x00", problem: "found a gzip file, expected JSON"},
		"spreadsheet":     {text: "PK\x03\x04\x14\x00", problem: "found a zip file or spreadsheet, expected JSON"},
		"SQLite":          {text: "SQLite format 3\x00\x10\x00", problem: "found an SQLite database, expected JSON"},
		"Parquet":         {text: "PAR1\x15\x04", problem: "found a Parquet file, expected JSON"},
		"PDF":             {text: "%PDF-1.7\n", problem: "found a PDF, expected JSON"},
		"page":            {text: "<!DOCTYPE html><title>Login</title>", problem: "found a web page, expected JSON"},
		"page with words": {text: "<html><body>{\"endpoint\":\"x\"}</body></html>", problem: "found a web page, expected JSON"},

		// Forms.
		"string":        {text: quoted(at(fcm))},
		"twice":         {text: quoted(quoted(at(fcm)))},
		"escaped":       {text: strings.Trim(quoted(at(fcm)), `"`)},
		"array of text": {text: "[" + quoted(at(fcm)) + "]"},
		"any field":     {text: `{"device":` + quoted(at(fcm)) + `,"platform":"web"}`},
		"map of one":    {text: `{"my phone":{"browser":"chrome","subscription":` + at(fcm) + `}}`},
		"YAML":          {text: "endpoint: " + fcm + "\nkeys:\n  auth: x\n", problem: "the subscription is YAML, not plain JSON"},
		"print_r":       {text: "Array\n(\n    [endpoint] => " + fcm + "\n)\n", problem: "the subscription is the output of PHP's print_r, not plain JSON"},
		"Python":        {text: strings.ReplaceAll(at(fcm), `"`, "'"), problem: "the subscription is a Python dictionary, not plain JSON"},
		"Redis":         {text: "1) \"endpoint\"\n2) \"" + fcm + "\"\n", problem: "the subscription is a listing of redis-cli, not plain JSON"},
		"MySQL":         {text: "*************************** 1. row ***************************\nendpoint: " + fcm + "\n", problem: `the subscription is rows as MySQL writes them after \G, not plain JSON`},
		"log":           {text: "[2024-01-01 10:00:00] INFO subscribed " + at(fcm) + "\n", problem: "the subscription is JSON with other text around it, not plain JSON"},
		"list":          {text: `{"user":"a","phones":[` + at(fcm) + `]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile("sub", []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			mapped := []string{}
			if c.args != "" {
				mapped = []string{"--map", c.args}
			}
			for _, args := range [][]string{
				{"send", "-f", "sub", "-p", "hi", "--subject", "mailto:a@example.com", "--dry-run"},
				{"check", "-f", "sub", "-p", "hi", "--subject", "mailto:a@example.com"},
				{"inspect", "sub"},
			} {
				code, out, talk := command(t, "", append(args, mapped...)...)
				all := talk
				if args[0] == "check" {
					all += out
				}
				problem := regexp.MustCompile(`(?m)\b(?:error|warning|invalid): (?:.*: )?` + regexp.QuoteMeta(c.problem) + `( \[[a-z-]+\]| \(.*\))?$`)
				switch {
				case c.problem != "" && !problem.MatchString(all):
					t.Errorf("%s exits with %d and does not say %q:\n%s", args[0], code, c.problem, all)
				case c.problem == "" && (code != 0 || strings.Contains(all, "error:")):
					t.Errorf("%s exits with %d:\n%s", args[0], code, all)
				}
				if note := regexp.MustCompile(`(?m)\bnote: (?:.*: )?` + regexp.QuoteMeta(c.note) + `( \[[a-z-]+\])?$`); args[0] != "send" && c.note != "" && !note.MatchString(all) {
					t.Errorf("%s does not say %q:\n%s", args[0], c.note, all)
				}
			}
		})
	}
}

// TestKeyVerdicts asserts that commands that read a key and inspect name the same problem
// of it in the same words.
func TestKeyVerdicts(t *testing.T) {
	inFolder(t)
	block := func(label string) string {
		return "-----BEGIN " + label + "-----\nMHcCAQEEIBad\n-----END " + label + "-----\n"
	}
	for name, c := range map[string]struct{ text, problem string }{
		"encrypted":        {block("ENCRYPTED PRIVATE KEY"), "found an encrypted PEM, expected one without a passphrase"},
		"certificate":      {block("CERTIFICATE"), ""},
		"without its end":  {"-----BEGIN PRIVATE KEY-----\nMHcCAQEEIBad\n", "found the beginning of a PEM block without its end"},
		"without its head": {"MHcCAQEEIBad\n-----END PRIVATE KEY-----\n", "found the end of a PEM block without its beginning"},
		"RSA":              {`{"kty":"RSA","n":"AA","e":"AQAB"}`, ""},
		"another curve":    {`{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}`, ""},
		"short JWK":        {`{"kty":"EC","crv":"P-256","x":"","y":"AA","d":"AA"}`, ""},
		"truncated JSON":   {`{"publicKey":"BA"`, "found JSON that is damaged or truncated at byte 17"},
		"service account":  {`{"type":"service_account","client_email":"a@b.example","private_key":"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"}`, "found the key of a Google service account, not a VAPID key"},
		"API key":          {"AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe", "found a server key or token of Firebase, not a VAPID key"},
		"server key":       {"AAAAxxxxxxx:APA91bHPRgkF3JUikC4ENAHEeMrd41Zxv3hVZjC9KtT8OvPVGJ", "found a server key or token of Firebase, not a VAPID key"},
		"zero":             {strings.Repeat("A", 43), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile("key", []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			said := make(map[string]string)
			for _, args := range [][]string{
				{"sign", "-k", "key", "--subject", "mailto:a@example.com", "--audience", "https://push.example.net"},
				{"convert", "key", "--to", "jwk"}, {"app-server-key", "key"}, {"inspect", "key"},
			} {
				code, _, talk := command(t, "", args...)
				m := regexp.MustCompile(`(?m)^webpush: error: key: (.*)$`).FindStringSubmatch(talk)
				if code == 0 || m == nil || c.problem != "" && m[1] != c.problem {
					t.Fatalf("%s exits with %d and does not say %q:\n%s", args[0], code, c.problem, talk)
				}
				said[m[1]] = args[0]
			}
			if len(said) > 1 {
				t.Errorf("the commands differ: %q", said)
			}
		})
	}
}
