package notation

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

const object = `{"endpoint":"https://push.example/é","keys":{"p256dh":"B","auth":"x"}}`

// TestUnwrap: an object is found in each encoding, and in several.
func TestUnwrap(t *testing.T) {
	text := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	base := base64.StdEncoding.EncodeToString
	for name, c := range map[string]struct {
		text   string
		layers string
	}{
		"JSON string":      {text(object), "a JSON string"},
		"twice":            {text(text(object)), "a JSON string, a JSON string"},
		"base64":           {base([]byte(object)), "base64"},
		"base64, indented": {base([]byte("{\n  " + object[1:])), "base64"},
		"base64 of text":   {base([]byte(text(object))), "base64, a JSON string"},
		"base64url":        {base64.RawURLEncoding.EncodeToString([]byte(object)), "base64"},
		"lines of base64":  {strings.Join([]string{base([]byte(object))[:40], base([]byte(object))[40:]}, "\r\n") + "\n", "base64"},
		"quotes":           {"'" + object + "'", "quotes"},
		"escaped":          {strings.Trim(text(object), `"`), "escaped quotes"},
		"percent":          {url.PathEscape(object), "percent-encoding"},
		"data: URL":        {"data:application/json;base64," + base([]byte(object)), "a data: URL, base64"},
		"data: URL, text":  {"data:application/json," + url.PathEscape(object), "a data: URL, percent-encoding"},
		"spaces":           {" \n" + text(" "+object+"\n") + "\n", "a JSON string"},
	} {
		got, layers := Unwrap([]byte(c.text))
		if strings.TrimSpace(strings.ReplaceAll(string(got), "\n  ", "")) != object || strings.Join(layers, ", ") != c.layers {
			t.Errorf("%s: %q in %q", name, got, layers)
		}
		if !Wrapped([]byte(c.text)) {
			t.Errorf("%s: not wrapped", name)
		}
	}
	for _, same := range []string{object, " " + object, "", "{", `"`, `"x"`, "'x'", "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJ4In0.c2ln", "%7B", "12", `["` + object, "`", "```\n{}\n```"} {
		if got, layers := Unwrap([]byte(same)); string(got) != same || layers != nil || Wrapped([]byte(same)) {
			t.Errorf("%q: %q in %q", same, got, layers)
		}
	}
}

// TestName names the notations in which subscriptions are pasted, and nothing else.
func TestName(t *testing.T) {
	for want, texts := range map[string][]string{
		"the output of PHP's print_r":                          {"Array\n(\n    [endpoint] => x\n)", "stdClass Object\n(\n    [endpoint] => x\n)", `App\Models\Sub Object` + "\n(\n    [endpoint:protected] => x\n)"},
		"the output of PHP's var_dump":                         {"array(2) {\n  [\"endpoint\"]=>\n  string(1) \"x\"\n}", "object(stdClass)#3 (2) {\n  [\"endpoint\"]=>\n", "array:2 [\n  \"endpoint\" => \"x\"\n]"},
		"PHP code, as var_export writes it":                    {"array (\n  'endpoint' => 'x',\n)", "['endpoint' => 'x']", `[ "endpoint" => "x" ]`, "<?php\nreturn ['endpoint' => 'x'];", "$subscription = ['endpoint' => 'x'];", "(object) array(\n 'endpoint' => 'x')"},
		"the output of PHP's serialize":                        {`a:1:{s:8:"endpoint";s:1:"x";}`, `O:8:"stdClass":1:{s:8:"endpoint";s:1:"x";}`},
		"a listing of redis-cli":                               {"1) \"endpoint\"\n2) \"x\"", " 1) \"endpoint\"", "1) 1) \"endpoint\""},
		"rows as MySQL writes them after \\G":                  {"*************************** 1. row ***************************\nendpoint: x"},
		"the expanded display of psql":                         {"-[ RECORD 1 ]---\nendpoint | x"},
		"rows as sqlite3 writes them in line mode":             {"      id = 1\nendpoint = https://x\n  p256dh = B"},
		"XML or a web page":                                    {"<subscription><endpoint>x</endpoint></subscription>", "<?xml version=\"1.0\"?><endpoint/>"},
		"an Elixir map":                                        {`%{"endpoint" => "x"}`, `%WebPush.Subscription{endpoint: "x"}`, "%{endpoint: \"x\"}"},
		"a Ruby hash or object":                                {`{"endpoint"=>"x"}`, `{:endpoint=>"x"}`, `[{"endpoint" => "x"}]`, "#<Subscription endpoint: \"x\">"},
		"a Python dictionary":                                  {"{'endpoint': 'x'}", "[{'endpoint': 'x'}]", "{u'endpoint': u'x'}", "OrderedDict({'endpoint': 'x'})"},
		"a Go value, as fmt prints it":                         {"&{Endpoint:https://x Keys:{Auth:a}}", "{Endpoint:https://x}", "map[endpoint:x keys:map[auth:a]]", `&webpush.Subscription{Endpoint:"x"}`},
		"the text of an object, as toString or repr writes it": {"Subscription{endpoint='x'}", "Subscription(endpoint='x')", "Subscription[endpoint=x]"},
		"a JavaScript object, as the console shows it":         {"{ endpoint: 'x' }", "{\n  endpoint: 'x'\n}", "PushSubscription {endpoint: 'x'}", "[ { endpoint: 'x' } ]"},
		"JavaScript code":                                      {"const sub = {endpoint: 'x'}", "export const subscription = " + object, "module.exports = " + object},
		"JSON with comments":                                   {"// a subscription\n" + object, "/* a */ " + object, "# a\n" + object, "{\n  // the URL\n  \"endpoint\": \"x\"\n}"},
		"JSON with a comma after the last value":               {`{"endpoint":"x",}`, "{\n \"endpoint\":\"x\",\n \"keys\":{\"auth\":\"x\",\n}\n}"},
		"JSON with typographic quotes":                         {"{“endpoint”: “x”}", `{"endpoint”: “x”}`},
		"JSON in Markdown":                                     {"```json\n" + object + "\n```"},
		"JSON with other text around it":                       {"[2024-01-01 10:00] INFO " + object, "subscription = " + object, "2024-01-01 subscribed: " + object},
		"a list as PowerShell shows it":                        {"endpoint       : x\nkeys           : @{auth=x}"},
		"YAML":                                                 {"endpoint: x\nkeys:\n  auth: x", "---\nendpoint: x", "- endpoint: x", "keys:\n  auth: x\nendpoint: x"},
		"a list of settings":                                   {"endpoint = \"x\"\n[keys]\n", "ENDPOINT=x\nAUTH=y", "push.endpoint=x", "[subscription]\nendpoint=x"},
		"the fields of a form, URL-encoded":                    {"endpoint=https%3A%2F%2Fx&auth=y", "subscription[endpoint]=x&subscription[keys][auth]=y"},
		"":                                                     {object, "[" + object + "]", "", "nothing", `{"sub":"mailto:a@example.com"}`, "VAPID_PRIVATE_KEY=x", "name: value", "{'a': 1}", object + "\n" + object, `{"endpoint":"x"`},
	} {
		for _, text := range texts {
			name, hint := Name(text)
			if name != want || (hint == "") != (want == "") {
				t.Errorf("%q: %q (%s), want %q", text, name, hint, want)
			}
		}
	}
}

// FuzzUnwrap: an object that was found is what the encodings around it contain, and
// unwrapping it again changes nothing.
func FuzzUnwrap(f *testing.F) {
	for _, s := range []string{object, `"{}"`, "eyJhIjoxfQ", "'{}'", `{\"a\":1}`, "%7B%7D", "'", `"`, "`{`"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, layers := Unwrap(data)
		if layers == nil && string(got) != string(data) {
			t.Fatalf("%q without layers from %q", got, data)
		}
		if layers != nil && (got[0] != '{' || len(layers) > maxLayers+1) {
			t.Fatalf("%q in %q", got, layers)
		}
		if again, more := Unwrap(got); layers != nil && (more != nil || string(again) != string(got)) {
			t.Fatalf("%q again is %q in %q", got, again, more)
		}
		name, hint := Name(string(data))
		if (name == "") != (hint == "") {
			t.Fatalf("%q, %q", name, hint)
		}
	})
}
