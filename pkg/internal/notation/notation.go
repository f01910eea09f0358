// Package notation reads and names text that should be the JSON of a
// subscription but is written in another way: JSON within a string or base64, and
// the output of languages, databases, and shells.
package notation

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/seed81da77dd/webpush/pkg/internal/b64"
	"github.com/seed81da77dd/webpush/pkg/internal/pattern"
)

// maxLayers is the maximum number of encodings around an object.
const maxLayers = 4

// Unwrap removes the encodings around a JSON object: JSON strings, quotes, escaped
// quotes, percent-encoding, base64, and data: URLs. It returns the object and the names of the
// encodings, outermost first. Text that is not an encoded object is returned
// unchanged, without names.
func Unwrap(data []byte) (object []byte, layers []string) {
	inner := bytes.TrimSpace(data)
	for len(layers) <= maxLayers && len(inner) > 1 {
		if inner[0] == '{' && inner[1] != '\\' {
			if layers == nil {
				return data, nil
			}
			return inner, layers
		}
		next, layer := unwrap(inner)
		if layer == "" {
			break
		}
		inner, layers = bytes.TrimSpace(next), append(layers, layer)
	}
	return data, nil
}

// Wrapped reports whether text is an encoded object that is valid JSON.
func Wrapped(text []byte) bool {
	object, layers := Unwrap(text)
	return layers != nil && json.Valid(object)
}

// unwrap removes one encoding. The layer is empty if there is none.
func unwrap(b []byte) (inner []byte, layer string) {
	last := len(b) - 1
	switch {
	case b[0] == '"':
		var s string
		if json.Unmarshal(b, &s) == nil {
			return []byte(s), "a JSON string"
		}
	case b[0] == '\'' && b[last] == '\'', b[0] == '`' && b[last] == '`' && b[1] != '`':
		return b[1:last], "quotes"
	case b[0] == '{' && b[1] == '\\':
		var s string
		if json.Unmarshal([]byte(`"`+string(b)+`"`), &s) == nil {
			return []byte(s), "escaped quotes"
		}
	case b[0] == '%':
		if s, err := url.PathUnescape(string(b)); err == nil {
			return []byte(s), "percent-encoding"
		}
	case bytes.HasPrefix(b, []byte("data:")):
		if _, after, found := bytes.Cut(b, []byte(",")); found {
			return after, "a data: URL"
		}
	case objectInBase64.Match(b):
		joined := strings.NewReplacer("\r", "", "\n", "").Replace(string(b))
		if inner, err := b64.Decode(joined); err == nil {
			return inner, "base64"
		}
	}
	return nil, ""
}

// objectInBase64 matches the beginning of an object, or of a string with an object,
// in base64.
var objectInBase64 = pattern.New(`^(?:ey[AJ0]|ew[0o]|In[ts])[A-Za-z0-9+/_=\r\n-]+$`)

// other is a notation that is not JSON.
type other struct {
	begins     *pattern.Pattern
	name, hint string
}

const (
	hintObject = "pass only the JSON, from its { to its }"
	hintPHP    = "print it with echo json_encode($subscription)"
	hintFields = `write it as JSON: {"endpoint": …, "keys": {"p256dh": …, "auth": …}}`
)

// others are the notations, identified by their beginning. The first match counts.
var others = []other{
	{pattern.New(`^(?:Array|stdClass Object|[A-Z][\w\\]* Object)\s*\(\s*\[`), "the output of PHP's print_r", hintPHP},
	{pattern.New(`^(?:array|object)(?::\d+ [\[{]|\(.*\)(?:#\d+ \(\d+\))? \{)|^[\w\\]+ \{#\d+`), "the output of PHP's var_dump", hintPHP},
	{pattern.New(`^(?:<\?php|return\b|\$\w+ ?=|array ?\(|\(object\)|\\?[\w\\]+::__set_state|\[\s*(?:'\w+'|"\w+") *=>)`), "PHP code, as var_export writes it", hintPHP},
	{pattern.New(`^[aO]:\d+:(?:\{|")`), "the output of PHP's serialize", "print it with echo json_encode(unserialize($text))"},
	{pattern.New(`^\s*1\) +(?:"|1\) )`), "a listing of redis-cli", "let redis-cli write JSON, or store the subscription as JSON.stringify(subscription)"},
	{pattern.New(`^\*{5,} ?\d+\. row`), "rows as MySQL writes them after \\G", "end the statement with ; and write a table with mysql, or export the table as CSV"},
	{pattern.New(`^-\[ RECORD \d+ \]`), "the expanded display of psql", "turn it off with \\x, or export the table as CSV with a header line"},
	{pattern.New("^```"), "JSON in Markdown", hintObject},
	{pattern.New(`^<`), "XML or a web page", "convert it to JSON, with the fields endpoint, p256dh, and auth"},
	{pattern.New(`^%[\w.]*\{`), "an Elixir map", "write it with Jason.encode!(subscription)"},
	{pattern.New(`^(?:#<|\[?\s*\{\s*(?::\w+|"\w+") *=>)`), "a Ruby hash or object", "write it with subscription.to_json"},
	{pattern.New(`^(?:OrderedDict\(|dict\(|[\[(]?\s*\{\s*u?'\w+' *:)`), "a Python dictionary", "write it with json.dumps(subscription)"},
	{pattern.New(`^(?:&?[\w.]*\{[A-Z]\w*:|&?map\[|\[?&?\{https?:)`), "a Go value, as fmt prints it", "write it with json.Marshal"},
	{pattern.New(`^\w+[{(\[]\w+ ?=`), "the text of an object, as toString or repr writes it", "write it as JSON, with the JSON library of the language"},
	{pattern.New(`^(?:PushSubscription\b|\[?\s*\{\s*\w+ *:)`), "a JavaScript object, as the console shows it", "print it with JSON.stringify(subscription)"},
	{pattern.New(`^(?:export|const|let|var|window\.\w+|module\.exports)\b`), "JavaScript code", "print it with JSON.stringify(subscription)"},
	{pattern.New(`^(?://|/\*|#.*\n\s*[{\[])`), "JSON with comments", "remove the comments"},
	{pattern.New(`(?s)^(?:[^{\["\s]|\[[^{\["\s]).*\{\s*"(?:endpoint|subscription|keys)"\s*:`), "JSON with other text around it", hintObject},
	{pattern.New(`^\w+ +: `), "a list as PowerShell shows it", "write it with ConvertTo-Json"},
	{pattern.New(`^(?:---|- \w|\w+:(?:\s|$))`), "YAML", "convert it to JSON, for example with yq"},
	{pattern.New(`^\s*\w+ = [^"'\s]`), "rows as sqlite3 writes them in line mode", "let sqlite3 write JSON: .mode json"},
	{pattern.New(`^(?:\[[\w.]+\]\s*\n|(?:export )?[\w.]+ ?= ?|#)`), "a list of settings", hintFields},
}

var (
	formFields    = pattern.New(`^[\w.%\[\]-]+=[^\s&]*(?:&[\w.%\[\]-]+=[^\s&]*)+$`)
	lastComma     = pattern.New(`,\s*[}\]]`)
	commentWithin = pattern.New(`(?m)^\s*(?://|/\*)|[,{]\s*//`)
	words         = pattern.New(`(?i)endpoint|p256dh|push[a-z]*subscription`)
)

// magic are the first bytes of files that are not text.
var magic = []struct{ bytes, name string }{
	{"\x1f\x8b", "a gzip file"}, {"PK\x03\x04", "a zip file or spreadsheet"}, {"SQLite format 3\x00", "an SQLite database"}, {"BZh", "a bzip2 file"},
	{"\x28\xb5\x2f\xfd", "a Zstandard file"}, {"\xfd7zXZ", "an xz file"}, {"PAR1", "a Parquet file"}, {"PGDMP", "a custom dump of PostgreSQL"},
	{"%PDF-", "a PDF"}, {"\x89PNG", "an image"}, {"\xff\xd8\xff", "an image"}, {"\xd0\xcf\x11\xe0", "an old spreadsheet or document"},
}

// Foreign names the kind of a file that is not text, by its first bytes, or a web page,
// or returns "".
func Foreign(data []byte) string {
	for _, m := range magic {
		if bytes.HasPrefix(data, []byte(m.bytes)) {
			return m.name
		}
	}
	if page.Match(data) {
		return "a web page"
	}
	return ""
}

// page matches the beginning of a web page.
var page = pattern.New(`^(?i)\s*<(?:!doctype html|html)`)

// Name names the notation of text that is not JSON, or returns "". The hint says how
// to get JSON. It only looks at text that could be a subscription.
func Name(text string) (name, hint string) {
	text = strings.TrimSpace(text)
	if !words.MatchString(text[:min(len(text), 1<<16)]) {
		return "", ""
	}
	if strings.HasPrefix(text, `{"`) || strings.HasPrefix(text, "{\n") || strings.HasPrefix(text, "{ ") {
		switch {
		case strings.ContainsAny(text[:min(len(text), 200)], "“”„‘’"):
			return "JSON with typographic quotes", `replace them with "`
		case commentWithin.MatchString(text):
			return "JSON with comments", "remove the comments"
		case lastComma.MatchString(text):
			return "JSON with a comma after the last value", "remove the comma"
		}
	}
	if strings.HasPrefix(text, "{“") || strings.HasPrefix(text, "{„") {
		return "JSON with typographic quotes", `replace them with "`
	}
	if formFields.MatchString(text) {
		return "the fields of a form, URL-encoded", hintFields
	}
	for _, o := range others {
		if o.begins.MatchString(text) {
			return o.name, o.hint
		}
	}
	return "", ""
}
