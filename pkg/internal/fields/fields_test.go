package fields

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []Element
		err  string
	}{
		{"", nil, ""},
		{" \t", nil, ""},
		{" ,; ,;", nil, ""},
		{"salt=AAAA", []Element{{"salt": "AAAA"}}, ""},
		{"Salt = AA/+== ;rs=4096,\tkeyid=b", []Element{{"salt": "AA/+==", "rs": "4096"}, {"keyid": "b"}}, ""},
		{`keyid="a,;\"\\b=" ; dh="x y"`, []Element{{"keyid": `a,;"\b=`, "dh": "x y"}}, ""},
		{"a=1,a=2", []Element{{"a": "1"}, {"a": "2"}}, ""},
		{"a=1;A=2", nil, `parameter "a" is given twice`},
		{"salt", nil, `parameter "salt" has no value`},
		{"salt;rs=1", nil, `parameter "salt" has no value`},
		{"salt=;rs=1", nil, `parameter "salt" has no value`},
		{`salt=""`, nil, `parameter "salt" has no value`},
		{`salt="a`, nil, `parameter "salt" has an unterminated quote`},
		{`salt="a\`, nil, `parameter "salt" has an unterminated quote`},
		{`salt="a\"`, nil, `parameter "salt" has an unterminated quote`},
		{"rs=1 2", nil, `parameter "rs" has '2' after its value, expected a comma or semicolon`},
		{`dh="a"!`, nil, `parameter "dh" has '!' after its value, expected a comma or semicolon`},
		{"=AAAA", nil, `found '=' where the name of a parameter should start`},
		{`"dh"=AAAA`, nil, `found '"' where the name of a parameter should start`},
		{"a=1\n", nil, `parameter "a" has '\n' after its value, expected a comma or semicolon`},
		{"eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.e30.AAAA", nil, "a parameter has no value"},
	} {
		got, err := List(tt.in)
		if text := message(err); text != tt.err || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("List(%q) = %v, %q; want %v, %q", tt.in, got, text, tt.want, tt.err)
		}
	}
}

func TestLoose(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []Parameter
		err  string
	}{
		{"", nil, ""},
		{" ,; ", nil, ""},
		{"t=a.b.c, k=D", []Parameter{{Name: "t", Value: "a.b.c"}, {Name: "k", Value: "D", Before: ','}}, ""},
		{`T = "a b" ; K=c d ,, k=`, []Parameter{{Name: "T", Value: "a b", Quoted: true}, {Name: "K", Value: "c d", Before: ';'}, {Name: "k", Before: ','}}, ""},
		{`=a,a b=c`, []Parameter{{Value: "a"}, {Name: "a b", Value: "c", Before: ','}}, ""},
		{`a="b"c=d`, []Parameter{{Name: "a", Value: "b", Quoted: true}, {Name: "c", Value: "d"}}, ""},
		{"secret", nil, "found a parameter without a value"},
		{"a=b,secret;c=d", nil, "found a parameter without a value"},
		{`a="secret`, nil, "found a quoted value without its end"},
		{`a="secret\`, nil, "found a quoted value without its end"},
	} {
		got, err := Loose(tt.in)
		if text := message(err); text != tt.err || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("Loose(%q) = %+v, %q; want %+v, %q", tt.in, got, text, tt.want, tt.err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A list that is read can be written and read again as the same, and Loose
// reads the same parameters from it.
func FuzzList(f *testing.F) {
	for _, seed := range []string{`keyid="a\",;" ; salt = "lngarbyKfMoi9Z75xYXmkg==" ;rs=24, salt=AAAA`, "p256ecdsa=AA,,dh=AA=;keyid=\"a\"", `t="a.b", K=c;x=`, `a="\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		loose, looseErr := Loose(s)
		list, err := List(s)
		if err != nil {
			return
		}
		if looseErr != nil {
			t.Fatalf("%q: List reads %v, Loose says %v", s, list, looseErr)
		}
		var elements []string
		at := 0
		for _, element := range list {
			end := min(at+len(element), len(loose))
			for _, p := range loose[at:end] {
				if element[strings.ToLower(p.Name)] != p.Value {
					t.Fatalf("%q: List reads %v, Loose %+v", s, list, loose)
				}
			}
			at += len(element)
			var parameters []string
			for _, name := range slices.Sorted(maps.Keys(element)) {
				parameters = append(parameters, name+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(element[name])+`"`)
			}
			elements = append(elements, strings.Join(parameters, ";"))
		}
		if at != len(loose) {
			t.Fatalf("%q: List reads %v, Loose %+v", s, list, loose)
		}
		written := strings.Join(elements, ", ")
		if again, err := List(written); err != nil || !reflect.DeepEqual(again, list) {
			t.Fatalf("%q: %v, written as %q and read as %v, %v", s, list, written, again, err)
		}
	})
}
