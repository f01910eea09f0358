package text

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestJSONProblem(t *testing.T) {
	type value struct {
		Text  string         `json:"text"`
		Count int            `json:"count"`
		Quote uint64         `json:"quote,string"`
		Share float64        `json:"share"`
		On    bool           `json:"on"`
		List  []string       `json:"list"`
		Map   map[string]int `json:"map"`
		In    struct {
			Deep string `json:"deep"`
		} `json:"in"`
	}
	for data, want := range map[string]string{
		`[]`:                               "a JSON array, expected an object",
		`"x"`:                              "a JSON string, expected an object",
		`{"text":5}`:                       "text is a JSON number, expected a string",
		`{"count":1.5}`:                    "count is a JSON number, expected a whole number",
		`{"count":1e99}`:                   "count is a JSON number, expected a whole number",
		`{"quote":"x y"}`:                  "a value that is expected as a string does not have the right form",
		`{"quote":7}`:                      "a value that is expected as a string does not have the right form",
		`{"quote":"-7"}`:                   "quote is a JSON number, expected a whole number",
		`{"quote":"99999999999999999999"}`: "quote is a JSON number, expected a whole number",
		`{"share":"x"}`:                    "share is a JSON string, expected a number",
		`{"on":1}`:                         "on is a JSON number, expected true or false",
		`{"list":{}}`:                      "list is a JSON object, expected an array",
		`{"map":[]}`:                       "map is a JSON array, expected an object",
		`{"in":{"deep":[]}}`:               "in.deep is a JSON array, expected a string",
		`{"other":1}`:                      `unknown field "other"`,
		`x`:                                "invalid character 'x' looking for beginning of value at byte 1",
		`{"text":`:                         "the JSON is incomplete",
	} {
		d := json.NewDecoder(strings.NewReader(data))
		d.DisallowUnknownFields()
		var v value
		if err := d.Decode(&v); err == nil || JSONProblem(err) != want {
			t.Errorf("%s: %v, want %s", data, JSONProblem(err), want)
		}
	}
	if err := json.Unmarshal([]byte(`{"text":`), new(value)); JSONProblem(err) != "the JSON is incomplete" {
		t.Errorf("%s", JSONProblem(err))
	}
}
